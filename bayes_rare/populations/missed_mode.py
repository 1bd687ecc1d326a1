"""A mode of queries that the evaluation may have missed.

An evaluation of m queries says nothing about a kind of query that is not among them. If
there is one, its share of all queries is small, since m queries missed it; the risk of
its queries can only be assumed::

    share ~ Beta(a, b)                        before the evaluation
    share ~ Beta(a, b + m)                    after m queries of other kinds
    risk of each of its queries ~ Beta(c, d)
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import override

import numpy as np
from jaxtyping import Float

from bayes_rare.arguments.checking import checked_call
from bayes_rare.errors import InvalidInput
from bayes_rare.populations.beta import BetaRisks
from bayes_rare.populations.population import Population
from bayes_rare.scores import Numbers

__all__ = ["MissedMode", "WithMissedMode"]

type Array = Float[np.ndarray, "..."]

# Halvings after which an interval of scores is narrower than float64 resolves.
_HALVINGS = 60
# A score below which risks are 0 in float64, whatever their logarithm.
_LOWEST = -800.0


@checked_call
@dataclass(frozen=True)
class MissedMode:
    """Assumptions about a kind of query that the evaluation may have missed.

    Parameters
    ----------
    share
        Parameters (a, b) of the beta distribution of their share of all queries, before
        the evaluation; each positive. With (1, 1) the share is 1/(m + 2) on average,
        after m queries that were of other kinds.
    risk
        Parameters (c, d) of the beta distribution of the risk of each of them; each
        positive. With (1, 1) any risk is as likely as any other.

    Raises
    ------
    InvalidInput
        If a parameter is not positive and finite.
    """

    share: tuple[float, float] = (1.0, 1.0)
    risk: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        for name, pair in (("share", self.share), ("risk", self.risk)):
            if len(pair) != 2 or not all(0 < value < np.inf for value in pair):
                raise InvalidInput(
                    f"{name} of a missed mode is the two parameters of a beta "
                    f"distribution, both positive, got {pair}. For a uniform "
                    f"distribution give {name}=(1, 1)."
                )

    def added(
        self, population: Population, queries: int | float, rng: np.random.Generator
    ) -> "WithMissedMode":
        """A population with a share of queries from the missed mode.

        Parameters
        ----------
        population
            Population of the other queries, from a fit.
        queries
            Number of queries evaluated, or their effective number.
        rng
            Draws the share, for each draw of the population.

        Raises
        ------
        InvalidInput
            If the number of queries is negative.
        """
        if not 0 <= queries < np.inf:
            raise InvalidInput(
                f"the number of evaluated queries is at least 0, got {queries}."
            )
        first, second = self.share
        share = rng.beta(first, second + queries, population.draws)
        alike = np.ones(population.draws)
        first, second = self.risk
        mode = BetaRisks(first * alike, second * alike, 0.0 * alike)
        return WithMissedMode(population, share, mode)


@dataclass(frozen=True, eq=False)
class WithMissedMode(Population):
    """A population with a share of queries from another mode.

    ``S(s) = (1 - share) * S_known(s) + share * S_mode(s)``.

    Parameters
    ----------
    known
        Population of the queries that the evaluation represents.
    share
        Share of the other queries, in (0, 1).
    mode
        Distribution of the risk of the other queries.

    Examples
    --------
    Where a thousandth of a million queries have risks spread evenly over (0, 1), the
    worst risk is near 1, whatever the other queries are like:

    >>> from bayes_rare.populations import Normal
    >>> known = Normal(np.array([-3.0]), np.array([0.1]))
    >>> share, alike = np.array([1e-3]), np.ones(1)
    >>> both = WithMissedMode(known, share, BetaRisks(alike, alike, 0 * alike))
    >>> np.exp(-np.exp(-both.quantile(np.log(1e-6)))).round(3)
    array([0.999])
    """

    known: Population
    share: Float[np.ndarray, " draw"]
    mode: BetaRisks

    @property
    @override
    def draws(self) -> int:
        return self.known.draws

    @cached_property
    def _log_shares(self) -> tuple[Array, Array]:
        with np.errstate(divide="ignore"):  # a share may round to 0 or to 1
            return np.log1p(-self.share), np.log(self.share)

    @cached_property
    def _tabled(self) -> "WithMissedMode":
        return replace(self, known=self.known.tabled())

    @override
    def tabled(self) -> Population:
        return self._tabled

    @override
    def log_survival(self, score: Numbers) -> Array:
        others, own = self._log_shares
        return np.logaddexp(
            others + self.known.log_survival(score), own + self.mode.log_survival(score)
        )

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        level = np.asarray(log_survival, np.float64)
        others, own = self._log_shares
        # Each part alone reaches the level at or below the quantile of the whole, and
        # one of them has not more than the level at or above it.
        low = np.maximum(
            self.known.quantile(np.minimum(level - others, 0.0)),
            self.mode.quantile(np.minimum(level - own, 0.0)),
        )
        high = np.maximum(self.known.quantile(level), self.mode.quantile(level))
        low, high = np.broadcast_arrays(np.minimum(low, high), high)
        low = self._below(low, high, level)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            beyond = self.log_survival(middle) > level
            low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
        return high

    def _below(self, low: Array, high: Array, level: Array) -> Array:
        """Finite scores that no smaller fraction than the level exceeds."""
        step = np.ones_like(high)
        floor = np.minimum(high, _LOWEST)
        low = np.where(np.isfinite(low), low, high - step)
        while (short := (self.log_survival(low) < level) & (low > floor)).any():
            step = np.where(short, 2 * step, step)
            low = np.where(short, np.maximum(low - step, floor), low)
        return low

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        level = np.asarray(log_level, np.float64)
        levels = (level, level)
        if not np.isneginf(level).all():
            highest = self.quantile(log_level)
            levels = (self.known.log_survival(highest), self.mode.log_survival(highest))
        known = self.known.mean(function, levels[0])
        mode = self.mode.mean(function, levels[1])
        return (1 - self.share) * known + self.share * mode
