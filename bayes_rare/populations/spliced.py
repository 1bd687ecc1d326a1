"""A normal body with a generalized Pareto tail, spliced so that the density is one.

In standard deviations of the body from its mean: what all families of queries share.
"""

import math

import numpy as np
from jaxtyping import Float
from scipy.special import log_ndtr, ndtri_exp

from bayes_rare.populations.pareto import gpd_log_survival, gpd_quantile
from bayes_rare.populations.population import Array, Draws, as_array
from bayes_rare.populations.quadrature import DEPTH, panels
from bayes_rare.scores import Numbers

__all__ = [
    "SPLICE",
    "SPLICED_SCALE",
    "spliced_log_density",
    "spliced_log_survival",
    "spliced_panels",
    "spliced_quantile",
]

SPLICE = 1.0
"""Standard deviations above its mean at which a family's normal body ends."""

SPLICED_SCALE = float(np.exp(log_ndtr(-SPLICE) + 0.5 * SPLICE**2) * math.sqrt(math.tau))
"""Scale of the tail that continues the density there: ``Phi(-1) / phi(1)``."""

LOG_TAIL = float(log_ndtr(-SPLICE))
# A shape nearer to 0 than this is as good as 0, and log1p(shape * x) / shape is exact.
STEEP = 1e-30
# Standard deviations below its mean that a mean over a family goes down to, and the
# width in score over which functions of a risk are smooth.
_REACH_DOWN, _SMOOTH = 9.0, 0.4


def spliced_log_survival(deviate: Numbers, shape: Numbers) -> Array:
    """Log survival of a standard normal body with a generalized Pareto tail.

    Normal up to `SPLICE`; beyond it ``log Phi(-1) + log S(e - 1)`` of a generalized
    Pareto tail whose scale ``Phi(-1) / phi(1)`` makes the density continuous.

    Parameters
    ----------
    deviate
        Score in standard deviations of the body from its mean.
    shape
        Shape of the tail.

    Examples
    --------
    Half of it is above 0, and 1 is where the tail begins:

    >>> np.exp(spliced_log_survival([0.0, 1.0], -0.1)).round(6)
    array([0.5     , 0.158655])
    """
    deviate = as_array(deviate)
    body = log_ndtr(-np.minimum(deviate, SPLICE))
    excess = np.maximum(deviate - SPLICE, 0.0)
    tail = LOG_TAIL + gpd_log_survival(excess, SPLICED_SCALE, shape)
    return np.where(deviate > SPLICE, tail, body)


def spliced_log_density(deviate: Numbers, shape: Numbers) -> Array:
    """Log density of the distribution of `spliced_log_survival`.

    Parameters
    ----------
    deviate, shape
        As there.
    """
    deviate, shape = as_array(deviate), as_array(shape)
    body = -0.5 * np.minimum(deviate, SPLICE) ** 2 - 0.5 * math.log(2 * math.pi)
    excess = np.maximum(deviate - SPLICE, 0.0)
    depth = gpd_log_survival(excess, SPLICED_SCALE, shape)
    with np.errstate(invalid="ignore"):
        return np.asarray(body + np.where(deviate > SPLICE, (1 + shape) * depth, 0.0))


def spliced_quantile(log_survival: Numbers, shape: Numbers) -> Array:
    """Deviate whose log survival is given: the inverse of `spliced_log_survival`.

    Parameters
    ----------
    log_survival
        At most 0.
    shape
        Shape of the tail.

    Examples
    --------
    >>> levels = np.array([-20.0, -1.0])
    >>> spliced_log_survival(spliced_quantile(levels, 0.1), 0.1).round(9)
    array([-20.,  -1.])
    """
    log_survival = as_array(log_survival)
    body = -ndtri_exp(np.maximum(log_survival, LOG_TAIL))
    depth = np.maximum(LOG_TAIL - log_survival, 0.0)
    tail = SPLICE + gpd_quantile(depth, SPLICED_SCALE, shape)
    return np.where(log_survival < LOG_TAIL, tail, body)


def spliced_panels(
    end: Draws, scale: Draws, shape: Draws
) -> tuple[Float[np.ndarray, "node draw"], Float[np.ndarray, "node draw"]]:
    """Nodes and weights of a mean over the spliced distribution below an end.

    Panels are at most 3 standard deviations or 0.4 score units wide, in the body; in
    the tail up to 20 units of depth, and where scores are wide no wider than those.
    """
    widest = float(np.quantile(scale, 0.99))
    none = np.empty((0, end.size))
    width = min(3.0, _SMOOTH / widest)
    node, measure = panels(-_REACH_DOWN, np.minimum(end, SPLICE), width, none)
    density = np.exp(-0.5 * node**2) / math.sqrt(2 * math.pi)
    # The depth at which the end is, as its log survival says.
    deepest = LOG_TAIL - spliced_log_survival(np.maximum(end, SPLICE), shape)
    deepest = np.clip(deepest, 0.0, DEPTH)
    growth = max(min(_SMOOTH / (widest * SPLICED_SCALE), 1.0), 0.02)
    cuts = DEPTH * np.linspace(0, 1, math.ceil(8 / growth) + 1)[1:-1] ** 1.6
    depth, tail = panels(
        0.0, deepest, DEPTH, np.broadcast_to(cuts[:, None], (cuts.size, end.size))
    )
    return (
        np.concatenate([node, SPLICE + gpd_quantile(depth, SPLICED_SCALE, shape)]),
        np.concatenate([measure * density, tail * np.exp(LOG_TAIL - depth)]),
    )
