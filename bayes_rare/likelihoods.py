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
from bayes_rare.populations import BodyAndTail, gpd_quantile

__all__ = [
    "BODY_CELLS",
    "DIMS",
    "binomial_logp",
    "cell_data",
    "data_variables",
    "exceedance_data",
    "gpd_logp",
    "gpd_logsf",
    "normal_cell_logp",
    "normal_logcdf",
    "observe_exceedances",
    "padded",
    "refuse_choices",
    "simulate_exceedances",
    "stacked",
    "tail_population",
]

type Array = Float[np.ndarray, "..."]

# Symbolic values have no useful types; neither library gives them any.
pm: Any = pymc
pt: Any = pytensor.tensor

BODY_CELLS = 512
"""Scores at or below the threshold are kept in at most this many cells."""

DIMS: dict[str, tuple[str, ...]] = {
    "threshold": ("behaviour",),
    "others": ("behaviour",),
    "exceeding": ("behaviour",),
    "largest_excess": ("behaviour",),
    "excess": ("behaviour", "exceedance"),
    "multiplicity": ("behaviour", "exceedance"),
    "censored": ("behaviour", "exceedance"),
    "body_score": ("behaviour", "cell"),
    "body_count": ("behaviour", "cell"),
    "cell_score": ("behaviour", "cell"),
    "cell_count": ("behaviour", "cell"),
    "cell_squares": ("behaviour", "cell"),
    "cell_censored": ("behaviour", "cell"),
    "cell_family": ("behaviour", "cell"),
    "family_count": ("behaviour", "family"),
    "family_top": ("behaviour", "family"),
    "zeros": ("behaviour", "family"),
    "ones": ("behaviour", "family"),
    "location_guess": ("behaviour", "family"),
    "known_scores": ("behaviour", "family"),
    "log_scale_guess": ("behaviour", "family"),
    "scale_weight": ("behaviour", "family"),
    "shared_place": ("behaviour", "family"),
    "shared_count": ("behaviour", "shared_family"),
    "lowest": ("behaviour",),
    "highest": ("behaviour",),
}
"""Dims of the data that shipped models share."""

_SMALLEST_PADDING = 16
# Where |shape * excess / scale| is below this, log1p(y) / y is its series: automatic
# differentiation of the quotient loses digits like 1e-16 / y.
_SERIES = 1e-4
_FAR = -20.0
# Fewer exceedances than this are not worth proposing.
_FEWEST = 5


def padded(size: int) -> int:
    """Length to which a row of ``size`` is padded: the next power of two from 16 on."""
    return max(_SMALLEST_PADDING, 1 << (size - 1).bit_length())


