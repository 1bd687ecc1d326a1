"""The scores that were seen, and no others."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import override

import numpy as np
from jaxtyping import Float

from bayes_rare.populations.population import Array, Population, as_array, by_draw
from bayes_rare.scores import Numbers

__all__ = ["Empirical"]

# Relative error of a level that was made from the logarithm of a number up to 1e12.
_ROUNDING = 1e-14


@dataclass(frozen=True, eq=False)
class Empirical(Population):
    """The scores that were seen, each as often as it was, and no others.

    ``S(s) = sum of count where score > s / sum of count``, of a single draw: the
    empirical distribution, which has nothing above the largest score.

    Parameters
    ----------
    score
        Scores, in any order; at least one.
    count
        How often each was seen; positive.

    Notes
    -----
    A level that is the edge of two scores but for rounding goes to the larger. So the
    quantile at the level 1/m of m scores is the largest of them, whatever the last bit
    of ``log(m)``: the definition gives the second, and on the side of safety is the
    other.

    Examples
    --------
    However many queries, the worst of them was seen:

    >>> seen = Empirical(np.array([0.5, -1.0, 2.0]), np.array([1.0, 7.0, 2.0]))
    >>> seen.quantile(-np.log([[10.0], [1e12]])).ravel()
    array([2., 2.])
    """

    score: Float[np.ndarray, " cell"]
    count: Float[np.ndarray, " cell"]

    def __post_init__(self) -> None:
        order = np.argsort(-self.score, kind="stable")
        object.__setattr__(self, "score", self.score[order])
        object.__setattr__(self, "count", self.count[order])

    @property
    @override
    def draws(self) -> int:
        return 1

    @cached_property
    def _level(self) -> Float[np.ndarray, " edge"]:
        """Level at the upper edge of each score, and 1 at the end."""
        above = np.concatenate([[0.0], np.cumsum(self.count)])
        return above / above[-1]

    @override
    def log_survival(self, score: Numbers) -> Array:
        above = np.searchsorted(-self.score, -by_draw(score), side="left")
        with np.errstate(divide="ignore"):  # above the largest there is nothing
            return np.log(self._level[above])

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        level = np.exp(by_draw(log_survival)) * (1 - _ROUNDING)
        return self.score[np.searchsorted(self._level[1:], level, side="left")]

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        level = np.maximum(self._level[:, None], np.exp(as_array(log_level)))
        values = function(self.score[:, None])[..., 0]
        return np.einsum("cd,...c->...d", np.diff(level, axis=0), values)
