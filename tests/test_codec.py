"""Arguments and results as JSON: they arrive as they were given, or are refused in clear words."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import enum
import functools
import inspect
import io
import math
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NewType,
    Optional,
    ParamSpec,
    TypedDict,
    TypeVar,
)
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markupsafe import Markup
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.local import LocalProxy

from flask_backburner.codec import Limits, Signature
from flask_backburner.errors import (
    ArgumentError,
    ArgumentsTooLarge,
    BackburnerError,
    CallError,
    DefinitionError,
    ResultError,
)

if TYPE_CHECKING:
    from fractions import Fraction

LIMITS = Limits()
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
UserId = NewType("UserId", int)


class Level(enum.IntEnum):
    LOW = 1


class Colour(enum.Enum):
    RED = "red"


class Mixed(enum.Enum):
    ONE = 1
    TWO = "two"


class Word(enum.StrEnum):
    YES = "yes"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Spot(NamedTuple):
    x: int
    y: float = 0.0


class Options(TypedDict, total=False):
    day: dt.date
    deep: bool


@dataclass
class Row:
    id: int
    day: dt.date | None = None
    files: list[Path] = dataclasses.field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Key:
    name: str


class Tree(msgspec.Struct):
    name: str
    leaves: list[Tree] = []


class Positive(msgspec.Struct):
    value: int

    def __post_init__(self) -> None:
        if self.value < 0:
            raise KeyError("negative")


class User:
    """Looks like an SQLAlchemy row."""

    def __init__(self) -> None:
        self._sa_instance_state = object()


@dataclass
class MappedUser:
    id: int

    def __post_init__(self) -> None:
        self._sa_instance_state = object()


class Shy:
    def __repr__(self) -> str:
        raise RuntimeError("nobody looks at me")


class Prickly:
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise RuntimeError(f"do not ask for {name}")


class Zone(dt.tzinfo):
    def dst(self, when: dt.datetime | None) -> None: ...

    def tzname(self, when: dt.datetime | None) -> None: ...

    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        raise RuntimeError("no offset today")


def of(hint: Any) -> Signature:
    """The signature of ``def take(value: hint) -> hint``; no hints at all for ``None``."""

    def take(value):  # type: ignore[no-untyped-def]  # no hint is what is tested
        return value

    take.__annotations__ = {} if hint is None else {"value": hint, "return": hint}
    return Signature(take, "app:take")


def calling(function: Callable[..., Any]) -> Signature:
    return Signature(function, "app:take")


def dump(signature: Signature, *args: Any, **kwargs: Any) -> bytes:
    return signature.dump_arguments(args, kwargs, LIMITS)


def refusal(hint: Any, value: Any, limits: Limits = LIMITS) -> str:
    with pytest.raises(ArgumentError) as caught:
        of(hint).dump_arguments((value,), {}, limits)
    assert caught.value.task == "app:take"
    assert caught.value.parameter == "value"
    return str(caught.value)


def result_refusal(hint: Any, value: Any) -> str:
    with pytest.raises(ResultError) as caught:
        of(hint).dump_result(value, LIMITS)
    return str(caught.value)


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


CALLS: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any], bytes]] = [
    (lambda: None, (), {}, b"{}"),
    (lambda year: None, (2026,), {}, b'{"year":2026}'),
    (lambda year: None, (), {"year": 2026}, b'{"year":2026}'),
    (lambda a, b=2, c=3: None, (1,), {"c": 5}, b'{"a":1,"c":5}'),
    (lambda a=1: None, (), {}, b"{}"),
    (lambda *rest: None, (), {}, b"{}"),
    (lambda a, *rest: None, (1, 2, 3), {}, b'{"a":1,"rest":[2,3]}'),
    (lambda a, /, b, *, c: None, (1, 2), {"c": 3}, b'{"a":1,"b":2,"c":3}'),
    (lambda *, c=1, d: None, (), {"d": 3}, b'{"d":3}'),
    (lambda **more: None, (), {"x": 1, "y": [2]}, b'{"more":{"x":1,"y":[2]}}'),
    (lambda a, /, **more: None, (1,), {"a": 2}, b'{"a":1,"more":{"a":2}}'),
    (lambda args, kwargs: None, (1, 2), {}, b'{"args":1,"kwargs":2}'),
    (lambda self, cls, class_: None, (1, 2, 3), {}, b'{"self":1,"cls":2,"class_":3}'),
    (lambda p0, p1, p2: None, (1, 2, 3), {}, b'{"p0":1,"p1":2,"p2":3}'),
    (lambda __init__, __struct_fields__: None, (1, 2), {}, b""),
    (lambda größe: None, (1,), {}, '{"größe":1}'.encode()),
    (lambda function, task, limits: None, (1, 2, 3), {}, b'{"function":1,"task":2,"limits":3}'),
]


@pytest.mark.parametrize(("function", "args", "kwargs", "stored"), CALLS)
def test_a_call_is_stored_by_parameter_and_arrives_as_the_same_call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], stored: bytes
) -> None:
    signature = calling(function)
    data = dump(signature, *args, **kwargs)
    assert data == stored or not stored
    seen = inspect_call(function, *signature.load_arguments(data))
    assert seen == inspect_call(function, args, kwargs)


def inspect_call(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[str, Any]:
    return dict(inspect.signature(function).bind(*args, **kwargs).arguments)


def test_arguments_load_by_position_up_to_the_first_default_left_out() -> None:
    def take(a: int, b: int = 2, c: int = 3) -> None: ...

    assert calling(take).load_arguments(b'{"a":1,"c":5}') == ((1,), {"c": 5})
    assert calling(take).load_arguments(b'{"a":1,"b":4}') == ((1, 4), {})


ARRIVING: list[tuple[Any, Any, bytes]] = [
    (None, None, b"null"),
    (None, True, b"true"),
    (None, 0, b"0"),
    (None, -(2**63), b"-9223372036854775808"),
    (None, 2**64 - 1, b"18446744073709551615"),
    (None, -0.0, b"-0.0"),
    (None, 0.1, b"0.1"),
    (None, "schön 🚲", '"schön 🚲"'.encode()),
    (None, {"a": [1, {"b": None}], "": []}, b'{"a":[1,{"b":null}],"":[]}'),
    (Any, [1, "x"], b'[1,"x"]'),
    (dict[str, object], {"a": 1}, b'{"a":1}'),
    (int, 2026, b"2026"),
    (UserId, 7, b"7"),
    (float, 1.5, b"1.5"),
    (bytes, b"\x00\xff", b'"AP8="'),
    (dt.date, dt.date(2026, 2, 28), b'"2026-02-28"'),
    (dt.datetime, dt.datetime(2026, 1, 2, 3, 4, 5, 6), b'"2026-01-02T03:04:05.000006"'),
    (dt.datetime, dt.datetime(2026, 1, 2, tzinfo=dt.UTC), b'"2026-01-02T00:00:00Z"'),
    (dt.time, dt.time(1, 2), b'"01:02:00"'),
    (dt.timedelta, dt.timedelta(days=-1, microseconds=1), b'"-PT86399.999999S"'),
    (uuid.UUID, uuid.UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
    (Decimal, Decimal("1.50"), b'"1.50"'),
    (Path, Path("a/b"), b'"a/b"'),
    (PurePosixPath, PurePosixPath("/a"), b'"/a"'),
    (list[Path], [Path("a")], b'["a"]'),
    (dict[str, Path | None], {"a": Path("b"), "c": None}, b'{"a":"b","c":null}'),
    (dict[Path, int], {Path("a"): 1}, b'{"a":1}'),
    (Optional[Path], None, b"null"),  # noqa: UP045  the old spelling is what is tested
    (Level, Level.LOW, b"1"),
    (Colour, Colour.RED, b'"red"'),
    (Word, Word.YES, b'"yes"'),
    (Rights, Rights.READ | Rights.WRITE, b"3"),
    (Literal["a", "b"], "b", b'"b"'),
    (Annotated[int, msgspec.Meta(ge=0)], 0, b"0"),
    (tuple, (1, "x"), b'[1,"x"]'),
    (tuple[int, dt.date], (1, dt.date(2026, 1, 1)), b'[1,"2026-01-01"]'),
    (set[int], {1}, b"[1]"),
    (frozenset[Key], frozenset({Key("a")}), b'[{"name":"a"}]'),
    (dict[int, str], {1: "a"}, b'{"1":"a"}'),
    (dict[dt.date, int], {dt.date(2026, 1, 1): 1}, b'{"2026-01-01":1}'),
    (int | str, "1", b'"1"'),
    (int | float, 1, b"1"),
    (list[int] | None, None, b"null"),
    (Spot, Spot(1, 2.0), b"[1,2.0]"),
    (Options, {"deep": True, "day": dt.date(2026, 1, 1)}, b'{"deep":true,"day":"2026-01-01"}'),
    (Row, Row(1, None, [Path("a")]), b'{"id":1,"day":null,"files":["a"]}'),
    (list[Row], [Row(1, dt.date(2026, 1, 1))], b'[{"id":1,"day":"2026-01-01","files":[]}]'),
    (Tree, Tree("a", [Tree("b")]), b'{"name":"a","leaves":[{"name":"b","leaves":[]}]}'),
    (msgspec.Raw, msgspec.Raw(b'{"a": 1}'), b'{"a": 1}'),
]


@pytest.mark.parametrize(("hint", "value", "written"), ARRIVING)
def test_a_value_arrives_as_it_was_given(hint: Any, value: Any, written: bytes) -> None:
    signature = of(hint)
    data = dump(signature, value)
    assert data == b'{"value":' + written + b"}"
    ((arrived,), keywords) = signature.load_arguments(data)
    assert (type(arrived), keywords) == (type(value), {})
    result = signature.dump_result(value, LIMITS)
    assert result == written
    if hint is not msgspec.Raw:
        assert arrived == value == signature.load_result(result)


def test_an_int_is_welcome_where_a_float_is_asked_for_if_it_stays_the_same_number() -> None:
    ((arrived,), _) = of(float).load_arguments(dump(of(float), 2))
    assert (arrived, type(arrived)) == (2.0, float)
    assert dump(of(set[float]), {2}) == b'{"value":[2]}'
    assert refusal(float, 2**53 + 1) == (
        "Task 'app:take' cannot take value=9007199254740993: "
        "it would arrive as the float 9007199254740992.0. Pass a float."
    )


def test_a_time_keeps_its_offset_but_not_the_name_of_its_zone() -> None:
    summer = dt.datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Paris"))
    ((arrived,), _) = of(dt.datetime).load_arguments(dump(of(dt.datetime), summer))
    assert (arrived, arrived.utcoffset()) == (summer, dt.timedelta(hours=2))


def test_the_second_pass_through_an_hour_keeps_its_offset() -> None:
    again = dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Paris"))
    assert dump(of(dt.datetime), again) == b'{"value":"2026-10-25T02:30:00+01:00"}'


UNHINTED = ", for no type hint says what it is. Annotate parameter 'value' "
CANNOT = "Task 'app:take' cannot take value"

REFUSED: list[tuple[Any, Any, str]] = [
    (
        None,
        dt.date(2026, 1, 1),
        f"{CANNOT}=datetime.date(2026, 1, 1): it would arrive as the str '2026-01-01'"
        f"{UNHINTED}with `value: date`, or pass a str.",
    ),
    (
        None,
        [{"when": dt.date(2026, 1, 1)}],
        f"{CANNOT}[0]['when']=datetime.date(2026, 1, 1): it would arrive as the str '2026-01-01'"
        f"{UNHINTED}so that this is a `date`, or pass a str.",
    ),
    (
        None,
        (1, 2),
        f"{CANNOT}=(1, 2): it would arrive as the list [1, 2]"
        f"{UNHINTED}with `value: tuple`, or pass a list.",
    ),
    (
        None,
        {1: "a"},
        f"{CANNOT}={{1: 'a'}}: its key 1 would arrive as the str '1'"
        f"{UNHINTED}so that this is a `dict[int, …]`, or pass it with str keys.",
    ),
    (
        None,
        {3},
        f"{CANNOT}={{3}}: it would arrive as the list [3]"
        f"{UNHINTED}with `value: set`, or pass a list.",
    ),
    (
        None,
        Path("a"),
        f"{CANNOT}=PosixPath('a'): it would arrive as the str 'a'"
        f"{UNHINTED}with `value: Path`, or pass a str.",
    ),
    (
        None,
        Row(1),
        f"{CANNOT}=Row(id=1, day=None, files=[]): it would arrive as the dict "
        f"{{'id': 1, 'day': None, 'files': []}}{UNHINTED}with `value: Row`, or pass a dict.",
    ),
    (
        int,
        Level.LOW,
        f"{CANNOT}=Level.LOW: it would arrive as the int 1, for the hint is `int`. "
        "Annotate parameter 'value' with `value: Level`, or pass an int.",
    ),
    (int, "x", f"{CANNOT}='x': expected `int`, got `str`. Pass a value of the type `int`."),
    (int, True, f"{CANNOT}=True: expected `int`, got `bool`. Pass a value of the type `int`."),
    (int, 1.0, f"{CANNOT}=1.0: expected `int`, got `float`. Pass a value of the type `int`."),
    (str, None, f"{CANNOT}=None: expected `str`, got `NoneType`. Pass a value of the type `str`."),
    (dt.date, "2026-01-01", f"{CANNOT}='2026-01-01': it would arrive as "
     "datetime.date(2026, 1, 1). Pass a date."),
    (dt.date, dt.datetime(2026, 1, 1), f"{CANNOT}=datetime.datetime(2026, 1, 1, 0, 0): "
     "expected `date`, got `datetime`. Pass a value of the type `date`."),
    (Path, "a", f"{CANNOT}='a': it would arrive as PosixPath('a'). Pass a Path."),
    (Path, 1, f"{CANNOT}=1: expected `Path`. Pass a value of the type `Path`."),
    (list[int], [1, "x"], f"{CANNOT}=[1, 'x']: expected `int` at value[1]. "
     "Pass a value of the type `list[int]`."),
    (dict[int, int], {"a": 1}, f"{CANNOT}={{'a': 1}}: expected `int`, got `str` as a key of value. "
     "Pass a value of the type `dict[int, int]`."),
    (Annotated[int, msgspec.Meta(ge=0)], -1, f"{CANNOT}=-1: expected `int` >= 0. "
     "Pass a value of the type `int (ge=0)`."),
    (Literal["a", "b"], "c", f"{CANNOT}='c': invalid enum value 'c'. "
     "Pass a value of the type `Literal['a', 'b']`."),
    (Row, Row("x"), f"{CANNOT}=Row(id='x', day=None, files=[]): "  # type: ignore[arg-type]  # what is refused here
     "expected `int` at value.id. Pass a value of the type `Row`."),
    (Row, {"id": 1}, f"{CANNOT}={{'id': 1}}: it would arrive as Row(id=1, files=[]). Pass a Row."),
    (Options, {"deep": True, "x": 1}, f"{CANNOT}={{'deep': True, 'x': 1}}: it would arrive "
     "without the key 'x'. Pass a dict with the keys of its hint."),
    (dict[int | str, int], {1: 1, "1": 2}, f"{CANNOT}={{1: 1, '1': 2}}: its key 1 would arrive "
     "as the str '1', for the hint is `dict[int | str, int]`. Annotate parameter 'value' "
     "so that this is a `dict[int, …]`, or pass it with str keys."),
    (None, math.nan, f"{CANNOT}=nan: JSON has no NaN. Pass None, or a finite number."),
    (float, math.inf, f"{CANNOT}=inf: JSON has no infinity. Pass None, or a finite number."),
    (float, -math.inf, f"{CANNOT}=-inf: JSON has no infinity. Pass None, or a finite number."),
    (None, {"a": [math.nan]}, f"{CANNOT}['a'][0]=nan: JSON has no NaN. "
     "Pass None, or a finite number."),
    (int, 2**64, f"{CANNOT}=18446744073709551616: it is an int beyond 64 bits. Pass it as a str."),
    (int, 2**300, f"{CANNOT}=<int of 301 bits>: it is an int beyond 64 bits. "
     "Pass it as a str."),
    (str, "a\ud800", f"{CANNOT}='a\\ud800': it holds half a character (a lone surrogate), which "
     "UTF-8 cannot write. Pass its bytes, or text cleaned with "
     "`.encode('utf-8', 'replace').decode()`."),
    (None, {"\ud800": 1}, f"{CANNOT}={{'\\ud800': 1}}: it holds half a character (a lone "
     "surrogate), which UTF-8 cannot write (its key '\\ud800'). Pass it with other keys."),
    (Path, Path("\udcff"), f"{CANNOT}=PosixPath('\\udcff'): it holds half a character (a lone "
     "surrogate), which UTF-8 cannot write. Pass its bytes, or text cleaned with "
     "`.encode('utf-8', 'replace').decode()`."),
    (str, Markup("<b>"), f"{CANNOT}=Markup('<b>'): a Markup would arrive as a plain str. "
     "Pass `str(…)` of it."),
    (None, {Markup("a"): 1}, f"{CANNOT}={{Markup('a'): 1}}: its key Markup('a') would arrive "
     "as a plain str. Pass it with plain str keys."),
    (None, MultiDict({"a": "b"}), f"{CANNOT}=<MultiDict object>: a MultiDict would arrive as a "
     "plain dict. Pass its `.to_dict()`."),
    (dict, OrderedDict(a=1), f"{CANNOT}=<OrderedDict object>: a OrderedDict would arrive as a "
     "plain dict. Pass `dict(…)` of it."),
    (None, {None: 1}, f"{CANNOT}={{None: 1}}: its key None cannot be a key in JSON. "
     "Pass it with str keys."),
    (None, {(1, 2): 1}, f"{CANNOT}={{(1, 2): 1}}: its key (1, 2) cannot be a key in JSON. "
     "Pass it with str keys."),
    (None, (i for i in "ab"), f"{CANNOT}=<generator object>: a generator can be read only once. "
     "Pass a list of its items."),
    (None, map(str, "ab"), f"{CANNOT}=<map object>: an iterator can be read only once. "
     "Pass a list of its items."),
    (None, range(3), f"{CANNOT}=<range object>: a range cannot travel as JSON. "
     "Pass `list(…)` of it."),
    (None, io.StringIO(), f"{CANNOT}=<StringIO object>: an open file belongs to this process. "
     "Pass the path of a saved file."),
    (None, FileStorage(), f"{CANNOT}=<FileStorage object>: an open file belongs to this process. "
     "Pass the path of a saved file."),
    (None, print, f"{CANNOT}=<builtin_function_or_method object>: a function cannot travel as "
     "JSON. Pass its name as a str and look it up in the task."),
    (None, nested, f"{CANNOT}=<function nested>: a function cannot travel as JSON. "
     "Pass its name as a str and look it up in the task."),
    (None, Row, f"{CANNOT}=<class Row>: a class cannot travel as JSON. "
     "Pass its name as a str and look it up in the task."),
    (None, LocalProxy(lambda: "text"), f"{CANNOT}=<LocalProxy object>: it is a proxy that means "
     "something only here and now. Pass the value or the id that you need from it, or "
     "`._get_current_object()` of it if that is a plain value."),
    (None, [User()], f"{CANNOT}[0]=<User object>: it is a database row bound to its session. "
     "Pass its primary key and load it in the task."),
    (MappedUser, MappedUser(1), f"{CANNOT}=MappedUser(id=1): it is a database row bound to its "
     "session. Pass its primary key and load it in the task."),
    (None, Shy(), f"{CANNOT}=<Shy object>: a Shy cannot travel as JSON. "
     "Pass an id, plain values or a dataclass."),
    (None, Prickly(), f"{CANNOT}=<Prickly object>: it cannot be written as JSON "
     "(TypeError: a Prickly has no JSON form here). Pass plain values."),
    (None, [msgspec.UNSET], f"{CANNOT}=[<UnsetType object>]: it cannot be written as JSON "
     "(TypeError: a UnsetType has no JSON form here). Pass plain values."),
    (dt.datetime, dt.datetime(2026, 1, 1, tzinfo=Zone()), "no offset today"),
    (dt.datetime, dt.datetime(2026, 1, 1, fold=1), "Pass it in UTC."),
    (dt.time, dt.time(1, tzinfo=ZoneInfo("Europe/Paris")), "Pass it in UTC."),
    (msgspec.Raw, msgspec.Raw(b'1,"other":2'), CANNOT),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "value", "words"), REFUSED)
def test_a_value_that_would_not_arrive_is_refused_with_advice(
    hint: Any, value: Any, words: str
) -> None:
    message = refusal(hint, value)
    assert message == words or (len(words) < 40 and words in message)


def test_an_unbound_proxy_is_refused_like_a_bound_one() -> None:
    def nothing() -> str:
        raise RuntimeError("outside of everything")

    assert "it is a proxy" in refusal(str, LocalProxy(nothing))


def test_what_is_expected_stays_on_the_error_for_the_web() -> None:
    with pytest.raises(ArgumentError) as caught:
        dump(of(int), "x")
    assert caught.value.expected == "int"
    with pytest.raises(ArgumentError) as caught:
        dump(of(None), math.nan)
    assert caught.value.expected == (
        "plain JSON: None, bool, int, float, str, list, or dict with str keys"
    )


def test_the_argument_to_blame_is_found_among_others() -> None:
    def take(a: int, *rest: int, day: dt.date, **more: float) -> None: ...

    today = dt.date(2026, 1, 1)
    with pytest.raises(ArgumentError, match=r"cannot take rest=\(2, 'x'\): expected `int` at rest"):
        dump(calling(take), 1, 2, "x", day=today)
    with pytest.raises(ArgumentError, match=r"cannot take day='soon': invalid RFC3339"):
        dump(calling(take), 1, day="soon")
    with pytest.raises(ArgumentError, match=r"cannot take more\['x'\]=nan: JSON has no NaN"):
        dump(calling(take), 1, day=today, x=math.nan)


def test_a_long_value_is_shown_in_short() -> None:
    message = refusal(int, ["x" * 1000] * 100)
    assert len(message) < 250
    assert f"value=['{'x' * 70}" in message


MISCALLED: list[tuple[tuple[Any, ...], dict[str, Any], str]] = [
    ((), {}, "the argument 'year' is missing"),
    ((2026, 1, 2), {}, "the positional argument 2 is one too many"),
    ((2026,), {"moth": 1}, "the argument 'moth' is unknown"),
    ((2026,), {"year": 1}, "the argument 'year' is passed twice"),
    ((), {"moth": 1}, "the argument 'year' is missing; the argument 'moth' is unknown"),
    ((2026,), {3: 1}, "the argument 3 is unknown"),  # type: ignore[dict-item]  # what is refused here
]


@pytest.mark.parametrize(("args", "kwargs", "found"), MISCALLED)
def test_a_call_that_does_not_fit_says_what_is_wrong_and_what_fits(
    args: tuple[Any, ...], kwargs: dict[str, Any], found: str
) -> None:
    def export(year: int, month: int | None = None) -> dict[str, int]:
        return {}

    with pytest.raises(CallError) as caught:
        Signature(export, "app:export").dump_arguments(args, kwargs, LIMITS)
    assert caught.value.task == "app:export"
    assert str(caught.value) == (
        f"Task 'app:export' cannot be called like this: {found}. "
        "Pass what its function takes: export(year: int, month: int | None = None)."
    )


def test_a_positional_only_argument_cannot_be_named() -> None:
    def take(a: int, /) -> None: ...

    with pytest.raises(CallError, match="'a' is missing; the argument 'a' must be passed by pos"):
        dump(calling(take), a=1)


def unresolved(value: Fraction) -> None: ...


def gives_unresolved() -> Fraction:  # type: ignore[empty-body]  # only its hint counts
    ...


def generic(value: T) -> T:
    return value


UNDEFINED: list[tuple[Callable[..., Any], str]] = [
    (unresolved, "the hint of parameter 'value', `Fraction`, cannot be resolved "
     "(NameError: name 'Fraction' is not defined). Define its names at the top of the module "
     "and import them at run time, not only under TYPE_CHECKING."),
    (gives_unresolved, "the hint of the return value, `Fraction`, cannot be resolved"),
    (generic, "the hint of parameter 'value' is `~T`, and `T` stands for no type of its own. "
     "Allowed are None, bool, int, float, str, bytes, date"),
]  # fmt: skip


@pytest.mark.parametrize(("function", "words"), UNDEFINED)
def test_a_hint_that_means_nothing_at_run_time_is_named(
    function: Callable[..., Any], words: str
) -> None:
    with pytest.raises(DefinitionError) as caught:
        calling(function).resolve()
    assert str(caught.value).startswith(f"Task 'app:take' cannot be defined: {words}")


UNSUPPORTED: list[tuple[Any, str]] = [
    (Path | str, "JSON cannot tell the members of the union apart: use one of them alone"),
    (dt.date | str, "JSON cannot tell the members of the union apart: use one of them alone"),
    (list[dt.date | dt.datetime], "JSON cannot tell the members of the union apart"),
    (Callable[[int], str], "`Callable` cannot be made from JSON"),
    (Callable[P, int], "`P` stands for no type of its own"),  # pyright: ignore[reportGeneralTypeIssues]  # what is refused here
    (Iterator[int], "`Iterator` cannot be made from JSON"),
    (list[T], "`T` stands for no type of its own"),  # type: ignore[valid-type]  # what is refused here
    (dict[str, list[complex]], "`complex` cannot be made from JSON"),
    (dict[tuple[int, int], str], "only text, numbers, dates and enums can be keys in JSON"),
    (Mixed, "it is not supported (Enums must contain either all str or all int values"),
    (User, "`User` cannot be made from JSON"),
    (OrderedDict, "`OrderedDict` cannot be made from JSON"),
]


@pytest.mark.parametrize(("hint", "words"), UNSUPPORTED)
def test_a_hint_that_json_cannot_carry_is_a_definition_error(hint: Any, words: str) -> None:
    with pytest.raises(DefinitionError, match="hint of parameter 'value' is") as caught:
        dump(of(hint), 1)
    assert words in str(caught.value)

    def give() -> None: ...

    give.__annotations__["return"] = hint
    with pytest.raises(DefinitionError, match="hint of the return value is") as caught:
        calling(give).resolve()
    assert words in str(caught.value)


def test_a_database_model_as_a_hint_gets_advice_of_its_own() -> None:
    class Model:
        _sa_class_manager = object()

    with pytest.raises(DefinitionError, match="`Model` is a database row: take its primary key"):
        of(Model).resolve()


def test_hints_are_resolved_late_and_once() -> None:
    def take(value: Later) -> None: ...  # type: ignore[name-defined] # noqa: F821  # made below

    signature = calling(take)
    with pytest.raises(DefinitionError, match="'Later' is not defined"):
        signature.resolve()
    globals()["Later"] = int
    try:
        assert dump(signature, 1) == b'{"value":1}'
    finally:
        del globals()["Later"]
    assert dump(signature, 2) == b'{"value":2}'


def test_many_threads_may_resolve_at_once() -> None:
    signature = of(list[Row])
    start = threading.Barrier(8)
    written: list[bytes] = []

    def work() -> None:
        start.wait()
        written.append(dump(signature, [Row(1)]))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written == [b'{"value":[{"id":1,"day":null,"files":[]}]}'] * 8


def loudly(function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    return wrapper


def test_a_wrapped_function_has_the_signature_of_the_function_within() -> None:
    @loudly
    def take(day: dt.date) -> dt.date:
        return day

    assert str(calling(take)) == "take(day: dt.date)"
    assert dump(calling(take), dt.date(2026, 1, 1)) == b'{"day":"2026-01-01"}'


def test_coroutines_partials_and_callable_objects_have_signatures_too() -> None:
    async def later(day: dt.date) -> dt.date:
        await asyncio.sleep(0)
        return day

    class Adder:
        def __call__(self, day: dt.date) -> None: ...

    today = dt.date(2026, 1, 1)
    assert calling(later).dump_result(today, LIMITS) == b'"2026-01-01"'
    assert dump(calling(functools.partial(later)), today) == b'{"day":"2026-01-01"}'
    assert dump(calling(Adder()), today) == b'{"day":"2026-01-01"}'


def test_what_has_no_signature_is_no_task() -> None:
    with pytest.raises(DefinitionError) as caught:
        calling(3)  # type: ignore[arg-type]  # what is refused here
    assert str(caught.value) == (
        "Task 'app:take' cannot be defined: 3 has no signature "
        "(TypeError: 3 is not a callable object). Write a function around it."
    )


OUTDATED: list[tuple[bytes, str, str]] = [
    (b"{}", "year", "object missing required field `year`"),
    (b'{"year":1,"month":2}', "month", "object contains unknown field `month`"),
    (b'{"year":"x"}', "year", "expected `int`, got `str` at `year`"),
    (b'{"year":1,"rows":[1,"x"]}', "rows", "expected `int`, got `str` at `rows[1]`"),
    (b"[", "", "expected `object`, got `array`"),
    (b"\xff{", "", "JSON is malformed: invalid character (byte 0)"),
    (b'{"year":1,"day":{"value":-1}}', "", "KeyError: negative"),
]


@pytest.mark.parametrize(("stored", "parameter", "fault"), OUTDATED)
def test_stored_arguments_that_no_longer_fit_say_so(
    stored: bytes, parameter: str, fault: str
) -> None:
    def export(year: int, rows: list[int] = [], day: Positive | None = None) -> None: ...  # noqa: B006  # a default stays the function's

    with pytest.raises(ArgumentError) as caught:
        Signature(export, "app:export").load_arguments(stored)
    assert caught.value.parameter == parameter
    assert (
        str(caught.value).lower()
        == (
            "Task".replace("Task", "The stored arguments of task") + " 'app:export' no longer fit "
            "export(year: int, rows: list[int] = [], day: Positive | None = None): "
            f"{fault}. The function has changed since the job was started: start the job again, "
            "or let the function take the old arguments too."
        ).lower()
    )


def test_stored_arguments_fit_a_function_that_has_only_grown() -> None:
    def grown(a: int, b: int = 2, *rest: int) -> None: ...

    def placed(a: int = 1, b: int = 2, /, c: int = 3) -> None: ...

    assert calling(grown).load_arguments(b'{"a":1,"rest":[5]}') == ((1, 2, 5), {})
    assert calling(placed).load_arguments(b'{"b":5}') == ((1, 5), {})


def test_arguments_beyond_the_limit_are_refused_by_size() -> None:
    def take(small: str, large: str) -> None: ...

    signature = calling(take)
    limits = Limits(arguments_bytes=50)
    assert len(signature.dump_arguments(("a", "b" * 26), {}, limits)) == 50
    with pytest.raises(ArgumentsTooLarge) as caught:
        signature.dump_arguments(("a", "b" * 27), {}, limits)
    assert caught.value.parameter == "large"
    assert str(caught.value) == (
        "The arguments of task 'app:take' take 51 bytes as JSON, 'large' the most of it, and at "
        "most 50 bytes are allowed. Save the data first and pass its path or its id."
    )
    with pytest.raises(ArgumentsTooLarge, match="take more than 50 bytes as JSON, 'small' the mo"):
        signature.dump_arguments(("a" * 60, "b"), {}, limits)


def test_a_result_beyond_the_limit_is_refused_by_size() -> None:
    with pytest.raises(ResultError) as caught:
        of(str).dump_result("ä" * 30, Limits(result_bytes=50))
    assert str(caught.value) == (
        "The result of task 'app:take' takes 62 bytes as JSON and at most 50 bytes are allowed. "
        "Write it to a file with current_job.attach() and return what is short."
    )


def test_nesting_is_allowed_up_to_the_limit() -> None:
    assert dump(of(None), nested(64)) == b'{"value":' + b"[" * 64 + b"]" * 64 + b"}"
    assert refusal(None, nested(65)) == (
        f"{CANNOT}=[[[[…]]]]: it is nested deeper than 64 levels. Pass a flatter value."
    )
    deep = Tree("a", [Tree("b", [Tree("c")])])
    with pytest.raises(ResultError, match="it is nested deeper than 4 levels"):
        of(Tree).dump_result(deep, Limits(nesting=4))

    def gather(*rest: Any, **more: Any) -> None: ...

    assert dump(calling(gather), nested(64), key=nested(64))
    with pytest.raises(ArgumentError, match="deeper than 64"):
        dump(calling(gather), key=nested(65))


def test_values_without_end_are_refused_quickly() -> None:
    cycle: list[Any] = [1]
    cycle.append({"again": cycle})
    wide: list[Any] = []
    wide.extend([wide] * 100_000)
    doubling: list[Any] = []
    for _ in range(60):
        doubling = [doubling, doubling]
    tree = Tree("a")
    tree.leaves = [tree]
    assert refusal(None, cycle) == (
        f"{CANNOT}=[1, {{'again': [1, {{…}}]}}]: it contains itself. Pass it without the cycle."
    )
    assert "it contains itself" in refusal(None, wide)
    assert "it contains itself" in refusal(Tree, tree)
    assert "nested deeper" in refusal(None, nested(100_000))
    assert "take more than 262144 bytes" in refusal(None, doubling)
    assert "take more than 262144 bytes" in refusal(None, "x" * 10_000_000)
    assert "nested too deep" in refusal(None, nested(100_000), Limits(nesting=10**9))


RESULTS: list[tuple[Any, Any, str]] = [
    (None, dt.date(2026, 1, 1), "cannot return datetime.date(2026, 1, 1): it would arrive as the "
     "str '2026-01-01', for no type hint says what it is. Annotate the return value with "
     "`-> date`, or return a str."),
    (list, [(1,)], "cannot return (1,) as result[0]: it would arrive as the list [1], for the "
     "hint is `list`. Annotate the return value so that this is a `tuple`, or return a list."),
    (int, "x", "cannot return 'x': expected `int`, got `str`. Return a value of the type `int`."),
    (dict, None, "cannot return None: expected `dict`, got `NoneType`. "
     "Return a value of the type `dict`."),
    (None, User(), "cannot return <User object>: it is a database row bound to its session. "
     "Return its primary key and load it in the task."),
]  # fmt: skip


@pytest.mark.parametrize(("hint", "value", "words"), RESULTS)
def test_a_result_that_could_not_be_read_back_is_refused(hint: Any, value: Any, words: str) -> None:
    message = result_refusal(hint, value)
    assert message.replace("object`", "dict`") == f"Task 'app:take' {words}"


def test_a_stored_result_that_no_longer_fits_says_so() -> None:
    with pytest.raises(ResultError) as caught:
        of(int).load_result(b'"x"')
    assert str(caught.value) == (
        "The stored result of task 'app:take' no longer fits its return hint, `int`: expected "
        "`int`, got `str`. The function has changed since the job ran: run it again, or let the "
        "hint take the old result too."
    )


def test_none_is_a_result_wherever_the_hint_allows_it() -> None:
    for hint in (None, type(None), int | None, Any, object):
        assert of(hint).dump_result(None, LIMITS) == b"null"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
nasty = st.recursive(
    st.none()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.decimals()
    | st.complex_numbers()
    | st.sampled_from([*Level, *Colour, *Mixed, Path("a"), User(), Markup("a"), print, Row, P])
    | st.builds(Shy)
    | st.builds(Prickly)
    | st.builds(Row, st.integers() | st.text())
    | st.builds(Spot, st.integers(), st.floats()),
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.dates() | st.none(), inner)
        | st.builds(Tree, st.text(), st.lists(inner))
        | st.builds(Row, st.integers(), inner)
        | st.frozensets(st.integers() | st.text() | st.tuples(st.integers()))
    ),
    max_leaves=15,
)
HINTS = [
    None, int, float, str, bytes, dt.date, dt.datetime, dt.time, dt.timedelta, uuid.UUID, Decimal,
    Path, Level, Colour, list, tuple, dict, Row, Tree, Spot, Options, list[dt.date],
    dict[int, Any], dict[dt.date, Any], dict[str | int, object], frozenset[int], tuple[float, ...],
    int | None | list[float], set[tuple[int]], msgspec.Raw,
]  # fmt: skip
SIGNATURES = [of(hint) for hint in HINTS]
PLAIN = of(None)


def loosely(text: str) -> bytes:
    return text.encode(errors="replace")


def exactly(value: Any) -> str:
    """A value in full, so that 1, 1.0 and True differ; offsets stand for zones."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{exactly(k)}:{exactly(v)}" for k, v in value.items()) + "}"
    if isinstance(value, set | frozenset):
        return f"{type(value)}" + ",".join(sorted(map(exactly, value)))
    if isinstance(value, list | tuple):
        return f"{type(value)}({','.join(map(exactly, value))})"
    if isinstance(value, Tree | Row):
        names = type(value).__match_args__
        return f"{type(value)}" + ",".join(exactly(getattr(value, name)) for name in names)
    if isinstance(value, dt.datetime | dt.time):
        return f"{type(value)} {value.isoformat()}"
    return f"{type(value)} {value!r}"


