"""Risks integrated out, against the same risks sampled one by one.

The two models have one posterior and share no step of its computation: a mistake in
the quadrature, or in the prior of either, would show as a difference of means.
"""

import inspect
from typing import Any

import arviz as az
import numpy as np
import pymc as pm
import pytest
from scipy import special

from bayes_rare import catalog
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import fit
from bayes_rare.inference.density import density_of
from bayes_rare.likelihoods import quadrature
from bayes_rare.likelihoods.steps import steps_population
from bayes_rare.posterior import Posterior
from bayes_rare.scores import risk_from_score

MARGINAL, REFERENCE = "binomial_tail", "latent_reference"
HYPERPARAMETERS = [
    "log_scale",
    "shape",
    "step_offset",
    "lowest_step_offset",
    "rate",
    "step_weight",
]
QUERIES, TRIALS = 1_000, 50
# Riskier than the tenth query or so, the tail begins.
SETTINGS: dict[str, Any] = {"exceedances": 10.0}


def evaluation_of(queries: int, seed: int, trials: int = TRIALS) -> Evaluation:
    """Counts of normal scores with a few queries that fail often."""
    rng = np.random.default_rng([seed, 7])
    score = rng.normal(-1.7, 0.5, queries)
    score[: queries // 100] += 1.5
    successes = rng.binomial(trials, risk_from_score(score))
    return Evaluation.from_counts(successes, np.full(queries, trials))


def test_the_reference_says_what_it_is() -> None:
    assert catalog.load(REFERENCE).scope["REFERENCE_ONLY"]


@pytest.mark.parametrize("function", ["observe", "build"])
def test_settings_are_those_of_the_marginal_model(function: str) -> None:
    one, other = (
        inspect.signature(catalog.load(name).scope[function])
        for name in (MARGINAL, REFERENCE)
    )
    assert one == other


def test_thresholds_and_edges_are_those_of_the_marginal_model(seed: int) -> None:
    evaluation = evaluation_of(300, seed)
    observes: list[Any] = [catalog.load(name).observe for name in (MARGINAL, REFERENCE)]
    one, other = (observe(evaluation, **SETTINGS)["edges"] for observe in observes)
    np.testing.assert_array_equal(one, other)


def density_at(name: str, evaluation: Evaluation, point: dict[str, Any]) -> Any:
    """Log likelihood of each cell, and what the model names, at a point."""
    built = catalog.load(name).build(evaluation, **SETTINGS)
    density = density_of(built)
    data = [built[name].get_value() for name in density.data]
    arguments = [*(point[name] for name in density.values), *data]
    return density.pointwise(*arguments), density.constrain(*arguments)


def point_of(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "log_scale": rng.normal(-1.0, 0.5, 1),
        "shape": rng.normal(0, 0.1, 1),
        "step_offset": rng.normal(0, 0.5, (1, quadrature.STEPS)),
        "lowest_step_offset": rng.normal(0, 0.5, 1),
    }


def test_scores_are_quantiles_of_the_population(rng: np.random.Generator) -> None:
    evaluation = evaluation_of(300, 0)
    point = point_of(rng) | {"place": rng.normal(0, 2, (1, 512))}
    _, named = density_at(REFERENCE, evaluation, point)
    observe: Any = catalog.load(REFERENCE).observe
    edges = observe(evaluation, **SETTINGS)["edges"][0]
    draws = {
        name: np.asarray(named[name])[0][..., None]
        for name in ("step_weight", "rate", "scale", "shape")
    }
    population = steps_population(draws, {"edges": edges})
    level = special.log_ndtr(-point["place"][0])[:, None]
    np.testing.assert_allclose(
        named["score"][0], population.quantile(level)[:, 0], rtol=1e-9, atol=1e-9
    )


def test_the_mean_over_scores_is_the_marginal_likelihood(
    rng: np.random.Generator,
) -> None:
    """At one point: chances of outcomes, averaged over places, are those integrated."""
    rows = np.arange(0, 51, 5.0)
    evaluation = Evaluation.from_counts(rows, np.full(rows.size, 50))
    point = point_of(rng)
    cells, _ = density_at(MARGINAL, evaluation, point)
    marginal = np.asarray(cells["tallies"])[0, : rows.size]
    # Midpoints of 200,001 levels, denser towards the tail, in scores that the reference
    # itself gives.
    middle = (np.arange(200_001) + 0.5) / 200_001
    survival, log_share = (1 - middle) ** 4, np.log(4 * (1 - middle) ** 3 / middle.size)
    many = Evaluation.from_counts(np.zeros(middle.size), np.full(middle.size, 50))
    built = catalog.load(REFERENCE).build(many, threshold=0.0)
    observe: Any = catalog.load(MARGINAL).observe
    edges = observe(evaluation, **SETTINGS)["edges"]
    built.set_data("edges", edges)
    density = density_of(built)
    data = [built[name].get_value() for name in density.data]
    length = built["query_count"].get_value().shape[1]
    place = np.zeros((1, length))
    place[0, : middle.size] = -special.ndtri(survival)
    values = point | {"place": place}
    named = density.constrain(*(values[name] for name in density.values), *data)
    score = np.asarray(named["score"])[0, : middle.size]
    log_risk, log_safe = quadrature.log_chances(np, score)
    ways = quadrature.log_ways(rows, np.full(rows.size, 50.0))
    terms = rows[:, None] * log_risk + (50 - rows[:, None]) * log_safe
    exact = ways + special.logsumexp(terms + log_share, axis=1)
    assert (exact > -30).all()
    np.testing.assert_allclose(marginal, exact, rtol=0, atol=1e-5)


def test_gradients_are_finite_far_out(rng: np.random.Generator) -> None:
    import jax

    evaluation = evaluation_of(40, 0)
    built = catalog.load(REFERENCE).build(evaluation, **SETTINGS)
    density = density_of(built)
    data = [built[name].get_value() for name in density.data]
    for log_scale, shape, spread in ((-8.0, -1.0, 1.0), (3.0, 1.0, 6.0), (0, 0, 0)):
        point = {
            "log_scale": np.full(1, float(log_scale)),
            "shape": np.full(1, float(shape)),
            "step_offset": spread * rng.choice([-1.0, 1.0], (1, quadrature.STEPS)),
            "lowest_step_offset": spread * rng.choice([-1.0, 1.0], 1),
            "place": rng.uniform(-6, 6, (1, 64)),
        }
        values = [point[name] for name in density.values]
        assert np.isfinite(density.log_density(*values, *data))
        gradients = jax.grad(density.log_density, range(len(values)))(*values, *data)
        assert all(np.isfinite(gradient).all() for gradient in gradients)


def posterior_of(name: str, settings: dict[str, Any]) -> Posterior:
    return fit(
        evaluation_of(QUERIES, 0),
        name,
        chains=2,
        warmup=500,
        draws=1_500,
        seed=3,
        target_ess=0.0,
        **settings,
    )


@pytest.fixture(scope="module")
def posteriors() -> dict[str, Posterior]:
    """Both posteriors of the same thousand queries."""
    return {name: posterior_of(name, SETTINGS) for name in (MARGINAL, REFERENCE)}


def means(posterior: Any, names: list[str]) -> list[np.ndarray]:
    """Posterior means, component by component, and their Monte Carlo errors."""
    draws = posterior[names]
    error: Any = az.mcse(draws, method="mean")
    mean = draws.mean(("chain", "draw"))
    return [
        np.concatenate([np.ravel(values[name]) for name in names])
        for values in (mean, error)
    ]


def most_deviant(one: Any, other: Any, names: list[str]) -> float:
    """Largest difference of two posterior means, in combined standard errors."""
    (mean, error), (other_mean, other_error) = means(one, names), means(other, names)
    return float((np.abs(mean - other_mean) / np.hypot(error, other_error)).max())


@pytest.mark.long
def test_sampled_risks_and_integrated_ones_have_one_posterior(
    posteriors: dict[str, Posterior],
) -> None:
    for name, posterior in posteriors.items():
        assert posterior.verdict.divergences <= 3, name
        assert posterior.verdict.max_rhat < 1.02, name
    one, other = (p.tree["posterior"].dataset for p in posteriors.values())
    assert most_deviant(one, other, HYPERPARAMETERS) < 5


@pytest.mark.long
def test_that_test_can_fail(posteriors: dict[str, Posterior]) -> None:
    """With one more step of the prior's rise, the posterior is another."""
    other = posterior_of(MARGINAL, SETTINGS | {"step_rise": 2.5})
    one = posteriors[REFERENCE].tree["posterior"].dataset
    assert most_deviant(one, other.tree["posterior"].dataset, HYPERPARAMETERS) > 5


@pytest.mark.long
def test_pymc_samples_the_reference_by_itself(
    posteriors: dict[str, Posterior],
) -> None:
    built = catalog.load(REFERENCE).build(evaluation_of(QUERIES, 0), **SETTINGS)
    with built:
        sampled: Any = pm.sample(
            draws=400,
            tune=400,
            chains=2,
            nuts_sampler="numpyro",
            random_seed=5,
            progressbar=False,
            compute_convergence_checks=False,
        )
    one = sampled["posterior"].dataset
    other = posteriors[MARGINAL].tree["posterior"].dataset
    assert most_deviant(one, other, HYPERPARAMETERS) < 5


@pytest.mark.long
def test_scores_drawn_afterwards_are_those_sampled(
    posteriors: dict[str, Posterior],
) -> None:
    """Of a query without successes, of ordinary ones, and of the riskiest."""
    reference = posteriors[REFERENCE]
    seen = reference.data["query_successes"][0, :QUERIES].astype(int)
    wanted = np.array(sorted({0, 1, 2, 4, int(seen.max())} & set(seen.tolist())))
    sampled = reference.tree["posterior"].dataset["score"].isel(behaviour=0)
    places = [int(np.flatnonzero(seen == number)[0]) for number in wanted]
    drawn = posteriors[MARGINAL].query_risks(
        successes=wanted, trials=np.full(wanted.size, TRIALS)
    )
    one = drawn.dataset[["score"]]
    other = sampled.isel(query=places).to_dataset(name="score")
    assert most_deviant(one, other, ["score"]) < 5
