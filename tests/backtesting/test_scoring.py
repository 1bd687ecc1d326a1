"""Forecasts held against what happened: by brute force, and uniform where right."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy import optimize, stats

from bayes_rare.backtesting.proper_scores import CLAMP
from bayes_rare.backtesting.scoring import INTERVALS, SCORED, Realised, score
from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import Deployment, Forecast
from bayes_rare.populations import BodyAndTail, Normal, Population, log_worst_level
from bayes_rare.scores import risk_from_score

NAME = "leak"
DRAWS = 400


def forecast_of(
    population: Population, *, is_point: bool = False, samples: int = 1
) -> Forecast:
    """A forecast that is nothing but its population."""
    return Forecast(
        method="mine",
        deployment=Deployment(1, samples),
        evaluation=Evaluation.from_scores([0.0, 1.0]),
        populations={NAME: population},
        draws=xr.Dataset(),
        converged=True,
        notes=(),
        is_point=is_point,
    )


def normal(location: float, scale: float, draws: int = DRAWS) -> Normal:
    return Normal(np.full(draws, location), np.full(draws, scale))


def tail(draws: int = DRAWS) -> BodyAndTail:
    """Ten scores, and an exponential tail that a fifth of the queries are in."""
    return BodyAndTail(
        threshold=-1.0,
        rate=np.full(draws, 0.2),
        scale=np.full(draws, 0.3),
        shape=np.zeros(draws),
        body_score=np.linspace(-3, -1, 10),
        body_count=np.ones(10),
        resample=False,
    )


def row(rows: list[dict[str, Any]], target: str) -> dict[str, Any]:
    [found] = [one for one in rows if one["target"] == target]
    return found


def test_what_happened_is_counted_by_hand(rng: np.random.Generator) -> None:
    scores = rng.normal(-2, 0.5, 1_000)
    seen = Realised.of(NAME, scores, [(-1.5, None), (-1.0, 0.07)])
    risk = np.exp(-np.exp(-scores))
    assert seen.queries == 1_000
    assert seen.worst_score == scores.max()
    assert [one.count for one in seen.risky] == [
        (scores > -1.5).sum(),
        (scores > -1.0).sum(),
    ]
    assert 1 - np.exp(-np.exp(seen.log_hazard)) == pytest.approx(
        1 - np.prod(1 - risk), rel=1e-12
    )


def test_risks_of_0_and_1_have_a_finite_hazard() -> None:
    seen = Realised.of(NAME, np.array([-np.inf, 0.0, np.inf]))
    assert np.isfinite(seen.log_hazard)
    # Of a risk of 1, the record can tell no more than 1 - 2**-24.
    assert np.exp(seen.log_hazard) == pytest.approx(24 * np.log(2) + 0.4587, rel=1e-3)


def test_each_target_is_scored_once_and_each_threshold() -> None:
    seen = Realised.of(NAME, np.linspace(-3, 0, 50), [(-1.0, None), (-0.5, 0.19)])
    rows = score(forecast_of(tail()), seen)
    assert [one["target"] for one in rows] == [SCORED[0], SCORED[1], *SCORED[1:]]
    assert np.isnan(rows[1]["risk_threshold"])
    assert rows[2]["risk_threshold"] == 0.19
    for one in rows:
        assert one["lower_90"] <= one["median"] <= one["upper_90"]
        assert one["abs_error"] == abs(one["median"] - one["truth"])
        assert one["within_one_order"] == (one["abs_log10_error"] <= 1)
        assert one["underestimated"] == (one["median"] < one["truth"])
        widths = [one[f"covered_{round(100 * p)}"] for p in INTERVALS]
        assert widths == sorted(widths)


def test_errors_are_in_powers_of_ten() -> None:
    """A risk a hundred times larger, a count of 99 for 9, a hazard of ten."""
    # The largest of one query, of a single draw: the median is the location.
    population = normal(float(-np.log(-np.log(1e-4))), 1e-9)
    seen = Realised.of(NAME, np.array([-np.log(-np.log(1e-2))]))
    worst, whole = score(forecast_of(population), seen)
    assert worst["abs_log10_error"] == pytest.approx(2, abs=1e-6)
    assert worst["abs_error"] == pytest.approx(1e-2 - 1e-4, rel=1e-6)
    assert worst["underestimated"] == 1.0
    # -log(1 - 1e-2) is a bit more than 1e-2.
    expected = np.log10(np.log1p(-1e-2) / np.log1p(-1e-4))
    assert whole["abs_log10_error"] == pytest.approx(expected, abs=1e-6)
    many = Realised.of(NAME, np.full(100, 0.5), [(0.0, None)])
    count = row(
        score(forecast_of(normal(0.0, 1.0), is_point=False), many),
        "behaviour_frequency",
    )
    assert count["abs_log10_error"] == pytest.approx(
        abs(np.log10((1 + count["median"]) / 101))
    )


def test_the_interval_is_that_of_the_distribution() -> None:
    """Quantiles of the largest of n normal scores, against scipy."""
    size = 500
    seen = Realised.of(NAME, np.zeros(size))
    worst = row(score(forecast_of(normal(-2.0, 0.4)), seen), "worst_query_risk")
    for level, name in ((0.05, "lower_90"), (0.5, "median"), (0.95, "upper_90")):
        exact = stats.norm(-2, 0.4).ppf(level ** (1 / size))
        assert worst[name] == pytest.approx(float(risk_from_score(exact)), rel=1e-9)


def test_the_log_score_is_the_density_averaged_over_draws() -> None:
    size, truth = 500, -0.7
    scales = np.array([0.3, 0.5])
    population = Normal(np.full(2, -2.0), scales)
    scores = np.append(np.full(size - 1, -3.0), truth)
    worst = row(
        score(forecast_of(population), Realised.of(NAME, scores)), "worst_query_risk"
    )
    law = stats.norm(-2.0, scales)
    density = np.asarray(size * law.cdf(truth) ** (size - 1) * law.pdf(truth))
    # Of the mean density, not the mean of log densities; cells are 1/32 wide.
    assert worst["log_score"] == pytest.approx(-np.log(density.mean()), abs=0.03)
    assert abs(worst["log_score"] + np.mean(np.log(density))) > 0.1


def test_a_point_forecast_has_its_error_and_no_interval() -> None:
    seen = Realised.of(NAME, np.linspace(-3, 0.1, 50), [(-1.0, None)])
    rows = score(forecast_of(tail(1), is_point=True), seen)
    for one in rows:
        for name in ("pit", "log_score", "covered_90", "interval_score_90", "lower_90"):
            assert np.isnan(one[name])
    guess = -np.log(-np.log(rows[0]["median"]))
    assert rows[0]["crps"] == pytest.approx(abs(guess - 0.1))
    assert rows[1]["crps"] == pytest.approx(rows[1]["abs_log10_error"])
    assert rows[2]["crps"] == pytest.approx(rows[2]["abs_log10_error"])


@pytest.mark.parametrize("worst", [-np.inf, np.inf])
def test_an_infinite_truth_has_finite_scores(worst: float) -> None:
    seen = Realised.of(NAME, np.full(20, worst), [(0.0, None)])
    for population in (normal(-2.0, 0.5), tail()):
        for one in score(forecast_of(population), seen):
            numbers = [np.ravel(v) for v in one.values() if not isinstance(v, str)]
            kept = np.concatenate(numbers)
            assert np.isfinite(kept[~np.isnan(kept)]).all()
            assert 0 <= one["pit"] <= 1


@pytest.mark.parametrize("log_share", [-690.0, -709.2, -744.0, -1e4])
def test_shares_that_are_hardly_numbers_have_scores(log_share: float) -> None:
    """SciPy's own chances of a binomial distribution fail at 1e-308."""
    far = float(np.sqrt(-2 * log_share))
    far = float(optimize.brentq(lambda x: stats.norm.logsf(x) - log_share, 1, far))
    seen = Realised.of(NAME, np.full(1_000, -3.0), [(far, None)])
    found = row(score(forecast_of(normal(0.0, 1.0)), seen), "behaviour_frequency")
    assert found["truth"] == found["median"] == 0
    assert found["crps"] == 0
    assert found["log_score"] == pytest.approx(0, abs=1e-12)


