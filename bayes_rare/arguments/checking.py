"""Arguments of public calls, checked against the types that their signatures name.

What a caller gives is taken as the function wants it, where that is plain: a scalar of
NumPy for a number, an array for a list, 1e3 for a whole number. Anything else is
refused before the function runs, with what it takes and a word nearby.
"""

import inspect
import os
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache, wraps
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAliasType, TypedDict, Unpack, cast, get_args, get_origin

import numpy as np
from numpy.typing import ArrayLike

from bayes_rare.arguments.near_words import nearby, shown
from bayes_rare.errors import InvalidInput

__all__ = ["SAMPLING", "Sampling", "checked_call", "refuse_unknown", "whole_number"]


class Sampling(TypedDict, total=False):
    """How to sample, for calls that hand it on to `bayes_rare.fit`."""

    chains: int
    warmup: int
    draws: int
    seed: int
    target_ess: float
    log_likelihood: bool
    way: str | None


SAMPLING = (*Sampling.__annotations__, "progress")
"""Words that say how to sample."""

# A larger whole number has no float64 beside it.
_MOST_BITS = 1000
_REFUSED: Any = object()
_origin = cache(get_origin)
# Up to here float64 holds whole numbers exactly.
_EXACT = 2.0**53


def refuse_unknown(what: str, name: Any, known: Collection[Any]) -> None:
    """Refuse a name that is none of those that are known."""
    if name not in known:
        near = nearby(str(name), map(str, known))
        raise InvalidInput(
            f"there is no {what} {shown(name)}. {near}There are: "
            f"{', '.join(map(str, known))}."
        )


def whole_number(value: Any) -> int | None:
    """A whole number as an int, from Python or NumPy; None for anything else."""
    taken = _taken(value, int)
    return None if taken is _REFUSED else taken


def checked_call[T](public: T) -> T:
    """A public function, or a class with its public methods, that checks arguments."""
    if not isinstance(public, type):
        return cast("T", _checking(cast("Any", public), _words_of(public)))
    for name, member in _members(public).items():
        if name.startswith("_") and name != "__init__":
            continue
        called = public.__name__ if name == "__init__" else f"{public.__name__}.{name}"
        if isinstance(member, classmethod):
            inner = _checking(cast("Any", member).__func__, called)
            setattr(public, name, classmethod(inner))
        elif inspect.isfunction(member):
            setattr(public, name, _checking(member, called))
    # Another checker around the constructor would speak before this one.
    setattr(public, "__no_type_check__", True)  # noqa: B010
    return cast("T", public)


def _members(public: type) -> dict[str, Any]:
    """What a class defines, or inherits from an abstract class of ours."""
    bases = [kind for kind in public.__mro__ if kind is public or _is_ours(kind)]
    return {n: member for kind in reversed(bases) for n, member in vars(kind).items()}


def _is_ours(kind: Any) -> bool:
    """Whether a type is an abstract class of this package."""
    return inspect.isabstract(kind) and kind.__module__.startswith("bayes_rare.")


def _words_of(function: Any) -> str:
    return str(function.__name__)


