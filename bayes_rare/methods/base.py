"""What a forecasting method is: a name, and forecasts from evaluations."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import Deployment, Forecast

__all__ = [
    "Answer",
    "Method",
    "Sampling",
]


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
    """The answer of a method to one evaluation.

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
