"""Functions as forecasting methods, given directly or read from a file."""

import hashlib
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, cast, override

from bayes_rare import catalog
from bayes_rare.catalog import Source
from bayes_rare.errors import (
    BayesRareError,
    InvalidInput,
    NoSuchModel,
    NotApplicable,
)
from bayes_rare.evaluation import Evaluation
from bayes_rare.evaluation.observed_shares import PSEUDOCOUNT, observed_shares
from bayes_rare.forecasting import Deployment, Forecast
from bayes_rare.methods.base import Answer, Method

__all__ = [
    "FileFunction",
    "FunctionMethod",
    "digest_of",
]

type Function = Callable[[Evaluation, Deployment], Forecast]


@dataclass(frozen=True)
class FunctionMethod(Method):
    """A function from an evaluation and a deployment to a forecast.

    It is called for each size of a deployment. It declines an evaluation by raising
    `NotApplicable`.

    Parameters
    ----------
    name
        Its name in tables.
    function
        The function.
    plug_in
        Whether it gets the observed shares in place of exact risks, where the
        evaluation has counts.
    settings
        Keyword arguments that differ from its defaults.
    pseudocount
        Number added to successes and to failures for those shares.
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
                f"method {self.name} failed with {type(error).__name__}: {error}. "
                "Correct it; to decline an evaluation, raise "
                "bayes_rare.errors.NotApplicable in it."
            ) from error
        if not isinstance(made, Forecast):
            raise InvalidInput(
                f"method {self.name} returned {type(made).__name__}, not a Forecast. "
                "Make one with bayes_rare.forecasting.population_forecast(...) or "
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
        """The forecast of the function."""
        return self._function(evaluation, deployment, **settings)

    def __reduce__(self) -> tuple[Any, ...]:
        return FileFunction, (self.source, self.name)


def _digest(function: Any) -> str:
    """SHA-256 of a function's source, where it is available."""
    if isinstance(function, FileFunction):
        return f"{function.digest}:{function.name}"
    if isinstance(function, partial):
        given = f"{function.args!r} {sorted(function.keywords.items())!r}"
        return digest_of(f"{_digest(cast('Any', function.func))} {given}")
    function = inspect.unwrap(function)
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = f"{getattr(function, '__module__', '')}.{function!r}"
    # Numbers and texts in a closure determine what a function does.
    cells: Any = getattr(function, "__closure__", None) or ()
    held: list[Any] = [cell.cell_contents for cell in cells]
    plain = [repr(value) for value in held if isinstance(value, str | int | float)]
    return digest_of(f"{source} {plain}")


def digest_of(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _by_size(deployment: Deployment) -> list[tuple[int, Deployment]]:
    return [(size, deployment.of_size(size)) for size in deployment.queries]
