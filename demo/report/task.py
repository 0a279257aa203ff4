"""The background job of a report: load the file, then summarise it."""

from __future__ import annotations

import json
from pathlib import Path

from demo.report.source import Source
from demo.report.summary import document, summarise
from demo.report.table import Column, Table, building
from demo.tasks import tasks
from flask_backburner import current_job


@tasks.task
def make_report(source: Path, encoding: str, folder: Path) -> dict[str, int]:
    """Read ``source`` into a database in ``folder`` and put ``summary.json`` beside it."""
    with Source(source, encoding) as file, building(folder / "report.db") as database:
        current_job.log(f"Columns: {', '.join(file.columns)}"[:500])
        table = Table(database, [Column(name) for name in file.columns])
        table.load(file)
        current_job.log(f"{table.rows:,} rows loaded, {table.broken:,} left out")
        summary = document(table, list(summarise(table, file.size)))
    write_whole(folder / "summary.json", json.dumps(summary, ensure_ascii=False))
    return {"rows": table.rows, "broken": table.broken, "columns": len(table.columns)}


def write_whole(path: Path, text: str) -> None:
    """Write a file that nobody can see half of."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
