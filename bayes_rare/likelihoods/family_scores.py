"""Exact scores by family: the data that enter a density, and the density.

In the layout of `bayes_rare.likelihoods.families`; a query's deviate has the density of
`bayes_rare.populations.spliced_log_density`.
"""

import math
from collections.abc import Mapping
from typing import Any, SupportsIndex

import numpy as np
import pymc
import pytensor.tensor
from jaxtyping import Float

from bayes_rare.errors import NotApplicable
from bayes_rare.evaluation import Evaluation, ScoreCells
from bayes_rare.likelihoods.exceedances import gpd_logsf
from bayes_rare.likelihoods.families import FINEST, PLACES, of_family, padded_places
from bayes_rare.likelihoods.layout import padded_length, padded_rows
from bayes_rare.likelihoods.normal_scores import normal_logcdf
from bayes_rare.populations import SPLICE, SPLICED_SCALE, spliced_quantile

__all__ = [
    "FAMILY_CELLS",
    "family_scores",
    "largest_deviate",
    "observe_family_scores",
]

type Array = Float[np.ndarray, "..."]

# Symbolic values have no useful types; neither library gives them any.
pm: Any = pymc
pt: Any = pytensor.tensor

FAMILY_CELLS = 4096
"""Scores of a behaviour are kept one by one up to this many, and then in cells."""

# Fewest cells of a large family: its upper half is kept one by one.
_FEWEST_CELLS = 16
# A family's own spread counts like so many queries more, of the usual spread.
_BORROWED = 2.0
# In the first guess of a location scores count as at most so many spreads away.
_CUT_OFF = 1.5
# The deviate of a behaviour's largest score is taken for at least this far above the
# splice: a bound on the shape that is nearer says nothing.
_BEYOND = 0.02
# Top of a place that stands for no family.
_NOWHERE = -1e6
_LOG_NORMALISER = -0.5 * math.log(2 * math.pi)


def family_scores(evaluation: Evaluation) -> dict[str, Array]:
    """Scores of each behaviour by family, ready for a density.

    Parameters
    ----------
    evaluation
        Exact risks of one or more behaviours; without families, all are of one.

    Returns
    -------
    By name: ``family_count``, ``family_top``, ``zeros``, ``ones`` (behaviour, family),
    how many queries a family has, its largest score, and how many risks of 0 and of 1;
    ``location_guess``, ``log_scale_guess`` (behaviour, family), where the family's own
    scores put its location and the log of its scale, and ``known_scores``,
    ``scale_weight``, what these guesses weigh; ``cell_score``, ``cell_count``,
    ``cell_squares``, ``cell_family`` (behaviour, cell), the scores and the places of
    their families; ``lowest``, ``highest`` (behaviour),
    scores of the resolution.

    Raises
    ------
    NotApplicable
        If a behaviour has fewer than two distinct known scores.
    """
    rows = [_behaviour(evaluation, name) for name in evaluation.behaviours]
    places = padded_length(max(row["family_count"].size for row in rows))
    cells = padded_places(max(row["cell_score"].size for row in rows))
    made = {
        name: np.concatenate([row[name] for row in rows])
        if name in ("lowest", "highest")
        else padded_rows(
            [row[name] for row in rows], cells if name.startswith("cell") else places
        )
        for name in rows[0]
    }
    made["family_top"][made["family_count"] == 0] = _NOWHERE
    return made


