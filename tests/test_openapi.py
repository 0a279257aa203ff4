"""The description of the routes, held against what the routes really answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from apps import catalogue
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator, FormatChecker
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from flask_backburner import Backburner
from support.servers import Served, Servers

METHODS = {"get", "post", "put", "patch", "delete"}
KINDS = {
    "cancelled": "cancelled",
    "cancelling": "running",
    "expired": "failed",
    "file": "succeeded",
    "large": "succeeded",
    "lost": "failed",
    "nobodys": "succeeded",
    "null": "succeeded",
    "overdue": "running",
    "paused": "queued",
    "queued": "queued",
    "retrying": "queued",
    "running": "running",
    "scheduled": "queued",
    "silent": "queued",
    "timed_out": "failed",
    "told": "failed",
    "untold": "failed",
    "value": "succeeded",
}
ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"

FORMATS = FormatChecker()


@FORMATS.checks("date-time", raises=ValueError)
def is_time(value: Any) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).utcoffset() is not None


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlaskClient]:
    monkeypatch.setenv(catalogue.FOLDER, str(tmp_path))
    app = catalogue.create_app()
    yield app.test_client()
    catalogue.tasks.installation(app).close()


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/jobs/openapi.json").get_json()
    return found


def flaws(document: dict[str, Any], schema: str, value: Any) -> list[str]:
    """What of a value is not as the schema says."""
    whole = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    found = Draft202012Validator(whole, format_checker=FORMATS).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in found]


def operations(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in METHODS & set(item)
    }


def rules(app: Flask) -> set[tuple[str, str]]:
    return {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("backburner.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_every_route_is_described_and_every_description_is_a_route(
    client: FlaskClient, document: dict[str, Any]
) -> None:
    assert operations(document) == rules(client.application)


def test_every_schema_is_one(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from [part["$ref"]] if "$ref" in part else []
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from references(each)


def test_every_reference_leads_somewhere_and_every_part_is_referred_to(
    document: dict[str, Any],
) -> None:
    there = {
        f"#/components/{kind}/{name}"
        for kind, parts in document["components"].items()
        for name in parts
    }
    assert set(references(document)) == there


@pytest.mark.parametrize("kind", KINDS)
def test_the_document_is_as_described_in_every_state(
    client: FlaskClient, document: dict[str, Any], kind: str
) -> None:
    id = client.post("/jobs-of-every-kind").get_json()[kind]
    job = client.get(f"/jobs/{id}").get_json()
    assert job["state"] == KINDS[kind]
    assert flaws(document, "Job", job) == []
    described = document["components"]["schemas"]["Job"]["properties"]
    assert set(job) - set(described) == set()


@pytest.mark.parametrize(
    "change",
    [
        {"state": "paused"},
        {"done": True},
        {"error": {"code": "error", "message": "No"}},
        {"overdue": None},
        {"retries_left": -1},
        {"result": 1},
        {"poll_after": None},
        {"created_at": "yesterday"},
        {"id": "1"},
    ],
    ids=str,
)
def test_a_document_that_is_not_so_is_noticed(
    client: FlaskClient, document: dict[str, Any], change: dict[str, Any]
) -> None:
    id = client.post("/jobs-of-every-kind").get_json()["running"]
    job = client.get(f"/jobs/{id}").get_json()
    assert flaws(document, "Job", {**job, **change}) != []


def test_the_other_answers_are_as_described(client: FlaskClient, document: dict[str, Any]) -> None:
    ids = client.post("/jobs-of-every-kind").get_json()
    for schema, path in [
        ("List", "/jobs/?limit=3"),
        ("List", "/jobs/"),
        ("Log", f"/jobs/{ids['value']}/log"),
        ("Health", "/jobs/health"),
        ("Problem", "/jobs/" + "0" * 22),
        ("Problem", "/jobs/?limit=x"),
        ("Problem", f"/jobs/{ids['running']}/result"),
        ("Problem", f"/jobs/{ids['told']}/result"),
        ("Problem", f"/jobs/{ids['foreign']}/result"),
    ]:
        assert flaws(document, schema, client.get(path).get_json()) == [], path


def test_paths_are_those_of_the_app(tmp_path: Path) -> None:
    app = Flask("shop", instance_path=str(tmp_path))
    app.config["BACKBURNER_URL_PREFIX"] = "/a/work"
    app.config["BACKBURNER_WORKER"] = "external"
    tasks = Backburner(app)
    mounted = Client(DispatcherMiddleware(Flask("outer"), {"/shop": app}))
    found = mounted.get("/shop/a/work/openapi.json").get_json()
    assert "/a/work/{id}/cancel" in found["paths"]
    assert found["servers"] == [{"url": "/shop"}]
    tasks.close()


def test_it_is_not_sent_again_to_who_has_it(client: FlaskClient) -> None:
    tag = client.get("/jobs/openapi.json").headers["ETag"]
    assert client.get("/jobs/openapi.json", headers={"If-None-Match": tag}).status_code == 304


ALL_PASSED = re.compile(r"(\d+) generated, \1 passed")
AT_ONCE = {"FLASK_BACKBURNER_MAX_STREAMS": "0", "FLASK_BACKBURNER_MAX_WAIT": "0.1"}
CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503", "507"]
"""


def tried(serve: Servers, served: Served, ids: list[str], seconds: int) -> str:
    """Try for so long what the description allows and what it does not; what was found."""
    document = requests.get(f"{served.url}/jobs/openapi.json", timeout=60).json()
    schemas = document["components"]["schemas"]
    schemas["Id"] = {"anyOf": [{"enum": ids}, schemas["Id"]]}
    (serve.folder / "openapi.json").write_text(json.dumps(document))
    (serve.folder / "schemathesis.toml").write_text(CONFIG)
    trial = serve.run(
        serve.folder,
        *("-m", "schemathesis.cli", "--config-file", "schemathesis.toml", "run", "openapi.json"),
        *("--url", served.url, "--checks", "all", "--max-time", f"{seconds}"),
        *("--generation-database", "none", "--warnings", "off", "--no-color"),
    )
    trial.wait(120)
    return trial.output()


def test_whatever_is_asked_the_answers_are_as_described(serve: Servers, tmp_path: Path) -> None:
    served = serve.gunicorn(
        TESTS,
        "apps.catalogue:app",
        *("--threads", "8", "--limit-request-line", "0"),
        env={catalogue.FOLDER: str(tmp_path)},
    )
    ids = requests.post(f"{served.url}/jobs-of-every-kind", timeout=60).json()
    view = requests.post(f"{served.url}/view", timeout=60).json()["id"]
    found = tried(serve, served, [*ids.values(), view], seconds=15)
    assert ALL_PASSED.search(found), found
    assert re.search(r"Tested: +12", found), found


def test_the_answers_of_the_demo_are_as_described(serve: Servers, tmp_path: Path) -> None:
    served = serve.flask_run(
        ROOT, "demo.app:create_app()", env={"DEMO_INSTANCE": str(tmp_path), **AT_ONCE}
    )
    with requests.Session() as visitor:
        page = visitor.post(f"{served.url}/reports/sample", timeout=60).text
    ids = re.findall(r'src="/jobs/(\w{22})"', page)
    assert ids
    found = tried(serve, served, ids, seconds=6)
    assert ALL_PASSED.search(found), found
