"""Mixtures of families whose survival is tabulated once, draw by draw."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, override

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
_ERROR = 1e-3
_MOST_NODES = 4096
# So many draws are worth another thread.
_SHARED = 500
# Gauss-Legendre nodes and weights of a panel of a mean, on [0, 1].
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_POINTS, _SHARES = (1 + _NODES) / 2, _WEIGHTS / 2


@dataclass(frozen=True, eq=False)
class Tabled(Population):
    """A mixture of families that answers from a table of each draw.

    Between nodes ``(s, t, dt/ds)`` of the log odds ``t = log(S / (1 - S))``, both
    ``t(s)`` and ``s(t)`` are cubic. Nodes are close where the slope bends, and go from
    levels of 1 - 1e-22 down to 1e-26. The relative error of a survival is 1e-6 as a
    rule, and 2e-3 at most (1e-2 where tails of a shape below -1/2 end steeply). What a
    table does not reach is asked of the mixture itself.

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
        """Nodes of all draws, one draw after the other, and where each draw begins."""
        from bayes_rare.populations import kernels

        held = (*self.exact.by_draw, self.exact.shape)

        def made(part: Any) -> Any:
            location, scale, weight, shape = (array[part] for array in held)
            own = location, scale, weight, shape
            return kernels.tabulated(*own, (_DEEPEST, _HIGHEST), _ERROR, _MOST_NODES)

        cores = min(os.process_cpu_count() or 1, 1 + self.draws // _SHARED)
        with ThreadPoolExecutor(cores) as threads:
            parts = [*threads.map(made, np.array_split(np.arange(self.draws), cores))]
        sizes = np.concatenate([np.diff(start) for _, start in parts])
        edges = np.append(0, np.cumsum(sizes))
        return np.concatenate([nodes for nodes, _ in parts]), edges

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
        first, last = start[:-1], start[1:] - 1
        if (first >= last).any() or (nodes[first, 1] < _HIGHEST).any():
            return self.exact.mean(function, log_level)
        score, measure, begin = kernels.panels(level, nodes, start, _POINTS, _SHARES)
        values = function(score[:, None])[..., 0] * measure
        return np.add.reduceat(values, begin, axis=-1)