def _behaviour(evaluation: Evaluation, behaviour: str) -> dict[str, Array]:
    """The row of one behaviour."""
    whole = evaluation.scores(behaviour)
    if whole.score.size < 2:
        raise NotApplicable(
            f"behaviour {behaviour!r} has {whole.score.size} distinct known scores "
            f"among its {whole.size} queries, and a spread needs two. Evaluate more "
            "queries, or record log_risk in float64."
        )
    code = evaluation.behaviours.index(behaviour)
    mine = evaluation.exact["behaviour"] == code
    part = {name: values[mine] for name, values in evaluation.exact.items()}
    numbers: list[int] = np.unique(part["family"]).tolist()
    families = [_family(part, number, whole) for number in numbers]
    sizes = np.array([family.score.size for family in families])
    most = _most_cells(sizes)
    cells = [family.coarsen(most) for family in families]
    place = np.repeat(np.arange(len(cells)), [family.score.size for family in cells])
    return {
        "family_count": np.array([float(family.size) for family in families]),
        "family_top": np.array([_top(family) for family in families]),
        "zeros": np.array([float(family.censored_below) for family in families]),
        "ones": np.array([float(family.censored_above) for family in families]),
        **_guesses(families),
        "cell_score": np.concatenate([family.score for family in cells]),
        "cell_count": np.concatenate([family.count for family in cells]),
        "cell_squares": np.concatenate([family.squares for family in cells]),
        "cell_family": place.astype(np.float64),
        "lowest": np.array([whole.lowest]),
        "highest": np.array([whole.highest]),
    }


def _family(
    part: Mapping[str, np.ndarray], number: int, whole: ScoreCells
) -> ScoreCells:
    """The scores of one family, from the riskiest down."""
    mine = part["family"] == number
    score, count, squares = (part[name][mine] for name in ("score", "count", "squares"))
    finite = np.isfinite(score)
    return ScoreCells(
        score[finite],
        count[finite],
        squares[finite],
        censored_below=int(count[score == -np.inf].sum()),
        censored_above=int(count[score == np.inf].sum()),
        lowest=whole.lowest,
        highest=whole.highest,
    )


