"""A population of steps and a tail in PyMC, and what counts and estimates say of it.

A query's score comes from a density of steps below a threshold and a generalized Pareto
tail above it. Steps and tail join as steps do among themselves: going down, the
logarithm of the density changes at each edge by a normal amount, the threshold
included, where the density of the tail is ``rate / scale``. So there is one density
from the lowest step to the tail, smooth as far as the prior says and no smoother, and a
body of any form, of clusters too, leaves the tail to the riskiest queries. A parametric
body would not: its many queries would rule the tail of the few.

Everything is float64: integer data would be int32 in JAX, where multiplicities
overflow.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pymc
import pytensor.tensor
from jaxtyping import Float
from scipy.special import logsumexp

from bayes_rare import latent
from bayes_rare.detached import detached
from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.families import of_family
from bayes_rare.likelihoods import DIMS, padded, refuse_choices, stacked
from bayes_rare.likelihoods import data_variables as known
from bayes_rare.populations import StepsAndTail

__all__ = [
    "FEWEST_TALLIES",
    "POINTWISE",
    "TALLY",
    "counted",
    "draw_scores",
    "draw_steps",
    "known",
    "observe_outcomes",
    "outcome_data",
    "outcome_rows",
    "outcomes",
    "prior_of_steps",
    "steps_nodes",
    "steps_population",
]

type Array = Float[np.ndarray, "..."]
type Nodes = Callable[[Any, int, Any], tuple[Any, Any]]

# Symbolic values have no useful types; neither library gives them any.
pm: Any = pymc
pt: Any = pytensor.tensor

POINTWISE = {
    "tallies": "tally_count",
    "sharp_tallies": "sharp_count",
    "estimates": "estimate_count",
}
"""Observed variables, and the data that say how many queries each cell stands for."""

DIMS.update(
    {
        "edges": ("behaviour", "edge"),
        "successes": ("behaviour", "tally"),
        "trials": ("behaviour", "tally"),
        "ways": ("behaviour", "tally"),
        "tally_count": ("behaviour", "tally"),
        "tally_breaks": ("behaviour", "break"),
        "tally_family": ("behaviour", "tally"),
        "sharp_successes": ("behaviour", "sharp_tally"),
        "sharp_trials": ("behaviour", "sharp_tally"),
        "sharp_ways": ("behaviour", "sharp_tally"),
        "sharp_count": ("behaviour", "sharp_tally"),
        "sharp_family": ("behaviour", "sharp_tally"),
        "sharp_breaks": ("behaviour", "sharp_tally", "sharp_break"),
        "estimated": ("behaviour", "estimate"),
        "estimate_error": ("behaviour", "estimate"),
        "estimate_count": ("behaviour", "estimate"),
        "estimate_family": ("behaviour", "estimate"),
        "estimate_breaks": ("behaviour", "estimate", "estimate_break"),
    }
)

TALLY = ("successes", "trials", "ways", "tally_count")
"""Data of tallies that share nodes."""

SHARP_TALLY = ("sharp_successes", "sharp_trials", "sharp_ways", "sharp_count")

FEWEST_TALLIES = 128
"""Rows of tallies are padded to this length at least.

