"""Forecasting methods: anything with a name that maps evaluations to forecasts.

Every model file is one, and so is every baseline, and any function of yours that takes
an evaluation and a deployment and returns a forecast.
"""

import hashlib
import inspect
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, cast, override

import numpy as np

from bayes_rare import catalog
from bayes_rare.averages import NAME, Average
from bayes_rare.baselines import BASELINES
from bayes_rare.errors import BayesRareError, InvalidInput, NoSuchModel, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import Deployment, Forecast, forecast
from bayes_rare.posterior import Posterior
from bayes_rare.scores import score_from_risk
from bayes_rare.shortening import listed
from bayes_rare.sources import ModelFiles, Source, named_files, refuse_unused
from bayes_rare.stacks import Stack, load_stack

__all__ = [
    "PSEUDOCOUNT",
    "Answer",
    "AverageMethod",
    "FileFunction",
    "FunctionMethod",
    "Method",
    "ModelMethod",
    "Sampling",
    "StackMethod",
    "method",
    "methods",
    "names",
    "observed_shares",
]

# Scoring costs as much as the draws that it averages over, and more than these hardly
# move an average: a fit is taken for converged at 400 effective ones.
_DRAWS = 1000

PSEUDOCOUNT = 0.5
"""Added to successes and failures where counts stand in for risks.

Jeffreys' prior. Without it a query that never failed has a risk of 0, and one that
always failed a risk of 1, which lines through scores cannot take.
"""

type Function = Callable[[Evaluation, Deployment], Forecast]


@dataclass(frozen=True)
class Sampling:
    """How a model's posterior is sampled.

    Parameters
    ----------
    chains, warmup, draws, seed
        As of `bayes_rare.fit`.
    """

    chains: int = 4
    warmup: int = 500
    draws: int = 500
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method made of one evaluation.

    Parameters
    ----------
    forecasts
        By deployment size; empty if the method refused.
    refusal
        Why it refused; empty if it did not.
    seconds
        What a forecast took: in a batch its share of the batch, and of one that serves
        several sizes its share of that.
    """

    forecasts: Mapping[int, Forecast]
    refusal: str
    seconds: float


@dataclass(frozen=True)
class Method(ABC):
    """A named way to forecast.

    Parameters
    ----------
    name
        What tables call it.
    """

    name: str

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What forecasts depend on, as JSON has it: two runs agree if these do."""

    @abstractmethod
    def answers(
        self, evaluations: Sequence[Evaluation], deployment: Deployment
    ) -> list[Answer]:
        """Forecasts from each evaluation, at each size of the deployment.

        Parameters
        ----------
        evaluations
            What was measured, of as many splits.
        deployment
            What is forecast for.
        """


@dataclass(frozen=True)
class ModelMethod(Method):
    """A model file: its posteriors are fitted as one batch.

    Parameters
    ----------
    name
        What tables call it.
    model
        The model.
    settings
        Priors and thresholds that differ from its defaults.
    sampling
        How its posterior is sampled.
    """

    model: catalog.Model
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    sampling: Sampling = field(default_factory=Sampling)

    @property
    @override
    def identity(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "model": self.model.name if self.model.shipped else str(self.model.path),
            "digest": self.model.digest,
            "settings": catalog.plain(self.settings),
            "sampling": vars(self.sampling),
        }

    @override
    def answers(
        self, evaluations: Sequence[Evaluation], deployment: Deployment
    ) -> list[Answer]:
        from bayes_rare.inference import fit_many

        sampling = vars(self.sampling)
        fit = partial(fit_many, evaluations, self.model, **sampling, **self.settings)
        return _answered(fit, deployment)


def _answered(
    fit: Callable[[], Sequence[Posterior | Average | NotApplicable]],
    deployment: Deployment,
) -> list[Answer]:
    """What is forecast from a batch of fits, each with its share of the time."""
    start = time.perf_counter()
    fits = fit()
    share = (time.perf_counter() - start) / max(len(fits), 1)
    return [_forecast_of(one, deployment, share) for one in fits]


def _forecast_of(
    fit: Posterior | Average | NotApplicable, deployment: Deployment, seconds: float
) -> Answer:
    """What is forecast from a fit that took so long."""
    sizes = len(deployment.queries)
    if isinstance(fit, NotApplicable):
        return Answer({}, str(fit), seconds / sizes)
    start = time.perf_counter()
    # Without targets: its populations are all that a backtest looks at.
    made = forecast(fit.thinned(_DRAWS), deployment, targets=())
    seconds += time.perf_counter() - start
    return Answer(dict.fromkeys(deployment.queries, made), "", seconds / sizes)


