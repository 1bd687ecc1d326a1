"""The exponential tail under the reference prior, whose posterior has a closed form.

With the k-th largest of m scores as threshold u there are k - 1 excesses among the
m - 1 other scores; under a prior 1/scale and a uniform rate::

    scale ~ (sum of excesses) / Gamma(k - 1)
    S(u)  ~ Beta(k, m - k + 1)

and the largest of n new scores is below s with chance ``(1 - S(s)) ** n``. Its
intervals have exact coverage, whatever the scale.
"""

from importlib import import_module
from typing import Any

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import fit, fit_many
from bayes_rare.populations import log_worst_level
from bayes_rare.posterior import Posterior

SCORES, EXCESSES = 300, 9
LOWEST, SCALE = -2.0, 0.4
BATCH = 1000
REFERENCE: dict[str, Any] = {"log_scale_sd": np.inf, "pool": False}
GROWTH = (10, 100, 1000)
"""Size of a deployment, in evaluations."""
LEVELS = (0.05, 0.5, 0.95)


def scores_of(rng: np.random.Generator) -> np.ndarray:
    """An exactly exponential tail, from the largest score down."""
    return np.sort(rng.exponential(SCALE, SCORES) + LOWEST)[::-1]


@pytest.fixture(scope="module")
def scores() -> np.ndarray:
    return scores_of(np.random.default_rng(11))


@pytest.fixture(scope="module")
def posterior(scores: np.ndarray) -> Posterior:
    return fit(
        Evaluation.from_scores(scores),
        "gumbel_tail",
        exceedances=EXCESSES,
        draws=4000,
        **REFERENCE,
    )


def z_of_quantile(draws: np.ndarray, level: float, value: float) -> float:
    """Share of draws (chain, draw) below the value that a share ``level`` should be."""
    array_stats = import_module("arviz_stats.base").array_stats  # it is not typed
    below = (draws <= value).astype(np.float64)
    axes = {"chain_axis": 0, "draw_axis": 1}
    ess = float(array_stats.ess(below, method="mean", **axes))
    return (below.mean() - level) / np.sqrt(level * (1 - level) / ess)


def exact_laws(scores: np.ndarray, excesses: int) -> tuple[Any, Any]:
    """Posterior of the scale, and of the survival at the threshold."""
    total = (scores[:excesses] - scores[EXCESSES]).sum()
    return (
        stats.invgamma(excesses, scale=total),
        stats.beta(excesses + 1, SCORES - EXCESSES),
    )


def quantile_of_maximum(
    scores: np.ndarray, growth: int, level: float, excesses: int = EXCESSES
) -> float:
    """Quantile of the largest of n scores, by quadrature over the two exact laws."""
    nodes = (np.arange(400) + 0.5) / 400
    scale, rate = exact_laws(scores, excesses)
    scales, log_rates = scale.ppf(nodes)[:, None], np.log(rate.ppf(nodes))

    def excess_chance(excess: float) -> float:
        survival = np.exp(log_rates - excess / scales)
        below = np.exp(growth * SCORES * np.log1p(-survival))
        return float(below.mean()) - level

    return float(scores[EXCESSES] + brentq(excess_chance, 0.0, 100.0))


@pytest.mark.parametrize("level", LEVELS)
def test_scale_and_survival_have_their_closed_form(
    posterior: Posterior, scores: np.ndarray, level: float
) -> None:
    assert posterior.verdict.converged
    scale, rate = exact_laws(scores, EXCESSES)
    for name, law in (("scale", scale), ("rate", rate)):
        draws = posterior.draws[name][..., 0]
        assert abs(z_of_quantile(draws, level, law.ppf(level))) < 5, name
    survival = np.exp(posterior.population().log_survival(scores[EXCESSES]))
    np.testing.assert_allclose(survival, posterior.draws["rate"].ravel())


@pytest.mark.parametrize("growth", GROWTH)
def test_the_worst_of_a_deployment_has_its_closed_form(
    posterior: Posterior, scores: np.ndarray, growth: int, rng: np.random.Generator
) -> None:
    shape = posterior.draws["rate"].shape[:2]
    luck = np.log(rng.random(shape)).ravel()
    worst = posterior.population().quantile(log_worst_level(luck, growth * SCORES))
    for level in LEVELS:
        value = quantile_of_maximum(scores, growth, level)
        assert abs(z_of_quantile(worst.reshape(shape), level, value)) < 5, level


def test_that_test_can_fail(posterior: Posterior, scores: np.ndarray) -> None:
    """With the threshold itself as a tenth excess, the scale is another."""
    scale, _ = exact_laws(scores, EXCESSES + 1)
    z = z_of_quantile(posterior.draws["scale"][..., 0], 0.5, scale.ppf(0.5))
    assert abs(z) > 5


def coverage(
    evaluations: int, *, off_by_one: bool, seed: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Share of maxima in the 90 % interval and above the median, by deployment size.

    And the number of fits that are no good.

    The chance that the predictive distribution gives to a maximum below the realised
    one, averaged over draws, is uniform where the forecasts are calibrated.
    """
    rng = np.random.default_rng([seed, evaluations])
    failed = 0
    chances: list[list[float]] = []
    # A threshold just below the k-th score makes an excess of it.
    threshold: dict[str, Any] = (
        {"threshold": 0.0} if off_by_one else {"exceedances": EXCESSES}
    )
    for _ in range(evaluations // BATCH):
        batch = [scores_of(rng) for _ in range(BATCH)]
        shifts = [1e-9 - scores[EXCESSES] if off_by_one else 0.0 for scores in batch]
        results = fit_many(
            [
                Evaluation.from_scores(scores + shift)
                for scores, shift in zip(batch, shifts, strict=True)
            ],
            "gumbel_tail",
            chains=2,
            warmup=200,
            draws=600,
            seed=seed,
            target_ess=0.0,
            **threshold,
            **REFERENCE,
        )
        for shift, posterior in zip(shifts, results, strict=True):
            assert isinstance(posterior, Posterior)
            verdict = posterior.verdict
            # The limits of a verdict are for longer chains than these.
            failed += not (verdict.max_rhat < 1.1 and verdict.divergence_share < 0.01)
            population = posterior.population()
            chances.append([])
            for growth in GROWTH:
                luck = log_worst_level(np.log(rng.random()), growth * SCORES)
                maximum = LOWEST - SCALE * luck + shift
                survival = np.exp(population.log_survival(maximum))
                below = np.exp(growth * SCORES * np.log1p(-survival))
                chances[-1].append(float(below.mean()))
    found = np.array(chances)
    return (
        (np.abs(found - 0.5) <= 0.45).mean(axis=0),
        (found > 0.5).mean(axis=0),
        failed,
    )


@pytest.mark.slow
def test_intervals_cover_and_medians_halve_the_realised_maxima(seed: int) -> None:
    covered, above, failed = coverage(10_000, off_by_one=False, seed=seed)
    assert failed == 0
    assert ((covered > 0.891) & (covered < 0.909)).all(), covered
    assert ((above > 0.48) & (above < 0.52)).all(), above


@pytest.mark.slow
def test_that_test_of_coverage_can_fail(seed: int) -> None:
    """The threshold among the excesses: off by one, as ten excesses would be."""
    _, above, _ = coverage(2_000, off_by_one=True, seed=seed)
    assert ((above < 0.48) | (above > 0.52)).all(), above