An evaluation of any size, with one number of trials up to 127 for all, has one compiled
program.
"""


def outcome_data(
    evaluation: Evaluation,
    *,
    exceedances: int | float | None,
    fraction: int | float | None,
    threshold: int | float | None,
) -> dict[str, Array]:
    """The outcomes of an evaluation as arrays, ready for a density.

    Parameters
    ----------
    evaluation
        Counts or estimates of one or more behaviours.
    exceedances
        About how many queries have a score above the threshold; that of
        `bayes_rare.latent.usual_exceedances` where none of the three is given.
    fraction
        The same as a fraction of the queries, in (0, 1).
    threshold
        The threshold itself, a score.

    Returns
    -------
    By name, a row a behaviour: ``edges``; of tallies ``successes``, ``trials``,
    ``ways`` and ``tally_count``, with ``tally_breaks``; the same of tallies of very
    many trials, named ``sharp_...``; of estimates ``estimated``, ``estimate_error``,
    ``estimate_count`` and ``estimate_breaks``. What no behaviour has is left out.

    Raises
    ------
    InvalidInput
        If more than one of the three choices is given, or one is outside its range.
    NotApplicable
        If a behaviour has exact risks.
    """
    refuse_choices(exceedances, fraction, threshold, or_none=True)
    if exceedances is not None and not exceedances > 0:
        raise InvalidInput(f"exceedances is a positive number, got {exceedances}.")
    rows = [outcomes(evaluation, name) for name in evaluation.behaviours]
    edges: list[Array] = []
    for row in rows:
        tallies = {name: row[name] for name in ("successes", "trials", "count")}
        estimates = {
            "log_risk": row["estimated"],
            "log_risk_se": row["estimate_error"],
            "count": row["estimate_count"],
        }
        queries = row["count"].sum() + row["estimate_count"].sum()
        wanted = exceedances or latent.usual_exceedances(queries)
        wanted = wanted if fraction is None else fraction * queries
        chosen = (
            latent.threshold_of(tallies, estimates, wanted)
            if threshold is None
            else float(threshold)
        )
        edges.append(latent.step_edges(chosen, _finest(row)))
    return {"edges": np.stack(edges), **outcome_rows(rows, FEWEST_TALLIES)}


def outcome_rows(rows: list[dict[str, Array]], fewest: int = 1) -> dict[str, Array]:
    """Outcomes of all behaviours as arrays, with what their integrals need.

    Parameters
    ----------
    rows
        What `outcomes` gives, a behaviour each.
    fewest
        Least length of a row of tallies.

    Returns
    -------
    Those of `outcome_data` but ``edges``; of rows by family also ``tally_family``,
    ``sharp_family`` and ``estimate_family``.
    """
    return {**_tallies(rows, fewest), **_sharp_tallies(rows), **_estimates(rows)}


def outcomes(
    evaluation: Evaluation, behaviour: str, *, by_family: bool = False
) -> dict[str, Array]:
    """Distinct outcomes of one behaviour, with their weight.

    Parameters
    ----------
    evaluation
        Counts or estimates of one or more behaviours.
    behaviour
        Which one.
    by_family
        Whether outcomes of different families are kept apart.

    Returns
    -------
    ``successes``, ``trials`` and ``count`` of tallies; ``estimated``,
    ``estimate_error`` and ``estimate_count`` of estimates. Counts are weights: they sum
    to the effective number of queries. By family also ``family`` and
    ``estimate_family``, codes of the evaluation's labels.

    Raises
    ------
    NotApplicable
        If the behaviour has exact risks.
    """
    if evaluation.kind(behaviour) == "exact":
        raise NotApplicable(
            f"behaviour {behaviour!r} has exact risks, and this model takes counts and "
            "estimates. Use gpd_tail for it (--behaviours)."
        )
    code = evaluation.behaviours.index(behaviour)
    tallied, estimated = (
        {
            name: np.asarray(values[part["behaviour"] == code], np.float64)
            for name, values in part.items()
        }
        for part in (evaluation.tallied, evaluation.estimated)
    )
    keys = [tallied["trials"], tallied["successes"]]
    if by_family:
        keys.insert(0, tallied["family"])
    distinct, place = np.unique(np.stack(keys), axis=1, return_inverse=True)
    found = {
        "successes": distinct[-1],
        "trials": distinct[-2],
        "count": np.bincount(
            np.ravel(place), weights=tallied["weight"], minlength=distinct.shape[1]
        ).astype(np.float64),
        "estimated": estimated["log_risk"],
        "estimate_error": estimated["log_risk_se"],
        "estimate_count": estimated["weight"],
    }
    if by_family:
        found |= {"family": distinct[0], "estimate_family": estimated["family"]}
    return found


def _finest(row: Mapping[str, Array]) -> float:
    """Trials that could show a risk as small as the finest outcome does."""
    trials = float(row["trials"].max(initial=1.0))
    if not row["estimated"].size:
        return trials
    return max(trials, float(np.exp(min(-row["estimated"].min(), 600.0))))


def _tallies(rows: list[dict[str, Array]], fewest: int) -> dict[str, Array]:
    chosen = [row["trials"] <= latent.SHARED_TRIALS for row in rows]
    if not any(some.any() for some in chosen):
        return {}
    most = max(
        float(row["trials"][some].max(initial=1.0))
        for row, some in zip(rows, chosen, strict=True)
    )
    breaks = latent.shared_breaks(most)
    return {
        **counted(rows, chosen, TALLY, fewest),
        "tally_breaks": np.tile(breaks, (len(rows), 1)),
    }


def _sharp_tallies(rows: list[dict[str, Array]]) -> dict[str, Array]:
    chosen = [row["trials"] > latent.SHARED_TRIALS for row in rows]
    if not any(some.any() for some in chosen):
        return {}
    data = counted(rows, chosen, SHARP_TALLY)
    length = data["sharp_count"].shape[1]
    breaks = [
        latent.sharp_breaks(row["successes"][some], row["trials"][some])
        for row, some in zip(rows, chosen, strict=True)
    ]
    return data | {"sharp_breaks": _stacked_breaks(breaks, length)}


def counted(
    rows: list[dict[str, Array]],
    chosen: list[np.ndarray],
    names: tuple[str, ...],
    fewest: int = 1,
) -> dict[str, Array]:
    """Some of the tallies of each behaviour, padded to one length.

    Parameters
    ----------
    rows
        What `outcomes` gives, a behaviour each.
    chosen
        Which tallies of each behaviour.
    names
        What the successes, trials, numbers of orders and counts are to be called.
    fewest
        Least length.
    """
    longest = max(int(some.sum()) for some in chosen)
    length = max(fewest, padded(longest))
    columns = [
        (
            row["successes"][some],
            row["trials"][some],
            latent.log_ways(row["successes"][some], row["trials"][some]),
            row["count"][some],
            *([row["family"][some]] if "family" in row else []),
        )
        for row, some in zip(rows, chosen, strict=True)
    ]
    if "family" in rows[0]:
        names = (*names, names[-1].replace("count", "family"))
    return {
        name: stacked(list(column), length)
        for name, column in zip(names, zip(*columns, strict=True), strict=True)
    }


def _estimates(rows: list[dict[str, Array]]) -> dict[str, Array]:
    longest = max(row["estimated"].size for row in rows)
    if not longest:
        return {}
    length = padded(longest)
    # Padding has a standard error of 1: that of 0 would be no number.
    errors = [
        np.pad(
            row["estimate_error"],
            (0, length - row["estimate_error"].size),
            constant_values=1.0,
        )
        for row in rows
    ]
    breaks = [
        latent.estimate_breaks(row["estimated"], row["estimate_error"]) for row in rows
    ]
    of_rows = ("estimated", "estimate_count", "estimate_family")
    return {
        **{
            name: stacked([row[name] for row in rows], length)
            for name in of_rows
            if name in rows[0]
        },
        "estimate_error": np.stack(errors),
        "estimate_breaks": _stacked_breaks(breaks, length),
    }


def _stacked_breaks(breaks: list[Array], length: int) -> Array:
    return np.stack([np.pad(b, ((0, length - len(b)), (0, 0))) for b in breaks])


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
    shift = together[:, None] * (np.arange(latent.STEPS) == latent.STEPS - 1)
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
        rng.standard_normal((len(edges), latent.STEPS)),
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
        return latent.population_nodes(pt, *population, breaks, number, detached)

    return nodes


def _as_it_is(log_risk: Any, log_safe: Any) -> tuple[Any, Any]:
    return log_risk, log_safe


def _where_it_is(breaks: Any) -> Any:
    return breaks


def observe_outcomes(
    data: Mapping[str, Any],
    nodes: Nodes,
    answer: Any = _as_it_is,
    placed: Any = _where_it_is,
    whole: tuple[Any, Any, Any] | None = None,
) -> None:
    """Add counts and estimates to the model on the context stack, risks integrated out.

    ``P(s of t) = integral of C(t, s) q(p)**s (1 - q(p))**(t - s) f(score) d score``,
    and of a normal density around the log risk for an estimate.

    Parameters
    ----------
    data
        The variables of `outcome_data`.
    nodes
        Of an integral over the population: from breaks of likelihoods, (behaviour, row,
        break), and how many nodes a panel has, to scores and log weights, (behaviour,
        row, node). Where outcomes are by family, from their places too: without them,
        a row is a family.
    answer
        From log chances that a response shows the behaviour, and that it does not, to
        those that it is recorded as showing it; the same without a judge that errs.
    placed
        From breaks of the recorded share, as scores, to breaks of the risk.
    whole
        Log chances that a query's responses are recorded one by one, all as showing the
        behaviour, and none, whatever they show; where a judge errs on whole queries.
    """
    if "successes" in data:
        breaks = placed(data["tally_breaks"])[:, None, :]
        by_family = "tally_family" in data
        number = latent.FAMILY_NODES if by_family else latent.SHARED_NODES
        score, log_measure = nodes(breaks, number, None)
        at_nodes = (*answer(*latent.log_chances(pt, score)), log_measure)
        logp = _tally_logp
        if by_family:
            place = data["tally_family"]
            at_nodes, logp = [of_family(x, place) for x in at_nodes], _own_tally_logp
        _observe_tallies("tallies", data, TALLY, at_nodes, logp, whole)
    if "sharp_successes" in data:
        score, log_measure = nodes(
            placed(data["sharp_breaks"]), latent.SHARP_NODES, data.get("sharp_family")
        )
        yes, no = answer(*latent.log_chances(pt, score))
        _observe_tallies(
            "sharp_tallies",
            data,
            SHARP_TALLY,
            (yes, no, log_measure),
            _own_tally_logp,
            whole,
        )
    if "estimated" in data:
        score, log_measure = nodes(
            data["estimate_breaks"], latent.SHARP_NODES, data.get("estimate_family")
        )
        pm.CustomDist(
            "estimates",
            -pt.exp(-score),
            log_measure,
            data["estimate_error"],
            data["estimate_count"],
            logp=_estimate_logp,
            signature="(n),(n),(),()->()",
            random=_draw_estimates,
            observed=data["estimated"],
            dims=DIMS["estimated"],
            dtype="float64",
        )


def _observe_tallies(
    name: str,
    data: Mapping[str, Any],
    names: tuple[str, ...],
    at_nodes: Sequence[Any],
    logp: Any,
    whole: tuple[Any, Any, Any] | None,
) -> None:
    successes, trials, ways, count = (data[each] for each in names)
    pm.CustomDist(
        name,
        *at_nodes,
        trials,
        ways,
        count,
        *(whole or ()),
        logp=logp,
        signature=f"(n),(n),(n),(),(),(){',()' * len(whole or ())}->()",
        random=_draw_tallies,
        observed=successes,
        dims=DIMS[names[0]],
        dtype="float64",
    )


def _tally_logp(
    successes: Any,
    yes: Any,
    no: Any,
    log_measure: Any,
    trials: Any,
    ways: Any,
    count: Any,
    *whole: Any,
) -> Any:
    """Log chance of tallies over shared nodes, times how many queries have each.

    The terms are a product of two small matrices: so is their gradient.
    """
    outcome = pt.stack([successes, trials - successes, pt.ones_like(trials)], axis=2)
    chances = pt.concatenate([yes, no, log_measure], axis=1)
    log_chance = ways + _log_sum(pt.matmul(outcome, chances))
    return count * _with_whole(log_chance, successes, trials, *whole)


def _own_tally_logp(
    successes: Any,
    yes: Any,
    no: Any,
    log_measure: Any,
    trials: Any,
    ways: Any,
    count: Any,
    *whole: Any,
) -> Any:
    """Log chance of tallies that have nodes of their own, times their number."""
    failures = trials - successes
    terms = successes[:, :, None] * yes + failures[:, :, None] * no + log_measure
    log_chance = ways + _log_sum(terms)
    return count * _with_whole(log_chance, successes, trials, *whole)


def _with_whole(log_chance: Any, successes: Any, trials: Any, *whole: Any) -> Any:
    """Log chance of tallies where a judge may err on all responses of a query alike."""
    if not whole:
        return log_chance
    one_by_one, all_of_them, none = whole
    answer = log_chance + one_by_one
    for log_share, holds in (
        (all_of_them, pt.eq(successes, trials)),
        (none, pt.eq(successes, 0.0)),
    ):
        answer = pt.switch(holds, pt.logaddexp(answer, log_share), answer)
    return answer


def _estimate_logp(
    estimate: Any, log_risk: Any, log_measure: Any, error: Any, count: Any
) -> Any:
    """Log density of estimates, times how many queries have each."""
    terms = log_measure + latent.log_normal_density(
        pt, estimate[:, :, None], error[:, :, None], log_risk
    )
    return count * _log_sum(terms)


def _log_sum(terms: Any) -> Any:
    """Log of the sum of exponentials along the last axis."""
    # Detached, as the gradient through the largest term adds up to nothing.
    largest = detached(pt.max(terms, axis=2, keepdims=True))
    return pt.log(pt.sum(pt.exp(terms - largest), axis=2)) + largest[:, :, 0]


def _drawn_nodes(
    values: tuple[Array, ...], log_measure: Array, rng: np.random.Generator, rows: int
) -> list[Array]:
    """Values at nodes drawn by their weights, one for each row of a behaviour."""
    level = np.cumsum(np.exp(log_measure), axis=2)
    uniform = rng.random((level.shape[0], rows, 1)) * level[:, :, -1:]
    node = np.minimum((level < uniform).sum(axis=2), level.shape[2] - 1)
    return [
        np.take_along_axis(
            np.broadcast_to(each, (each.shape[0], rows, each.shape[2])),
            node[:, :, None],
            axis=2,
        )[:, :, 0]
        for each in values
    ]


def _draw_tallies(
    yes: Array,
    no: Array,  # noqa: ARG001 what is drawn is a count of successes
    log_measure: Array,
    trials: Array,
    ways: Array,  # noqa: ARG001 orders do not matter
    count: Array,  # noqa: ARG001 a drawn tally stands for one query
    *whole: Array,
    rng: np.random.Generator,
    size: Any = None,  # noqa: ARG001 that of the data
) -> Array:
    [drawn] = _drawn_nodes((yes,), log_measure, rng, trials.shape[1])
    counts = rng.binomial(trials.astype(np.int64), np.exp(drawn)).astype(np.float64)
    if not whole:
        return counts
    one_by_one, all_of_them, _ = np.exp(np.asarray(whole))
    uniform = rng.random(counts.shape)
    return np.where(
        uniform < one_by_one,
        counts,
        np.where(uniform < one_by_one + all_of_them, trials, 0.0),
    )


def _draw_estimates(
    log_risk: Array,
    log_measure: Array,
    error: Array,
    count: Array,  # noqa: ARG001 a drawn estimate stands for one query
    rng: np.random.Generator,
    size: Any = None,  # noqa: ARG001 that of the data
) -> Array:
    [drawn] = _drawn_nodes((log_risk,), log_measure, rng, error.shape[1])
    return rng.normal(drawn, error)


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