def _checking(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    hints: dict[str, Any] = {}
    signature: inspect.Signature | None = None

    @wraps(function)
    def called(*arguments: Any, **words: Any) -> Any:
        nonlocal signature
        if signature is None:
            signature = inspect.signature(function)
            hints.update(_hints(function, signature))
        bound = _bound(name, signature, arguments, words)
        for argument, value in bound.arguments.items():
            kind = signature.parameters[argument].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                bound.arguments[argument] = _settings(name, hints[argument], value)
            elif argument not in ("self", "cls"):
                given = signature.parameters[argument]
                bound.arguments[argument] = _argument(
                    name, given, hints[argument], value
                )
        return function(*bound.args, **bound.kwargs)

    return called


def _bound(
    name: str,
    signature: inspect.Signature,
    arguments: tuple[Any, ...],
    words: dict[str, Any],
) -> inspect.BoundArguments:
    """The arguments by name, or a refusal in place of Python's TypeError."""
    known = [
        argument
        for argument, parameter in signature.parameters.items()
        if argument not in ("self", "cls")
        and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    try:
        return signature.bind(*arguments, **words)
    except TypeError as error:
        unknown = [word for word in words if word not in known]
        told = (
            f"{name} has no argument {shown(unknown[0])}. {nearby(unknown[0], known)}"
            if unknown
            else f"{name} was called with other arguments than it takes: {error}. "
        )
        takes = f"It takes: {', '.join(known)}." if known else "It takes none."
        raise InvalidInput(told + takes) from None


def _settings(name: str, hint: Any, words: dict[str, Any]) -> dict[str, Any]:
    """Further words, where the signature says which there are."""
    if get_origin(hint) is not Unpack:
        return words
    known = typing.get_type_hints(get_args(hint)[0])
    taken: dict[str, Any] = {}
    for word, value in words.items():
        if word not in known:
            raise InvalidInput(
                f"{name} has no argument {shown(word)}. {nearby(word, known)}"
                f"It takes: {', '.join(known)}."
            )
        given = inspect.Parameter(word, inspect.Parameter.KEYWORD_ONLY)
        taken[word] = _argument(name, given, known[word], value)
    return taken


def _argument(name: str, given: inspect.Parameter, hint: Any, value: Any) -> Any:
    """The value as the function takes it."""
    taken = _taken(value, hint)
    if given.name == "seed" and _is_negative(taken):
        raise InvalidInput(
            f"a seed is a whole number from 0, got {shown(taken)}. Give seed=0."
        )
    if taken is not _REFUSED:
        return taken
    default = given.default
    out = _way_out(given.name, hint, value)
    if not out and default is not inspect.Parameter.empty and not callable(default):
        out = f" Leave it out, or give {given.name}={shown(default)}."
    raise InvalidInput(
        f"{given.name} of {name} is {_in_words(hint)}, got {shown(value)}"
        f"{_why_not(value)}.{out}"
    )


def _is_negative(seed: Any) -> bool:
    words = cast("list[Any]", seed) if isinstance(seed, list | tuple) else [seed]
    return any(isinstance(word, int) and word < 0 for word in words)


def _why_not(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return ", which is too large"
    if isinstance(value, str | Path) and not _names_a_file(value):
        return ", which no file can be called"
    return "" if value is None else f" ({type(value).__name__})"


def _way_out(name: str, hint: Any, value: Any) -> str:
    """What to type in place of a value that was refused, if that can be told."""
    classes = {kind.__name__ for kind in _choices(hint) if isinstance(kind, type)}
    value = _scalar(value)
    text = isinstance(value, str | Path)
    for kind, of_text, of_other in _MADE_BY:
        if kind in classes:
            made = of_text if text else of_other
            return f" Give {name}={made.format(value=shown(value))}."
    if _is_scalar(value) and not isinstance(value, Mapping):
        if _taken([value], hint) is not _REFUSED:
            return f" Give a list: {name}=[{shown(value)}]."
    else:
        items = _listed(value) or []
        if len(items) == 1 and _taken(items[0], hint) is not _REFUSED:
            return f" Give the one alone: {name}={shown(items[0])}."
    if isinstance(value, str) and (number := _as_number(value)) is not None:
        if _taken(number, hint) is not _REFUSED:
            return f" Give it without quotes: {name}={number!r}."
        if _taken([number], hint) is not _REFUSED:
            return f" Give a list: {name}=[{number!r}]."
    return ""


# How values of ours are made: of a text, which may name a file, and of anything else.
_MADE_BY = (
    ("Posterior", "bayes_rare.load_posterior({value})", "bayes_rare.fit(evaluation)"),
    (
        "Evaluation",
        "bayes_rare.read_table({value})",
        "bayes_rare.read_table('evaluation.csv')",
    ),
    ("Deployment", "bayes_rare.Deployment(1e6)", "bayes_rare.Deployment({value})"),
    (
        "Forecast",
        "bayes_rare.forecast(posterior, deployment)",
        "bayes_rare.forecast(posterior, deployment)",
    ),
    (
        "Backtest",
        "bayes_rare.load_backtest({value})",
        "bayes_rare.load_backtest('backtest.parquet')",
    ),
    (
        "MissedMode",
        "bayes_rare.MissedMode((1, 1))",
        "bayes_rare.MissedMode((1, 1))",
    ),
    (
        "Realised",
        "bayes_rare.Realised.of(behaviour, scores)",
        "bayes_rare.Realised.of(behaviour, scores)",
    ),
)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | bytes) or not isinstance(value, Iterable)


def _as_number(text: str) -> int | float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def _hints(
    function: Callable[..., Any], signature: inspect.Signature
) -> dict[str, Any]:
    """Types by argument; anything goes where there is none, or it is not imported."""
    scope: dict[str, Any] = getattr(inspect.unwrap(function), "__globals__", {})
    found: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        hint = parameter.annotation
        if isinstance(hint, str):
            hint = _evaluated(hint, scope)
        found[name] = Any if hint is inspect.Parameter.empty else hint
    return found


class _Late(dict[str, Any]):
    """Names that are imported for type checkers alone: of ours, and of libraries."""

    def __missing__(self, name: str) -> Any:
        ours = import_module("bayes_rare")
        if name in ours.__all__:
            return getattr(ours, name)
        try:
            return import_module(name)
        except ImportError as error:
            raise KeyError(name) from error


def _evaluated(hint: str, scope: Mapping[str, Any]) -> Any:
    """The type that an annotation in quotes stands for."""
    try:
        return eval(hint, {}, _Late(scope))  # written in this package
    except (NameError, TypeError):
        return Any


@cache
def _resolved(hint: Any) -> Any:
    """What a name of a type stands for."""
    while isinstance(hint, TypeAliasType):
        if hint is ArrayLike:
            return hint
        try:
            hint = hint.__value__
        except NameError:  # imported for type checkers alone
            return Any
    if isinstance(hint, str):
        return _evaluated(hint, {})
    return Any if isinstance(hint, typing.TypeVar) else hint


@cache
def _choices(hint: Any) -> tuple[Any, ...]:
    """The types that a union has, or the one that it is."""
    hint = _resolved(hint)
    if get_origin(hint) in (types.UnionType, typing.Union):
        return tuple(kind for part in get_args(hint) for kind in _choices(part))
    if _is_ours(hint):
        return tuple(kind for one in hint.__subclasses__() for kind in _choices(one))
    return (types.NoneType if hint is None else hint,)


def _taken(value: Any, hint: Any) -> Any:
    """The value as a type has it, or `_REFUSED`."""
    if type(value) is hint and hint is not int:
        return value  # of labels and columns there are many
    choices = _choices(hint)
    if Any in choices:
        return value
    if Path in choices and isinstance(value, str | Path) and not _names_a_file(value):
        return _REFUSED
    for kind in choices:
        taken = _taken_as(value, kind)
        if taken is not _REFUSED:
            return taken
    return _REFUSED


def _taken_as(value: Any, kind: Any) -> Any:
    if kind is ArrayLike:
        taken = cast("Any", [*value]) if isinstance(value, tuple) else value
        return taken if _is_array(value) else _REFUSED
    origin: Any = _origin(kind)
    if origin is typing.Literal:
        same = isinstance(value, str) and value in get_args(kind)
        return value if same else _REFUSED
    if origin is tuple or kind is tuple:
        return _tuple(value, get_args(kind))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(value, get_args(kind))
    if origin is Callable:
        return value if callable(value) else _REFUSED
    if isinstance(origin, type) and issubclass(origin, Iterable):
        inner = get_args(kind)[0] if get_args(kind) else Any
        return _list(value, inner, cast("Any", origin))
    if kind in _SCALARS:
        return _SCALARS[kind](value)
    # Of an array, what it holds is for the function to say.
    kind = getattr(kind, "array_type", kind)
    try:
        return value if isinstance(value, origin or kind) else _REFUSED
    except TypeError:  # a type that cannot be asked
        return value


def _names_a_file(value: str | Path) -> bool:
    """Whether an operating system could have a file of this name."""
    try:
        path = os.fsencode(value)
    except UnicodeEncodeError:
        return False
    parts = path.split(os.fsencode(os.sep))
    return b"\0" not in path and len(path) < 4096 and all(len(p) < 256 for p in parts)


def _scalar(value: Any) -> Any:
    """A scalar of NumPy, or an array of no dimension, as Python's own."""
    given: Any = value
    scalar = isinstance(value, np.generic | np.ndarray) and not given.ndim
    return given.item() if scalar else given


def _bool(value: Any) -> Any:
    value = _scalar(value)
    return value if isinstance(value, bool) else _REFUSED


def _int(value: Any) -> Any:
    value = _scalar(value)
    if isinstance(value, float) and abs(value) <= _EXACT and value.is_integer():
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return _REFUSED
    return value if value.bit_length() <= _MOST_BITS else _REFUSED


def _float(value: Any) -> Any:
    value = _scalar(value)
    if isinstance(value, float):
        return value
    whole = _int(value)
    return whole if whole is _REFUSED else float(whole)


def _text(value: Any) -> Any:
    value = _scalar(value)
    return value if isinstance(value, str) else _REFUSED


_SCALARS: dict[Any, Callable[[Any], Any]] = {
    bool: _bool,
    int: _int,
    float: _float,
    str: _text,
    types.NoneType: lambda value: value if value is None else _REFUSED,
}


def _listed(value: Any) -> list[Any] | None:
    """What is in order, as a list; None for what is not, such as a text or a set."""
    if isinstance(value, list | tuple):
        return [*cast("Sequence[Any]", value)]
    if isinstance(value, str | bytes | bytearray | Mapping | set | frozenset):
        return None
    if callable(getattr(value, "tolist", None)):  # arrays, series and columns
        items = value.tolist()
        return cast("list[Any]", items) if isinstance(items, list) else None
    if isinstance(value, Sequence) or (
        isinstance(value, Iterable) and not isinstance(value, type)
    ):
        return [*cast("Iterable[Any]", value)]
    return None


def _is_array(value: Any) -> bool:
    """Whether a value has rows, as an array, a list or a column has them."""
    if isinstance(value, str | bytes | bytearray | Mapping | set | frozenset | type):
        return False
    if hasattr(value, "__array__"):
        return getattr(value, "ndim", 1) != 0
    if isinstance(value, list | tuple):
        try:
            np.shape(cast("Any", value))
        except ValueError:  # rows of unequal lengths
            return False
        return True
    return isinstance(value, Sequence) or _listed(value) is not None


def _list(value: Any, inner: Any, within: Any) -> Any:
    if _resolved(inner) is Any:
        good = isinstance(value, within) and not isinstance(value, str | bytes)
        return value if good else _REFUSED
    if isinstance(value, range) and len(value) and inner in (int, float):
        return value
    items = _listed(value)
    if items is None:
        return _REFUSED
    taken = [_taken(item, inner) for item in items]
    return _REFUSED if any(item is _REFUSED for item in taken) else taken


def _tuple(value: Any, inner: tuple[Any, ...]) -> Any:
    items = _listed(value)
    if items is None:
        return _REFUSED
    if not inner:
        return tuple(items)
    if inner[-1] is not Ellipsis and len(items) != len(inner):
        return _REFUSED
    hints = [inner[0]] * len(items) if inner[-1] is Ellipsis else inner
    taken = tuple(_taken(item, hint) for item, hint in zip(items, hints, strict=True))
    return _REFUSED if any(item is _REFUSED for item in taken) else taken


def _mapping(value: Any, inner: tuple[Any, ...]) -> Any:
    if not isinstance(value, Mapping):
        return _REFUSED
    if not inner:
        return cast("Any", value)
    good = all(
        _taken(key, inner[0]) is not _REFUSED and _taken(item, inner[1]) is not _REFUSED
        for key, item in cast("Mapping[Any, Any]", value).items()
    )
    return cast("Any", value) if good else _REFUSED


_NAMES: dict[Any, tuple[str, str]] = {
    bool: ("True or False", "switches"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    Path: ("a path", "paths"),
    ArrayLike: ("a list of numbers", "lists of numbers"),
    types.NoneType: ("None", "Nones"),
}


def _in_words(hint: Any, *, several: bool = False) -> str:
    """A type in plain words."""
    choices = _choices(hint)
    if float in choices:
        choices = [kind for kind in choices if kind is not int]
    words = dict.fromkeys(_named(kind, several=several) for kind in choices)
    if len(words) > 1 and "None" in words:
        words = dict.fromkeys([*(word for word in words if word != "None"), "None"])
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


def _named(kind: Any, *, several: bool) -> str:
    if kind in _NAMES:
        return _NAMES[kind][several]
    origin: Any = get_origin(kind)
    inner = get_args(kind)
    if origin is typing.Literal:
        return " or ".join(map(repr, inner))
    if origin is tuple and inner and inner[-1] is not Ellipsis:
        return f"a tuple of {len(inner)} {_in_words(inner[0], several=True)}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        words = "mappings" if several else "a mapping"
        rows = inner and inner[-1] is ArrayLike
        return f"{words} to lists of numbers" if rows else words
    if origin is Callable:
        return "a function" if not several else "functions"
    if isinstance(origin, type) and issubclass(origin, Collection | Iterable):
        of = "" if _resolved(inner[0]) is Any else _in_words(inner[0], several=True)
        return f"a list of {of}" if of else "a list"
    name = str(getattr(cast("Any", origin or kind), "__name__", "other"))
    article = "an" if name[0] in "AEIO" else "a"
    return f"{name}s" if several else f"{article} {name}"
