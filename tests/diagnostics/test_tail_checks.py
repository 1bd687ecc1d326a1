"""Checks of a tail: laws, their false alarms by simulation, and controls."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bayes_rare import catalog
from bayes_rare.diagnostics import tail_checks as tail_checks
from bayes_rare.diagnostics import threshold_scan
from bayes_rare.diagnostics.tail_checks import FALSE_ALARMS, TailCheck, misfit_chance
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import notes
from bayes_rare.forecasting.tail_verdict import tail_verdict
from bayes_rare.populations import Normal
from bayes_rare.posterior import Average, Posterior, Verdict
from bayes_rare.posterior.average import Member

NAMES = (*FALSE_ALARMS, "exceedances", "extrapolation")


@pytest.fixture(scope="module")
def simulation(root: Path) -> Mapping[str, Any]:
    """The simulation that measured the false alarms."""
    return run_path(str(root / "benchmarks" / "tail_checks.py"))


def excesses(seed: int, number: int = 50) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.sort(rng.exponential(size=number))[::-1]


@settings(max_examples=20)
@given(st.integers(0, 50), st.floats(1e-3, 1e3))
def test_the_unit_of_the_score_does_not_matter(seed: int, unit: float) -> None:
    own = excesses(seed)
    one, other = (
        threshold_scan.threshold_deviance(x, (10, 20)) for x in (own, unit * own)
    )
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-6)


def test_several_samples_are_checked_at_once() -> None:
    rows = np.stack([excesses(seed) for seed in range(4)])
    one_by_one = [threshold_scan.threshold_deviance(row, (10, 20)) for row in rows]
    np.testing.assert_allclose(
        threshold_scan.threshold_deviance(rows, (10, 20)), one_by_one
    )


def test_the_fit_is_the_largest_likelihood(rng: np.random.Generator) -> None:
    # With a threshold at the median, against scipy's own optimum of the upper half.
    own = stats.genpareto.rvs(0.2, size=200, random_state=rng)
    own = np.sort(own)[::-1]

    def best(x: np.ndarray) -> tuple[float, float, float]:
        shape, _, scale = stats.genpareto.fit(x, floc=0)
        return shape, scale, float(stats.genpareto.logpdf(x, shape, 0, scale).sum())

    shape, scale, _ = best(own)
    upper = own[:100] - own[100]
    implied = stats.genpareto.logpdf(upper, shape, 0, scale + shape * own[100]).sum()
    expected = 2 * (best(upper)[2] - implied) / (1 - 100 / 200)
    found = float(threshold_scan.threshold_deviance(own, (100,)))
    assert found == pytest.approx(expected, abs=0.02)


def test_ties_say_nothing() -> None:
    tied = np.repeat([3.0, 2.0, 1.0], [20, 20, 10])
    assert threshold_scan.threshold_deviance(tied, (10, 20)) == 0
    assert tail_checks.threshold_stability(np.ones(60), 300) is None
    assert tail_checks.threshold_stability(excesses(0), 90) is None


def above_limit(
    lowest: int, shape: float, runs: int, rng: np.random.Generator, cap: float = np.inf
) -> int:
    """How many samples of a tail deviate more than the limit allows."""
    steps = [step for step in threshold_scan.EXCEEDANCES if step < lowest]
    drawn = stats.genpareto.rvs(shape, size=(runs, lowest), random_state=rng)
    drawn = np.sort(np.minimum(drawn, cap) + 1e-3 * rng.random(drawn.shape))[:, ::-1]
    found = threshold_scan.threshold_deviance(drawn, steps)
    return int((found > threshold_scan.LIMITS[lowest]).sum())


@pytest.mark.parametrize("lowest", [20, 50, 100])
def test_few_sound_tails_deviate(lowest: int, rng: np.random.Generator) -> None:
    found = above_limit(lowest, -0.05, 300, rng)
    # The limits are of shapes from the prior: one of them may exceed them twice as
    # often.
    assert stats.binomtest(found, 300, 0.02, alternative="greater").pvalue > 1e-6


def test_that_test_can_fail(rng: np.random.Generator) -> None:
    found = above_limit(50, -0.05, 100, rng, cap=1.6)
    assert stats.binomtest(found, 100, 0.02, alternative="greater").pvalue < 1e-6


def assert_rates_hold(simulation: Mapping[str, Any], queries: int, runs: int) -> None:
    alarms, _ = simulation["raised"](queries, runs, seed=17)
    for name, rates in FALSE_ALARMS.items():
        seen = int(alarms[name].sum())
        stored = round(2_000 * rates[queries])  # of as many runs, so measured as well
        table = np.array([[seen, runs - seen], [stored, 2_000 - stored]])
        assert stats.fisher_exact(table).pvalue > 1e-6, name


def test_false_alarms_are_as_rare_as_is_said(simulation: Mapping[str, Any]) -> None:
    assert_rates_hold(simulation, 100, 100)


@pytest.mark.slow
@pytest.mark.parametrize("queries", [100, 300, 1_000])
def test_false_alarms_of_all_sizes(simulation: Mapping[str, Any], queries: int) -> None:
    assert_rates_hold(simulation, queries, 1_000)
    _, covered = simulation["raised"](queries, 1_000, seed=18)
    assert stats.binomtest(int(covered.sum()), 1_000, 0.9).pvalue > 1e-6


@pytest.mark.parametrize(
    ("control", "check", "queries"),
    [
        ("rounded near risk 1", "saturation", 300),
        ("5 exceedances", "exceedances", 300),
        ("mixture of families", "threshold_stability", 1_000),
    ],
)
def test_an_unsound_tail_raises_them(
    simulation: Mapping[str, Any], control: str, check: str, queries: int
) -> None:
    alarms, _ = simulation["raised"](queries, 60, **simulation["CONTROLS"][control])
    rate = FALSE_ALARMS.get(check, {}).get(queries, 1e-3)
    test = stats.binomtest(int(alarms[check].sum()), 60, rate, alternative="greater")
    assert test.pvalue < 1e-6


def misfits(widening: float, rng: np.random.Generator) -> list[float]:
    """P-values of the largest of 500 scores that are drawn as expected, or wider."""
    known = Normal(np.zeros(400), np.ones(400))
    return [
        misfit_chance(
            known, np.sort(rng.standard_normal(500) * np.exp(widening))[-31:], seed
        )
        for seed in range(300)
    ]


def test_a_right_tail_is_rarely_called_a_misfit(rng: np.random.Generator) -> None:
    # With a population that is known, the p-value is uniform.
    assert stats.kstest(misfits(0.0, rng), "uniform").pvalue > 1e-6


def test_a_wrong_tail_is_called_a_misfit(rng: np.random.Generator) -> None:
    assert stats.kstest(misfits(1.0, rng), "uniform").pvalue < 1e-6


@given(st.floats(-1, 1), st.floats(0.01, 0.5), st.floats(-2, 2), st.floats(0.1, 10))
def test_the_shape_has_no_unit(
    mean: float, sd: float, moved: float, unit: float
) -> None:
    draws = mean + sd * np.linspace(-moved, 1, 50)
    for first, second in (
        (
            tail_checks.shape_contraction(draws, sd, 100),
            tail_checks.shape_contraction(unit * draws, unit * sd, 100),
        ),
        (
            tail_checks.shape_shift(draws, mean, sd, 100),
            tail_checks.shape_shift(unit * draws, unit * mean, unit * sd, 100),
        ),
    ):
        assert first.value == pytest.approx(second.value, rel=1e-6, abs=1e-6)


def test_a_prior_as_its_own_posterior_is_said_aloud(rng: np.random.Generator) -> None:
    same = rng.normal(-0.05, 0.15, 4_000)
    same = -0.05 + 0.15 * (same - same.mean()) / same.std()
    unmoved = tail_checks.shape_contraction(same, 0.15, 100)
    assert unmoved.alarm
    assert "the forecast is that of the prior" in unmoved.sentence
    assert not tail_checks.shape_shift(same, -0.05, 0.15, 100).alarm
    assert tail_checks.shape_shift(same + 0.4, -0.05, 0.15, 100).alarm
    assert not tail_checks.shape_contraction(same / 2, 0.15, 100).alarm


def test_the_limits_are_where_they_are_said_to_be() -> None:
    assert not tail_checks.extrapolation(100_000, 100).alarm
    assert tail_checks.extrapolation(100_001, 100).alarm
    assert tail_checks.exceedances(9).alarm
    assert not tail_checks.exceedances(10).alarm
    assert tail_checks.saturation(0.91, 100).alarm
    assert not tail_checks.saturation(0.9, 100).alarm
    assert tail_checks.few_positive(9, 100, 1_000).alarm
    none = tail_checks.few_positive(0, 100, 1_000)
    assert "below 0.003 (with 95 % confidence)" in none.sentence


def posterior_of(evaluation: Evaluation, model: str = "gpd_tail") -> Posterior:
    """Draws that no sampler made: shapes that are those of the prior, or less wide."""
    loaded = catalog.load(model)
    assert loaded.observe is not None
    rng = np.random.default_rng(1)
    size = (2, 500, len(evaluation.behaviours))
    draws = (
        {
            "rate": rng.beta(11, 390, size),
            "scale": 0.3 * np.exp(rng.normal(0, 0.05, size)),
            "shape": rng.normal(-0.05, 0.1, size),
        }
        if model == "gpd_tail"
        else {"location": np.full(size, -2.5), "scale": np.full(size, 0.3)}
    )
    data = loaded.observe(evaluation)
    return Posterior(
        model=loaded,
        evaluation=evaluation,
        draws=draws,
        statistics={},
        data=data,
        dims={
            **dict.fromkeys(draws, ("behaviour",)),
            **{
                name: ("behaviour", "cell")[: values.ndim]
                for name, values in data.items()
            },
        },
        verdict=Verdict(1.0, 1.0, 1000.0, 0, 1000, 1.0, ()),
        provenance={
            "priors": {
                "shape": -0.05,
                "shape_sd": 0.15,
                "shape_spread": 0.1,
                "pool": True,
            }
        },
    )


def exact(*names: str, queries: int = 400) -> Evaluation:
    rng = np.random.default_rng(5)
    return Evaluation.from_scores({n: rng.gumbel(-2.5, 0.25, queries) for n in names})


def named(checks: tuple[TailCheck, ...]) -> dict[str, TailCheck]:
    return {check.name: check for check in checks}


def test_every_check_has_its_say_of_a_tail_with_a_threshold() -> None:
    [checks] = tail_verdict(exact("a"), 10**4, posterior_of(exact("a"))).values()
    found = named(checks)
    assert set(found) == set(NAMES)
    assert not any(check.alarm for check in checks)
    assert found["exceedances"].value == 10
    assert found["shape_contraction"].value == pytest.approx(1 - 4 / 9, abs=0.05)
    for name, rates in FALSE_ALARMS.items():
        assert found[name].false_alarms == rates[300]


def test_pooling_widens_the_prior_of_the_shape() -> None:
    evaluation = exact("a", "b")
    checks = tail_verdict(evaluation, 10**4, posterior_of(evaluation))["b"]
    rng = np.random.default_rng(2)
    drawn = rng.normal(0, 0.15, 10**6)
    drawn += rng.lognormal(np.log(0.1), 0.5, 10**6) * rng.standard_normal(10**6)
    expected = 1 - 0.1**2 / drawn.var()
    assert named(checks)["shape_contraction"].value == pytest.approx(expected, abs=0.05)


def test_without_a_posterior_the_data_are_still_checked() -> None:
    [checks] = tail_verdict(exact("a"), 10**9).values()
    found = named(checks)
    assert set(found) == {"saturation", "threshold_stability", "extrapolation"}
    assert found["extrapolation"].alarm


def test_of_an_average_the_tail_is_that_of_its_heaviest_tail() -> None:
    evaluation = exact("a")
    tail, normal = (posterior_of(evaluation, m) for m in ("gpd_tail", "log_normal"))
    average = Average(
        (
            Member("normal", normal, {"a": 0.7}, {"a": 0.1}),
            Member("tail", tail, {"a": 0.3}, {"a": 0.1}),
        ),
        size=400,
    )
    found = named(tail_verdict(evaluation, 10**4, average)["a"])
    assert set(found) == set(NAMES)
    only = replace(
        average,
        members=tuple(
            replace(each, weights={"a": float(each.label == "normal")})
            for each in average.members
        ),
    )
    found = named(tail_verdict(evaluation, 10**4, only)["a"])
    assert set(found) == {*NAMES} - {
        "exceedances",
        "shape_contraction",
        "shape_shift",
    }


def test_risks_of_one_leave_nothing_to_hold_against_a_tail() -> None:
    evaluation = Evaluation.from_scores(np.append(excesses(0, 300), np.inf))
    found = named(tail_verdict(evaluation, 10**4)["behaviour"])
    assert found["saturation"].alarm
    assert set(found) == {"saturation", "extrapolation"}


def test_counts_are_asked_how_many_showed_it() -> None:
    evaluation = Evaluation.from_counts([1] * 5 + [0] * 95, [10] * 100)
    found = named(tail_verdict(evaluation, 10**4)["behaviour"])
    assert set(found) == {"exceedances", "extrapolation"}
    assert "5 of 100 queries showed the behaviour" in found["exceedances"].sentence


def test_notes_are_the_alarms_alone() -> None:
    evaluation = exact("a", "b")
    verdict = tail_verdict(evaluation, 10**4)
    assert notes.on_tail_checks(verdict) == []
    [far] = notes.on_tail_checks(tail_verdict(evaluation, 10**9))
    assert far.startswith("Extrapolation: 1,000,000,000 queries are 2,500,000 times")
    saturated = tail_checks.saturation(0.99, 300)
    [said] = notes.on_tail_checks({"a": [saturated]})
    assert said.startswith("a: the riskiest query seen has a risk of 0.99.")
    assert f"(False alarms: {100 * FALSE_ALARMS['saturation'][300]:.2g} % of" in said
    [both] = notes.on_tail_checks({"a": [saturated], "b": [saturated]})
    assert both.startswith(f"a, b: {saturated.in_short}. (False alarms: ")
