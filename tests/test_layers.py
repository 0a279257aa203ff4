"""One way down: a file of the package imports only from the files above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "flask_backburner"
PACKAGE = "flask_backburner"

# From the ground up. A new file takes its place here.
LAYERS = [
    "errors",
    "clock",
    "ids",
    "record",
    "codec.shown",
    "codec.hint",
    "codec.flaw",
    "codec.likeness",
    "codec.obstacle",
    "codec.call",
    "codec.refusal",
    "codec.signature",
    "codec",
    "backoff",
    "options",
    "ownership",
    "submission",
    "files",
    "store",
    "store.new_job",
    "store.claim",
    "store.base",
    "settings",
    "store.transaction",
    "store.silence",
    "store.line",
    "store.claims",
    "store.additions",
    "store.estimate",
    "store.diagnosis",
    "store.retention",
    "store.memory",
    "store.locks",
    "store.gate",
    "store.connections",
    "store.durability",
    "store.liveness",
    "store.schema",
    "store.rows",
    "store.look",
    "store.moves",
    "store.reports",
    "store.settlements",
    "store.rescue",
    "store.location",
    "store.sqlite",
    "store.redis.scripts",
    "store.redis.server",
    "store.redis.parcel",
    "store.redis.space",
    "store.redis.fields",
    "store.redis.faults",
    "store.redis.listing",
    "store.redis.roles",
    "store.redis.presence",
    "store.redis.diagnosis",
    "store.redis.store",
    "store.redis",
    "engine",
    "engine.base",
    "document",
    "running",
    "checkpoint",
    "context",
    "signals",
    "live",
    "live.server",
    "live.budget",
    "live.memo",
    "live.watcher",
    "live.preference",
    "live.waits",
    "installation",
    "answer",
    "job",
    "task",
    "external",
    "runner",
    "trouble",
    "upkeep",
    "engine.local",
    "engine.local.address",
    "engine.local.letter",
    "engine.local.channel",
    "engine.local.kinship",
    "engine.local.herald",
    "engine.local.slot",
    "engine.local.guard",
    "engine.local.nursery",
    "engine.local.berth",
    "engine.local.wakeup",
    "engine.local.pool",
    "engine.local.threads",
    "engine.local.loop",
    "engine.local.quarantine",
    "engine.local.keeper",
    "engine.local.processes",
    "engine.local.crew",
    "engine.local.notices",
    "engine.local.watchdog",
    "engine.local.worker",
    "engine.local.shutdown",
    "engine.local.child",
    "engine.local.owner",
    "engine.local.engine",
    "web",
    "web.asset",
    "web.access",
    "web.problem",
    "web.argument",
    "web.origin",
    "web.session_change",
    "web.stored_request",
    "web.stored_response",
    "web.background",
    "web.page",
    "web.download",
    "web.result",
    "web.fragment",
    "web.listing",
    "web.health",
    "web.openapi",
    "web.teller",
    "web.stream",
    "web.events",
    "web.api",
    "gunicorn",
    "engine.celery",
    "engine.celery.names",
    "engine.celery.closing",
    "engine.celery.roster",
    "engine.celery.broker",
    "engine.celery.tokens",
    "engine.celery.post",
    "engine.celery.announcer",
    "engine.celery.hands",
    "engine.celery.carrier",
    "engine.celery.overseer",
    "engine.celery.checks",
    "engine.celery.step",
    "engine.celery.engine",
    "engine.choice",
    "controls",
    "cli",
    "extension",
    "testing",
    "celery_compat.exceptions",
    "celery_compat.states",
    "celery_compat.refused",
    "celery_compat.canvas",
    "celery_compat.schedules",
    "celery_compat.signals",
    "celery_compat.utils",
    "celery_compat.utils.log",
    "celery_compat.configuration",
    "celery_compat.told",
    "celery_compat.request",
    "celery_compat.binding",
    "celery_compat.look",
    "celery_compat.result",
    "celery_compat.task",
    "celery_compat.attempt",
    "celery_compat.definition",
    "celery_compat.call",
    "celery_compat.registry",
    "celery_compat.control",
    "celery_compat.eager",
    "celery_compat.app",
    "celery_compat.shared",
    "celery_compat",
    "__init__",
]

# Optional packages may be imported where they are used, in the one file named for them. Files of
# ours that need one from the start are themselves imported late.
OPTIONAL: dict[str, set[str]] = {
    "engine.choice": {"flask_backburner.engine.celery.engine"},
    "store.redis.server": {"redis"},
}

# JSON only: nothing that a stored or sent byte could turn into code.
FORBIDDEN_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


@dataclass(frozen=True)
class Import:
    """One import statement: by which file, of which module, in a function or not."""

    file: str
    line: int
    module: str
    inside: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def name_of(path: Path) -> str:
    """The file's name in ``LAYERS``."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


TREES = {name_of(path): ast.parse(path.read_text(), path) for path in SOURCE.rglob("*.py")}


def imports_of(name: str) -> Iterator[Import]:
    """Every import in the file, relative ones resolved."""
    inside = {
        node
        for function in ast.walk(TREES[name])
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for module in modules_of(name, node):
                yield Import(name, node.lineno, module, node in inside)


def modules_of(name: str, node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = base_of(name, node)
    for alias in node.names:
        inner = f"{base}.{alias.name}".removeprefix(f"{PACKAGE}.")
        yield f"{PACKAGE}.{inner}" if inner in TREES else base


def base_of(name: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    folder = name.split(".") if is_package(name) else name.split(".")[:-1]
    kept = [PACKAGE, *folder][: len(folder) + 2 - node.level]
    return ".".join([*kept, *filter(None, [node.module])])


def is_package(name: str) -> bool:
    return (SOURCE / name.replace(".", "/")).is_dir()


def own(module: str) -> str | None:
    """The layer that a module of ours is; None for what is not ours."""
    if module == PACKAGE:
        return "__init__"
    return module.removeprefix(f"{PACKAGE}.") if module.startswith(f"{PACKAGE}.") else None


ALL = [found for name in sorted(TREES) for found in imports_of(name)]
OURS = [(found, layer) for found in ALL if (layer := own(found.module))]


def test_every_file_has_its_layer() -> None:
    assert sorted(set(TREES) - set(LAYERS)) == []


def test_every_layer_is_a_file() -> None:
    assert sorted(set(LAYERS) - set(TREES)) == []


def test_files_import_only_from_the_files_above() -> None:
    place = {name: number for number, name in enumerate(LAYERS)}
    known = [(found, layer) for found, layer in OURS if {found.file, layer} <= set(LAYERS)]
    upward = [str(found) for found, layer in known if place[layer] >= place[found.file]]
    assert upward == []


def test_functions_import_nothing_but_optional_packages() -> None:
    lazy = [found for found in ALL if found.inside]
    allowed = {(file, module) for file, modules in OPTIONAL.items() for module in modules}
    wrong = [
        str(i) for i in lazy if not {(i.file, i.module), (i.file, i.module.split(".")[0])} & allowed
    ]
    assert wrong == []


def test_nothing_can_turn_data_into_code() -> None:
    modules = [str(i) for i in ALL if i.module.split(".")[0] in FORBIDDEN_MODULES]
    calls = [
        f"{name}:{node.lineno} calls {node.func.id}"
        for name, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in FORBIDDEN_CALLS
    ]
    assert modules + calls == []
