"""What ArviZ is given to check a posterior by: each query as it was observed."""

from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from scipy import stats
from unfitted import as_if, unfitted

import bayes_rare as br
from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.posterior import Average, Posterior
from bayes_rare.posterior.average import Member
from bayes_rare.posterior.replicates import posterior_predictive

TRIALS = np.tile([5, 40], 30)
SUCCESSES = np.random.default_rng(1).binomial(TRIALS, 0.2)


def observed(posterior: Posterior | Average, **options: Any) -> np.ndarray:
    tree: Any = posterior_predictive(posterior, **options)
    [seen] = tree["observed_data"].data_vars.values()
    [new] = tree["posterior_predictive"].data_vars.values()
    assert new.dims == ("chain", "draw", "query")
    assert new.sizes["query"] == seen.size
    assert np.isfinite(new).all()
    assert np.isfinite(seen).all()
    return seen.to_numpy()


@pytest.mark.parametrize("model", ["log_normal", "gpd_tail"])
def test_scores_are_what_was_observed(model: str, rng: np.random.Generator) -> None:
    """Of a short behaviour beside a long one, ties among them, and nothing else."""
    short = np.repeat(rng.normal(-2, 0.5, 15), 2)
    evaluation = Evaluation.from_scores({"a": short, "b": rng.normal(-2, 0.5, 200)})
    posterior = unfitted(model, evaluation)
    np.testing.assert_array_equal(observed(posterior, behaviour="a"), np.sort(short))
    assert observed(posterior, behaviour="b").size == 200
    with pytest.raises(InvalidInput, match="It has: a, b"):
        posterior_predictive(posterior)


def test_risks_of_0_and_1_stand_at_the_edge_of_the_record() -> None:
    scores = np.concatenate([np.linspace(-3, -1, 40), [np.inf] * 3, [-np.inf]])
    evaluation = Evaluation.from_scores(scores)
    found = observed(unfitted("log_normal", evaluation))
    cells = evaluation.scores("behaviour")
    assert found.size == 44
    assert found[0] == cells.lowest
    assert (found[-3:] == cells.highest).all()


@pytest.mark.parametrize("model", ["binomial_tail", "beta_binomial", "graded"])
def test_counts_are_what_was_observed(model: str) -> None:
    posterior = unfitted(model, Evaluation.from_counts(SUCCESSES, TRIALS))
    np.testing.assert_array_equal(observed(posterior), np.sort(SUCCESSES))
    tree: Any = posterior_predictive(posterior)
    assert (tree["posterior_predictive"]["successes"] <= 40).all()


@pytest.mark.parametrize("by_query", [False, True])
def test_a_judge_records_as_it_errs(*, by_query: bool) -> None:
    """One that never sees anything records nothing, whatever the risks."""
    posterior = unfitted("graded", Evaluation.from_counts(SUCCESSES, TRIALS))
    for name, rate in (("false_positive_rate", 0.0), ("sensitivity", 1e-9)):
        posterior.draws[name][:] = rate
    tree: Any = posterior_predictive(as_if(posterior, by_query=by_query))
    assert (tree["posterior_predictive"]["successes"] == 0).all()


def test_estimates_are_what_was_observed() -> None:
    estimates = np.linspace(-9, -1, 30)
    seen = Evaluation.from_estimates(estimates, np.full(30, 0.3))
    np.testing.assert_allclose(observed(unfitted("binomial_tail", seen)), estimates)


def test_weights_are_shares_of_what_is_shown() -> None:
    table = pd.DataFrame(
        {"successes": [0, 1] * 50, "trials": 4, "weight": [3.0, 1.0] * 50}
    )
    evaluation = br.read_table(table)
    found = observed(unfitted("binomial_tail", evaluation))
    [size] = evaluation.effective_sizes.values()
    assert found.size == round(size)
    assert found.mean() == pytest.approx(0.25, abs=0.01)


def test_new_queries_are_of_the_population(rng: np.random.Generator) -> None:
    posterior = unfitted("log_normal", Evaluation.from_scores(rng.normal(-2, 1, 500)))
    posterior.draws["location"][:] = -2.0
    posterior.draws["scale"][:] = 0.5
    tree: Any = posterior_predictive(posterior, draws=4)
    new = tree["posterior_predictive"]["score"].to_numpy().ravel()
    assert stats.kstest(new, stats.norm(-2, 0.5).cdf).pvalue > 1e-6
    assert stats.kstest(new, stats.norm(-2, 0.7).cdf).pvalue < 1e-6


def test_an_average_and_many_queries_are_shown_too(rng: np.random.Generator) -> None:
    evaluation = Evaluation.from_scores(rng.normal(-2, 0.5, 300))
    average = Average(
        tuple(
            Member(name, unfitted(name, evaluation), {"behaviour": 0.5}, {})
            for name in ("log_normal", "gpd_tail")
        )
    )
    tree: Any = posterior_predictive(average, most=100, draws=30)
    assert tree["posterior_predictive"]["score"].shape == (1, 30, 100)
    few = tree["observed_data"]["score"].to_numpy()
    middle = np.quantile(evaluation.scores("behaviour").score, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(np.quantile(few, [0.1, 0.5, 0.9]), middle, atol=0.03)


@pytest.mark.parametrize("kind", ["ecdf", "kde"])
def test_arviz_draws_what_was_observed(kind: str, rng: np.random.Generator) -> None:
    scores = rng.normal(-2, 0.5, 40)
    posterior = unfitted("gpd_tail", Evaluation.from_scores(scores))
    tree = posterior_predictive(posterior)
    made: Any = az.plot_ppc_dist(tree, kind=kind, backend="matplotlib")
    drawn = made.viz["observed_dist"]["score"].item()
    x = np.asarray(drawn.get_xdata(), float)
    # Padding would be a step at 0, above all scores.
    assert x.max() < scores.max() + 1
    pyplot.close("all")


@pytest.mark.parametrize("name", ["draws", "most", "seed"])
def test_numbers_out_of_range_are_refused(name: str) -> None:
    posterior = unfitted("binomial_tail", Evaluation.from_counts(SUCCESSES, TRIALS))
    options: dict[str, Any] = {name: -1}
    with pytest.raises(InvalidInput, match=f"{name} is a whole number from"):
        posterior_predictive(posterior, **options)
