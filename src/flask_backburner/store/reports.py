"""News of running jobs, written to SQLite."""

from __future__ import annotations

from collections.abc import Sequence

from ..record import Progress
from .base import LINES_KEPT
from .claim import Claim, Report
from .moves import HELD, hear
from .transaction import Transaction


def write_reports(tx: Transaction, reports: Sequence[Report]) -> list[Claim]:
    """Write progress, log lines and files; gives back the claims that are stale."""
    return [report.claim for report in reports if not _record(tx, report)]


def _record(tx: Transaction, report: Report) -> bool:
    claim = report.claim
    rows = tx.rows(f"SELECT seq, last_line, ready FROM jobs WHERE {HELD}", (claim.id, claim.fence))
    if not rows:
        return False
    ((seq, last_line, ready),) = rows
    if ready is None:
        hear(tx, seq, claim)
    if report.progress is not None:
        progress = report.progress
        if ready is None:
            progress = progress.upon(_progress(tx, seq))
        tx.execute(
            """
            UPDATE jobs
            SET current = ?, total = ?, message = ?, phase = ?, progressed_at = ?,
                version = version + 1, updated_at = ?
            WHERE seq = ?
            """,
            (
                progress.current,
                progress.total,
                progress.message,
                progress.phase,
                tx.now,
                tx.now,
                seq,
            ),
        )
    if report.lines:
        _write_lines(tx, seq, last_line, report)
    if report.files:
        _write_files(tx, seq, report)
    if report.saved:
        _write_saved(tx, seq, report)
    if report.overdue:
        tx.execute(
            "UPDATE jobs SET overdue = 1, version = version + 1, updated_at = ? WHERE seq = ?",
            (tx.now, seq),
        )
    return True


def _progress(tx: Transaction, seq: int) -> Progress:
    (row,) = tx.rows("SELECT current, total, message, phase FROM jobs WHERE seq = ?", (seq,))
    return Progress(*row)


def _write_lines(tx: Transaction, seq: int, last_line: int, report: Report) -> None:
    tx.executemany(
        "INSERT INTO lines (seq, line, at, level, text) VALUES (?, ?, ?, ?, ?)",
        [
            (seq, number, each.at.timestamp(), each.level, each.text)
            for number, each in enumerate(report.lines, last_line + 1)
        ],
    )
    last_line += len(report.lines)
    tx.execute("UPDATE jobs SET last_line = ? WHERE seq = ?", (last_line, seq))
    tx.execute("DELETE FROM lines WHERE seq = ? AND line <= ?", (seq, last_line - LINES_KEPT))


def _write_files(tx: Transaction, seq: int, report: Report) -> None:
    tx.executemany(
        "INSERT OR REPLACE INTO files (seq, name, type, size) VALUES (?, ?, ?, ?)",
        [(seq, file.name, file.type, file.size) for file in report.files],
    )
    tx.execute(
        """
        UPDATE jobs
        SET files = (SELECT count(*) FROM files WHERE files.seq = jobs.seq),
            version = version + 1, updated_at = ?
        WHERE seq = ?
        """,
        (tx.now, seq),
    )


def _write_saved(tx: Transaction, seq: int, report: Report) -> None:
    tx.executemany(
        "INSERT OR REPLACE INTO saved (seq, key, data) VALUES (?, ?, ?)",
        [(seq, key, data) for key, data in report.saved if data is not None],
    )
    tx.executemany(
        "DELETE FROM saved WHERE seq = ? AND key = ?",
        [(seq, key) for key, data in report.saved if data is None],
    )
