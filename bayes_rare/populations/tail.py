"""The tail that two bodies share: generalized Pareto above a threshold."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from bayes_rare.populations.pareto import gpd_log_survival, gpd_quantile
from bayes_rare.populations.population import Array, Draws, as_array
from bayes_rare.populations.quadrature import CUTS, DEPTH, panels
from bayes_rare.scores import Numbers

__all__ = ["Tail"]


@dataclass(frozen=True, eq=False)
class Tail:
    """The queries of a population above a threshold, and nothing of those below.

    ``S(s) = rate * (1 + shape * (s - u) / scale) ** (-1 / shape)`` above u.

    Parameters
    ----------
    threshold
        Score above which the tail holds.
    rate
        Fraction of queries above the threshold.
    scale
        Scale of the excess in score units.
    shape
        Shape; 0 for an exponential tail.
    """

    threshold: float
    rate: Draws
    scale: Draws
    shape: Draws

    def log_survival(self, score: Array) -> Array:
        """Log fraction of queries with a larger score; of scores below, the rate."""
        excess = np.maximum(score - self.threshold, 0.0)
        return np.log(self.rate) + gpd_log_survival(excess, self.scale, self.shape)

    def quantile(
        self, log_survival: Numbers
    ) -> tuple[Array, Array, Bool[np.ndarray, "..."]]:
        """Scores of levels, and which levels are the body's to answer."""
        log_rate = np.log(self.rate)
        levels, log_rate = np.broadcast_arrays(as_array(log_survival), log_rate)
        depth = np.maximum(log_rate - levels, 0.0)
        score = self.threshold + gpd_quantile(depth, self.scale, self.shape)
        return levels, score, levels >= log_rate

    def mean(self, function: Callable[[Array], Array], log_level: Numbers) -> Array:
        """The part of a mean over queries that the tail contributes."""
        deepest = np.clip(np.log(self.rate) - as_array(log_level), 0.0, DEPTH)
        excess = np.maximum(CUTS[:, None] - self.threshold, 0.0)
        cuts = -gpd_log_survival(excess, self.scale, self.shape)
        depth, weight = panels(0.0, deepest, DEPTH / 12, cuts)
        values = function(self.threshold + gpd_quantile(depth, self.scale, self.shape))
        tail = np.einsum("nd,nd,...nd->...d", weight, np.exp(-depth), values)
        return self.rate * tail
