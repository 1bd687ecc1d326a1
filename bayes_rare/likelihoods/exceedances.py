"""What an evaluation says of a tail: the data that enter a density, and the density.

Arrays have one row per behaviour. Rows differ in length, so they are padded with
multiplicity 0, and to a few sizes only, so that data sets of about one size share one
compiled program. Everything is float64: integer data would be int32 in JAX, where
multiplicities overflow.
"""

import math
from collections.abc import Mapping
from typing import Any, SupportsIndex

import numpy as np
import pymc
import pytensor.tensor
from jaxtyping import Float

from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation, ScoreCells
from bayes_rare.likelihoods.layout import padded_length, padded_rows
from bayes_rare.populations import BodyAndTail, gpd_quantile
from bayes_rare.populations.pareto import smooth_log_survival

__all__ = [
    "BODY_CELLS",
    "binomial_logp",
    "exceedance_data",
    "gpd_logp",
    "gpd_logsf",
    "observe_exceedances",
    "refuse_choices",
    "simulate_exceedances",
    "tail_population",
]

type Array = Float[np.ndarray, "..."]

# Symbolic values have no useful types; neither library gives them any.
pm: Any = pymc

pt: Any = pytensor.tensor

BODY_CELLS = 512
"""Scores at or below the threshold are kept in at most this many cells."""

# Fewer exceedances than this are not worth proposing.
_FEWEST = 5


def exceedance_data(
    evaluation: Evaluation,
    *,
    exceedances: int | None = None,
    fraction: float | None = None,
    threshold: float | None = None,
) -> dict[str, Array]:
    """Scores above a threshold, and the body below it, ready for a density.

    The threshold is the largest score with at least ``exceedances`` scores above it. It
    was chosen by the data, so it is not itself data: of m scores, m - 1 others are
    above it or not. A threshold that the caller gives leaves all m.

    Parameters
    ----------
    evaluation
        Exact risks of one or more behaviours.
    exceedances
        Number of scores above the threshold.
    fraction
        The same as a fraction of the queries, in (0, 1).
    threshold
        The threshold itself, a score.

    Returns
    -------
    By name: ``threshold`` (behaviour); ``others``, ``exceeding`` (behaviour), how many
    scores were compared with the threshold and how many were above it;
    ``excess``, ``multiplicity``, ``censored`` (behaviour, exceedance), where
    ``censored`` is 1 for scores known only to be larger; ``largest_excess``
    (behaviour); ``body_score``, ``body_count`` (behaviour, cell).

    Raises
    ------
    InvalidInput
        Unless exactly one of the three choices is given, in its range.
    NotApplicable
        If a behaviour has too few scores, too few distinct ones, or as many risks
        recorded as exactly 1 as it has exceedances.
    """
    refuse_choices(exceedances, fraction, threshold)
    tails = [
        _tail(behaviour, evaluation.scores(behaviour), exceedances, fraction, threshold)
        for behaviour in evaluation.behaviours
    ]
    length = padded_length(max(tail["excess"].size for tail in tails))
    cells = max(tail["body_score"].size for tail in tails)
    scalars = ("threshold", "others", "exceeding", "largest_excess")
    return {
        name: np.concatenate([tail[name] for tail in tails])
        if name in scalars
        else padded_rows(
            [tail[name] for tail in tails],
            cells if name.startswith("body") else length,
        )
        for name in tails[0]
    }


def refuse_choices(
    exceedances: int | float | None,
    fraction: int | float | None,
    threshold: int | float | None,
    *,
    or_none: bool = False,
) -> None:
    """Refuse several ways to choose a threshold, and one that is out of its range.

    Parameters
    ----------
    exceedances, fraction, threshold
        The ways, of which one is to be given.
    or_none
        Whether none may be given.

    Raises
    ------
    InvalidInput
        If they are not as they should be; numbers of exceedances are not looked at.
    """
    given = sum(way is not None for way in (exceedances, fraction, threshold))
    if given != 1 and not (or_none and given == 0):
        raise InvalidInput(
            "the threshold is chosen by one of exceedances=, fraction= and threshold="
            f"{', or by none' if or_none else ''}; got exceedances={exceedances}, "
            f"fraction={fraction}, threshold={threshold}. To use one, set the others "
            "to None."
        )
    if fraction is not None and not 0 < fraction < 1:
        raise InvalidInput(f"fraction is in (0, 1), got {fraction}.")
    if threshold is not None and not math.isfinite(threshold):
        raise InvalidInput(f"threshold is a finite score, got {threshold}.")


