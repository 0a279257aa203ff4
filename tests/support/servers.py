"""Real servers as a user would start them: processes of their own on loopback ports."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from support import processes
from support.waiting import until

TESTS = Path(__file__).resolve().parents[1]
STARTING = 90.0
STOPPING = 30.0
FORGET = ("FLASK_", "WERKZEUG_", "GUNICORN_")
_numbers = itertools.count(1)


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def session_mark() -> str:
    """What the marks of all processes that this test run starts begin with."""
    return f"{os.getpid()}."


class Served:
    """A running process, and if it serves, where."""

    def __init__(
        self, command: Sequence[str], folder: Path, env: Mapping[str, str], port: int, output: Path
    ) -> None:
        self.command = list(command)
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.mark = f"{session_mark()}{next(_numbers)}."
        self._output = output
        with output.open("wb") as file:
            self._process = subprocess.Popen(
                self.command,
                cwd=folder,
                env={**env, processes.MARK: self.mark},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process that was started."""
        return self._process.pid

    def pids(self) -> list[int]:
        """It and all that it started, children's children and orphans too; no zombies."""
        found = processes.descendants(self.pid) | processes.marked(self.mark)
        if processes.alive(self.pid):
            found.add(self.pid)
        return sorted(found)

    def output(self) -> str:
        """What they all wrote so far, standard output and error together."""
        return self._output.read_text(errors="replace")

    def running(self) -> bool:
        """Whether the started process still runs."""
        return self._process.poll() is None

    def answers(self) -> bool:
        """Whether something listens on the port."""
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def refuses_nonsense(self) -> bool:
        """Whether a loaded process answers, seen by what is no request: the app hears nothing."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5.0) as probe:
            probe.sendall(b"nonsense\r\n\r\n")
            return probe.recv(1) != b""
        return False

    def kill9(self, pid: int | None = None) -> None:
        """``kill -9`` one of the processes (the first, if none is named); waits for its death."""
        victim = self.pid if pid is None else pid
        processes.kill(victim)
        until(lambda: not processes.alive(victim), what=f"the death of {victim}")

    def terminate(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to the first process; does not wait."""
        processes.kill(self.pid, number)

    def wait(self, deadline: float = STOPPING) -> int:
        """Wait for the first process to end; its exit code, negative for a signal."""
        until(lambda: not self.running(), deadline, lambda: f"the end of {self!r}\n{self.output()}")
        return self._process.wait()

    def stop(self, grace: float = STOPPING) -> int:
        """End it and all that it started: TERM first, KILL for what is left after ``grace``."""
        self.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        if not self.running():
            self._end_what_it_left()
        processes.kill_all(self.pids())
        return self._process.wait()

    def _end_what_it_left(self) -> None:
        for pid in self.pids():
            processes.kill(pid, signal.SIGTERM)
        with suppress(AssertionError):
            until(lambda: not self.pids(), deadline=3.0)

    def ready(self, sign: Callable[[Served], bool] = answers) -> Served:
        """Wait until it answers; fails with its output if it ends before."""
        until(
            lambda: sign(self) or not self.running(),
            STARTING,
            lambda: f"an answer of {self!r}\n{self.output()}",
        )
        assert self.running(), f"{self!r} ended by itself:\n{self.output()}"
        return self

    def __repr__(self) -> str:
        return f"<{' '.join(self.command[1:])} on port {self.port}>"


class Servers:
    """Starts servers, and ends all of them at last. ``env`` goes to every one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env: dict[str, str] = {}
        self.started: list[Served] = []

    def gunicorn(
        self, app_dir: Path, app: str, *args: str, env: Mapping[str, str] | None = None
    ) -> Served:
        """``gunicorn module:app``."""
        port = free_port()
        bind = f"127.0.0.1:{port}"
        command = ["-m", "gunicorn", "--bind", bind, "--no-control-socket", *args, app]
        # Its first process listens before the others have loaded the app.
        return self._start(command, app_dir, env, port).ready(Served.refuses_nonsense)

    def waitress(
        self, app_dir: Path, app: str, *args: str, env: Mapping[str, str] | None = None
    ) -> Served:
        """``waitress-serve module:app``."""
        port = free_port()
        command = ["-m", "waitress", f"--listen=127.0.0.1:{port}", *args, app]
        return self._start(command, app_dir, env, port).ready()

    def flask_run(
        self, app_dir: Path, app: str, *args: str, env: Mapping[str, str] | None = None
    ) -> Served:
        """``flask --app module:app run``; ``"--debug"`` brings the reloader."""
        port = free_port()
        command = ["-m", "flask", "--app", app, "run", "--port", str(port), *args]
        return self._start(command, app_dir, env, port).ready()

    def python(self, script: Path, *args: str, env: Mapping[str, str] | None = None) -> Served:
        """``python app.py``; the script finds the port to listen on in ``$PORT``."""
        port = free_port()
        return self._start([str(script), *args], script.parent, env, port).ready()

    def worker(
        self, app_dir: Path, app: str, *args: str, env: Mapping[str, str] | None = None
    ) -> Served:
        """``flask --app module:app jobs worker``; does not wait for anything."""
        return self.run(app_dir, "-m", "flask", "--app", app, "jobs", "worker", *args, env=env)

    def run(self, folder: Path, *args: str, env: Mapping[str, str] | None = None) -> Served:
        """Any other ``python …``, which need not serve; does not wait."""
        return self._start(list(args), folder, env, free_port())

    def stop(self) -> None:
        """End them all, the last one first."""
        while self.started:
            self.started.pop().stop()

    def _start(
        self, args: Sequence[str], folder: Path, env: Mapping[str, str] | None, port: int
    ) -> Served:
        output = self.folder / f"server-{port}.log"
        whole = {**_environment(folder), **self.env, "PORT": str(port), **(env or {})}
        served = Served([sys.executable, *args], folder, whole, port, output)
        self.started.append(served)
        return served


def _environment(folder: Path) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(FORGET)}
    paths = [str(folder), str(TESTS), *filter(None, [inherited.get("PYTHONPATH")])]
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