@dataclass(frozen=True)
class AverageMethod(Method):
    """All models that suit the data, weighted by what they forecast.

    Parameters
    ----------
    name
        What tables call it.
    sampling
        How posteriors are sampled.
    """

    sampling: Sampling = field(default_factory=Sampling)

    @property
    @override
    def identity(self) -> dict[str, Any]:
        models = [catalog.load(name) for name in catalog.names()]
        return {
            "name": self.name,
            "digest": _digest_of(" ".join(model.digest for model in models)),
            "sampling": vars(self.sampling),
        }

    @override
    def answers(
        self, evaluations: Sequence[Evaluation], deployment: Deployment
    ) -> list[Answer]:
        from bayes_rare.inference import average_many

        fit = partial(average_many, evaluations, **vars(self.sampling))
        return _answered(fit, deployment)


@dataclass(frozen=True)
class StackMethod(Method):
    """Models with the weights that another backtest has taught.

    Parameters
    ----------
    name
        What tables call it.
    stack
        The models and their weights.
    sampling
        How posteriors are sampled.
    """

    stack: Stack
    sampling: Sampling = field(default_factory=Sampling)

    @property
    @override
    def identity(self) -> dict[str, Any]:
        learnt = json.dumps([m.json() for m in self.stack.members], sort_keys=True)
        weights = json.dumps(self.stack.weights, sort_keys=True)
        return {
            "name": self.name,
            "digest": _digest_of(learnt + weights),
            "learnt_on": self.stack.learnt_on,
            "sampling": vars(self.sampling),
        }

    @override
    def answers(
        self, evaluations: Sequence[Evaluation], deployment: Deployment
    ) -> list[Answer]:
        from bayes_rare.inference import blend_many

        fit = partial(blend_many, evaluations, self.stack, **vars(self.sampling))
        return _answered(fit, deployment)


@dataclass(frozen=True)
class FunctionMethod(Method):
    """A function from an evaluation and a deployment to a forecast.

    It is called for each size of a deployment. A `NotApplicable` that it raises is its
    refusal.

    Parameters
    ----------
    name
        What tables call it.
    function
        The function.
    plug_in
        Whether it is given observed shares as if they were the risks, where the
        evaluation has counts: what methods for exact risks do.
    settings
        Keyword arguments that differ from its defaults.
    pseudocount
        What is added to successes and to failures for those shares.
    """

    function: Function
    plug_in: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    pseudocount: float = PSEUDOCOUNT

    @property
    @override
    def identity(self) -> dict[str, Any]:
        shares = {"pseudocount": self.pseudocount} if self.plug_in else {}
        return {
            "name": self.name,
            "digest": _digest(self.function),
            "settings": catalog.plain({**self.settings, **shares}),
        }

    @override
    def answers(
        self, evaluations: Sequence[Evaluation], deployment: Deployment
    ) -> list[Answer]:
        return [self._answer(evaluation, deployment) for evaluation in evaluations]

    def _answer(self, evaluation: Evaluation, deployment: Deployment) -> Answer:
        start = time.perf_counter()
        try:
            seen = (
                observed_shares(evaluation, self.pseudocount)
                if self.plug_in
                else evaluation
            )
            made = {size: self._called(seen, one) for size, one in _by_size(deployment)}
        except NotApplicable as refusal:
            made, refused = {}, str(refusal)
        else:
            refused = ""
        seconds = (time.perf_counter() - start) / len(deployment.queries)
        return Answer(made, refused, seconds)

    def _called(self, evaluation: Evaluation, deployment: Deployment) -> Forecast:
        try:
            made: Any = self.function(evaluation, deployment, **self.settings)
        except BayesRareError:
            raise
        except Exception as error:
            raise InvalidInput(
                f"method {self.name} failed with {type(error).__name__}: {error}. Mend "
                "it; to decline an evaluation, let it raise "
                "bayes_rare.errors.NotApplicable."
            ) from error
        if not isinstance(made, Forecast):
            raise InvalidInput(
                f"method {self.name} returned {type(made).__name__}, not a Forecast. "
                "Make one by bayes_rare.forecasting.population_forecast(...) or "
                "point_forecast(...)."
            )
        return made


@dataclass(frozen=True)
class FileFunction:
    """A function of a Python file, as it was read; another process runs the same.

    Parameters
    ----------
    source
        The file.
    name
        The function's name in it.
    """

    source: Source
    name: str

    @property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return self.source.digest

    @cached_property
    def _function(self) -> Function:
        path = self.source.path
        try:
            scope = self.source.run()
        except (Exception, SystemExit) as error:
            raise NoSuchModel(
                f"{path} cannot be read: {type(error).__name__}: {error}. Run it "
                "with Python to see where."
            ) from error
        if not callable(scope.get(self.name)):
            raise NoSuchModel(
                f"{path} defines no function {self.name}(evaluation, deployment)."
            )
        return scope[self.name]

    def __call__(
        self, evaluation: Evaluation, deployment: Deployment, **settings: Any
    ) -> Forecast:
        """What the function makes of an evaluation and a deployment."""
        return self._function(evaluation, deployment, **settings)

    def __reduce__(self) -> tuple[Any, ...]:
        return FileFunction, (self.source, self.name)


