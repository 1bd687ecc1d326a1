"""Leave-one-out scores: against refits, against ArviZ, and by multiplicity."""

from typing import Any

import arviz
import numpy as np
import pytest
from scipy.special import logsumexp

from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import fit
from bayes_rare.populations import gpd_log_survival
from bayes_rare.posterior import Posterior
from bayes_rare.posterior.loo import compare_loo, loo

az: Any = arviz
THRESHOLD = -1.5
SHORT: dict[str, Any] = {"chains": 1, "warmup": 100, "draws": 100, "target_ess": 0.0}


def evaluation_of(scores: np.ndarray) -> Evaluation:
    return Evaluation.from_scores(scores)


@pytest.fixture(scope="module")
def scores() -> np.ndarray:
    rng = np.random.default_rng(0)
    above = THRESHOLD + rng.exponential(0.4, 25)
    return np.concatenate([above, rng.normal(-2.5, 0.3, 75).clip(max=THRESHOLD - 0.01)])


def fitted(model: str, scores: np.ndarray, **priors: Any) -> Posterior:
    return fit(
        evaluation_of(scores), model, threshold=THRESHOLD, log_likelihood=True, **priors
    )


@pytest.fixture(scope="module")
def posterior(scores: np.ndarray) -> Posterior:
    return fitted("gumbel_tail", scores)


def test_it_is_the_log_density_of_each_excess_given_the_others(
    posterior: Posterior, scores: np.ndarray
) -> None:
    """Exact leave-one-out by fitting again without each of the five largest."""
    found = loo(posterior)
    largest = np.argsort(-scores)[:5]
    for cell, index in enumerate(largest):
        left = fitted("gumbel_tail", np.delete(scores, index))
        scale = left.draws["scale"].ravel()
        excess = scores[index] - THRESHOLD
        density = -np.log(scale) + gpd_log_survival(excess, scale, 0 * scale)
        exact = logsumexp(density) - np.log(scale.size)
        # Some 2,000 effective draws of a density that varies by a third.
        assert found.cell_elpd[cell] == pytest.approx(exact, abs=5 / np.sqrt(2_000))
    assert found.reliable
    assert found.queries == 25
    assert 0 < found.effective_parameters < 2


def test_it_agrees_with_arviz_where_no_two_scores_are_tied(
    posterior: Posterior,
) -> None:
    theirs = az.loo(posterior.tree, var_name="score_excess", reff=1.0)
    assert loo(posterior).elpd == pytest.approx(float(theirs.elpd), abs=1e-6)


def test_a_tied_score_counts_as_often_as_it_was_seen(scores: np.ndarray) -> None:
    tied = np.concatenate([scores[:5], scores])  # five excesses twice
    found = loo(fitted("gumbel_tail", tied))
    assert found.queries == 30
    assert found.cell_elpd.size == 25
    assert found.elpd == pytest.approx(found.cell_count @ found.cell_elpd)
    # Counted once each, as ArviZ would, it is another number.
    assert abs(found.elpd - found.cell_elpd.sum()) > 0.1


@pytest.mark.slow
def test_the_model_that_data_come_from_is_preferred(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # A shape of -0.4 is far from the straight line.
    excess = 0.5 * -np.expm1(-0.4 * rng.exponential(1.0, 300)) / 0.4
    data = np.concatenate([THRESHOLD + excess, np.linspace(-4, THRESHOLD - 0.01, 100)])
    line = fitted("gumbel_tail", data)
    bent = fitted("gpd_tail", data, shape=-0.4, shape_sd=0.2)
    table = compare_loo(line, bent)
    assert table["model"].tolist() == ["gpd_tail", "gumbel_tail"]
    assert table["difference"][1] < -2 * table["standard_error"][1]


def test_other_data_are_not_compared(posterior: Posterior, scores: np.ndarray) -> None:
    elsewhere = fit(
        evaluation_of(scores),
        "gpd_tail",
        **SHORT,
        exceedances=10,
        log_likelihood=True,
    )
    with pytest.raises(NotApplicable, match="with the same threshold"):
        compare_loo(posterior, elsewhere)
    with pytest.raises(InvalidInput, match="two posteriors or more"):
        compare_loo(posterior)


def test_without_log_likelihood_the_way_out_is_named(scores: np.ndarray) -> None:
    bare = fit(evaluation_of(scores), "gumbel_tail", **SHORT)
    with pytest.raises(InvalidInput, match="log_likelihood=True"):
        loo(bare)