def _tail(
    behaviour: str,
    scores: ScoreCells,
    exceedances: int | None,
    fraction: float | None,
    threshold: float | None,
) -> dict[str, Array]:
    """The row of one behaviour."""
    wanted = _wanted_exceedances(behaviour, scores, exceedances, fraction)
    if threshold is None:
        threshold = _threshold(behaviour, scores, wanted)
        others = scores.size - 1
    else:
        others = scores.size
    above, below = _parted(behaviour, scores, threshold)
    exceeding = above.count.sum() + above.censored_above
    if exceeding < 1:
        raise NotApplicable(
            f"behaviour {behaviour!r} has no score above the threshold {threshold:g}; "
            f"its largest is {scores.score.max(initial=-np.inf):g}. Give a lower "
            "threshold, or exceedances= instead."
        )
    if above.censored_above >= exceeding:
        raise NotApplicable(
            f"behaviour {behaviour!r} has {above.censored_above} risks recorded as "
            f"exactly 1, and its {exceeding:g} exceedances are among them: a tail of "
            "scores known only to be large has no scale. Record log_risk in float64, "
            "ask for more exceedances than that, or use log_normal."
        )
    if above.score.size == 1 and exceeding > 1 and not above.censored_above:
        # Exceedances of one value would drive the scale of a tail to 0.
        raise NotApplicable(
            f"behaviour {behaviour!r} has {exceeding:g} scores above the threshold "
            f"{threshold:g}, and they are all tied: one value has no spread. Ask for "
            "more exceedances, or record log_risk with more digits."
        )
    excess = above.score - threshold
    multiplicity = above.count
    if above.censored_above:
        excess = np.append(excess, max(scores.highest - threshold, 0.0))
        multiplicity = np.append(multiplicity, float(above.censored_above))
    censored = np.zeros(excess.size)
    censored[above.count.size :] = 1.0
    body_score, body_count = below.coarsen(BODY_CELLS).with_zeros_at_bound()
    return {
        "threshold": np.array([threshold]),
        "others": np.array([float(others)]),
        "exceeding": np.array([float(exceeding)]),
        "largest_excess": np.array([excess.max()]),
        "excess": excess,
        "multiplicity": multiplicity,
        "censored": censored,
        "body_score": body_score,
        "body_count": body_count,
    }


def _parted(
    behaviour: str, scores: ScoreCells, threshold: float
) -> tuple[ScoreCells, ScoreCells]:
    """Scores above a threshold, and scores at or below it."""
    try:
        above, below = scores.above(threshold), scores.below(threshold)
    except InvalidInput as error:
        raise NotApplicable(
            f"behaviour {behaviour!r}: {error} If its risks were told from 0 and 1 "
            "more finely than that, say so by resolution= when the table is read."
        ) from error
    if not below.size:
        raise NotApplicable(
            f"behaviour {behaviour!r} has no score at or below the threshold "
            f"{threshold:g}; its smallest is {scores.score.min(initial=np.inf):g}. "
            "Give a higher threshold, or exceedances= instead."
        )
    return above, below


def _wanted_exceedances(
    behaviour: str, scores: ScoreCells, exceedances: int | None, fraction: float | None
) -> int:
    """The number of exceedances asked for, checked against what there is."""
    if fraction is not None:
        wanted = max(1, round(fraction * scores.size))
    elif exceedances is not None:
        if not (1 <= exceedances < math.inf) or exceedances != int(exceedances):
            raise InvalidInput(
                f"exceedances is a whole number from 1 on, got {exceedances}."
            )
        wanted = int(exceedances)
    else:
        return 0
    if scores.size <= wanted:
        fewer = scores.size // 2
        ask = f"ask for fewer exceedances (--prior exceedances={fewer}), "
        raise NotApplicable(
            f"behaviour {behaviour!r} has {scores.size} queries; a threshold with "
            f"{wanted} scores above it needs at least {wanted + 1}. Evaluate more "
            f"queries, {ask if fewer >= _FEWEST else ''}or use log_normal."
        )
    return wanted


def _threshold(behaviour: str, scores: ScoreCells, wanted: int) -> float:
    """The largest score with at least ``wanted`` scores above it."""
    above = scores.censored_above + np.concatenate([[0.0], np.cumsum(scores.count)])
    enough = np.flatnonzero(above[: scores.score.size] >= wanted)
    if scores.score.size == 0:
        raise NotApplicable(
            f"behaviour {behaviour!r} has no known score: {scores.censored_below} "
            f"risks were recorded as exactly 0, {scores.censored_above} as exactly 1. "
            "Record log_risk in float64."
        )
    if enough.size == 0:
        raise NotApplicable(
            f"the {scores.size} queries of behaviour {behaviour!r} have too few "
            f"different risks ({scores.score.size}): none has {wanted} others above "
            "it, so there is no tail to fit. Evaluate more queries, or record "
            "log_risk with more digits."
        )
    return float(scores.score[enough[0]])


