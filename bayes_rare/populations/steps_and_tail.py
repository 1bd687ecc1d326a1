"""A body of steps, and a generalized Pareto tail."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import override

import numpy as np
from jaxtyping import Float

from bayes_rare.populations.population import Array, Draws, Population, as_array
from bayes_rare.populations.quadrature import CUTS, panels
from bayes_rare.populations.tail import Tail
from bayes_rare.scores import Numbers

__all__ = ["StepsAndTail"]


@dataclass(frozen=True, eq=False)
class StepsAndTail(Population):
    """A density of steps below a threshold, a generalized Pareto tail above.

    Between two edges ``a < s <= b`` a fraction ``weight`` of the queries is spread
    evenly, so ``S`` is piecewise linear there; above the threshold, which is the last
    edge, ``S(s) = rate * (1 + shape * (s - u) / scale) ** (-1 / shape)``.

    Parameters
    ----------
    edges
        Scores at which steps begin and end, ascending; the last is the threshold.
    weight
        Fraction of the queries in each step, from the lowest up; with the rate, they
        sum to 1 in each draw.
    rate
        Fraction of queries above the threshold, in (0, 1).
    scale
        Scale of the excess in score units, positive.
    shape
        Shape of the tail; 0 for an exponential one, whose maxima are Gumbel.

    Examples
    --------
    Half of a step has half of its queries above it:

    >>> half = np.full((1, 1), 0.5)
    >>> steps = StepsAndTail(np.array([-2.0, -1.0]), half, *np.full((3, 1), 0.5))
    >>> np.exp(steps.log_survival(-1.5)).round(6)
    array([0.75])
    """

    edges: Float[np.ndarray, " edge"]
    weight: Float[np.ndarray, "step draw"]
    rate: Draws
    scale: Draws
    shape: Draws

    @property
    @override
    def draws(self) -> int:
        return self.rate.size

    @property
    def threshold(self) -> float:
        """Score above which the tail holds."""
        return float(self.edges[-1])

    @property
    def _tail(self) -> Tail:
        return Tail(self.threshold, self.rate, self.scale, self.shape)

    @cached_property
    def _level(self) -> Float[np.ndarray, "edge draw"]:
        """Fraction of queries above each edge; 1 at the lowest."""
        above = np.cumsum(self.weight[::-1], axis=0)[::-1] + self.rate
        above[0] = 1.0
        return np.concatenate([above, self.rate[None]])

    @override
    def log_survival(self, score: Numbers) -> Array:
        score = as_array(score)
        tail = self._tail.log_survival(score)
        if not (score < self.threshold).any():
            return tail
        step = np.clip(
            np.searchsorted(self.edges, score, side="right") - 1,
            0,
            len(self.weight) - 1,
        )
        width = np.diff(self.edges)[step]
        share = np.clip((score - self.edges[step]) / width, 0.0, 1.0)
        step, draw = np.broadcast_arrays(step, np.arange(self.draws))
        level = (1 - share) * self._level[step, draw] + share * self._level[
            step + 1, draw
        ]
        return np.where(score < self.threshold, np.log(level), tail)

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        levels, score, in_body = self._tail.quantile(log_survival)
        if in_body.any():
            level = np.exp(levels)
            last = len(self.weight) - 1
            step = (self._level[1:-1] >= level[..., None, :]).sum(axis=-2)
            draw = np.broadcast_to(np.arange(self.draws), step.shape)
            upper, lower = self._level[step + 1, draw], self._level[step, draw]
            share = np.clip((lower - level) / (lower - upper), 0.0, 1.0)
            step = np.minimum(step, last)
            body = self.edges[step] + share * np.diff(self.edges)[step]
            score = np.where(in_body, body, score)
        return score

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        highest = np.minimum(self.quantile(as_array(log_level)), self.threshold)
        below = np.zeros(())
        for low, high, weight in zip(
            self.edges[:-1], self.edges[1:], self.weight, strict=True
        ):
            top = np.clip(highest, low, high)
            cuts = np.broadcast_to(CUTS[:, None], (CUTS.size, self.draws))
            node, measure = panels(float(low), top, float(high - low), cuts)
            density = weight / (high - low)
            below = below + density * np.einsum(
                "nd,...nd->...d", measure, function(node)
            )
        return self._tail.mean(function, log_level) + below
