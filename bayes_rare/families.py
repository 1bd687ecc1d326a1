"""Scores by family: the data that enter a density, the density, and the population.

====================  ==============================================================
``location_f``        mean of the normal body of a family's scores
``scale_f``           its standard deviation, in score units
``deviate``           ``e = (score - location_f) / scale_f``: what families share
``location_width``    how far apart the locations of families are
``scale_width``       how far apart the logarithms of their scales are
====================  ==============================================================

Arrays have one row per behaviour, and in it a place for each of the behaviour's own
families, in the order of their names; places are padded to a few sizes. Queries come
one after the other, each with the place of its family: families may be of any size.
"""

import math
import zlib
from collections.abc import Mapping
from typing import Any, SupportsIndex

import numpy as np
import pymc
import pytensor.tensor
from jaxtyping import Float

from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation, ScoreCells
from bayes_rare.likelihoods import gpd_logsf, normal_logcdf, padded, stacked
from bayes_rare.populations import (
    SPLICE,
    SPLICED_SCALE,
    FamilyMixture,
    Origin,
    spliced_quantile,
)

__all__ = [
    "FAMILY_CELLS",
    "FINEST",
    "draw_families",
    "family_data",
    "family_effects",
    "family_population",
    "family_scores",
    "largest_deviate",
    "simulated_scores",
]

type Array = Float[np.ndarray, "..."]

# Symbolic values have no useful types; neither library gives them any.
pm: Any = pymc
pt: Any = pytensor.tensor

FAMILY_CELLS = 4096
"""Scores of a behaviour are kept one by one up to this many, and then in cells."""

FINEST = 1e-3
"""Smallest scale of a family, in score units.

Scores are recorded to so many digits. Without it a family of a few queries with equal
scores, and nothing else, would have an infinite density at scale 0.
"""

# Fewest cells of a large family: its upper half is kept one by one.
_FEWEST_CELLS = 16
# A family's own spread counts like so many queries more, of the usual spread.
_BORROWED = 2.0
# In the first guess of a location scores count as at most so many spreads away.
_CUT_OFF = 1.5
# ``sinh(0.45 z) / 0.45`` of a normal z is much like Student's t with 4 degrees.
_BEND = 0.45
# The deviate of a behaviour's largest score is taken for at least this far above the
# splice: a bound on the shape that is nearer says nothing.
_BEYOND = 0.02
# Top of a place that stands for no family.
_NOWHERE = -1e6
_LOG_2PI = math.log(2 * math.pi)
_LOG_NORMALISER = -0.5 * _LOG_2PI


def family_data(evaluation: Evaluation) -> dict[str, Array]:
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
    their families among those of all behaviours; ``lowest``, ``highest`` (behaviour),
    scores of the resolution.

    Raises
    ------
    NotApplicable
        If a behaviour has fewer than two distinct known scores.
    """
    rows = [_behaviour(evaluation, name) for name in evaluation.behaviours]
    places = padded(max(row["family_count"].size for row in rows))
    cells = _roomy(max(row["cell_score"].size for row in rows))
    made = {
        name: np.concatenate([row[name] for row in rows])
        if name in ("lowest", "highest")
        else stacked(
            [row[name] for row in rows], cells if name.startswith("cell") else places
        )
        for name in rows[0]
    }
    made["family_top"][made["family_count"] == 0] = _NOWHERE
    # Behaviours follow each other: the places of one are after those of another.
    made["cell_family"] += places * np.arange(len(rows))[:, None]
    return made


def _roomy(size: int) -> int:
    """Length to which cells are padded: one of four sizes in each octave, from 16 on.

    A density costs as much as its cells: a power of two would double it in places.
    """
    octave = 1 << max(4, (size - 1).bit_length() - 1)
    return octave if size <= octave else -(-size * 4 // octave) * octave // 4


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


def family_effects(
    name: str,
    guess: Any,
    weight: Any,
    seen: Any,
    *,
    centre: Any,
    width: Any,
    freedom: float,
) -> Any:
    """A parameter by family: around a centre, as far as a width says.

    ``parameter_f = centre + width * T_f`` with T_f from Student's t distribution, where
    a few families may be far from the others, or from a normal one.

    Parameters
    ----------
    name
        Name of the parameter.
    guess, weight
        What the family's own data say: a value and its precision, of shape (behaviour,
        family).
    seen
        Positive where a place stands for a family.
    centre, width
        Of the population of families, of shape (behaviour).
    freedom
        Degrees of freedom; infinite for a normal distribution.

    Notes
    -----
    Were data and population normal, the parameter given both would have the precision
    ``P = weight + width**-2`` and the mean ``(weight * guess + centre / width**2) /
    P``. What is sampled is the distance from that mean in units of ``P ** -0.5``, bent
    by a hyperbolic sine where the population rules, whose tails are long: for a family
    of one query this is the non-centred parametrisation, for one of thousands
    the centred one, in between it is between, and neither has a funnel (compare
    Papaspiliopoulos, Roberts & Sköld 2007, Statistical Science 22, 59-73). The density
    is put right exactly by a `pm.Potential`, which PyMC leaves out when it draws from
    the prior; `draw_families` draws from it as it is meant.
    """
    offset = pm.Normal(f"{name}_offset", 0.0, 1.0, dims=_PLACES)
    centre, width = centre[:, None], width[:, None]
    precision = weight + width**-2
    mean = (weight * guess + centre * width**-2) / precision
    bent, log_slope = offset, 0.0
    if math.isfinite(freedom):
        # The more the population says, the longer the tails: a normal offset, bent.
        bend = _BEND / (1 + weight * width**2)
        bent, log_slope = pt.sinh(bend * offset) / bend, pt.log(pt.cosh(bend * offset))
    effect = mean + bent * precision**-0.5
    standard = (effect - centre) / width
    prior = _student(standard, freedom) - pt.log(width)
    own = _LOG_NORMALISER - 0.5 * offset**2
    swap = prior - 0.5 * pt.log(precision) + log_slope - own
    # A place for no family is of no use, and stays as easy to sample as can be.
    swap = pt.switch(pt.gt(seen, 0.0), swap, 0.0)
    pm.Potential(f"{name}_prior", swap, dims=_PLACES)
    return pm.Deterministic(name, effect, dims=_PLACES)


_PLACES = ("behaviour", "family")


def _student(value: Any, freedom: float) -> Any:
    """Symbolic log density of Student's t distribution, or of its normal limit."""
    if math.isinf(freedom):
        return _LOG_NORMALISER - 0.5 * value**2
    half = (freedom + 1) / 2
    normaliser = (
        math.lgamma(half) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    )
    return normaliser - half * pt.log1p(value**2 / freedom)