def welcome_as_float(value: Any, arrived: Any) -> bool:
    """Whether ints arrived as the floats that they equal: ``{1}`` as ``{1.0}``."""
    return "float" in exactly(arrived) and "int" in exactly(value) and bool(value == arrived)


times = st.datetimes(timezones=st.none() | st.timezones())
FITTING = {
    dt.datetime: times,
    dt.time: st.times(timezones=st.none() | st.timezones()),
    dt.timedelta: st.timedeltas(),
    Decimal: st.decimals(),
    float: st.floats() | st.integers(),
    set[float]: st.sets(st.floats() | st.integers()),
    list[dt.datetime | None]: st.lists(times | st.none()),
    dict[dt.date, Decimal]: st.dictionaries(st.dates(), st.decimals()),
    dict[float, int]: st.dictionaries(st.floats() | st.integers(), st.integers()),
    dict[int, bytes]: st.dictionaries(st.integers(), st.binary()),
    dict[dt.datetime, int]: st.dictionaries(times, st.integers()),
    Path: st.text(st.characters(codec=None, exclude_characters="\0")).map(Path),
    Row: st.builds(Row, st.integers(), st.dates(), st.lists(st.text().map(Path))),
    tuple[Spot, ...]: st.lists(st.builds(Spot, st.integers(), st.floats())).map(tuple),
    frozenset[Key]: st.frozensets(st.builds(Key, st.text())),
    int | str | list[bool]: st.integers() | st.text() | st.lists(st.booleans()),
    Any: plain,
}


