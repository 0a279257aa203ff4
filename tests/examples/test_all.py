"""Whether each example has its place in the list, and its story in a test."""

from __future__ import annotations

import re
from pathlib import Path

from support.examples import EXAMPLES


def test_every_example_is_listed_and_tested() -> None:
    names = [path.name for path in sorted(EXAMPLES.glob("*.py"))]
    listed = (EXAMPLES / "README.md").read_text()
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert names == [
        "background_view.py",
        "call_async.py",
        "celery_app.py",
        "email_later.py",
        "htmx.py",
        "many_bars.py",
        "progress_page.py",
        "quick_or_long.py",
        "resume.py",
        "retries.py",
        "status_monitoring.py",
        "submit.py",
        "thread_safe_status.py",
    ]
    assert [name for name in names if f"python examples/{name}" not in listed] == []
    assert [name for name in names if not re.search(rf'(run|begin)\("{name}"', tests)] == []
