"""Every picture, of every kind of outcome: none raises, each shows what was seen."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from unfitted import unfitted

import bayes_rare as br
from bayes_rare import plotting
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import Deployment, Forecast, forecast, tables
from bayes_rare.forecasting.prior_predictive import prior_predictive
from bayes_rare.methods import observed_shares
from bayes_rare.methods.evaluation_maximum import evaluation_maximum
from bayes_rare.populations import Normal
from bayes_rare.posterior import Average, Posterior
from bayes_rare.posterior.average import Member
from bayes_rare.reporting import sampling, tails

DEPLOYMENT = Deployment([1_000, 10**6])
SIZE = 60


@dataclass(frozen=True)
class Kind:
    """Outcomes of a kind, and the models whose pictures are drawn."""

    evaluation: Evaluation
    models: tuple[str, str]


def _counts(rng: np.random.Generator) -> dict[str, Any]:
    """Some queries always fail, most never, and their trials differ."""
    trials = rng.integers(1, 30, 2 * SIZE)
    successes = rng.binomial(trials, rng.beta(0.5, 10, 2 * SIZE))
    successes[:5] = trials[:5]
    return {"successes": successes, "trials": trials}


@cache
def kind(name: str) -> Kind:
    rng = np.random.default_rng(5)
    behaviours = ["one", "$two_{x}$"] * SIZE
    families = [f"family {number // 2 % 4}" for number in range(2 * SIZE)]
    scores = rng.normal(-2, 0.5, 2 * SIZE)
    match name:
        case "exact":
            seen = Evaluation.from_scores(scores, behaviour=behaviours)
            return Kind(seen, ("gpd_tail", "log_normal"))
        case "exact with risks of 0 and 1":
            scores[:4], scores[-4:] = np.inf, -np.inf
            seen = Evaluation.from_scores(scores, behaviour=behaviours)
            return Kind(seen, ("log_normal", "gumbel_tail"))
        case "exact with families":
            seen = Evaluation.from_scores(scores, behaviour=behaviours, family=families)
            return Kind(seen, ("family_tail", "log_normal"))
        case "counts":
            seen = Evaluation.from_counts(**_counts(rng))
            return Kind(seen, ("binomial_tail", "graded"))
        case "counts with families":
            seen = Evaluation.from_counts(
                **_counts(rng), behaviour=behaviours, family=families
            )
            return Kind(seen, ("family_tail", "binomial_tail"))
        case "counts with weights":
            weighted = pd.DataFrame(_counts(rng))
            weighted["weight"] = rng.choice([1.0, 2.5], 2 * SIZE)
            weighted["behaviour"] = behaviours
            return Kind(br.read_table(weighted), ("binomial_tail", "graded"))
        case "estimates":
            seen = Evaluation.from_estimates(
                np.linspace(-9, 0, 2 * SIZE),
                np.full(2 * SIZE, 0.3),
                behaviour=behaviours,
            )
            return Kind(seen, ("binomial_tail", "family_tail"))
        case _:
            raise AssertionError(name)


KINDS = (
    "exact",
    "exact with risks of 0 and 1",
    "exact with families",
    "counts",
    "counts with families",
    "counts with weights",
    "estimates",
)


@cache
def posteriors(name: str) -> tuple[Posterior, ...]:
    one = kind(name)
    return tuple(unfitted(m, one.evaluation).thinned(20) for m in one.models)


def _of_average(name: str) -> Forecast:
    both = posteriors(name)
    weights = (0.3, 0.7)
    members = tuple(
        Member(
            each.name,
            each,
            dict.fromkeys(each.behaviours, weight),
            dict.fromkeys(each.behaviours, 0.1),
        )
        for each, weight in zip(both, weights, strict=True)
    )
    return forecast(Average(members, size=40), DEPLOYMENT, targets=())


def _of_baseline(name: str) -> Forecast:
    seen = kind(name).evaluation
    if seen.weighted:
        pytest.skip("shares of weighted counts are refused as exact risks")
    if seen.kind(seen.behaviours[0]) == "estimates":
        pytest.skip("baselines take no estimates")
    return evaluation_maximum(observed_shares(seen), DEPLOYMENT, targets=())


MAKERS: dict[str, Callable[[str], Forecast]] = {
    "posterior": lambda name: forecast(posteriors(name)[0], DEPLOYMENT, targets=()),
    "average": _of_average,
    "baseline": _of_baseline,
}


@pytest.fixture(autouse=True)
def few_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line through three points is one too, and takes an eighth of the time."""
    monkeypatch.setattr(tables, "sizes_up_to", lambda _: [10, 1000, 10**6])


