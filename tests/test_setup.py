"""The project's own set-up: the Makefile, the wheel, and habits that the linter cannot see."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
import textwrap
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# The Makefile


def make(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(
        ["make", "--no-print-directory", *args],
        cwd=ROOT,
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_make_lists_what_there_is() -> None:
    listed = re.findall(r"^  make (\S+)  +\S", make().stdout, re.MULTILINE)
    assert listed == [
        *("help", "demo", "test", "test-deps", "lint", "format"),
        *("bench", "chaos", "model", "mutants", "clean"),
    ]


def test_make_test_deps_says_what_is_missing_when_it_may_not_install() -> None:
    done = make("test-deps", "TEST_PROGRAMS=no-such-program", "ROOT_USER=no")
    assert done.returncode != 0
    assert "apt-get install --no-install-recommends no-such-program" in done.stderr


def test_make_says_when_python_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 3.9.2\nexit 1\n")
    old.chmod(0o755)
    done = make("check-python", f"PYTHON={old}")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stderr


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it would be uploaded."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
    )
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    package = ROOT / "src" / "flask_backburner"
    files = {
        path.relative_to(ROOT / "src").as_posix()
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == files
    assert "flask_backburner/py.typed" in packed
    assert "flask_backburner/web/static/backburner.js" in packed
    assert any(name.startswith("flask_backburner/web/templates/") for name in packed)


def test_the_wheel_works_with_only_what_it_asks_for(wheel: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "env", wheel)
    source = """
        from importlib.resources import files
        from flask import Flask
        import flask_backburner

        assert flask_backburner.__file__.startswith(__import__("sys").prefix)
        tasks = flask_backburner.Backburner(Flask("app"))
        assert files("flask_backburner").joinpath("py.typed").is_file()
        assert set(flask_backburner.__all__) <= set(dir(flask_backburner))
    """
    subprocess.run([python, "-I", "-c", textwrap.dedent(source)], cwd=tmp_path, check=True)


def environment(folder: Path, wheel: Path) -> Path:
    """A new environment: the wheel, and of our packages those that it needs; no download."""
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    install = ["install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)
    site = next(folder.glob("lib/python3*/site-packages"))
    for requirement in required(importlib.metadata.Distribution.at(next(site.glob("*.dist-info")))):
        for source in contents(requirement):
            (site / source.name).symlink_to(source)
    return python


def required(distribution: importlib.metadata.Distribution) -> set[str]:
    """Names of all that a distribution needs without extras, at any depth."""
    names: set[str] = set()
    lines = list(distribution.requires or [])
    while lines:
        line = lines.pop()
        name = re.split(r"[^a-z0-9._-]", line.lower())[0]
        if ";" not in line and name not in names:
            names.add(name)
            lines.extend(importlib.metadata.requires(name) or [])
    return names


def contents(name: str) -> Iterator[Path]:
    """The top-level files and folders of an installed distribution."""
    distribution = importlib.metadata.distribution(name)
    parts = {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}
    return (Path(str(distribution.locate_file(part))) for part in parts - {"__pycache__"})


# What the linter cannot see


def test_nothing_in_the_tests_sleeps_but_the_one_helper() -> None:
    sleeping = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "tests").rglob("*.py")
        if re.search(r"\bsleep\((?!0\))", path.read_text())
    ]
    their_jobs_do = ["tests/apps/depot.py", "tests/test_async_jobs.py", "tests/test_hang.py"]
    assert sorted(sleeping) == sorted(["tests/support/waiting.py", *their_jobs_do])
