"""Mixtures read off a table: as by the slow way, and worse if the table is coarse."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp

from bayes_rare.populations import FamilyMixture, spliced_log_survival, tabled
from bayes_rare.populations.gathered import Gathered
from bayes_rare.populations.missed_mode import MissedMode
from bayes_rare.populations.population import Array
from bayes_rare.scores import log_safe_from_score

LEVELS = np.log([1e-20, 1e-15, 1e-12, 1e-9, 1e-6, 1e-3, 0.03, 0.2, 0.5, 0.9, 0.999])


def mixture(
    rng: np.random.Generator,
    *,
    families: int = 30,
    draws: int = 40,
    apart: float = 0.4,
    shape: float = -0.15,
    scale: float = 0.3,
) -> FamilyMixture:
    size = (families, draws)
    return FamilyMixture(
        rng.normal(-3, apart, (families, 1)) + rng.normal(0, 0.1, size),
        np.exp(rng.normal(np.log(scale), 0.2, size)),
        rng.dirichlet(np.full(families, 2.0), draws).T,
        rng.normal(shape, 0.05, draws),
    )


# Families in one heap, far apart, with long tails, wide, narrow, and one alone.
KINDS: dict[str, dict[str, Any]] = {
    "usual": {},
    "apart": {"apart": 3.0},
    "heavy": {"shape": 0.4},
    "exponential": {"shape": 0.0},
    "light": {"shape": -0.6, "apart": 1.5},
    "wide": {"scale": 4.0, "apart": 5.0},
    "narrow": {"scale": 0.01},
    "alone": {"families": 1},
}


# Densities that end steeply are read less well.
CLOSE = dict.fromkeys(KINDS, 2e-3) | {"light": 1e-2}


def slowly(population: FamilyMixture, score: Array) -> Array:
    """The log survival, term by term."""
    deviate = (score[:, None] - population.location) / population.scale
    parts = spliced_log_survival(deviate, population.shape)
    return logsumexp(parts, b=population.weight, axis=1)


def log_odds(level: Array) -> Array:
    return level - np.log(-np.expm1(level))


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_sums_are_those_term_by_term(
    kind: str, rng: np.random.Generator
) -> None:
    exact = mixture(rng, **KINDS[kind])
    score = exact.quantile(LEVELS[4:, None])
    assert np.allclose(slowly(exact, score), exact.log_survival(score), 1e-10, 1e-12)


def test_compiled_sums_are_right_where_survivals_underflow(
    rng: np.random.Generator,
) -> None:
    exact = mixture(rng, **KINDS["heavy"])
    for level in (-690.0, -1000.0):
        score = exact.quantile([[level]])
        assert np.allclose(slowly(exact, score), level, 1e-10)
        assert np.allclose(exact.log_survival(score), level, 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_gives_levels_to_a_few_thousandths(
    kind: str, rng: np.random.Generator
) -> None:
    exact = mixture(rng, **KINDS[kind])
    read = exact.tabled()
    score = read.quantile(LEVELS[:, None])
    levels = LEVELS[:, None]
    # Where a density ends, neighbouring scores of float64 are at different levels.
    told = np.abs(score - np.nextafter(score, np.inf)) * 1e3 < np.abs(
        exact.quantile(levels + 1e-3) - score
    )
    error = np.abs(log_odds(slowly(exact, score)) - log_odds(levels))[told]
    assert told.mean() > 0.85
    assert error.max() < CLOSE[kind]
    assert np.median(error) < 1e-4
    again = np.abs(log_odds(read.log_survival(score)) - log_odds(levels))
    assert again[told].max() < 1e-6
    assert (np.diff(score, axis=0) <= 0).all()


def test_a_coarse_table_does_not(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabled, "_ERROR", 1.0)
    exact = mixture(rng, **KINDS["apart"])
    score = exact.tabled().quantile(LEVELS[4:, None])
    error = slowly(exact, score) - LEVELS[4:, None]
    assert np.abs(error).max() > 2e-2


def test_what_a_table_does_not_reach_is_exact(rng: np.random.Generator) -> None:
    exact = mixture(rng)
    read = exact.tabled()
    levels = np.array([[0.0], [-65.0], [-200.0], [-900.0], [-np.inf]])
    assert np.allclose(read.quantile(levels), exact.quantile(levels), 1e-9)
    ends = np.array([[-np.inf], [-1e5], [1e5], [np.inf]])
    assert np.array_equal(read.log_survival(ends), exact.log_survival(ends))


@pytest.mark.parametrize("samples", [1, 1000, 10**9])
@pytest.mark.parametrize("kind", KINDS)
def test_means_are_those_of_the_mixture(
    kind: str, samples: int, rng: np.random.Generator
) -> None:
    exact = mixture(rng, **KINDS[kind])

    def failing(score: Array) -> Array:
        chance = -np.expm1(samples * log_safe_from_score(score))
        return np.stack([chance, chance**2])

    for level in (-np.inf, np.log(1e-3), rng.uniform(-12, -1, exact.draws)):
        known = exact.mean(failing, level)
        found = exact.tabled().mean(failing, level)
        # A level that is misjudged moves what is left out, too.
        assert np.allclose(found, known, 3 * CLOSE[kind], 1e-300)


def test_families_without_weight_do_not_count(rng: np.random.Generator) -> None:
    exact = mixture(rng, families=4)
    weight = exact.weight.copy()
    weight[2] = 0.0
    weight /= weight.sum(axis=0)
    far = exact.location.copy()
    far[2] = 50.0
    with_it = replace(exact, weight=weight, location=far).tabled()
    kept = [0, 1, 3]
    without = FamilyMixture(
        exact.location[kept], exact.scale[kept], weight[kept], exact.shape
    ).tabled()
    levels = LEVELS[:, None]
    assert np.allclose(with_it.quantile(levels), without.quantile(levels), 0, 1e-12)


def test_populations_of_populations_are_tabled_inside(
    rng: np.random.Generator,
) -> None:
    parts = mixture(rng), mixture(rng, families=3)
    gathered = Gathered(parts)
    joined = [part.tabled().quantile(-9.0) for part in parts]
    assert np.array_equal(gathered.tabled().quantile(-9.0), np.concatenate(joined))
    both = MissedMode().added(parts[0], 100, np.random.default_rng(0))
    score = both.quantile(-9.0)
    assert np.allclose(both.tabled().log_survival(score), -9.0, 1e-3)
