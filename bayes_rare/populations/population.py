"""What every population can be asked."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from bayes_rare.scores import Numbers, log_safe_from_score

__all__ = [
    "Array",
    "Draws",
    "FamilyDraws",
    "Population",
    "as_array",
    "by_draw",
    "log_worst_level",
]

type Array = Float[np.ndarray, "..."]

type Draws = Float[np.ndarray, " draw"]

type FamilyDraws = Float[np.ndarray, "family draw"]


class Population(ABC):
    """A distribution of scores over queries, one per posterior draw."""

    @property
    @abstractmethod
    def draws(self) -> int:
        """Number of posterior draws, the length of the last axis of every answer."""

    @abstractmethod
    def log_survival(self, score: Numbers) -> Array:
        """Log fraction of queries with a larger score.

        Parameters
        ----------
        score
            Scores, of a shape that broadcasts against ``(..., draw)``.
        """

    @abstractmethod
    def quantile(self, log_survival: Numbers) -> Array:
        """Score that a fraction ``exp(log_survival)`` of queries exceeds.

        The generalized inverse: the smallest score whose log survival is not larger.

        Parameters
        ----------
        log_survival
            At most 0, of a shape that broadcasts against ``(..., draw)``.
        """

    @abstractmethod
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        """Mean over queries of a function of the score, the riskiest left out.

        ``integral of function(quantile(v)) dv`` over levels v from ``exp(log_level)``
        to 1; an unnormalised mean where ``log_level`` is finite.

        Parameters
        ----------
        function
            Takes scores of shape ``(node, draw)``, or ``(node, 1)`` where they are the
            same for all draws; gives values of the same shape, or of several functions
            at once, stacked along leading axes.
        log_level
            Log of the fraction of queries left out at the risky end, draw by draw.

        Returns
        -------
        Means by draw, with the leading axes of the function.
        """

    def tabled(self) -> "Population":
        """The same population, quicker where it is asked many times.

        Answers are read off a table where they would be roots of a sum over families
        (see `bayes_rare.populations.tabled.Tabled` for the error); any other population
        is its own.
        """
        return self

    def mean_failure(self, samples: int | float = 1) -> Draws:
        """Chance that a random query, sampled ``samples`` times, fails at least once.

        ``E[1 - (1 - p) ** samples]`` over the population.

        Parameters
        ----------
        samples
            Responses sampled per query, at least 1.
        """
        mean = self.mean(lambda score: -np.expm1(samples * log_safe_from_score(score)))
        return np.minimum(mean, 1.0)  # of certain failures, it may round to more


def log_worst_level(log_uniform: Numbers, queries: int | float) -> Array:
    """Log level of the riskiest of ``queries``, from the log of a uniform number.

    The riskiest of n independent queries has a score below s with chance
    ``(1 - S(s)) ** n``; so its level is ``1 - U ** (1 / n) = -expm1(log(U) / n)``.

    Parameters
    ----------
    log_uniform
        Logarithm of a uniform random number, or of a probability: with ``log(0.5)`` the
        answer is the level of the median worst query.
    queries
        Number of queries, at least 1.

    Examples
    --------
    Ten times the queries, a tenth of the level:

    >>> levels = np.exp([log_worst_level(np.log(0.5), n) for n in (1e6, 1e7)])
    >>> float(round(levels[0] / levels[1], 4))
    10.0
    """
    return np.asarray(np.log(-np.expm1(as_array(log_uniform) / queries)))


def as_array(numbers: Numbers) -> Array:
    """Numbers as an array of float64."""
    return np.asarray(numbers, dtype=np.float64)


def by_draw(numbers: Numbers) -> Array:
    """Numbers with an axis of one draw where they have none."""
    return np.atleast_1d(as_array(numbers))