def test_worst_scores_beyond_the_clamp_are_told_apart_no_more() -> None:
    rows = [
        row(
            score(forecast_of(normal(9.0, 0.1)), Realised.of(NAME, np.array([truth]))),
            "worst_query_risk",
        )
        for truth in (CLAMP[1], CLAMP[1] + 1)
    ]
    assert rows[0]["crps"] == rows[1]["crps"] == 0
    assert rows[0]["log_score"] == pytest.approx(0, abs=1e-9)


def test_a_behaviour_that_was_not_forecast_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"no forecast of 'theft'\. It has: leak"):
        score(forecast_of(tail()), Realised.of("theft", np.zeros(2)))


@pytest.mark.parametrize("scores", [np.empty(0), np.array([0.0, np.nan])])
def test_a_deployment_that_shows_nothing_is_refused(scores: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="at least one query"):
        Realised.of(NAME, scores)


# Calibration by simulation: deployments drawn from the forecast population itself.

SIZE, DEPLOYMENTS = 300, 600
LAWS: dict[str, tuple[Population, Callable[[np.random.Generator], np.ndarray]]] = {
    "normal": (
        normal(-2.0, 0.5, 20),
        lambda rng: rng.normal(-2.0, 0.5, SIZE),
    ),
    "body and tail": (
        tail(20),
        lambda rng: tail(SIZE).quantile(np.log(rng.random(SIZE))),
    ),
}


