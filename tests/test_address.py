"""The address: where another process finds the app, told or found."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import pytest
from click import Context
from flask import Flask
from flask.cli import FlaskGroup, ScriptInfo

from flask_backburner.engine.local.address import Address, command_line_address, find_address


@pytest.fixture
def app() -> Flask:
    return Flask("shop")


@pytest.fixture
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLASK_APP", raising=False)


@pytest.fixture
def shop(app: Flask, monkeypatch: pytest.MonkeyPatch, no_variable: None) -> ModuleType:
    """A module whose attribute is the app."""
    module = ModuleType("shop")
    module.application = app
    monkeypatch.setitem(sys.modules, "shop", module)
    return module


def test_what_was_told_comes_first(shop: ModuleType, app: Flask) -> None:
    assert find_address(app, "mine:create_app()") == Address("mine:create_app()", told=True)


def test_the_variable_comes_before_what_can_be_found(
    shop: ModuleType, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_APP", "src/shop.py")
    assert find_address(app, None) == Address("src/shop.py", told=True)


def test_a_module_attribute_is_found_where_the_app_says_that_it_was_made(
    shop: ModuleType, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = ModuleType("another")
    copy.app = app
    monkeypatch.setattr(sys, "modules", {"another": copy, **sys.modules})
    assert find_address(app, None) == Address("shop:application", told=False)


def test_a_module_attribute_is_found_anywhere_else(
    app: Flask, monkeypatch: pytest.MonkeyPatch, no_variable: None
) -> None:
    module = ModuleType("elsewhere")
    module.app = app
    monkeypatch.setitem(sys.modules, "elsewhere", module)
    assert find_address(app, None) == Address("elsewhere:app", told=False)


@pytest.mark.parametrize(
    ("file", "spec", "found"),
    [
        (
            "/somewhere/my-shop.py",
            None,
            Address("my-shop:app", told=False, script="/somewhere/my-shop.py"),
        ),
        ("/somewhere/shop/__main__.py", "shop.__main__", Address("shop.__main__:app", told=False)),
        (None, None, None),
    ],
    ids=["script", "python -m", "python -c"],
)
def test_a_script_is_found_by_its_name(
    app: Flask,
    monkeypatch: pytest.MonkeyPatch,
    no_variable: None,
    file: str | None,
    spec: str | None,
    found: Address | None,
) -> None:
    main = ModuleType("__main__")
    main.app = app
    if file:
        main.__file__ = file
    if spec:
        main.__spec__ = type("Spec", (), {"name": spec})()
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert find_address(app, None) == found


def test_an_app_that_nothing_names_is_not_found(app: Flask, no_variable: None) -> None:
    assert find_address(app, None) is None


def test_the_command_line_tells_while_it_loads_the_app(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = FlaskGroup()
    assert command_line_address() is None
    with Context(command, obj=ScriptInfo("shop:create_app()")):
        assert command_line_address() == "shop:create_app()"
    with Context(command, obj=ScriptInfo()):
        assert command_line_address() is None
        (tmp_path / "app.py").touch()
        assert command_line_address() == "app.py"
        (tmp_path / "wsgi.py").touch()
        assert command_line_address() == "wsgi.py"


def test_a_command_with_a_factory_of_its_own_tells_nothing() -> None:
    with Context(FlaskGroup(), obj=ScriptInfo(create_app=lambda: Flask("shop"))):
        assert command_line_address() is None