def names() -> list[str]:
    """Names of all shipped methods: the baselines, then the models.

    A model that is only there to check others by is a method too, if it is named.
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
        What tables call it; by default what it is called.

    Raises
    ------
    NoSuchModel
        If there is no such method or file.
    InvalidInput
        If it has no such setting, or is nameless.

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
                f"{named!r} is no method with a name. Give a shipped one "
                f"({', '.join(names())}), the path of a file, or a named function: "
                "{'mine': function}."
            )
        return FunctionMethod(called, named)
    return _of_text(str(named), sampling, name)


def methods(
    named: Any, sampling: Sampling | None = None, model_file: ModelFiles = None
) -> tuple[Method, ...]:
    """Several methods, no two of one name.

    Parameters
    ----------
    named
        A sequence of what `method` takes, or a mapping from names to such.
    sampling
        How the posterior of models is sampled.
    model_file
        Path of the file of a model of yours that a stack weighs, or several: a stack
        runs no file that it names by itself.

    Raises
    ------
    InvalidInput
        If there are none, or two of one name, or a file is of no stack.
    NoSuchModel
        If there is no such method or file.
    """
    files = named_files(model_file)
    if isinstance(named, str | Path | Method | Stack) or callable(named):
        named = [named]
    if isinstance(named, Mapping):
        pairs = cast("Mapping[str, Any]", named).items()
        found = [method(one, sampling, name=str(name)) for name, one in pairs]
    elif isinstance(named, Iterable):
        several = cast("Iterable[Any]", named)
        found = [method(one, sampling) for one in several]
    else:
        found = [method(named, sampling)]
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
    # A path may have colons of its own: only what follows .py is apart from it.
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
        # Without targets: a backtest looks at the populations alone.
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
    model.settings(**settings)  # refuses what it does not know
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
            f"pseudocount of {name} is added to successes and failures: a number from "
            f"0 on, got {value!r}. 0 gives successes/trials."
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


def _digest(function: Any) -> str:
    """SHA-256 of a function's source, as far as it can be had."""
    if isinstance(function, FileFunction):
        return f"{function.digest}:{function.name}"
    if isinstance(function, partial):
        given = f"{function.args!r} {sorted(function.keywords.items())!r}"
        return _digest_of(f"{_digest(cast('Any', function.func))} {given}")
    function = inspect.unwrap(function)
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = f"{getattr(function, '__module__', '')}.{function!r}"
    # Numbers and texts that a function has captured are part of what it does.
    cells: Any = getattr(function, "__closure__", None) or ()
    held: list[Any] = [cell.cell_contents for cell in cells]
    plain = [repr(value) for value in held if isinstance(value, str | int | float)]
    return _digest_of(f"{source} {plain}")


def _digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _by_size(deployment: Deployment) -> list[tuple[int, Deployment]]:
    return [(size, deployment.of_size(size)) for size in deployment.queries]


def observed_shares(
    evaluation: Evaluation, pseudocount: int | float = PSEUDOCOUNT
) -> Evaluation:
    """The evaluation with shares of successes in place of counts, as if exact.

    ``(successes + a) / (trials + 2 a)``.

    Parameters
    ----------
    evaluation
        Counts; or exact or estimated risks, which stay what they are.
    pseudocount
        The number a, from 0 on.

    Raises
    ------
    NotApplicable
        If the queries of a behaviour with counts have unequal weights, which exact
        risks cannot have.
    """
    if not len(evaluation.tallied["count"]):
        return evaluation
    counted = {n for n in evaluation.behaviours if evaluation.kind(n) == "counts"}
    weighted = sorted(counted & {*evaluation.weighted})
    if weighted:
        raise NotApplicable(
            f"behaviour {weighted[0]!r} has weights, "
            f"{evaluation.effective_sizes[weighted[0]]:.0f} effective queries of "
            f"{evaluation.sizes[weighted[0]]}, and shares of successes taken for exact "
            "risks cannot have them. Use a model for counts."
        )
    if len(evaluation.estimated["count"]):
        estimated, others = (
            [n for n in evaluation.behaviours if (evaluation.kind(n) == kind) == same]
            for kind, same in (("estimates", True), ("estimates", False))
        )
        shares = observed_shares(evaluation.select(others), pseudocount)
        return Evaluation.joined([evaluation.select(estimated), shares])
    exact, tallied = evaluation.exact, evaluation.tallied
    share = (tallied["successes"] + pseudocount) / (tallied["trials"] + 2 * pseudocount)

    def labels(names: tuple[str, ...], column: str) -> list[str]:
        known = np.repeat(exact[column], exact["count"].astype(np.int64))
        counted = np.repeat(tallied[column], tallied["count"])
        return [names[code] for code in np.concatenate([known, counted])]

    return Evaluation.from_scores(
        np.concatenate(
            [
                np.repeat(exact["score"], exact["count"].astype(np.int64)),
                np.repeat(score_from_risk(share), tallied["count"]),
            ]
        ),
        behaviour=labels(evaluation.behaviours, "behaviour"),
        family=labels(evaluation.labels, "family") if evaluation.families else None,
        resolution=evaluation.resolution,
    )