def pits(
    population: Population,
    draw: Callable[[np.random.Generator], np.ndarray],
    seed: int,
) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    made = forecast_of(population)
    found: dict[str, list[float]] = {target: [] for target in SCORED}
    for number in range(DEPLOYMENTS):
        seen = Realised.of(NAME, draw(rng), [(-0.7, None)])
        for one in score(made, seen, seed=[seed, number]):
            found[one["target"]].append(one["pit"])
    return {target: np.array(values) for target, values in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
def test_the_right_forecast_has_uniform_pits(law: str, seed: int) -> None:
    for target, values in pits(*LAWS[law], seed).items():
        assert stats.kstest(values, "uniform").pvalue > 1e-6, target
        hits = int((np.abs(values - 0.5) <= 0.45).sum())
        assert stats.binomtest(hits, values.size, 0.9).pvalue > 1e-6, target


@pytest.mark.slow
def test_an_overconfident_forecast_has_not(seed: int) -> None:
    _, draw = LAWS["normal"]
    for target, values in pits(normal(-2.0, 0.42, 20), draw, seed).items():
        assert stats.kstest(values, "uniform").pvalue < 1e-6, target


BELIEFS = {"too high": (-1.8, 0.5), "too sure": (-2.0, 0.42), "too vague": (-2.0, 0.6)}


@pytest.mark.slow
@pytest.mark.parametrize("belief", BELIEFS)
def test_the_true_forecast_wins_in_expectation(belief: str, seed: int) -> None:
    """Each score of each target; worst scores and counts on their own scales."""
    _, draw = LAWS["normal"]
    rng = np.random.default_rng([seed, 1])
    gains: dict[tuple[str, str], list[float]] = {}
    forecasts = [
        forecast_of(normal(*law, 30)) for law in ((-2.0, 0.5), BELIEFS[belief])
    ]
    for number in range(250):
        seen = Realised.of(NAME, draw(rng), [(-0.9, None)])
        rows = [score(made, seen, seed=[seed, number]) for made in forecasts]
        for true, other in zip(*rows, strict=True):
            for name in ("crps", "log_score", "interval_score_50", "interval_score_90"):
                key = (true["target"], name)
                gains.setdefault(key, []).append(other[name] - true[name])
    for (target, name), gain in gains.items():
        if (target, name) == ("aggregate_risk", "log_score"):
            assert np.isnan(gain).all()  # its distribution is drawn, and has no density
            continue
        won = stats.ttest_1samp(gain, 0.0, alternative="greater").pvalue
        lost = stats.ttest_1samp(gain, 0.0, alternative="less").pvalue
        assert lost > 1e-6, (target, name)
        if target != "aggregate_risk" or belief == "too high":
            assert won < 1e-2, (target, name)


def test_an_improper_score_would_lose(seed: int) -> None:
    """The error of one draw, taken for a score, is bettered by hiding one's doubt."""
    _, draw = LAWS["normal"]
    law, rng = normal(-2.0, 0.5, 1), np.random.default_rng([seed, 2])
    median = law.quantile(log_worst_level(np.log(0.5), SIZE))
    gain: list[float] = []
    for _ in range(500):
        truth = draw(rng).max()
        honest = law.quantile(log_worst_level(np.log(rng.random()), SIZE))
        gain.append(float(np.abs(median - truth)[0] - np.abs(honest - truth)[0]))
    assert stats.ttest_1samp(gain, 0.0, alternative="less").pvalue < 1e-6
