"""Families of queries: the layout of their data, their prior, and their population.

====================  ==============================================================
``location_f``        mean of the normal body of a family's scores
``scale_f``           its standard deviation, in score units
``deviate``           ``e = (score - location_f) / scale_f``: what families share
``location_width``    how far apart the locations of families are
``scale_width``       how far apart the logarithms of their scales are
``scale_common``      share of their variance that is the same for all behaviours
====================  ==============================================================

Arrays have one row per behaviour, and in it a place for each of the behaviour's own
families, in the order of their names; places are padded to a few sizes. What was seen
of queries comes one after the other, each with the place of its family: families may be
of any size. What is known of a family's scores is elsewhere: exactly in
`bayes_rare.likelihoods.family_scores`, by counts and estimates in
`bayes_rare.likelihoods.family_counts`.
"""

import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pymc
import pytensor.tensor
from jaxtyping import Float

from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.likelihoods.layout import padded_length, padded_rows
from bayes_rare.populations import FamilyMixture, Origin, spliced_quantile

__all__ = [
    "FINEST",
    "PLACES",
    "draw_families",
    "draw_scores",
    "draw_shared",
    "family_effects",
    "family_population",
    "of_family",
    "padded_places",
    "shared_effects",
    "shared_families",
]

type Array = Float[np.ndarray, "..."]

# Symbolic values have no useful types; neither library gives them any.
pm: Any = pymc
pt: Any = pytensor.tensor

FINEST = 1e-3
"""Smallest scale of a family, in score units.

Scores are recorded to so many digits. Without it a family of a few queries with equal
scores, and nothing else, would have an infinite density at scale 0.
"""

PLACES = ("behaviour", "family")
"""Dims of what is known of each family."""

# ``sinh(0.45 z) / 0.45`` of a normal z is much like Student's t with 4 degrees.
_BEND = 0.45
_LOG_NORMALISER = -0.5 * math.log(2 * math.pi)
# Of the prior of a share that behaviours have in common: anything but all or nothing.
_SHARE = 2.0


