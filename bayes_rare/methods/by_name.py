"""Forecasting methods: anything with a name that maps evaluations to forecasts.

Every model file is one, and so is every baseline, and any function of yours that takes
an evaluation and a deployment and returns a forecast.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from bayes_rare import catalog
from bayes_rare.arguments.near_words import shown
from bayes_rare.catalog import ModelFiles, Source, named_files, refuse_unused
from bayes_rare.errors import (
    InvalidInput,
    NoSuchModel,
    listed,
)
from bayes_rare.evaluation.observed_shares import PSEUDOCOUNT
from bayes_rare.inference.stack import Stack, load_stack
from bayes_rare.methods.base import Method, Sampling
from bayes_rare.methods.baselines import BASELINES
from bayes_rare.methods.fitted_models import AverageMethod, ModelMethod, StackMethod
from bayes_rare.methods.functions import FileFunction, Function, FunctionMethod
from bayes_rare.posterior.average import NAME

__all__ = [
    "method",
    "methods",
    "names",
]


def names() -> list[str]:
    """Names of all shipped methods: the baselines, then the models.

    Models that only serve to check others are left out, but can be named.
    """
    models = map(catalog.load, catalog.names())
    shown = (model.name for model in models if not model.reference_only)
    return [*BASELINES, NAME, *shown]


def method(
    named: "str | Path | Method | Function | catalog.Model | Stack",
    sampling: Sampling | None = None,
    *,
    name: str | None = None,
) -> Method:
    """The method of a name, a file or a function.

    Parameters
    ----------
    named
        Name of a baseline or a shipped model; path of a model file; a path and the name
        of a function in that file, ``mine.py:forecast``; a function. Settings follow a
        name or the path of a model after a colon: ``gpd_tail:exceedances=20``. A stack,
        or the path of one, ending in .json.
    sampling
        How a model's posterior is sampled.
    name
        Its name in tables; by default its own name.

    Raises
    ------
    NoSuchModel
        If there is no such method or file.
    InvalidInput
        If it has no such setting, or no name.

    Examples
    --------
    >>> method("gumbel_ols").name, method("gpd_tail:exceedances=20").name
    ('gumbel_ols', 'gpd_tail:exceedances=20')
    """
    if isinstance(named, Method):
        return named
    sampling = sampling or Sampling()
    if isinstance(named, catalog.Model):
        return ModelMethod(name or named.name, named, {}, sampling)
    if isinstance(named, Stack):
        return StackMethod(name or "stack", named, sampling)
    if not isinstance(named, str | Path):
        called = name or getattr(named, "__name__", None)
        if not callable(named) or not called or called == "<lambda>":
            raise InvalidInput(
                f"{named!r} is not a method with a name. Give a shipped one "
                f"({', '.join(names())}), the path of a file, or a named function: "
                "{'mine': function}."
            )
        return FunctionMethod(called, named)
    return _of_text(str(named), sampling, name)


def _offered(named: Any) -> Any:
    """What may be a method; anything else is refused."""
    if isinstance(named, str | Path | Method | Stack | catalog.Model) or callable(
        named
    ):
        return named
    raise InvalidInput(
        f"{shown(named)} is not a method. Give a shipped one ({', '.join(names())}), "
        "the path of a file, or a named function: {'mine': function}."
    )


def methods(
    named: Any, sampling: Sampling | None = None, model_file: ModelFiles = None
) -> tuple[Method, ...]:
    """Several methods, each with a name of its own.

    Parameters
    ----------
    named
        A sequence of what `method` takes, or a mapping from names to such.
    sampling
        How the posterior of models is sampled.
    model_file
        Path of a custom model file that a stack uses, or several: a stack never runs a
        file because it names it.

    Raises
    ------
    InvalidInput
        If there are none, two have one name, or no stack uses a file.
    NoSuchModel
        If there is no such method or file.
    """
    files = named_files(model_file)
    if isinstance(named, str | Path | Method | Stack) or callable(named):
        named = [named]
    if isinstance(named, Mapping):
        pairs = cast("Mapping[str, Any]", named).items()
        found = [method(_offered(one), sampling, name=str(n)) for n, one in pairs]
    elif isinstance(named, Iterable):
        several = cast("Iterable[Any]", named)
        found = [method(_offered(one), sampling) for one in several]
    else:
        found = [method(_offered(named), sampling)]
    if not found:
        raise InvalidInput(f"no method is named. There are: {', '.join(names())}.")
    seen: set[str] = set()
    for one in found:
        if one.name in seen:
            raise InvalidInput(
                f"two methods are called {one.name!r}. Give them names: "
                "methods={'first': ..., 'second': ...}."
            )
        seen.add(one.name)
    if not files:
        return tuple(found)
    stacks = [one.stack for one in found if isinstance(one, StackMethod)]
    weighed = frozenset[str]().union(*(one.digests for one in stacks))
    refuse_unused(files, weighed, "a stack among the methods")
    return tuple(
        replace(one, stack=one.stack.with_sources(files))
        if isinstance(one, StackMethod)
        else one
        for one in found
    )


def _of_text(text: str, sampling: Sampling, name: str | None) -> Method:
    """The method that a text names, with what follows the colon."""
    if text.endswith(".json"):
        return StackMethod(name or Path(text).stem, load_stack(text), sampling)
    head, colon, rest = text.partition(".py:")
    # A path may contain colons: only a colon after .py ends it.
    if colon:
        head += ".py"
    elif not text.endswith(".py"):
        head, _, rest = text.partition(":")
    called = Path(head).stem if head.endswith(".py") else head
    name = name or (f"{called}:{rest}" if rest else called)
    if colon and "=" not in rest:
        return FunctionMethod(name, FileFunction(Source.read(head), rest))
    settings = _settings(text, rest, words=head in BASELINES)
    if head == NAME:
        if settings:
            raise InvalidInput(
                f"{NAME} has no settings, got {rest!r}. Name a model to set its priors."
            )
        return AverageMethod(name, sampling)
    if head in BASELINES:
        function = BASELINES[head]
        pseudocount = _pseudocount(head, settings.pop("pseudocount", PSEUDOCOUNT))
        _refuse_unknown(head, function, settings)
        # Without targets: a backtest uses the populations alone.
        unasked = partial(function, targets=())
        return FunctionMethod(
            name, unasked, plug_in=True, settings=settings, pseudocount=pseudocount
        )
    try:
        model = catalog.load(head)
    except NoSuchModel as error:
        if head.endswith(".py"):
            raise
        raise NoSuchModel(
            f"no method {head!r}. Shipped: {', '.join(names())}. For a model file of "
            "yours give its path, ending in .py; for a function, mine.py:function."
        ) from error
    model.settings(**settings)  # refuses unknown settings
    return ModelMethod(name, model, settings, sampling)


def _settings(text: str, rest: str, *, words: bool) -> dict[str, Any]:
    """Settings from ``a=1,b=true``; where words are allowed, from ``a=digamma`` too."""
    settings: dict[str, Any] = {}
    for pair in rest.split(",") if rest else []:
        key, equals, value = pair.partition("=")
        if not (key.strip() and equals and value.strip()):
            raise InvalidInput(
                f"{text!r}: settings follow a name as name=value, separated by commas: "
                "gpd_tail:exceedances=20,pool=false."
            )
        key, value = key.strip(), value.strip()
        try:
            settings[key] = catalog.setting(key, value)
        except InvalidInput:
            if not words:
                raise
            settings[key] = value
    return settings


def _pseudocount(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise InvalidInput(
            f"pseudocount of {name}, which is added to successes and failures, is a "
            f"number from 0 up, got {value!r}. 0 gives successes/trials."
        )
    return float(value)


def _refuse_unknown(
    name: str, function: Callable[..., Any], settings: Mapping[str, Any]
) -> None:
    known = [
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY
        and parameter.name not in {"risk_thresholds", "targets"}
    ]
    for setting in settings:
        if setting not in known:
            raise InvalidInput(
                f"{name} has no setting {setting!r}. It has: "
                f"{listed([*known, 'pseudocount'])}."
            )
