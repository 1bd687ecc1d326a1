"""Mixtures of families whose survival is tabulated once, draw by draw."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, override

import numpy as np
from jaxtyping import Float, Int

from bayes_rare.populations.population import Array, Draws, Population, as_array
from bayes_rare.populations.spliced import SPLICE, SPLICED_SCALE, STEEP
from bayes_rare.scores import Numbers

if TYPE_CHECKING:
    from bayes_rare.populations.family_mixture import FamilyMixture

__all__ = ["Tabled"]

# Log odds of the survival between which a table is made.
_DEEPEST, _HIGHEST = -60.0, 50.0
# What the log odds between two nodes may be wrong by is about a quarter of this.
_ERROR = 3e-4
_MOST_NODES = 4096
# Gauss-Legendre nodes and weights of a panel of a mean, on [0, 1].
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_POINTS, _SHARES = (1 + _NODES) / 2, _WEIGHTS / 2


@dataclass(frozen=True, eq=False)
class Tabled(Population):
    """A mixture of families that answers from a table of each draw.

    Between nodes ``(s, t, dt/ds)`` of the log odds ``t = log(S / (1 - S))``, both
    ``t(s)`` and ``s(t)`` are cubic. Nodes are close where the slope bends, and go from
    levels of 1 - 1e-22 down to 1e-26. The relative error of a survival is 1e-6 as a
    rule, and 1e-3 at most; what a table does not reach is asked of the mixture itself.

    Parameters
    ----------
    exact
        The mixture.
    """

    exact: "FamilyMixture"

    @property
    @override
    def draws(self) -> int:
        return self.exact.draws

    @cached_property
    def _table(self) -> tuple[Float[np.ndarray, "node 3"], Int[np.ndarray, " edge"]]:
        from bayes_rare.populations import kernels

        mixture = self.exact
        return kernels.tabulated(
            *mixture.by_draw, mixture.shape, _DEEPEST, _HIGHEST, _ERROR, _MOST_NODES
        )

    @cached_property
    def _end(self) -> Draws:
        """Score that no query of a draw is beyond."""
        mixture = self.exact
        steep = np.where(mixture.shape < -STEEP, mixture.shape, -STEEP)
        end = mixture.location + mixture.scale * (SPLICE - SPLICED_SCALE / steep)
        end = np.where(mixture.weight > 0, end, -np.inf).max(axis=0)
        return np.where(mixture.shape < -STEEP, end, np.inf)

    def _read(
        self,
        values: Numbers,
        read: Callable[[Array, Array], None],
        exactly: Callable[["FamilyMixture", Array], Array],
    ) -> Array:
        """Values read off the table, and those beyond it computed."""
        values = as_array(values)
        shape = np.broadcast_shapes(values.shape, (self.draws,))
        rows = np.broadcast_to(values, shape).reshape(-1, self.draws)
        found = np.empty(rows.shape)
        read(rows, found)
        row, draw = np.nonzero(np.isnan(found) & ~np.isnan(rows))
        if draw.size:
            found[row, draw] = exactly(self.exact.taken(draw), rows[row, draw])
        return found.reshape(shape)

    @override
    def log_survival(self, score: Numbers) -> Array:
        from bayes_rare.populations import kernels

        return self._read(
            score,
            lambda rows, found: kernels.survivals(rows, *self._table, self._end, found),
            lambda part, own: part.log_survival(own),
        )

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        from bayes_rare.populations import kernels

        return self._read(
            log_survival,
            lambda rows, found: kernels.quantiles(rows, *self._table, found),
            lambda part, own: part.quantile(own),
        )

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        from bayes_rare.populations import kernels

        level = np.broadcast_to(as_array(log_level), (self.draws,))
        nodes, start = self._table
        if not (np.diff(start) > 1).all():  # a draw without a table
            return self.exact.mean(function, log_level)
        score, measure, begin = kernels.panels(level, nodes, start, _POINTS, _SHARES)
        values = function(score[:, None])[..., 0] * measure
        return np.add.reduceat(values, begin, axis=-1)
