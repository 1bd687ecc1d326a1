"""Models, averages and stacks as forecasting methods: fit, then forecast."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, override

from bayes_rare import catalog
from bayes_rare.errors import (
    NotApplicable,
)
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import Deployment, forecast
from bayes_rare.inference.stack import Stack
from bayes_rare.methods.base import Answer, Method, Sampling
from bayes_rare.methods.functions import digest_of
from bayes_rare.posterior import Fitted

__all__ = [
    "AverageMethod",
    "ModelMethod",
    "StackMethod",
]

# The cost of scoring grows with the number of draws, and more than these hardly change
# an average: a fit counts as converged at 400 effective draws.
_DRAWS = 1000


@dataclass(frozen=True)
class ModelMethod(Method):
    """A model file: its posteriors are fitted as one batch.

    Parameters
    ----------
    name
        Its name in tables.
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
    fit: Callable[[], Sequence[Fitted | NotApplicable]],
    deployment: Deployment,
) -> list[Answer]:
    """Forecasts from a batch of fits, each with its share of the time."""
    start = time.perf_counter()
    fits = fit()
    share = (time.perf_counter() - start) / max(len(fits), 1)
    return [_forecast_of(one, deployment, share) for one in fits]


def _forecast_of(
    fit: Fitted | NotApplicable, deployment: Deployment, seconds: float
) -> Answer:
    """The forecast from a fit, with the seconds that both took."""
    sizes = len(deployment.queries)
    if isinstance(fit, NotApplicable):
        return Answer({}, str(fit), seconds / sizes)
    start = time.perf_counter()
    # Without targets: a backtest uses the populations alone.
    made = forecast(fit.thinned(_DRAWS), deployment, targets=())
    seconds += time.perf_counter() - start
    return Answer(dict.fromkeys(deployment.queries, made), "", seconds / sizes)


@dataclass(frozen=True)
class AverageMethod(Method):
    """All models that suit the data, weighted by their leave-one-out forecasts.

    Parameters
    ----------
    name
        Its name in tables.
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
            "digest": digest_of(" ".join(model.digest for model in models)),
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
    """Models with weights that were learnt in another backtest.

    Parameters
    ----------
    name
        Its name in tables.
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
            "digest": digest_of(learnt + weights),
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
