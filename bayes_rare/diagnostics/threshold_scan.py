"""Whether a tail agrees with the tails above higher thresholds.

If excesses over a threshold are generalized Pareto, so are those over every higher one,
by v, with the same shape and with the scale ``scale + shape * v``. Tails fitted above
both show whether the data agree.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bayes_rare.populations.pareto import gpd_log_likelihood

__all__ = ["EXCEEDANCES", "LIMITS", "SHARE", "ladder", "threshold_deviance"]

type Excesses = Float[np.ndarray, "*sample exceedance"]
type Values = Float[np.ndarray, "*sample"]
type Array = Float[np.ndarray, "..."]

EXCEEDANCES = (10, 20, 50, 100, 200)
"""Numbers of queries above the thresholds that are compared."""

SHARE = 5
"""A threshold has to leave at least so many times its exceedances in all."""

LIMITS = {20: 9.5, 50: 9.8, 100: 11.1, 200: 11.7}
"""By exceedances of the lowest threshold, the deviance that 1 % of sound tails exceed.

``python benchmarks/tail_checks.py limits``, of shapes that are drawn from the prior of
gpd_tail.
"""

# The derivative of the likelihood by the shape has a variance from here on; below, the
# largest likelihood runs to the largest excess.
_LEAST_SHAPE = -0.5
# Where the maximum is looked for at first: over the bend, shape / scale, in units of
# one by the largest excess, evenly in the logarithm of its distance from -1 and from 0.
_BENDS = np.concatenate(
    [
        np.geomspace(1e-6, 0.5, 24) - 1.0,
        -np.geomspace(0.5, 1e-3, 12)[1:],
        np.geomspace(1e-3, 60.0, 36),
    ]
)
# Then between the neighbours of the best.
_CLOSER = np.linspace(0.0, 1.0, 11)
# At a bend or shape nearer to 0 a tail is exponential.
_STRAIGHT = 1e-9
# Fewer different excesses than this do not tell a scale from a shape.
_FEWEST = 5


def ladder(queries: int) -> tuple[int, ...]:
    """Numbers of exceedances that thresholds of so many queries leave.

    Examples
    --------
    >>> ladder(100), ladder(300)
    ((10, 20), (10, 20, 50))
    """
    return tuple(above for above in EXCEEDANCES if SHARE * above <= queries)


def threshold_deviance(excesses: Excesses, steps: Sequence[int]) -> Values:
    """How badly the tail above the lowest threshold fits above higher ones.

    With the estimates ``(scale, shape)`` of maximum likelihood from all K excesses, the
    k largest exceed v, the next one down, by the law ``(scale + shape * v, shape)`` if
    the tail is stable. Their deviance from it, ``2 (max l_k - l_k(scale + shape * v,
    shape))``, is large if the tail has another shape there, or another scale [1]_.
    Neither is estimated twice without the data in common: for large k the deviance is
    ``1 - k / K`` times chi-squared with two degrees of freedom at most [2]_, by which
    it is divided. Of few excesses it is larger: `LIMITS`.

    Notes
    -----
    Shapes are limited to -0.5 and above, where the likelihood is regular.

    References
    ----------
    .. [1] P. J. Northrop, C. L. Coleman (2014). Improved threshold diagnostic plots for
       extreme value analyses. Extremes 17, 289-303.
    .. [2] J. A. Hausman (1978). Specification tests in econometrics. Econometrica 46,
       1251-1271.

    Examples
    --------
    The unit of the score does not matter, an upper end that only the largest have does:

    >>> level = (np.arange(50) + 0.5) / 50
    >>> sound = -np.log(level)
    >>> capped = np.minimum(sound, 1.5) * (1 - np.arange(50) / 1000)
    >>> found = [threshold_deviance(x, (10, 20)) for x in (sound, 9 * sound, capped)]
    >>> bool(abs(found[0] - found[1]) < 1e-6), bool(found[2] > LIMITS[50] > found[0])
    (True, True)
    """
    scale, shape, _ = _fitted(excesses)
    shape = np.where(np.abs(shape) < _STRAIGHT, _STRAIGHT, shape)
    largest = np.zeros(excesses.shape[:-1])
    for above in steps:
        next_down = excesses[..., above]
        upper = excesses[..., :above] - next_down[..., None]
        at_threshold = scale + shape * next_down
        log_sum = np.log1p((shape / at_threshold)[..., None] * upper).mean(axis=-1)
        expected = gpd_log_likelihood(at_threshold, shape, 1.0, log_sum)
        different = (np.diff(upper, axis=-1) < 0).sum(axis=-1) + 1
        with np.errstate(invalid="ignore", divide="ignore"):
            deviance = 2 * above * (_fitted(upper)[2] - expected)
        share = 1 - above / excesses.shape[-1]
        fine = (different >= _FEWEST) & np.isfinite(deviance)
        largest = np.maximum(largest, np.where(fine, deviance / share, 0.0))
    return np.asarray(largest)


def _fitted(excesses: Excesses) -> tuple[Values, Values, Values]:
    """Scale and shape of the largest likelihood, and its mean logarithm.

    Given ``bend = shape / scale`` it is largest at the shape ``mean of log1p(bend *
    excess)``, and its logarithm there ``-log(shape / bend) - shape - 1`` (Grimshaw
    1993, Technometrics 35).
    """
    unit = np.maximum(excesses.max(axis=-1), np.finfo(np.float64).tiny)
    share = excesses / unit[..., None]
    shape = np.log1p(_BENDS[:, None] * share[..., None, :]).mean(axis=-1)
    best = _log_likelihood(shape, _BENDS).argmax(axis=-1)
    below, above = (_BENDS[np.clip(best + s, 0, _BENDS.size - 1)] for s in (-1, 1))
    bend = below[..., None] + (above - below)[..., None] * _CLOSER
    bend = np.where(np.abs(bend) < _STRAIGHT, _STRAIGHT, bend)
    shape = np.log1p(bend[..., None] * share[..., None, :]).mean(axis=-1)
    value = _log_likelihood(shape, bend)
    best = value.argmax(axis=-1)[..., None]
    shape, bend, value = (
        np.asarray(np.take_along_axis(each, best, axis=-1)[..., 0])
        for each in (shape, bend, value)
    )
    # Arithmetic makes a number of an array without axes.
    scale, mean = np.asarray(shape / bend * unit), np.asarray(value - np.log(unit) - 1)
    return scale, shape, mean


def _log_likelihood(shape: Array, bend: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        value = -np.log(shape / bend) - shape
    return np.where(shape >= _LEAST_SHAPE, value, -np.inf)