def tried(action: Callable[..., Any], *args: Any) -> tuple[Any, str]:
    """What came of it, and why not; any error but our own goes through."""
    try:
        return action(*args), ""
    except BackburnerError as refused:
        return None, str(refused)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SIGNATURES), nasty)
def test_whatever_is_passed_arrives_exactly_or_is_refused(signature: Signature, value: Any) -> None:
    data, refused = tried(dump, signature, value)
    if refused:
        assert refused.startswith("Task 'app:take' cannot take value")
        return
    ((arrived,), _) = signature.load_arguments(data)
    assert welcome_as_float(value, arrived) or exactly(arrived) == exactly(value)


@pytest.mark.parametrize("hint", FITTING)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_fits_its_hint_arrives_exactly_or_is_refused(hint: Any, data: st.DataObject) -> None:
    value = data.draw(FITTING[hint])
    signature = of(hint)
    written, refused = tried(dump, signature, value)
    if refused:
        assert refused.startswith("Task 'app:take' cannot take value")
        return
    ((arrived,), _) = signature.load_arguments(written)
    assert welcome_as_float(value, arrived) or exactly(arrived) == exactly(value)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SIGNATURES), nasty)
def test_whatever_is_returned_reads_exactly_or_is_refused(signature: Signature, value: Any) -> None:
    data, refused = tried(signature.dump_result, value, LIMITS)
    if refused:
        assert refused.startswith("Task 'app:take' cannot return ")
        return
    arrived = signature.load_result(data)
    assert welcome_as_float(value, arrived) or exactly(arrived) == exactly(value)


@settings(max_examples=200, deadline=None)
@given(plain)
def test_plain_json_is_refused_only_for_numbers_that_json_has_not(value: Any) -> None:
    data, refused = tried(dump, PLAIN, value)
    if refused:
        assert "JSON has no" in refused or "beyond 64 bits" in refused
        return
    assert exactly(PLAIN.load_arguments(data)[0][0]) == exactly(value)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SIGNATURES), st.binary() | plain.map(repr).map(loosely))
def test_stored_bytes_load_or_are_refused(signature: Signature, data: bytes) -> None:
    for load in (signature.load_arguments, signature.load_result):
        _, refused = tried(load, data)
        assert not refused or "no longer fit" in refused
