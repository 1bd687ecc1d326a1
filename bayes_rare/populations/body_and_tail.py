"""A body of the scores that were seen, and a generalized Pareto tail."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import override

import numpy as np
from jaxtyping import Float, Int

from bayes_rare.populations.population import Array, Draws, Population, as_array
from bayes_rare.populations.tail import Tail
from bayes_rare.scores import Numbers

__all__ = ["BodyAndTail"]


@dataclass(frozen=True, eq=False)
class BodyAndTail(Population):
    """The evaluation's own scores below a threshold, a generalized Pareto tail above.

    Above the threshold u, ``S(s) = rate * (1 + shape * (s - u) / scale) ** (-1 /
    shape)``.
    The other ``1 - rate`` of queries have the scores that the evaluation saw at or
    below u, with weights from a Dirichlet distribution whose parameters are how often
    each was seen: the Bayesian bootstrap [1]_.

    Parameters
    ----------
    threshold
        Score above which the tail holds.
    rate
        Fraction of queries above the threshold, in (0, 1).
    scale
        Scale of the excess in score units, positive.
    shape
        Shape of the tail; 0 for an exponential one, whose maxima are Gumbel.
    body_score
        Scores at or below the threshold, in any order; at least one.
    body_count
        How often each was seen; positive.
    resample
        Whether the body's weights are uncertain; if not, they are the counts.

    Notes
    -----
    The weights are drawn when first needed, from a generator that the body itself
    seeds, so a population is a value: asked twice, it answers the same.

    References
    ----------
    .. [1] D. B. Rubin (1981). The Bayesian bootstrap. Annals of Statistics 9, 130-134.
    """

    threshold: float
    rate: Draws
    scale: Draws
    shape: Draws
    body_score: Float[np.ndarray, " cell"]
    body_count: Float[np.ndarray, " cell"]
    resample: bool = True

    def __post_init__(self) -> None:
        order = np.argsort(-self.body_score, kind="stable")
        object.__setattr__(self, "body_score", self.body_score[order])
        object.__setattr__(self, "body_count", self.body_count[order])

    @property
    @override
    def draws(self) -> int:
        return self.rate.size

    @property
    def _tail(self) -> Tail:
        return Tail(self.threshold, self.rate, self.scale, self.shape)

    @cached_property
    def _edges_end_to_end(self) -> Float[np.ndarray, " edge"]:
        """Upper edges of the body of all draws, each draw's moved up by 2 more."""
        return (self._body_level[:-1] + 2.0 * np.arange(self.draws)).T.ravel()

    def _cell_at(
        self, level: Float[np.ndarray, " point"], draw: Int[np.ndarray, " point"]
    ) -> Int[np.ndarray, " point"]:
        """The last body score whose upper edge is not deeper than a level."""
        edges, last = self._body_level, self.body_score.size - 1
        found = np.searchsorted(
            self._edges_end_to_end, level + 2.0 * draw, side="right"
        )
        cell = np.clip(found - 1 - draw * (last + 1), 0, last)
        # Moving the edges rounds them: a level at an edge may be one cell off.
        cell = np.maximum(cell - (edges[cell, draw] > level), 0)
        deeper = np.minimum(cell + 1, last)
        return np.where(edges[deeper, draw] <= level, deeper, cell)

    def _body_weight(self) -> Float[np.ndarray, "cell draw"]:
        """Weight of each body score, up to a factor."""
        shape = (self.body_count.size, self.draws)
        if not self.resample:
            return np.broadcast_to(self.body_count[:, None], shape)
        seen = np.concatenate([self.body_score, self.body_count])
        rng = np.random.default_rng(zlib.crc32(seen.tobytes()))
        weight = rng.standard_exponential(shape)  # a gamma variable of shape 1
        many = self.body_count != 1
        weight[many] = rng.standard_gamma(
            self.body_count[many, None], (int(many.sum()), self.draws)
        )
        return weight

    @cached_property
    def _body_level(self) -> Float[np.ndarray, "edge draw"]:
        """Level at the upper edge of each body score, and 1 at the end."""
        weight = self._body_weight()
        level = np.zeros((weight.shape[0] + 1, weight.shape[1]))
        np.cumsum(weight, axis=0, out=level[1:])
        level *= (1 - self.rate) / level[-1]
        level += self.rate
        level[-1] = 1.0
        return level

    @override
    def log_survival(self, score: Numbers) -> Array:
        score = as_array(score)
        tail = self._tail.log_survival(score)
        in_body = score < self.threshold
        if not in_body.any():
            return tail
        above = np.searchsorted(-self.body_score, -score, side="left")
        edge, draw = np.broadcast_arrays(above, np.arange(self.draws))
        return np.where(in_body, np.log(self._body_level[edge, draw]), tail)

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        levels, score, in_body = self._tail.quantile(log_survival)
        if in_body.any():
            draw = np.broadcast_to(np.arange(self.draws), in_body.shape)[in_body]
            cell = self._cell_at(np.exp(levels[in_body]), draw)
            score[in_body] = self.body_score[cell]
        return score

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        level = np.maximum(self._body_level, np.exp(as_array(log_level)))
        body = function(self.body_score[:, None])  # the same for all draws
        below = np.einsum("cd,...c->...d", np.diff(level, axis=0), body[..., 0])
        return self._tail.mean(function, log_level) + below
