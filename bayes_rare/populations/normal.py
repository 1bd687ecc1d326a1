"""Normal scores."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import override

import numpy as np
from scipy.special import log_ndtr, ndtri_exp

from bayes_rare.populations.population import Array, Draws, Population, as_array
from bayes_rare.populations.quadrature import CUTS, panels
from bayes_rare.scores import Numbers

__all__ = ["Normal"]

# Standard deviations on either side that a mean over a normal population spans.
_REACH = 12.0


@dataclass(frozen=True, eq=False)
class Normal(Population):
    """Normal scores: ``S(s) = Phi((location - s) / scale)``.

    Then ``-log(risk)`` is log-normal, the baseline of Jones et al. (2025).

    Parameters
    ----------
    location
        Mean score.
    scale
        Standard deviation of the score, positive.
    """

    location: Draws
    scale: Draws

    @property
    @override
    def draws(self) -> int:
        return self.location.size

    @override
    def log_survival(self, score: Numbers) -> Array:
        return np.asarray(log_ndtr((self.location - as_array(score)) / self.scale))

    @override
    def quantile(self, log_survival: Numbers) -> Array:
        return self.location - self.scale * np.asarray(
            ndtri_exp(as_array(log_survival))
        )

    @override
    def mean(
        self, function: Callable[[Array], Array], log_level: Numbers = -np.inf
    ) -> Array:
        with np.errstate(invalid="ignore"):
            highest = np.clip(-ndtri_exp(as_array(log_level)), -_REACH, _REACH)
        cuts = (CUTS[:, None] - self.location) / self.scale
        deviate, weight = panels(-_REACH, highest, _REACH / 6, cuts)
        density = np.exp(-0.5 * deviate**2) / math.sqrt(2 * math.pi)
        values = function(self.location + self.scale * deviate)
        return np.einsum("nd,nd,...nd->...d", weight, density, values)