def stacked(rows: list[Array], length: int) -> Float[np.ndarray, "behaviour cell"]:
    """Rows of different lengths as one array, filled up with zeros."""
    table = np.zeros((len(rows), length))
    for index, row in enumerate(rows):
        table[index, : row.size] = row
    return table


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
    length = padded(max(tail["excess"].size for tail in tails))
    cells = max(tail["body_score"].size for tail in tails)
    scalars = ("threshold", "others", "exceeding", "largest_excess")
    return {
        name: np.concatenate([tail[name] for tail in tails])
        if name in scalars
        else stacked(
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


def cell_data(evaluation: Evaluation) -> dict[str, Array]:
    """All scores of each behaviour, in cells, ready for a density of the whole.

    Parameters
    ----------
    evaluation
        Exact risks of one or more behaviours.

    Returns
    -------
    By name, of shape (behaviour, cell): ``cell_score``, ``cell_count`` and
    ``cell_squares``, the mean, number and squared deviations of a cell's members;
    ``cell_censored``, 1 where scores are known only to be larger, -1 where only to be
    smaller.

    Raises
    ------
    NotApplicable
        If a behaviour has fewer than two distinct scores.
    """
    rows: list[dict[str, Array]] = []
    for behaviour in evaluation.behaviours:
        scores = evaluation.scores(behaviour)
        if scores.score.size < 2:
            raise NotApplicable(
                f"behaviour {behaviour!r} has {scores.score.size} distinct known "
                f"scores among its {scores.size} queries, and a spread needs two. "
                "Evaluate more queries, or record log_risk in float64."
            )
        cells = scores.coarsen(BODY_CELLS - 2)
        above, below = scores.censored_above, scores.censored_below
        ends = [(scores.highest, above, 1.0), (scores.lowest, below, -1.0)]
        seen = [(edge, float(count), side) for edge, count, side in ends if count]
        zeros = np.zeros(len(seen))
        rows.append(
            {
                "cell_score": np.append(cells.score, [edge for edge, _, _ in seen]),
                "cell_count": np.append(cells.count, [count for _, count, _ in seen]),
                "cell_squares": np.append(cells.squares, zeros),
                "cell_censored": np.append(
                    np.zeros(cells.score.size), [side for _, _, side in seen]
                ),
            }
        )
    length = padded(max(row["cell_score"].size for row in rows))
    return {name: stacked([row[name] for row in rows], length) for name in rows[0]}


def normal_cell_logp(
    score: Any, location: Any, scale: Any, count: Any, squares: Any, censored: Any
) -> Any:
    """Symbolic log density of the members of cells of normal scores.

    With k members of mean s and squared deviations q,
    ``k * log N(s | location, scale) - q / (2 * scale ** 2)``: exact, whatever the
    cells. Censored cells count by their distribution function.
    """
    deviate = (score - location) / scale
    log_density = -0.5 * deviate**2 - pt.log(scale) - 0.5 * np.log(2 * np.pi)
    known = count * log_density - squares / (2 * scale**2)
    side = pt.switch(pt.eq(censored, 0.0), 1.0, -censored)
    known_to_be_beyond = count * normal_logcdf(side * deviate)
    return pt.switch(pt.eq(censored, 0.0), known, known_to_be_beyond)


def normal_logcdf(deviate: Any) -> Any:
    """Symbolic log distribution function of the standard normal.

    ``log(erfc(-x / sqrt(2)) / 2)`` down to -20, and below it the asymptotic series
    ``-x**2 / 2 - log(-x sqrt(2 pi)) + log(1 - 1/x**2 + 3/x**4 - 15/x**6)``, off by less
    than 1e-8 (Abramowitz & Stegun 26.2.12). PyTensor's own needs a function that JAX
    lacks.
    """
    # The gradient of a maximum would be shared between equal arguments.
    is_near = pt.gt(deviate, _FAR)
    near = pt.switch(is_near, deviate, _FAR)
    far = pt.switch(is_near, _FAR, deviate)
    square = 1 / far**2
    series = pt.log1p(-square * (1 - square * (3 - 15 * square)))
    tail = -0.5 * far**2 - pt.log(-far) - 0.5 * np.log(2 * np.pi) + series
    return pt.switch(is_near, pt.log(0.5 * pt.erfc(-near / np.sqrt(2))), tail)


def data_variables(data: Mapping[str, Array]) -> dict[str, Any]:
    """The arrays as `pm.Data` of the model on the context stack."""
    return {
        name: pm.Data(name, np.asarray(value, dtype=np.float64), dims=DIMS[name])
        for name, value in data.items()
    }


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

    ``-log1p(shape * x / scale) / shape``, by its series where the quotient would lose
    digits; the same function as `bayes_rare.populations.gpd_log_survival`.
    """
    depth = excess / scale
    bend = shape * depth
    small = pt.lt(pt.abs(bend), _SERIES)
    safe = pt.switch(small, 1.0, pt.maximum(bend, -1.0 + 1e-15))
    series = 1 - bend * (1 / 2 - bend * (1 / 3 - bend * (1 / 4 - bend / 5)))
    return -depth * pt.switch(small, series, pt.log1p(safe) / safe)


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