def largest_deviate(data: Mapping[str, Any], location: Any, scale: Any) -> Any:
    """How far beyond the splice the largest score of each behaviour is, symbolic.

    In standard deviations of its family. The shape of the tail is bounded by it:
    ``shape > -SPLICED_SCALE / excess``.

    Parameters
    ----------
    data
        The variables of `family_data`.
    location, scale
        By family, of shape (behaviour, family).
    """
    deviate = (data["family_top"] - location) / scale
    return pt.maximum(pt.max(deviate, axis=1) - SPLICE, _BEYOND)


def family_scores(
    data: Mapping[str, Any], location: Any, scale: Any, shape: Any
) -> None:
    """Add the scores of all families to the model on the context stack.

    Parameters
    ----------
    data
        The variables of `family_data`.
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
    place = pt.clip(data["cell_family"], 0, location.size - 1)
    place = pt.cast(place, "int64")  # JAX would have it in 32 bits
    pm.CustomDist(
        "scores",
        location.flatten()[place],
        scale.flatten()[place],
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
            dims=_PLACES,
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


def family_population(
    draws: Mapping[str, Array], data: Mapping[str, Array], freedom: int | float
) -> FamilyMixture:
    """Population of one behaviour: its families in the mix of the evaluation.

    The shares of the families are uncertain, by a Dirichlet distribution whose
    parameters are how many queries each has: the Bayesian bootstrap (Rubin 1981, Annals
    of Statistics 9, 130-134). They are drawn from a generator that the counts
    themselves seed: asked twice, the answer is the same.

    Parameters
    ----------
    draws
        ``location``, ``scale`` (family, draw), ``shape``, ``location_centre``,
        ``location_width``, ``log_scale_centre``, ``scale_width`` (draw).
    data
        ``family_count`` (family).
    freedom
        Degrees of freedom of the locations of families.
    """
    seen = data["family_count"] > 0
    count = data["family_count"][seen]
    rng = np.random.default_rng(zlib.crc32(count.tobytes()))
    weight = rng.standard_gamma(count[:, None], (count.size, draws["shape"].size))
    return FamilyMixture(
        location=draws["location"][seen],
        scale=draws["scale"][seen],
        weight=weight / weight.sum(axis=0),
        shape=draws["shape"],
        origin=Origin(
            draws["location_centre"],
            draws["location_width"],
            draws["log_scale_centre"],
            draws["scale_width"],
            freedom,
            FINEST,
        ),
    )


def draw_families(
    rng: np.random.Generator,
    families: int,
    behaviours: int,
    hyperparameters: Mapping[str, Array],
    freedom: float,
) -> dict[str, Array]:
    """The prior of the families run forwards: locations, log scales and scales.

    Also of places that stand for no family: what a posterior has there, normal draws.

    Parameters
    ----------
    rng
        Source of randomness.
    families, behaviours
        How many there are.
    hyperparameters
        ``location_centre``, ``location_width``, ``log_scale_centre``, ``scale_width``
        (behaviour).
    freedom
        Degrees of freedom of the locations.

    Raises
    ------
    InvalidInput
        If there is no family.
    """
    if families < 1:
        raise InvalidInput(f"families is a whole number from 1 on, got {families}.")
    size = (behaviours, padded(families))
    made: dict[str, Array] = {}
    for name, centre, width in (
        ("location", "location_centre", "location_width"),
        ("log_scale", "log_scale_centre", "scale_width"),
    ):
        effect = rng.standard_normal(size)
        if name == "location":
            effect[:, :families] = rng.standard_t(freedom, (behaviours, families))
        middle, wide = hyperparameters[centre], hyperparameters[width]
        made[name] = middle[:, None] + wide[:, None] * effect
    made["scale"] = FINEST + np.exp(made["log_scale"])
    return made


def simulated_scores(
    rng: np.random.Generator,
    design: Mapping[str, int],
    families: int,
    parameters: Mapping[str, Array],
) -> Evaluation:
    """An evaluation from the story: queries go round the families, each with a score.

    Parameters
    ----------
    rng
        Source of randomness.
    design
        Number of queries of each behaviour.
    families
        How many families they are of.
    parameters
        ``location``, ``scale`` (behaviour, family), ``shape`` (behaviour).
    """
    scores: dict[str, Array] = {}
    labels: dict[str, list[str]] = {}
    digits = len(str(families - 1))
    for index, (behaviour, queries) in enumerate(design.items()):
        place = np.arange(queries) % families
        level = -rng.standard_exponential(queries)
        deviate = spliced_quantile(level, parameters["shape"][index])
        scores[behaviour] = (
            parameters["location"][index, place]
            + parameters["scale"][index, place] * deviate
        )
        labels[behaviour] = [f"f{number:0{digits}d}" for number in place]
    return Evaluation.from_scores(scores, family=labels)