def binomial_logp(successes: Any, trials: Any, chance: Any) -> Any:
    """Symbolic log chance of a count, for counts that are float64.

    ``log C(n, k) + k log p + (n - k) log(1 - p)``.
    """
    ways = (
        pt.gammaln(trials + 1)
        - pt.gammaln(successes + 1)
        - pt.gammaln(trials - successes + 1)
    )
    failures = trials - successes
    return ways + successes * pt.log(chance) + failures * pt.log1p(-chance)


def gpd_logsf(excess: Any, scale: Any, shape: Any) -> Any:
    """Symbolic log survival of the generalized Pareto distribution.

    ``-log1p(shape * x / scale) / shape``, as `bayes_rare.populations.gpd_log_survival`.
    """
    return smooth_log_survival(pt, excess, scale, shape)


def gpd_logp(excess: Any, scale: Any, shape: Any) -> Any:
    """Symbolic log density of the generalized Pareto distribution.

    ``-log(scale) + (1 + shape) * log S(x)``, since the density is
    ``S ** (1 + shape) / scale`` (Coles 2001, section 4.2).
    """
    return -pt.log(scale) + (1 + shape) * gpd_logsf(excess, scale, shape)


def observe_exceedances(data: Mapping[str, Any], scale: Any, shape: Any) -> None:
    """Add the exceedance count and the excesses to the model on the context stack.

    Parameters
    ----------
    data
        The variables of `exceedance_data`.
    scale, shape
        Tail by behaviour, symbolic, of shape (behaviour).

    Notes
    -----
    ``exceeding ~ Binomial(others, rate)`` with a uniform prior on the rate, whose
    posterior is Beta(1 + exceeding, 1 + others - exceeding); the excesses are
    generalized Pareto, each with its multiplicity, and censored ones count by their
    survival.
    """
    rate = pm.Beta("rate", 1.0, 1.0, dims="behaviour")
    pm.CustomDist(
        "exceedance_count",
        data["others"],
        rate,
        logp=binomial_logp,
        random=_draw_counts,
        observed=data["exceeding"],
        dims="behaviour",
        dtype="float64",
    )
    pm.CustomDist(
        "score_excess",
        scale[:, None],
        shape[:, None],
        data["multiplicity"],
        data["censored"],
        logp=_excess_logp,
        random=_draw_excesses,
        observed=data["excess"],
        dims=("behaviour", "exceedance"),
        dtype="float64",
    )


def _excess_logp(
    excess: Any, scale: Any, shape: Any, multiplicity: Any, censored: Any
) -> Any:
    known = gpd_logp(excess, scale, shape)
    return multiplicity * pt.switch(censored, gpd_logsf(excess, scale, shape), known)


def _draw_counts(
    others: Array, rate: Array, rng: np.random.Generator, size: Any = None
) -> Array:
    return rng.binomial(others.astype(np.int64), rate, size=size).astype(np.float64)


def _draw_excesses(
    scale: Array,
    shape: Array,
    multiplicity: Array,  # noqa: ARG001 a drawn excess stands for one query
    censored: Array,  # noqa: ARG001 and is known exactly
    rng: np.random.Generator,
    size: tuple[SupportsIndex, ...] | None = None,  # integers of NumPy's, from PyMC
) -> Array:
    return gpd_quantile(rng.standard_exponential(size), scale, shape)


def tail_population(
    draws: Mapping[str, Array], data: Mapping[str, Array], shape: Array
) -> BodyAndTail:
    """Population of one behaviour, from draws of ``rate`` and ``scale`` and a shape."""
    seen = data["body_count"] > 0
    return BodyAndTail(
        threshold=float(data["threshold"]),
        rate=draws["rate"],
        scale=draws["scale"],
        shape=shape,
        body_score=data["body_score"][seen],
        body_count=data["body_count"][seen],
    )


def simulate_exceedances(
    rng: np.random.Generator,
    design: Mapping[str, int],
    threshold: float,
    scale: Array,
    shape: Array,
) -> tuple[Array, Evaluation]:
    """Exceedance rates and an evaluation from the story of a tail above a threshold.

    A query is above the threshold with chance ``rate ~ Uniform(0, 1)``, and then by a
    generalized Pareto excess; below it, by a standard exponential (no tail model says
    how scores below the threshold arise: any continuous distribution serves).

    Parameters
    ----------
    rng
        Source of randomness.
    design
        Number of queries of each behaviour.
    threshold
        Threshold, the same for all.
    scale, shape
        Tail of each behaviour, of shape (behaviour).
    """
    rate = rng.random(len(design))
    scores: dict[str, Array] = {}
    for index, (behaviour, queries) in enumerate(design.items()):
        above = rng.random(queries) < rate[index]
        depth = rng.standard_exponential(queries)
        excess = gpd_quantile(depth, scale[index], shape[index])
        scores[behaviour] = threshold + np.where(above, excess, -depth)
    return rate, Evaluation.from_scores(scores)
