"""A population of density steps below a threshold and a tail above it, in PyMC."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pymc
import pytensor.tensor
from jaxtyping import Float
from scipy.special import logsumexp

from bayes_rare.likelihoods import quadrature
from bayes_rare.likelihoods.stop_gradient import detached
from bayes_rare.populations import StepsAndTail

__all__ = [
    "draw_scores",
    "draw_steps",
    "prior_of_steps",
    "steps_nodes",
    "steps_population",
]

type Array = Float[np.ndarray, "..."]

type Nodes = Callable[[Any, int, Any], tuple[Any, Any]]

# Symbolic values have no useful types; neither library gives them any.
pm: Any = pymc

pt: Any = pytensor.tensor


def prior_of_steps(
    edges: Any, scale: Any, *, step_rise: float, step_sd: float, lowest_step_sd: float
) -> tuple[Any, Any]:
    """Log fractions of queries in the steps and in the tail, with their prior.

    Going down from the tail, whose density at the threshold is ``rate / scale``, the
    logarithm of the density rises by ``Normal(step_rise, step_sd)`` at each edge; into
    the lowest step, of queries whose risk no tally could show, it changes by
    ``Normal(0, lowest_step_sd)``. The fractions of all sum to 1.

    Parameters
    ----------
    edges
        Edges of the steps, (behaviour, edge).
    scale
        Scale of the tail, (behaviour).
    step_rise, step_sd
        Mean and standard deviation of the rise from one step to the next one down.
    lowest_step_sd
        Standard deviation of the change into the lowest step.

    Returns
    -------
    Log weights of the steps (behaviour, step), from the lowest up, and the log rate
    (behaviour), both symbolic.
    """
    log_width = pt.log(edges[:, 1:] - edges[:, :-1])
    lowest_offset = pm.Normal("lowest_step_offset", 0.0, 1.0, dims="behaviour")
    # What counts say is how many queries are in the two lowest steps together, hardly
    # how many in each: so the last offset is that of their sum. This moves it by a
    # known amount, which leaves the prior of the heights as it is.
    drop = lowest_step_sd * lowest_offset + log_width[:, 0] - log_width[:, 1]
    together = pt.softplus(drop) / step_sd
    shift = together[:, None] * (np.arange(quadrature.STEPS) == quadrature.STEPS - 1)
    offset = pm.Normal("step_offset", shift, 1.0, dims=("behaviour", "upper_step"))
    log_mass = _log_masses(
        pt,
        offset - shift,
        lowest_offset,
        log_width,
        pt.log(scale),
        (step_rise, step_sd, lowest_step_sd),
    )
    log_share = log_mass - pt.logsumexp(log_mass, axis=1, keepdims=True)
    log_weight, log_rate = log_share[:, :-1], log_share[:, -1]
    pm.Deterministic("step_weight", pt.exp(log_weight), dims=("behaviour", "step"))
    pm.Deterministic("rate", pt.exp(log_rate), dims="behaviour")
    return log_weight, log_rate


def _log_masses(
    xp: Any,
    offset: Any,
    lowest_offset: Any,
    log_width: Any,
    log_scale: Any,
    prior: tuple[float, float, float],
) -> Any:
    """Log masses of steps from the lowest up, and of the tail, up to a constant."""
    rise, sd, lowest_sd = prior
    # From the threshold down, in units of the density of the tail at the threshold.
    log_height = xp.cumsum(rise + sd * offset, axis=1)
    lowest = log_height[:, -1] + lowest_sd * lowest_offset
    rising = xp.concatenate([lowest[:, None], log_height[:, ::-1]], axis=1)
    return xp.concatenate([rising + log_width, log_scale[:, None]], axis=1)


def draw_steps(
    rng: np.random.Generator,
    edges: Array,
    scale: Array,
    *,
    step_rise: float,
    step_sd: float,
    lowest_step_sd: float,
) -> tuple[Array, Array]:
    """The prior of `prior_of_steps` run forwards: weights of the steps, and rates.

    Parameters
    ----------
    rng
        Source of randomness.
    edges, scale, step_rise, step_sd, lowest_step_sd
        As in `prior_of_steps`, numbers.
    """
    log_mass = _log_masses(
        np,
        rng.standard_normal((len(edges), quadrature.STEPS)),
        rng.standard_normal(len(edges)),
        np.log(np.diff(edges, axis=1)),
        np.log(scale),
        (step_rise, step_sd, lowest_step_sd),
    )
    share = np.exp(log_mass - logsumexp(log_mass, axis=1, keepdims=True))
    return share[:, :-1], share[:, -1]


def draw_scores(
    rng: np.random.Generator,
    queries: int,
    edges: Array,
    weight: Array,
    tail: tuple[float, float, float],
) -> Array:
    """Scores of queries of one behaviour, drawn from steps and a tail.

    Parameters
    ----------
    rng
        Source of randomness.
    queries
        How many.
    edges, weight
        Edges of the steps, and the fraction of queries in each.
    tail
        Rate, scale and shape of the tail.
    """
    rate, scale, shape = (np.repeat(value, queries) for value in tail)
    weights = np.repeat(weight[:, None], queries, axis=1)
    population = StepsAndTail(edges, weights, rate, scale, shape)
    return population.quantile(np.log(rng.random(queries)))


def steps_nodes(
    data: Mapping[str, Any], log_weight: Any, log_rate: Any, scale: Any, shape: Any
) -> Nodes:
    """Nodes of integrals over a population of steps and a tail.

    Parameters
    ----------
    data
        The variables of `outcome_data`.
    log_weight, log_rate, scale, shape
        Log fractions in steps and tail, scale and shape of the tail.
    """

    def nodes(breaks: Any, number: int, _place: Any) -> tuple[Any, Any]:
        population = (data["edges"], log_weight, log_rate, scale, shape)
        return quadrature.population_nodes(pt, *population, breaks, number, detached)

    return nodes


def steps_population(
    draws: Mapping[str, Array], data: Mapping[str, Array]
) -> StepsAndTail:
    """Population of one behaviour, from the draws of a model of steps and a tail."""
    return StepsAndTail(
        edges=data["edges"],
        weight=draws["step_weight"],
        rate=draws["rate"],
        scale=draws["scale"],
        shape=draws["shape"],
    )
