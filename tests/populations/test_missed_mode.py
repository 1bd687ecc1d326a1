"""A mode of queries that the evaluation may have missed."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bayes_rare.cli import main
from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import Deployment, forecast, point_forecast
from bayes_rare.inference import fit
from bayes_rare.populations import Normal
from bayes_rare.populations.beta import BetaRisks
from bayes_rare.populations.missed_mode import MissedMode, WithMissedMode
from bayes_rare.posterior import Posterior


@pytest.fixture
def both() -> WithMissedMode:
    """Two draws: normal scores, and two in a hundred queries with any risk alike."""
    alike = np.ones(2)
    return WithMissedMode(
        Normal(np.array([-3.0, -2.0]), np.array([0.3, 0.4])),
        np.array([0.02, 0.05]),
        BetaRisks(alike, alike, 0 * alike),
    )


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    scores = np.random.default_rng(1).normal(-3, 0.2, 500)
    evaluation = Evaluation.from_scores(scores)
    return fit(evaluation, "log_normal", warmup=200, draws=200, target_ess=0.0)


def survival(score: float, draw: int, both: WithMissedMode) -> float:
    known = stats.norm(both.known.quantile(np.log(0.5))[draw], (0.3, 0.4)[draw])
    share = both.share[draw]
    uniform = 1 - np.exp(-np.exp(-score))
    return (1 - share) * known.sf(score) + share * uniform


@pytest.mark.parametrize("score", [-4.0, -2.5, 0.0, 3.0])
def test_survival_is_the_mean_of_both(score: float, both: WithMissedMode) -> None:
    found = np.exp(both.log_survival(score))
    np.testing.assert_allclose(found, [survival(score, d, both) for d in (0, 1)])


@pytest.mark.parametrize("log_level", [-0.01, -1.0, -4.0, -12.0, -27.0])
def test_quantiles_are_where_survival_has_the_level(
    log_level: float, both: WithMissedMode
) -> None:
    np.testing.assert_allclose(
        both.log_survival(both.quantile(log_level)), log_level, rtol=1e-9
    )


def test_quantiles_go_through_axes_as_others_do(both: WithMissedMode) -> None:
    levels = np.array([[-1.0], [-5.0], [-20.0]])
    found = both.quantile(levels)
    assert found.shape == (3, 2)
    np.testing.assert_array_equal(found[1], both.quantile(-5.0))


def test_means_are_those_of_simulated_queries(both: WithMissedMode) -> None:
    rng = np.random.default_rng(2)
    scores = both.quantile(np.log(rng.random((200_000, 1))))
    failing = 1 - (1 - np.exp(-np.exp(-scores))) ** 5
    np.testing.assert_allclose(both.mean_failure(5), failing.mean(axis=0), rtol=0.02)
    level = np.log(0.03)
    rest = np.where(scores < both.quantile(level), np.tanh(scores), 0.0)
    found = both.mean(np.tanh, level)
    np.testing.assert_allclose(found, rest.mean(axis=0), rtol=0.01)


def test_the_share_is_what_the_evaluation_leaves(posterior: Posterior) -> None:
    mode = MissedMode((2.0, 3.0))
    known = posterior.population()
    found = mode.added(known, 500, np.random.default_rng(4)).share
    law = stats.beta(2, 503)
    assert stats.kstest(found, law.cdf).pvalue > 1e-3


def test_a_forecast_supposes_it_only_if_asked(posterior: Posterior) -> None:
    plain = forecast(posterior, Deployment([10**5]))
    asked = forecast(posterior, Deployment([10**5], missed_mode=MissedMode()))
    for made in (plain, asked):
        assert any("cannot exclude" in note for note in made.notes)
    assert not any("ASSUMED" in note for note in plain.notes)
    [note] = [note for note in asked.notes if "ASSUMED" in note]
    assert "Beta(1, 501): 0.002 on average" in note

    def worst(made: object) -> float:
        table = made.summary()  # pyright: ignore[reportAttributeAccessIssue]
        return float(table[table.target == "worst_query_risk"]["median"].iloc[0])

    assert worst(plain) < 1e-3
    assert worst(asked) > 0.9


def test_what_is_supposed_of_no_posterior_is_refused() -> None:
    evaluation = Evaluation.from_scores(np.linspace(-3, -1, 40))
    population = {"behaviour": Normal(np.zeros(1), np.ones(1))}
    deployment = Deployment([100], missed_mode=MissedMode())
    with pytest.raises(InvalidInput, match="no posterior to add a missed mode to"):
        point_forecast("mine", evaluation, population, deployment)


def test_parameters_are_positive() -> None:
    with pytest.raises(InvalidInput, match=r"share of a missed mode.*\(0.0, 1.0\)"):
        MissedMode((0.0, 1.0))
    with pytest.raises(InvalidInput, match="risk of a missed mode"):
        MissedMode(risk=(1.0, float("inf")))


def test_it_is_supposed_on_the_command_line(
    posterior: Posterior, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(posterior.save(tmp_path / "posterior.nc"))
    ask = ["forecast", path, "--queries", "1e5"]
    assert main([*ask, "--missed-share", "1", "1", "--missed-risk", "1", "9"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "ASSUMED, NOT OBSERVED" in told
    assert "risks are distributed as Beta(1, 9)" in told
    assert main([*ask, "--missed-risk", "1", "9"]) == 1
    assert "Add --missed-share 1 1" in capsys.readouterr().err
