"""A background view: an ordinary slow view, with a form and files, and one more line on top.

    python examples/background_view.py

Open http://127.0.0.1:5000 and compare two small texts: the page comes at once. Compare two files
of a few thousand words: a progress page comes, and leads to the very same page when it is ready.
"""

import os

from flask import Flask, render_template_string, request

from flask_backburner import Backburner, current_job

app = Flask(__name__)
app.config.from_prefixed_env()
tasks = Backburner(app)


@app.post("/compare")
@tasks.background(wait=0.5)
def compare() -> str:
    old, new = (read(name).split() for name in ("old", "new"))
    return render_template_string(PAGE, old=old, new=new, edits=distance(old, new))


@app.get("/")
def form() -> str:
    return render_template_string(PAGE)


def read(name: str) -> str:
    file = request.files.get(f"{name}_file")
    return file.read().decode(errors="replace") if file else request.form.get(name, "")


def distance(old: list[str], new: list[str]) -> int:
    """Count the words to insert, remove or replace to make one text of the other."""
    row = list(range(len(new) + 1))
    for number, word in enumerate(current_job.track(old, message="Comparing words"), 1):
        before, row = row, [number]
        for column, other in enumerate(new):
            change = before[column] + (word != other)
            row.append(min(change, before[column + 1] + 1, row[column] + 1))
    return row[-1]


PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Compare two texts</title>
{{ backburner.script() }}
<body class="backburner-page">
<main>
  <h1>Compare two texts</h1>
  {% if edits is defined %}
  <p>{{ edits }} edits make {{ new | length }} words of {{ old | length }}.</p>
  {% endif %}
  <form class="backburner-card" method="post" enctype="multipart/form-data"
        action="{{ url_for('compare') }}">
    {% for name in "old", "new" %}
    <p><label>The {{ name }} text <input name="{{ name }}"></label>
      <label>or file <input name="{{ name }}_file" type="file"></label></p>
    {% endfor %}
    <button>Compare</button>
  </form>
</main>"""

if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
