"""Summary: what a table holds, column by column."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from demo.report.table import LOADING, Column, Table
from flask_backburner import current_job

SHOWN = 120
AS_NUMBER = "CAST(value AS NUMERIC)"
AS_TEXT = f"substr(value, 1, {SHOWN})"
COUNT_VALUES = """
    CREATE TEMP TABLE value AS
    SELECT {cell} AS value, count(*) AS times
      FROM entry
     WHERE {cell} <> ''
     GROUP BY {cell}
"""
MEASURE = """
    SELECT coalesce(sum(times), 0), count(*),
           min({comparable}), max({comparable}),
           total(CAST(value AS REAL) * times) / sum(times)
      FROM value
"""
MOST_FREQUENT = """
    SELECT substr(value, 1, :shown), times
      FROM value
     ORDER BY times DESC, value
     LIMIT 5
"""


@dataclass(frozen=True, slots=True)
class ColumnSummary:
    """What one column holds; ``mean`` is of numbers only."""

    name: str
    kind: str
    count: int
    empty: int
    distinct: int
    min: str | int | float | None
    max: str | int | float | None
    mean: float | None
    frequent: list[tuple[str, int]]


def summarise(table: Table, size: int) -> Iterator[ColumnSummary]:
    """Yield a summary of each column; counting happens in SQLite, on disk where memory ends."""
    total = int(size / LOADING)
    for index, column in enumerate(table.columns):
        done = size + (total - size) * index // len(table.columns)
        current_job.progress(done, total, f"Summarising {column.name[:SHOWN]}")
        summary = of_column(table, f"c{index}", column)
        current_job.log(f"{summary.name[:SHOWN]}: {summary.kind}, {summary.distinct:,} distinct")
        yield summary
    current_job.progress(total, total, "Writing the summary")


def of_column(table: Table, cell: str, column: Column) -> ColumnSummary:
    database = table.database
    comparable = AS_NUMBER if column.kind == "number" else AS_TEXT
    database.execute(COUNT_VALUES.format(cell=cell))
    count, distinct, least, most, mean = database.execute(
        MEASURE.format(comparable=comparable)
    ).fetchone()
    frequent = database.execute(MOST_FREQUENT, {"shown": SHOWN}).fetchall()
    database.execute("DROP TABLE value")
    return ColumnSummary(
        name=column.name,
        kind=column.kind or "empty",
        count=count,
        empty=table.rows - count,
        distinct=distinct,
        min=least,
        max=most,
        mean=mean if column.kind == "number" else None,
        frequent=frequent,
    )


def document(table: Table, columns: list[ColumnSummary]) -> dict[str, object]:
    """Give the whole summary as what JSON can say."""
    return {
        "rows": table.rows,
        "broken": table.broken,
        "columns": [asdict(column) for column in columns],
        "broken_rows": [asdict(row) for row in table.first_broken],
    }