def points(figure: Figure) -> dict[str, np.ndarray]:
    """Heights of the points and lines of the first panel, by their label."""
    panel = figure.axes[0]
    found = {str(line.get_label()): line for line in panel.get_lines()}
    for container in panel.containers:
        found[str(container.get_label())] = container[0]
    return {name: np.asarray(line.get_ydata(), float) for name, line in found.items()}


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("name", KINDS)
def test_the_scaling_picture_is_drawn(name: str, maker: str, tmp_path: Path) -> None:
    seen = kind(name).evaluation
    made = MAKERS[maker](name)
    figure = made.plot(truth=seen, others=[made], path=tmp_path / "scaling.png")
    assert (tmp_path / "scaling.png").stat().st_size > 5_000
    [legend] = figure.legends
    labels = {text.get_text() for text in legend.get_texts()}
    assert {"median", "90% interval"} <= labels
    queries = seen.sizes[seen.behaviours[0]]
    exact = seen.kind(seen.behaviours[0]) == "exact" or maker == "baseline"
    drawn = f"evaluation ({queries:,} queries)"
    shrunken = f"{drawn}, shrunken risks"
    assert (drawn if exact else shrunken) in labels
    assert (f"held out ({queries:,} queries)" in labels) == (
        seen.kind(seen.behaviours[0]) == "exact"
    )
    for heights in points(figure).values():
        assert np.isfinite(heights).all()


def test_shrunken_risks_are_drawn_at_their_ranks() -> None:
    posterior = posteriors("counts")[0]
    made = forecast(posterior, DEPLOYMENT, targets=())
    panel = made.plot().axes[0]
    [bars] = panel.containers
    x = np.asarray(bars[0].get_xdata(), float)
    np.testing.assert_allclose(x, 2 * SIZE / np.arange(1, 21))
    table = posterior.query_risks(top=20).summary()
    expected = np.sort(br.scores.score_from_risk(table["median"].to_numpy()))[::-1]
    np.testing.assert_allclose(bars[0].get_ydata(), expected)


def test_queries_are_left_out_where_no_risk_is_known() -> None:
    """By the forecast of a method without a posterior."""
    seen = kind("counts").evaluation
    [name] = seen.behaviours
    population = Normal(np.full(40, -2.0), np.full(40, 0.5))
    made = br.forecasting.population_forecast(
        "mine", seen, {name: population}, DEPLOYMENT, targets=()
    )
    [legend] = made.plot(truth=seen).legends
    assert not any("queries)" in text.get_text() for text in legend.get_texts())


@pytest.mark.parametrize("name", KINDS)
def test_the_prior_picture_is_drawn(name: str, tmp_path: Path) -> None:
    one = kind(name)
    made = prior_predictive(
        one.evaluation, one.models[0], queries=[1, 1000, 10**9], seed=1
    )
    made.plot(tmp_path / "prior.png", backend="matplotlib")
    assert (tmp_path / "prior.png").stat().st_size > 5_000


@pytest.mark.parametrize("name", ["exact with families", "counts with families"])
@pytest.mark.parametrize("maker", ["posterior", "average"])
def test_the_picture_of_families_is_drawn(
    name: str, maker: str, tmp_path: Path
) -> None:
    MAKERS[maker](name).plot_families(tmp_path / "families.png")
    assert (tmp_path / "families.png").stat().st_size > 5_000


@pytest.mark.parametrize("name", KINDS)
def test_the_pictures_of_a_report_are_drawn(name: str, tmp_path: Path) -> None:
    posterior = posteriors(name)[0]
    judged = sampling.parameters(posterior)
    plotting.written(
        plotting.ranks(sampling.ranks(posterior, judged, 6)), tmp_path / "ranks.png"
    )
    seen = posterior.evaluation
    populations = {each: posterior.population(each) for each in seen.behaviours}
    frame = tails.quantiles(seen, populations, 0)
    assert frame.empty == (seen.kind(seen.behaviours[0]) != "exact")
    if not frame.empty:
        plotting.written(plotting.quantiles(frame), tmp_path / "quantiles.png")