def padded_places(size: int) -> int:
    """Length to which what is seen is padded: one of four sizes in each octave.

    A density costs as much as its rows: a power of two would double it in places.
    """
    octave = 1 << max(4, (size - 1).bit_length() - 1)
    return octave if size <= octave else -(-size * 4 // octave) * octave // 4


def of_family(values: Any, place: Any) -> Any:
    """Symbolic values of the family of each row.

    Parameters
    ----------
    values
        By family, of shape (behaviour, family, ...).
    place
        Where each row's family is among those of its behaviour, (behaviour, row).
    """
    behaviour = pt.cumsum(pt.ones_like(place), axis=0) - 1
    # JAX would have whole numbers in 32 bits.
    return values[pt.cast(behaviour, "int64"), pt.cast(place, "int64")]


def shared_families(evaluation: Evaluation) -> dict[str, Array]:
    """Which families of different behaviours are the same: those of the same name.

    Parameters
    ----------
    evaluation
        One or more behaviours. Queries of no family have nothing in common with those
        of other behaviours.

    Returns
    -------
    Nothing for one behaviour, or where families have no names. Else ``shared_place``
    (behaviour, family), the place of each behaviour's families among those of all
    behaviours; and ``shared_count`` (behaviour, shared family), how many queries of
    each a behaviour has.
    """
    if len(evaluation.behaviours) == 1 or not evaluation.families:
        return {}
    own = [
        [
            (name, "" if name else behaviour)
            for name in evaluation.families_of(behaviour)
        ]
        for behaviour in evaluation.behaviours
    ]
    names = sorted({family for few in own for family in few})
    order = {family: float(place) for place, family in enumerate(names)}
    places = [np.array([order[family] for family in few]) for few in own]
    counts = np.zeros((len(own), padded_length(len(order))))
    for row, place, name in zip(counts, places, evaluation.behaviours, strict=True):
        row[place.astype(np.int64)] = evaluation.family_sizes(name)
    most = padded_length(max(map(len, own)))
    return {"shared_place": padded_rows(places, most), "shared_count": counts}


def shared_effects(
    name: str, data: Mapping[str, Any], *, centre: Any, width: Any
) -> tuple[Any, Any]:
    """Where each family is expected if families are alike under all behaviours.

    ``parameter_bf = centre_b + width_b * (sqrt(c) * U_f + sqrt(1 - c) * Z_bf)``: U_f is
    of the family, whatever the behaviour, Z_bf of both, and c the share of the variance
    that behaviours have in common, which is the correlation of any two of them. Each
    behaviour by itself is as `family_effects` has it, with or without others.

    Parameters
    ----------
    name
        Of the parameter: adds ``NAME_common``, c, with a Beta(2, 2) prior, and
        ``shared_NAME``, U, with a standard normal one.
    data
        The variables of `shared_families`; without them nothing is shared.
    centre, width
        Of the population of families, of shape (behaviour).

    Returns
    -------
    What families are expected at, (behaviour, family), and how far they are from there,
    (behaviour).
    """
    if "shared_place" not in data:
        return centre, width
    common = pm.Beta(f"{name}_common", _SHARE, _SHARE)
    effect = pm.Normal(f"shared_{name}", 0.0, 1.0, dims="shared_family")
    # JAX would have whole numbers in 32 bits.
    each = effect[pt.cast(data["shared_place"], "int64")]
    expected = centre[:, None] + width[:, None] * pt.sqrt(common) * each
    return expected, width * pt.sqrt(1 - common)


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
    centre
        Of the population of families, of shape (behaviour); or where each is expected,
        of shape (behaviour, family).
    width
        How far they are from there, of shape (behaviour).
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
    offset = pm.Normal(f"{name}_offset", 0.0, 1.0, dims=PLACES)
    centre = centre[:, None] if centre.ndim == 1 else centre
    width = width[:, None]
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
    pm.Potential(f"{name}_prior", swap, dims=PLACES)
    return pm.Deterministic(name, effect, dims=PLACES)


def _student(value: Any, freedom: float) -> Any:
    """Symbolic log density of Student's t distribution, or of its normal limit."""
    if math.isinf(freedom):
        return _LOG_NORMALISER - 0.5 * value**2
    half = (freedom + 1) / 2
    normaliser = (
        math.lgamma(half) - math.lgamma(freedom / 2) - 0.5 * math.log(freedom * math.pi)
    )
    return normaliser - half * pt.log1p(value**2 / freedom)


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


def draw_shared(rng: np.random.Generator, name: str, families: int) -> dict[str, Array]:
    """The prior of `shared_effects` run forwards.

    Parameters
    ----------
    rng
        Source of randomness.
    name
        Of the parameter.
    families
        How many there are, which all behaviours have.
    """
    return {
        f"{name}_common": np.asarray(rng.beta(_SHARE, _SHARE)),
        f"shared_{name}": rng.standard_normal(padded_length(families)),
    }


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
        (behaviour); and, if behaviours share families, what `draw_shared` gives of the
        scale.
    freedom
        Degrees of freedom of the locations.

    Raises
    ------
    InvalidInput
        If there is no family.
    """
    if families < 1:
        raise InvalidInput(f"families is a whole number from 1 on, got {families}.")
    size = (behaviours, padded_length(families))
    made: dict[str, Array] = {}
    for name, centre, width in (
        ("location", "location_centre", "location_width"),
        ("log_scale", "log_scale_centre", "scale_width"),
    ):
        effect = rng.standard_normal(size)
        if name == "location":
            effect[:, :families] = rng.standard_t(freedom, (behaviours, families))
        elif "shared_scale" in hyperparameters:
            common = hyperparameters["scale_common"]
            place = np.zeros(size[1], np.int64)  # of no family: the first, as in data
            place[:families] = np.arange(families)
            shared = hyperparameters["shared_scale"][place]
            effect = np.sqrt(common) * shared + np.sqrt(1 - common) * effect
        middle, wide = hyperparameters[centre], hyperparameters[width]
        made[name] = middle[:, None] + wide[:, None] * effect
    made["scale"] = FINEST + np.exp(made["log_scale"])
    return made


def draw_scores(
    rng: np.random.Generator,
    design: Mapping[str, int],
    families: int,
    parameters: Mapping[str, Array],
) -> tuple[dict[str, Array], dict[str, list[str]]]:
    """Scores from the story: queries go round the families, each with a score.

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

    Returns
    -------
    Scores, and names of families, each by behaviour.
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
    return scores, labels
