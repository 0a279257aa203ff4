"""Mutants: conditions of the store and of upkeep, each taken away; the tests have to notice.

``python -m chaos.mutants`` tries them all, ``python -m chaos.mutants alone pause`` those that
have one of the words in their name. Ends with 1 if one survives, or fits nowhere any more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "flask_backburner"

CONTRACT = ["tests/contract", "-k", "sqlite"]
OF_SQLITE = [f"tests/test_{noun}.py" for noun in ("sqlite", "liveness", "retention", "diagnosis")]
OF_UPKEEP = ["tests/test_upkeep.py"]
MODEL = ["tests/test_store_model.py"]
"""What takes longest comes last."""

PATIENCE = 300.0


class Mutant(NamedTuple):
    """In ``file`` the one place that reads ``old`` reads ``new``."""

    name: str
    file: str
    old: str
    new: str


MUTANTS = [
    # Fences and states: who may speak for a job
    Mutant("fence of a report", "store/moves.py", "id = ? AND fence = ?", "id = ? AND ? >= 0"),
    Mutant(
        "state of a report",
        "store/moves.py",
        "AND (state = 'running' OR state = 'queued' AND ready IS NULL)",
        "",
    ),
    Mutant(
        "fence of a success",
        "store/settlements.py",
        "WHERE id = ? AND fence = ? AND state = 'running'",
        "WHERE id = ? AND ? >= 0 AND state = 'running'",
    ),
    Mutant(
        "state of a success",
        "store/settlements.py",
        "WHERE id = ? AND fence = ? AND state = 'running'",
        "WHERE id = ? AND fence = ?",
    ),
    Mutant("fence rises", "store/claims.py", "fence = fence + 1, ", ""),
    Mutant("attempt rises", "store/claims.py", "attempt = attempt + 1,", ""),
    Mutant(
        "owner of a claim",
        "store/claims.py",
        "worker = ?, started_at",
        "worker = 'x' || ?, started_at",
    ),
    Mutant("refusal together", "store/settlements.py", "if updated == len(settled):", "if True:"),
    Mutant("claim is cleared", "store/claims.py", "current = NULL, total = NULL, ", ""),
    Mutant(
        "version of a move",
        "store/moves.py",
        "SET state = ?, version = version + 1,",
        "SET state = ?,",
    ),
    # Crashes
    Mutant("crash limit", "store/moves.py", "if crashes < rescues:", "if crashes <= rescues:"),
    Mutant("no crash limit", "store/moves.py", "if crashes < rescues:", "if True:"),
    Mutant(
        "crash counts",
        "store/moves.py",
        "requeue(tx, seq, crashes=1,",
        "requeue(tx, seq, crashes=0,",
    ),
    Mutant(
        "last crash counts",
        "store/moves.py",
        'tx.execute("UPDATE jobs SET crashes = crashes + 1 WHERE seq = ?", (seq,))',
        "",
    ),
    Mutant("crash jitter", "store/moves.py", "random.uniform(0, RESCUE_JITTER)", "60.0"),
    Mutant(
        "claimed is not started",
        "store/rescue.py",
        "elif started is not None and (id, fence) not in started:",
        "elif False:",
    ),
    Mutant(
        "fence of what had started",
        "store/rescue.py",
        "(id, fence) not in started",
        "id not in {each for each, _ in started}",
    ),
    Mutant(
        "unstarted attempt of a rescue",
        "store/rescue.py",
        "requeue(tx, seq, attempts_back=1)",
        "requeue(tx, seq)",
    ),
    Mutant(
        "released attempt",
        "store/settlements.py",
        "requeue(tx, seq, attempts_back=0 if started else 1)",
        "requeue(tx, seq)",
    ),
    Mutant(
        "released start",
        "store/settlements.py",
        "attempts_back=0 if started else 1",
        "attempts_back=1",
    ),
    Mutant("cancel at a rescue", "store/rescue.py", "if cancel_requested:", "if False:"),
    Mutant(
        "owner at a rescue",
        "store/rescue.py",
        "WHERE namespace = ? AND worker = ? AND state = 'running'",
        "WHERE namespace = ? AND ? <> '' AND state = 'running'",
    ),
    Mutant(
        "state at a rescue",
        "store/rescue.py",
        "WHERE namespace = ? AND worker = ? AND state = 'running'",
        "WHERE namespace = ? AND worker = ?",
    ),
    # Retries
    Mutant(
        "failure counts",
        "store/settlements.py",
        "requeue(tx, seq, failures=1,",
        "requeue(tx, seq, failures=0,",
    ),
    Mutant("delay of a retry", "store/settlements.py", "failures=1, delay=delay)", "failures=1)"),
    Mutant(
        "delay is waited for", "store/moves.py", "            delay > 0,\n", "            False,\n"
    ),
    Mutant(
        "fault of a retry",
        "store/settlements.py",
        "requeue(tx, seq, failures=1, delay=delay)\n            keep_fault(tx, seq, fault)",
        "requeue(tx, seq, failures=1, delay=delay)",
    ),
    Mutant(
        "cancel before a retry",
        "store/settlements.py",
        "case Retry(fault, delay) if not cancel_requested:",
        "case Retry(fault, delay):",
    ),
    Mutant(
        "cancel before a crash",
        "store/settlements.py",
        "case Crashed() if not cancel_requested:",
        "case Crashed():",
    ),
    Mutant(
        "cancel before a release",
        "store/settlements.py",
        "case Released(started) if not cancel_requested:",
        "case Released(started):",
    ),
    # An operator's retry
    Mutant("forgiven failures", "store/moves.py", "failures = 0, crashes = 0,", "crashes = 0,"),
    Mutant("forgiven crashes", "store/moves.py", "failures = 0, crashes = 0,", "failures = 0,"),
    Mutant(
        "forgotten cancel",
        "store/moves.py",
        "cancel_requested = 0, start_by = NULL,",
        "start_by = NULL,",
    ),
    Mutant(
        "forgotten expiry",
        "store/moves.py",
        "cancel_requested = 0, start_by = NULL,",
        "cancel_requested = 0,",
    ),
    Mutant(
        "kept again",
        "store/moves.py",
        "finished_at = NULL, kept_until = NULL,",
        "finished_at = NULL,",
    ),
    Mutant(
        "forgotten fault",
        "store/moves.py",
        'tx.execute("DELETE FROM faults WHERE seq = ?", (seq,))',
        "",
    ),
    Mutant(
        "who may be put back",
        "store/sqlite.py",
        "record.state not in (State.FAILED, State.CANCELLED) or record.external",
        "not record.done",
    ),
    Mutant(
        "count of who is put back",
        "store/sqlite.py",
        "tx.count(record.queue, record.state, State.QUEUED)",
        "",
    ),
    # The line
    Mutant(
        "alone is asked for",
        "store/claims.py",
        "line.ALONE if self.alone else line.READY",
        "line.READY",
    ),
    Mutant(
        "suspicious from two",
        "store/line.py",
        "{crashes} >= {SUSPICIOUS}",
        "{crashes} > {SUSPICIOUS}",
    ),
    Mutant(
        "suspicious at a crash",
        "store/moves.py",
        '{line.mark("crashes + ?")}',
        '{line.mark("0 * ?")}',
    ),
    Mutant("suspicious when due", "store/claims.py", 'line.mark("crashes")', 'line.mark("0")'),
    Mutant("pause", "store/claims.py", "if queue not in paused]", "]"),
    Mutant(
        "pause of a namespace",
        "store/claims.py",
        '"SELECT queue FROM pauses WHERE namespace = ?", (namespace,)',
        '"SELECT queue FROM pauses WHERE ? IS NOT NULL", (namespace,)',
    ),
    Mutant(
        "time to run",
        "store/claims.py",
        "ready = 0 AND run_at <= ?\n            ORDER BY",
        "ready = 0 AND ? > 0\n            ORDER BY",
    ),
    Mutant(
        "expired is not claimed",
        "store/line.py",
        "AND (start_by IS NULL OR start_by > ? OR attempt > 0)",
        "AND ? > 0",
    ),
    Mutant("begun does not expire", "store/line.py", " OR attempt > 0)", ")"),
    Mutant(
        "queues",
        "store/claims.py",
        "(self.queues is None or queue in self.queues) and any(",
        "any(",
    ),
    Mutant("priority", "store/line.py", "ORDER BY priority DESC, seq", "ORDER BY seq"),
    Mutant("room", "store/line.py", "return sorted(found)[:most]", "return sorted(found)"),
    Mutant("order of kinds", "store/line.py", "return sorted(found)[:most]", "return found[:most]"),
    Mutant("saved goes along", "store/claims.py", "if claim.fence == 1:", "if True:"),
    # Expiry, silence, forgetting
    Mutant(
        "expiry of the begun",
        "store/rescue.py",
        "state = 'queued' AND attempt = 0 AND",
        "state = 'queued' AND",
    ),
    Mutant("expiry in time", "store/rescue.py", "AND start_by <= ?", "AND start_by <= ? + 5"),
    Mutant(
        "count of the expired", "store/rescue.py", "tx.count(queue, State.QUEUED, State.FAILED)", ""
    ),
    Mutant("silence", "store/rescue.py", "AND heard_at + deadline <= ?", "AND heard_at <= ?"),
    Mutant("silence of the finished", "store/rescue.py", "AND kept_until IS NULL\n", "\n"),
    Mutant(
        "news are heard",
        "store/moves.py",
        "UPDATE jobs SET heard_at = ? WHERE seq = ?",
        "UPDATE jobs SET heard_at = heard_at + 0 * ? WHERE seq = ?",
    ),
    Mutant("kept until", "store/retention.py", "AND kept_until <= ?", "AND kept_until <= ? + 5"),
    Mutant(
        "kept until it is told",
        "store/look.py",
        "record.kept_until.timestamp() <= self.now",
        "False",
    ),
    Mutant("finished before", "store/retention.py", "AND finished_at < ?", "AND finished_at <= ?"),
    Mutant(
        "forgotten once",
        "store/retention.py",
        'AND namespace = ? AND kept_until IS NOT NULL\n        """,\n        (json',
        'AND namespace = ?\n        """,\n        (json',
    ),
    Mutant("saved is forgotten", "store/retention.py", '"files", "saved")', '"files")'),
    Mutant(
        "tombstones", "store/retention.py", "AND forgotten_at < ?", "AND forgotten_at < ? - 1e9"
    ),
    Mutant("overdue", "store/reports.py", "if report.overdue:", "if False:"),
    Mutant(
        "overdue ends",
        "store/moves.py",
        "kept_until = ?,\n            overdue = 0",
        "kept_until = ?",
    ),
    Mutant(
        "overdue ends with success",
        "store/settlements.py",
        "kept_until = ?,\n        overdue = 0",
        "kept_until = ?",
    ),
    Mutant(
        "overdue ends with a release",
        "store/moves.py",
        "attempt = attempt - ?, overdue = 0,",
        "attempt = attempt - ?,",
    ),
    Mutant(
        "saved is forgotten by key",
        "store/reports.py",
        "DELETE FROM saved WHERE seq = ? AND key = ?",
        "DELETE FROM saved WHERE seq = ? AND key = ? AND 0",
    ),
    Mutant("aliases", "store/additions.py", "if alias in seen:", "if False:"),
    Mutant("aliases of one batch", "store/additions.py", "seen.add(alias)", ""),
    Mutant(
        "queue is full", "store/additions.py", "if queued + more > limit:", "if queued > limit:"
    ),
    # Liveness, hangs and elections
    Mutant(
        "the living are not dead",
        "store/liveness.py",
        "if try_lock(fd) and os.fstat(fd).st_nlink:",
        "if os.fstat(fd).st_nlink:",
    ),
    Mutant(
        "one is elected",
        "store/liveness.py",
        "        if try_lock(fd):\n            self._roles[role]",
        "        if True:\n            self._roles[role]",
    ),
    Mutant(
        "a role with a deleted file",
        "store/liveness.py",
        "if held is not None and os.fstat(held).st_nlink:",
        "if held is not None:",
    ),
    Mutant("started is noted", "store/liveness.py", "self._slots[at + _STARTED_AT] = 1", "pass"),
    Mutant(
        "started after it was settled",
        "store/liveness.py",
        "            if at is None:\n                return False\n",
        "            if at is None:\n                return True\n",
    ),
    Mutant(
        "a beat is heard",
        "store/silence.py",
        "silent + passed if beat == last else 0.0",
        "silent + passed",
    ),
    Mutant(
        "silence needs looks",
        "store/silence.py",
        "min(now - self._looked_at, limit / LOOKS)",
        "now - self._looked_at",
    ),
    Mutant(
        "silence before the watch",
        "store/silence.py",
        "before.get(worker, (beat, -passed))",
        "before.get(worker, (beat, 0.0))",
    ),
    Mutant("silence is long", "store/silence.py", "if silent >= limit]", "if silent > 0]"),
    Mutant("only upkeep's holder works", "upkeep.py", "if self._store.elect(ROLE):", "if True:"),
    Mutant("upkeep resigns", "upkeep.py", "self._store.resign(ROLE)", ""),
    Mutant("upkeep tells", "upkeep.py", "self._tell(rescued)", ""),
    Mutant(
        "upkeep knows hangs", "upkeep.py", "self._store.rescue(self._hang)", "self._store.rescue()"
    ),
    Mutant(
        "upkeep's retention",
        "upkeep.py",
        "if not forget_jobs(self._store, self._files):",
        "if forget_jobs(self._store, self._files):",
    ),
    Mutant(
        "upkeep removes files",
        "upkeep.py",
        "    for id in ids:\n        files.remove(id)\n    return",
        "    return",
    ),
    Mutant("upkeep survives", "upkeep.py", "trouble.tell(error)", "raise"),
]


