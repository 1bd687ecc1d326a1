"""Parameters that behaviours share in part: priors that borrow strength.

A parameter of behaviour b is ``mean + spread * offset_b``: the mean and the spread are
learnt from all behaviours, the offsets are standard normal. Where the data of one
behaviour say little, as of a tail, the offsets are sampled (non-centred); where they
say much, as of a mean, the parameters themselves are (centred). With one behaviour, or
with ``pool=False``, there is nothing to share: the prior of the mean is then the prior
of each behaviour.

The prior of a spread is log-normal, with 90 % of it within a factor 2.3 of its median.
It avoids 0: behaviours do differ, and a spread near 0 would press all tails against the
tightest bound that one behaviour sets, an edge at which transitions diverge. (Chung et
al. 2013 [1]_ argue for avoiding 0 in point estimates, by a gamma penalty.)

.. [1] Y. Chung, S. Rabe-Hesketh, V. Dorie, A. Gelman, J. Liu (2013). A nondegenerate
   penalized likelihood estimator for variance parameters in multilevel models.
   Psychometrika 78, 685-709.
"""

import math
from typing import Any

import numpy as np
import pymc
import pytensor.tensor

from bayes_rare.errors import InvalidInput

__all__ = ["SPREAD_LOG_SD", "bounded_normal", "draw_pooled", "partially_pooled"]

# Symbolic values have no useful types; neither library gives them any.
pm: Any = pymc
pt: Any = pytensor.tensor


SPREAD_LOG_SD = 0.5
"""Standard deviation of the logarithm of a spread, a priori."""


def _width(name: str, spread: float) -> Any:
    """The standard deviation between behaviours."""
    return pm.LogNormal(f"{name}_spread", math.log(spread), SPREAD_LOG_SD)


def _centre(name: str, mean: float, sd: float, behaviours: int | None = None) -> Any:
    """A normal prior, flat where its standard deviation is infinite."""
    size = () if behaviours is None else (behaviours,)
    dims = () if behaviours is None else ("behaviour",)
    if math.isinf(sd):
        # PyMC does not stretch the value that a chain starts from over the behaviours.
        return pm.Flat(name, initval=np.full(size, mean), dims=dims)
    return pm.Normal(name, mean, sd, dims=dims)


def partially_pooled(
    name: str,
    behaviours: int,
    *,
    mean: float,
    sd: float,
    spread: float,
    pool: bool,
    centred: bool = False,
) -> Any:
    """A real parameter by behaviour, with its hyperparameters where they are pooled.

    Parameters
    ----------
    name
        Name of the parameter; pooling adds ``NAME_mean``, ``NAME_spread`` and
        ``NAME_offset``.
    behaviours
        How many behaviours there are.
    mean, sd
        Normal prior of the mean; ``sd=inf`` makes it flat.
    spread
        Median of the log-normal prior of the standard deviation between behaviours.
    pool
        Whether behaviours share a mean and a spread.
    centred
        Whether to sample the parameters themselves rather than their offsets.
    """
    if not pool or behaviours == 1:
        return _centre(name, mean, sd, behaviours)
    centre = _centre(f"{name}_mean", mean, sd)
    width = _width(name, spread)
    if centred:
        return pm.Normal(name, centre, width, dims="behaviour")
    offset = pm.Normal(f"{name}_offset", 0.0, 1.0, dims="behaviour")
    return pm.Deterministic(name, centre + width * offset, dims="behaviour")


def bounded_normal(
    name: str,
    behaviours: int,
    bound: Any,
    *,
    mean: float,
    sd: float,
    spread: float,
    pool: bool,
) -> Any:
    """As `partially_pooled`, kept above a bound that the data and the scale set.

    The likelihood of a generalized Pareto tail is zero unless
    ``shape > -scale / max(excess)``. So with ``z = (parameter - mean) / spread`` and
    ``l`` the bound on that scale, ``z = l + log1p(exp(w - l))``: w itself far above the
    bound, an exponential approach near it. The density of z is the *unnormalised*
    standard normal (the bound belongs to the likelihood, not to the prior), times
    ``dz/dw = 1 / (1 + exp(l - w))``. Unlike the logarithm of the distance to the bound,
    w does not depend on the bound where the bound is far, which keeps the joint
    geometry with a small spread free of a funnel.

    Parameters
    ----------
    name, behaviours, mean, sd, spread, pool
        As in `partially_pooled`.
    bound
        Symbolic lower bound, of shape (behaviour).

    Notes
    -----
    The unnormalised prior is a `pm.Potential`, which PyMC leaves out when it draws from
    the prior; `draw_pooled` draws from it as it is meant, without a bound.
    """
    if pool and behaviours > 1:
        centre = _centre(f"{name}_mean", mean, sd)
        width = _width(name, spread)
    elif math.isinf(sd):
        centre, width = 0.0, 1.0
    else:
        centre, width = mean, sd
    flat = math.isinf(sd) and (not pool or behaviours == 1)
    free = _centre(f"{name}_offset", 0.0, np.inf if flat else 1.0, behaviours)
    least = (bound - centre) / width
    standard = least + _softplus(free - least)
    # ``free`` already carries its own normal density; swap it for the one of z.
    prior = 0.0 if flat else 0.5 * (free**2 - standard**2)
    pm.Potential(f"{name}_prior", prior - _softplus(least - free))
    return pm.Deterministic(name, centre + width * standard, dims="behaviour")


def _softplus(value: Any) -> Any:
    """``log(1 + exp(value))``, with a finite gradient everywhere.

    In JAX, PyTensor's own is a choice between formulas, and one that is not chosen
    spoils the gradient where it overflows (infinity times 0): beyond 709 either way.
    """
    return pt.switch(
        pt.gt(value, 30.0), value, pt.softplus(pt.clip(value, -700.0, 30.0))
    )


def draw_pooled(
    rng: np.random.Generator,
    name: str,
    behaviours: int,
    *,
    mean: float,
    sd: float,
    spread: float,
    pool: bool,
) -> dict[str, np.ndarray]:
    """The prior of `partially_pooled` run forwards: hyperparameters, then parameters.

    Raises
    ------
    InvalidInput
        If ``sd`` is infinite: a flat prior cannot be drawn from.
    """
    if math.isinf(sd):
        raise InvalidInput(
            f"the prior of {name} is flat ({name}_sd=inf): nothing can be drawn from "
            f"it. Give a finite {name}_sd to simulate."
        )
    if not pool or behaviours == 1:
        return {name: rng.normal(mean, sd, behaviours)}
    centre = rng.normal(mean, sd)
    width = rng.lognormal(math.log(spread), SPREAD_LOG_SD)
    return {
        f"{name}_mean": np.asarray(centre),
        f"{name}_spread": np.asarray(width),
        name: rng.normal(centre, width, behaviours),
    }
