"""Counts and estimates by family, against integrals on a fine grid of scores."""

from typing import Any

import jax
import numpy as np
import pytest
from scipy import special

from bayes_rare import catalog
from bayes_rare.errors import NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference.density import density_of
from bayes_rare.likelihoods import quadrature
from bayes_rare.likelihoods.family_counts import family_outcomes
from bayes_rare.populations import spliced_log_density
from bayes_rare.scores import log_risk_from_score, log_safe_from_score, risk_from_score

# Four times finer, log integrals of this file change by about 1e-7.
FINE = np.linspace(-60.0, 60.0, 600_001)
LOG_RISK, LOG_SAFE = log_risk_from_score(FINE), log_safe_from_score(FINE)


def scores_of(
    rng: np.random.Generator, families: int = 6, queries: int = 90
) -> tuple[np.ndarray, list[str]]:
    family = np.arange(queries) % families
    location = rng.normal(-1.5, 0.5, families)
    return location[family] + rng.normal(0, 0.2, queries), [f"f{k:04d}" for k in family]


def counted(
    rng: np.random.Generator, trials: Any, families: int = 6, queries: int = 90
) -> Evaluation:
    score, family = scores_of(rng, families, queries)
    trials = np.broadcast_to(trials, score.shape)
    return Evaluation.from_counts(
        rng.binomial(trials, risk_from_score(score)), trials, family=family
    )


def estimated(rng: np.random.Generator, error: float) -> Evaluation:
    score, family = scores_of(rng)
    log_risk = log_risk_from_score(score) + error * rng.standard_normal(score.size)
    return Evaluation.from_estimates(
        np.minimum(log_risk, 0.0), np.full(score.size, error), family=family
    )


def density_at(
    evaluation: Evaluation, rng: np.random.Generator, spread: float = 0.5
) -> tuple[Any, dict[str, Any], Any, list[Any], Any]:
    """Density, data, what the model names, free values and data as arguments."""
    built = catalog.load("family_tail").build(evaluation)
    density = density_of(built)
    free = [
        density.initial[name]
        + (0.1 if name == "shape" else spread)
        * rng.standard_normal(np.shape(density.initial[name]))
        for name in density.values
    ]
    data = {name: built[name].get_value() for name in density.data}
    return density, data, density.constrain(*free, *data.values()), free, built


def log_mean(
    log_likelihood: np.ndarray, location: float, scale: float, shape: float
) -> float:
    """Log mean of a likelihood on the fine grid, over a family's scores."""
    log_density = spliced_log_density((FINE - location) / scale, shape) - np.log(scale)
    step = float(FINE[1] - FINE[0])
    return float(special.logsumexp(log_likelihood + log_density) + np.log(step))


@pytest.mark.parametrize("trials", [1, 10, 100, 1_000, 20_000])
def test_chances_of_tallies_are_integrals_over_the_family(
    trials: int, rng: np.random.Generator
) -> None:
    density, data, named, free, _ = density_at(counted(rng, trials), rng)
    cells = density.pointwise(*free, *data.values())
    name = "tallies" if trials <= quadrature.SHARED_TRIALS else "sharp_tallies"
    prefix = "" if name == "tallies" else "sharp_"
    family = data["tally_family" if name == "tallies" else "sharp_family"][0]
    count = data["tally_count" if name == "tallies" else "sharp_count"][0]
    shape = float(named["shape"][0])
    for row in rng.choice(np.flatnonzero(count > 0), 12):
        place = int(family[row])
        successes = data[f"{prefix}successes"][0, row]
        failures = data[f"{prefix}trials"][0, row] - successes
        log_likelihood = quadrature.times(
            np.full_like(FINE, successes), LOG_RISK
        ) + quadrature.times(np.full_like(FINE, failures), LOG_SAFE)
        exact = float(data[f"{prefix}ways"][0, row]) + log_mean(
            log_likelihood,
            float(named["location"][0, place]),
            float(named["scale"][0, place]),
            shape,
        )
        found = float(cells[name][0, row]) / count[row]
        # What is a wonder under these parameters may be known less well.
        assert found == pytest.approx(exact, abs=2e-4 if exact > -25 else 0.1)


