"""A population of steps and a tail in PyMC, and what counts and estimates say of it.

A query's score comes from a density of steps below a threshold and a generalized Pareto
tail above it. From each step down to the next, and from the tail to the first step, the
logarithm of the density changes by a normal amount; the density of the tail at the
threshold is ``rate / scale``. So the density is as smooth as its prior says, the body
may have any form, even clusters, and the riskiest queries determine the tail. With a
parametric body, the many ordinary queries would determine the tail.

Everything is float64: integer data would be int32 in JAX, where multiplicities
overflow.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pymc
import pytensor.tensor
from jaxtyping import Float

from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.likelihoods import quadrature
from bayes_rare.likelihoods.exceedances import refuse_choices
from bayes_rare.likelihoods.families import of_family
from bayes_rare.likelihoods.layout import DIMS, padded_length, padded_rows
from bayes_rare.likelihoods.stop_gradient import detached

__all__ = [
    "FEWEST_TALLIES",
    "POINTWISE",
    "TALLY",
    "counted",
    "observe_outcomes",
    "outcome_data",
    "outcome_rows",
    "outcomes",
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
        `bayes_rare.likelihoods.quadrature.usual_exceedances` where none of the three is
        given.
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
        wanted = exceedances or quadrature.usual_exceedances(queries)
        wanted = wanted if fraction is None else fraction * queries
        chosen = (
            quadrature.threshold_of(tallies, estimates, wanted)
            if threshold is None
            else float(threshold)
        )
        edges.append(quadrature.step_edges(chosen, _finest(row)))
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
    seen = evaluation.behaviour(behaviour)
    if seen.kind == "exact":
        raise NotApplicable(
            f"behaviour {behaviour!r} has exact risks, and this model takes counts and "
            "estimates. Use gpd_tail for it (--behaviours)."
        )
    tallied, estimated = (
        {name: np.asarray(values, np.float64) for name, values in part.items()}
        for part in (seen.tallies, seen.estimates)
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
    chosen = [row["trials"] <= quadrature.SHARED_TRIALS for row in rows]
    if not any(some.any() for some in chosen):
        return {}
    most = max(
        float(row["trials"][some].max(initial=1.0))
        for row, some in zip(rows, chosen, strict=True)
    )
    breaks = quadrature.shared_breaks(most)
    return {
        **counted(rows, chosen, TALLY, fewest),
        "tally_breaks": np.tile(breaks, (len(rows), 1)),
    }


def _sharp_tallies(rows: list[dict[str, Array]]) -> dict[str, Array]:
    chosen = [row["trials"] > quadrature.SHARED_TRIALS for row in rows]
    if not any(some.any() for some in chosen):
        return {}
    data = counted(rows, chosen, SHARP_TALLY)
    length = data["sharp_count"].shape[1]
    breaks = [
        quadrature.sharp_breaks(row["successes"][some], row["trials"][some])
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
    length = max(fewest, padded_length(longest))
    columns = [
        (
            row["successes"][some],
            row["trials"][some],
            quadrature.log_ways(row["successes"][some], row["trials"][some]),
            row["count"][some],
            *([row["family"][some]] if "family" in row else []),
        )
        for row, some in zip(rows, chosen, strict=True)
    ]
    if "family" in rows[0]:
        names = (*names, names[-1].replace("count", "family"))
    return {
        name: padded_rows(list(column), length)
        for name, column in zip(names, zip(*columns, strict=True), strict=True)
    }


def _estimates(rows: list[dict[str, Array]]) -> dict[str, Array]:
    longest = max(row["estimated"].size for row in rows)
    if not longest:
        return {}
    length = padded_length(longest)
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
        quadrature.estimate_breaks(row["estimated"], row["estimate_error"])
        for row in rows
    ]
    of_rows = ("estimated", "estimate_count", "estimate_family")
    return {
        **{
            name: padded_rows([row[name] for row in rows], length)
            for name in of_rows
            if name in rows[0]
        },
        "estimate_error": np.stack(errors),
        "estimate_breaks": _stacked_breaks(breaks, length),
    }


def _stacked_breaks(breaks: list[Array], length: int) -> Array:
    return np.stack([np.pad(b, ((0, length - len(b)), (0, 0))) for b in breaks])


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
        number = quadrature.FAMILY_NODES if by_family else quadrature.SHARED_NODES
        score, log_measure = nodes(breaks, number, None)
        at_nodes = (*answer(*quadrature.log_chances(pt, score)), log_measure)
        logp = _tally_logp
        if by_family:
            place = data["tally_family"]
            at_nodes, logp = [of_family(x, place) for x in at_nodes], _own_tally_logp
        _observe_tallies("tallies", data, TALLY, at_nodes, logp, whole)
    if "sharp_successes" in data:
        score, log_measure = nodes(
            placed(data["sharp_breaks"]),
            quadrature.SHARP_NODES,
            data.get("sharp_family"),
        )
        yes, no = answer(*quadrature.log_chances(pt, score))
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
            data["estimate_breaks"], quadrature.SHARP_NODES, data.get("estimate_family")
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
    terms = log_measure + quadrature.log_normal_density(
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
