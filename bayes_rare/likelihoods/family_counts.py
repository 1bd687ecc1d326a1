"""Counts and estimates by family: the data that enter a density, and the density.

In the layout of `bayes_rare.likelihoods.families`. The scores of a family's queries are
latent and integrated out, each outcome over the population of its own family, by the
nodes of `bayes_rare.likelihoods.quadrature.spliced_nodes`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytensor.tensor
from jaxtyping import Float
from scipy.special import logsumexp

from bayes_rare.evaluation import Evaluation
from bayes_rare.likelihoods import counts, quadrature
from bayes_rare.likelihoods.families import FINEST, of_family
from bayes_rare.likelihoods.layout import padded_length, padded_rows
from bayes_rare.likelihoods.stop_gradient import detached

__all__ = ["family_outcomes", "observe_family_outcomes"]

type Array = Float[np.ndarray, "..."]

# Symbolic values have no useful types.
pt: Any = pytensor.tensor

# Where families are looked for in a first guess, how far their scores may spread, and a
# weak prior that keeps the guess of a family that says nothing on the grid.
_SCORE = np.arange(-7.0, 9.0, 0.05)
_LOCATION = np.arange(-6.0, 8.0, 0.1)
_SCALE = np.exp(np.arange(-4.0, 0.6, 0.5))
_MIDDLE, _FAR = -2.0, 2.0
_TINY = 1e-300


def family_outcomes(evaluation: Evaluation) -> dict[str, Array]:
    """Counts and estimates of each behaviour by family, ready for a density.

    Parameters
    ----------
    evaluation
        Counts or estimates of one or more behaviours; without families, all queries are
        of one.

    Returns
    -------
    By name: ``family_count`` (behaviour, family), how many queries a family has;
    ``location_guess``, ``log_scale_guess``, ``known_scores``, ``scale_weight``
    (behaviour, family), where the family's own outcomes put its location and the log
    of its scale, and what these guesses weigh; and what
    `bayes_rare.likelihoods.counts.outcome_rows` gives.

    Raises
    ------
    NotApplicable
        If a behaviour has exact risks.
    """
    rows = [
        counts.outcomes(evaluation, name, by_family=True)
        for name in evaluation.behaviours
    ]
    families = [_counted(row) for row in rows]
    places = padded_length(max(count.size for count in families))
    guesses = [
        _guesses(row, count.size) for row, count in zip(rows, families, strict=True)
    ]
    return {
        "family_count": padded_rows(families, places),
        **{
            name: padded_rows([guess[name] for guess in guesses], places)
            for name in guesses[0]
        },
        **counts.outcome_rows(rows),
    }


def _counted(row: dict[str, Array]) -> Array:
    """Queries of each family; the codes of families become places among them."""
    code = np.concatenate([row["family"], row["estimate_family"]])
    _, place = np.unique(code, return_inverse=True)
    tallies = row["family"].size
    row["family"] = place[:tallies].astype(np.float64)
    row["estimate_family"] = place[tallies:].astype(np.float64)
    count = np.concatenate([row["count"], row["estimate_count"]])
    return np.bincount(place, count).astype(np.float64)


def _guesses(row: Mapping[str, Array], families: int) -> dict[str, Array]:
    """Where each family's outcomes put its location and scale, and their weights.

    Moments of a likelihood on a grid of normal bodies. They only say in which
    coordinates the sampler walks: right or wrong, the posterior is the same.
    """
    estimates = {"log_risk": row["estimated"], "log_risk_se": row["estimate_error"]}
    log_outcome = quadrature.rough_log_likelihood(row, estimates, _SCORE)
    largest = log_outcome.max(axis=1, keepdims=True)
    outcome = np.exp(log_outcome - largest)
    deviate = (_SCORE[:, None, None] - _LOCATION) / _SCALE[:, None]
    body = np.exp(-0.5 * deviate**2)
    body /= body.sum(axis=0)
    chance = np.tensordot(outcome, body, axes=1)  # outcome, scale, location
    count = np.concatenate([row["count"], row["estimate_count"]])
    place = np.concatenate([row["family"], row["estimate_family"]]).astype(np.int64)
    log_chance = np.zeros((families, _SCALE.size, _LOCATION.size))
    np.add.at(
        log_chance, place, count[:, None, None] * np.log(np.maximum(chance, _TINY))
    )
    # Families are alike in scale, more or less: each borrows from all.
    of_scale = logsumexp(log_chance, axis=2)
    together = of_scale.sum(axis=0)
    usual = float(np.log(_SCALE) @ np.exp(together - logsumexp(together)))
    log_scale, own_scale = _moments(of_scale, np.log(_SCALE), usual, 0.7)
    given = np.argmin(np.abs(np.log(_SCALE) - log_scale[:, None]), axis=1)
    location, own = _moments(
        log_chance[np.arange(families), given], _LOCATION, _MIDDLE, _FAR
    )
    scale = np.exp(log_scale)
    return {
        "location_guess": location,
        "known_scores": own * scale**2,
        "log_scale_guess": np.log(np.maximum(scale - FINEST, FINEST)),
        "scale_weight": own_scale,
    }


def _moments(
    log_likelihood: Float[np.ndarray, "family point"],
    point: Float[np.ndarray, " point"],
    middle: float,
    wide: float,
) -> tuple[Float[np.ndarray, " family"], Float[np.ndarray, " family"]]:
    """Mean and precision of a likelihood on a grid, less a weak prior's precision."""
    weighed = log_likelihood - 0.5 * ((point - middle) / wide) ** 2
    share = np.exp(weighed - logsumexp(weighed, axis=1, keepdims=True))
    mean = share @ point
    variance = (share * (point - mean[:, None]) ** 2).sum(axis=1)
    coarse = float(point[1] - point[0]) ** 2 / 12
    own = np.maximum(1 / (variance + coarse) - 1 / wide**2, 0.0)
    # The prior's pull on the mean is taken back where the likelihood says something.
    likely = np.where(
        own > 0,
        ((own + wide**-2) * mean - middle * wide**-2) / np.maximum(own, 1e-9),
        mean,
    )
    return np.clip(likely, point[0], point[-1]), own


def observe_family_outcomes(
    data: Mapping[str, Any], location: Any, scale: Any, shape: Any
) -> None:
    """Add the outcomes of all families to the model on the context stack.

    ``P(s of t) = integral of C(t, s) p(z)**s (1 - p(z))**(t - s) f((z - location) /
    scale) dz / scale`` with f the density of
    `bayes_rare.populations.spliced_log_density`, and of a normal density around the log
    risk for an estimate.

    Parameters
    ----------
    data
        The variables of `family_outcomes`.
    location, scale
        By family, of shape (behaviour, family).
    shape
        Shape of the tail by behaviour.
    """

    def nodes(breaks: Any, number: int, place: Any) -> tuple[Any, Any]:
        middle, wide = location, scale
        if place is not None:
            middle, wide = of_family(location, place), of_family(scale, place)
        family = (middle[:, :, None], wide[:, :, None], shape[:, None, None])
        return quadrature.spliced_nodes(pt, *family, breaks, number, detached)

    counts.observe_outcomes(data, nodes)