class Nursery:
    """Where mutants live: copies of the package in ``folder``, as it was at the beginning."""

    def __init__(self, folder: Path) -> None:
        self._sound = folder / "sound"
        self._mutant = folder / "mutant"
        _copy(PACKAGE, self._sound / PACKAGE.name)

    def check(self) -> None:
        """Make sure that the tests pass as long as nothing is changed."""
        for tests in (OF_UPKEEP, CONTRACT, OF_SQLITE, MODEL):
            if _fail(tests, self._sound):
                raise SystemExit(f"{tests[0]} fails without any mutant.")

    def notices(self, mutant: Mutant) -> str | None:
        """Which tests notice the mutant, if any."""
        _copy(self._sound / PACKAGE.name, self._mutant / PACKAGE.name)
        path = self._mutant / PACKAGE.name / mutant.file
        text = path.read_text()
        if text.count(mutant.old) != 1:
            raise SystemExit(f"{mutant.name}: {mutant.file} has it {text.count(mutant.old)} times.")
        path.write_text(text.replace(mutant.old, mutant.new))
        return next((tests[0] for tests in _suites(mutant) if _fail(tests, self._mutant)), None)


def _copy(package: Path, to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(package, to, ignore=shutil.ignore_patterns("__pycache__"))


def _suites(mutant: Mutant) -> Iterator[list[str]]:
    if mutant.file == "upkeep.py":
        yield OF_UPKEEP
    yield from (CONTRACT, OF_SQLITE, MODEL)


def _fail(tests: list[str], folder: Path) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        run = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, timeout=PATIENCE, check=False
        )
    except subprocess.TimeoutExpired:
        return True
    if run.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} could not run:\n{run.stdout.decode()[-2000:]}")
    return run.returncode == 1


def main(words: list[str]) -> int:
    """Try the mutants whose name has one of the words, or all; gives back the exit code."""
    chosen = [each for each in MUTANTS if not words or any(word in each.name for word in words)]
    with tempfile.TemporaryDirectory() as folder:
        nursery = Nursery(Path(folder))
        nursery.check()
        survivors = [mutant.name for mutant in chosen if not _told(nursery, mutant)]
    print(f"{len(chosen)} mutants, {len(survivors)} survived", *survivors, sep="\n  ")
    return 1 if survivors else 0


def _told(nursery: Nursery, mutant: Mutant) -> bool:
    began = time.monotonic()
    where = nursery.notices(mutant)
    print(f"{where or 'SURVIVED':26} {time.monotonic() - began:5.1f} s  {mutant.name}", flush=True)
    return where is not None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