def _most_cells(sizes: np.ndarray) -> int:
    """Cells that each family may have, so that together they are not too many."""
    most = int(sizes.max(initial=1))
    while most > _FEWEST_CELLS and np.minimum(sizes, most).sum() > FAMILY_CELLS:
        most = max(most * 7 // 8, _FEWEST_CELLS)
    return max(most, 2)


def _top(family: ScoreCells) -> float:
    """Largest score; of a risk of 1, the score that it is known to exceed."""
    if family.censored_above:
        return family.highest
    return float(family.score[0]) if family.score.size else family.lowest


def _guesses(families: list[ScoreCells]) -> dict[str, Array]:
    """Where each family's own scores put its location and scale, and their weights.

    Means of scores that are cut off where they are far from the median: a few risky
    queries hardly move them. They only say in which coordinates the sampler walks:
    right or wrong, the posterior is the same.
    """
    size = np.array([family.count.sum() for family in families])
    middle = np.array([_median(family.score, family.count) for family in families])
    spread = np.array(
        [
            1.48 * _median(np.abs(family.score - centre), family.count)
            for family, centre in zip(families, middle, strict=True)
        ]
    )
    several = (size >= 3) & (spread > FINEST)
    usual = (
        _median(spread[several], size[several])
        if several.any()
        else max(0.3 * float(np.std(middle)), 0.05)
    )
    blended = (size * spread**2 + _BORROWED * usual**2) / (size + _BORROWED)
    blended = np.maximum(np.sqrt(blended), 2 * FINEST)
    mean = [
        float(np.average(np.clip(family.score, a, b), weights=family.count))
        if family.score.size
        else 0.0
        for family, a, b in zip(
            families,
            middle - _CUT_OFF * blended,
            middle + _CUT_OFF * blended,
            strict=True,
        )
    ]
    return {
        "location_guess": np.array(mean),
        "known_scores": size,
        "log_scale_guess": np.log(blended - FINEST),
        "scale_weight": np.maximum(size - 1, 0.0),
    }


def _median(values: Array, count: Array) -> float:
    """Median of values that are there so often; 0 if there are none."""
    if not values.size:
        return 0.0
    order = np.argsort(values)
    values, above = values[order], np.cumsum(count[order])
    half = above[-1] / 2
    low, high = np.searchsorted(above, [half, half + 1e-9 * half])
    return float(values[low] + values[min(high, values.size - 1)]) / 2


def largest_deviate(data: Mapping[str, Any], location: Any, scale: Any) -> Any:
    """How far beyond the splice the largest score of each behaviour is, symbolic.

    In standard deviations of its family. The shape of the tail is bounded by it:
    ``shape > -SPLICED_SCALE / excess``.

    Parameters
    ----------
    data
        The variables of `family_scores`.
    location, scale
        By family, of shape (behaviour, family).
    """
    deviate = (data["family_top"] - location) / scale
    return pt.maximum(pt.max(deviate, axis=1) - SPLICE, _BEYOND)


def observe_family_scores(
    data: Mapping[str, Any], location: Any, scale: Any, shape: Any
) -> None:
    """Add the scores of all families to the model on the context stack.

    Parameters
    ----------
    data
        The variables of `family_scores`.
    location, scale
        By family, of shape (behaviour, family).
    shape
        Shape of the tail by behaviour.

    Notes
    -----
    The density is that of `bayes_rare.populations.spliced_log_density`. Cells count as
    often as they have members; in the normal body their squared deviations are what is
    lost by that, and given back. Risks of 0 and 1 count by the probability beyond the
    resolution.
    """
    place = data["cell_family"]
    pm.CustomDist(
        "scores",
        of_family(location, place),
        of_family(scale, place),
        shape[:, None],
        data["cell_count"],
        data["cell_squares"],
        logp=_cell_logp,
        random=_draw_scores,
        observed=data["cell_score"],
        dims=("behaviour", "cell"),
        dtype="float64",
    )
    low = (data["lowest"][:, None] - location) / scale
    high = (data["highest"][:, None] - location) / scale
    for name, log_chance in (
        ("zeros", _spliced_logcdf(low, shape[:, None])),
        ("ones", _spliced_logsf(high, shape[:, None])),
    ):
        pm.CustomDist(
            f"risks_of_{name}",
            log_chance,
            logp=_count_logp,
            random=_draw_none,
            observed=data[name],
            dims=PLACES,
            dtype="float64",
        )


def _count_logp(count: Any, log_chance: Any) -> Any:
    return count * log_chance


def _draw_none(
    log_chance: Array,  # noqa: ARG001 drawn scores are known exactly
    rng: np.random.Generator,  # noqa: ARG001
    size: Any = None,
) -> Array:
    return np.zeros(size)


def _cell_logp(
    score: Any, location: Any, scale: Any, shape: Any, count: Any, squares: Any
) -> Any:
    deviate = (score - location) / scale
    beyond = pt.gt(deviate, SPLICE)
    depth = gpd_logsf(pt.maximum(deviate - SPLICE, 0.0), SPLICED_SCALE, shape)
    tail = -0.5 * SPLICE**2 + (1 + shape) * depth
    log_density = pt.switch(beyond, tail, -0.5 * deviate**2)
    within = pt.switch(beyond, 0.0, 0.5 * squares / scale**2)
    return count * (log_density - pt.log(scale) + _LOG_NORMALISER) - within


def _spliced_logsf(deviate: Any, shape: Any) -> Any:
    """Symbolic log survival, as `bayes_rare.populations.spliced_log_survival`."""
    depth = gpd_logsf(pt.maximum(deviate - SPLICE, 0.0), SPLICED_SCALE, shape)
    body = normal_logcdf(-pt.minimum(deviate, SPLICE))
    return body + depth


def _spliced_logcdf(deviate: Any, shape: Any) -> Any:
    """Symbolic log of one less the survival."""
    beyond = pt.gt(deviate, SPLICE)
    # The side that is not chosen must have a finite gradient too.
    outer = pt.switch(beyond, deviate, SPLICE + 1.0)
    tail = pt.log1p(-pt.exp(_spliced_logsf(outer, shape)))
    return pt.switch(beyond, tail, normal_logcdf(pt.minimum(deviate, SPLICE)))


def _draw_scores(
    location: Array,
    scale: Array,
    shape: Array,
    count: Array,  # noqa: ARG001 a drawn score stands for one query
    squares: Array,  # noqa: ARG001
    rng: np.random.Generator,
    size: tuple[SupportsIndex, ...] | None = None,  # integers of NumPy's, from PyMC
) -> Array:
    level = -np.asarray(rng.standard_exponential(size))
    return location + scale * spliced_quantile(level, shape)