def test_chances_of_estimates_are_integrals_over_the_family(
    rng: np.random.Generator,
) -> None:
    density, data, named, free, _ = density_at(estimated(rng, 0.3), rng)
    cells = density.pointwise(*free, *data.values())["estimates"]
    for row in rng.choice(90, 12):
        place = int(data["estimate_family"][0, row])
        log_likelihood = quadrature.log_normal_density(
            np,
            data["estimated"][0, row],
            data["estimate_error"][0, row],
            LOG_RISK,
        )
        exact = log_mean(
            log_likelihood,
            float(named["location"][0, place]),
            float(named["scale"][0, place]),
            float(named["shape"][0]),
        )
        assert float(cells[0, row]) == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("trials", [1, 100, 20_000])
@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_gradients_are_finite_and_those_of_the_density(
    trials: int, spread: float, rng: np.random.Generator
) -> None:
    density, data, _, free, _ = density_at(counted(rng, trials), rng, spread)
    arguments = list(data.values())

    def log_density(*values: Any) -> Any:
        return density.log_density(*values, *arguments)

    slopes = jax.jit(jax.grad(log_density, argnums=tuple(range(len(free)))))(*free)
    assert all(np.isfinite(slope).all() for slope in slopes)
    if spread > 1:  # far out the log density is large, and a difference of it rounded
        return
    value = jax.jit(log_density)
    for place, slope in enumerate(slopes):
        step = np.zeros_like(free[place])
        step.ravel()[0] = 1e-4
        up, down = list(free), list(free)
        up[place], down[place] = free[place] + step, free[place] - step
        numeric = (value(*up) - value(*down)) / 2e-4
        assert np.ravel(slope)[0] == pytest.approx(float(numeric), rel=1e-3, abs=2e-2)


def test_the_data_lose_no_query(rng: np.random.Generator) -> None:
    trials = rng.choice([1, 7, 9_000], 90)
    data = family_outcomes(counted(rng, trials))
    assert data["family_count"][0, :6].tolist() == [15.0] * 6
    tallies = data["tally_count"].sum(), data["sharp_count"].sum()
    assert tallies == ((trials < 9_000).sum(), (trials == 9_000).sum())
    for place in range(6):
        seen = sum(
            data[f"{name}_count"][data[f"{name}_family"] == place].sum()
            for name in ("tally", "sharp")
        )
        assert seen == 15


def test_first_guesses_are_where_the_families_are(rng: np.random.Generator) -> None:
    """They only set the coordinates, but good ones make short walks."""
    score, family = scores_of(rng, 6, 600)
    data = family_outcomes(
        Evaluation.from_counts(
            rng.binomial(500, risk_from_score(score)), np.full(600, 500), family=family
        )
    )
    for place in range(6):
        mine = score[place::6]
        assert data["location_guess"][0, place] == pytest.approx(mine.mean(), abs=0.1)
        guess = np.exp(data["log_scale_guess"][0, place])
        assert guess == pytest.approx(mine.std(), rel=0.35)
    assert (data["known_scores"][0, :6] > 10).all()
    assert (data["known_scores"][0, 6:] == 0).all()


@pytest.mark.parametrize("families", [1, 90])
def test_one_family_and_families_of_one_query_are_data(
    families: int, rng: np.random.Generator
) -> None:
    data = family_outcomes(counted(rng, 50, families))
    assert (data["family_count"] > 0).sum() == families
    assert all(np.isfinite(value).all() for value in data.values())


def test_without_families_all_are_of_one() -> None:
    data = family_outcomes(Evaluation.from_counts([0, 1, 4], [9, 9, 9]))
    assert data["family_count"][0, :2].tolist() == [3.0, 0.0]


def test_exact_risks_beside_counts_are_refused() -> None:
    both = Evaluation.joined(
        [
            Evaluation.from_counts([0, 1], [9, 9], behaviour="a"),
            Evaluation.from_scores([0.0, 1.0], behaviour="b"),
        ]
    )
    with pytest.raises(NotApplicable, match="'b' has exact risks"):
        family_outcomes(both)
