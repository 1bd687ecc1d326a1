"""What models expect before they have met data, and its picture by several backends."""

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import image, pyplot
from scipy import stats
from scipy.special import expit

import bayes_rare as br
from bayes_rare import catalog, plotting
from bayes_rare.errors import InvalidInput, NoSuchModel, NotApplicable
from bayes_rare.forecasting.prior_predictive import (
    PriorPredictive,
    _seen,
    prior_predictive,
)
from bayes_rare.scores import risk_from_score, score_from_risk

NAMES = ("leak", "costs $5 and $x_{1")


@pytest.fixture(scope="module")
def exact() -> br.Evaluation:
    rng = np.random.default_rng(0)
    return br.Evaluation.from_scores(
        {name: rng.gumbel(-2.6, 0.25, 200) for name in NAMES},
        family={name: [f"f{n % 5}" for n in range(200)] for name in NAMES},
    )


@pytest.fixture(scope="module")
def counts() -> br.Evaluation:
    rng = np.random.default_rng(1)
    return br.Evaluation.from_counts(rng.binomial(50, 0.02, 100), np.full(100, 50))


@pytest.fixture(scope="module")
def made(exact: br.Evaluation) -> PriorPredictive:
    return prior_predictive(exact, "gumbel_tail")


@pytest.fixture(autouse=True)
def closed() -> Generator[None]:
    yield
    pyplot.close("all")


@pytest.mark.parametrize("name", catalog.names())
def test_every_model_tells_its_prior(
    name: str, exact: br.Evaluation, counts: br.Evaluation
) -> None:
    model = catalog.load(name)
    evaluation = exact if "exact" in model.accepts else counts
    table = prior_predictive(evaluation, model, queries=[1, 1_000, 10**9]).table
    assert set(table["behaviour"]) == set(evaluation.behaviours)
    for _, own in table.groupby("behaviour"):
        risks: Any = own.pivot_table(index="queries", columns="level", values="risk")
        assert risks.notna().all(axis=None)
        # More queries are never safer, nor are higher levels.
        assert (np.diff(risks, axis=0) >= 0).all()
        assert (np.diff(risks, axis=1) >= 0).all()
        # Fit for rare events: most queries are not likely to fail, and some may.
        assert risks.loc[1, 0.5] < 0.01
        assert risks.loc[10**9, 0.95] > 0.1


def test_a_single_query_has_the_marginal_distribution(exact: br.Evaluation) -> None:
    # The scale is all but known, so that a score is normal around a normal location.
    levels = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    one = exact.select([NAMES[0]])
    table = prior_predictive(
        one,
        "log_normal",
        queries=[1],
        levels=levels.tolist(),
        location=-3.0,
        location_sd=0.8,
        log_scale=np.log(0.6),
        log_scale_sd=1e-6,
    ).table
    expected = stats.norm.cdf(table["score"], -3.0, 1.0)
    # The draws are 400: five standard errors of a share.
    margin = 5 * np.sqrt(levels * (1 - levels) / 400)
    assert (np.abs(expected - levels) < margin).all()
    wrong = stats.norm.cdf(table["score"], -2.5, 1.0)
    assert not (np.abs(wrong - levels) < margin).all()


def test_a_wider_prior_is_wider_and_seeds_are_kept(exact: br.Evaluation) -> None:
    def table(seed: int = 0, **priors: Any) -> Any:
        return prior_predictive(
            exact, "gpd_tail", queries=[10**6], seed=seed, **priors
        ).table

    narrow, wide = table(shape_sd=0.01), table(shape_sd=0.5)
    assert np.ptp(wide["score"]) > np.ptp(narrow["score"])
    pd.testing.assert_frame_equal(table(3), table(3))
    assert not table(3).equals(table(4))


def test_what_cannot_be_drawn_is_refused(
    exact: br.Evaluation, counts: br.Evaluation, tmp_path: Path
) -> None:
    for name in ("gumbel_tail", "gpd_tail"):
        with pytest.raises(InvalidInput, match="finite"):
            prior_predictive(exact, name, log_scale_sd=np.inf)
    with pytest.raises(NotApplicable, match="gpd_tail takes exact"):
        prior_predictive(counts, "gpd_tail")
    with pytest.raises(InvalidInput, match="from 1 to"):
        prior_predictive(exact, "gumbel_tail", queries=[0.5])
    with pytest.raises(InvalidInput, match="levels are probabilities"):
        prior_predictive(exact, "gumbel_tail", levels=[1.0])
    source = (catalog.FOLDER / "gpd_tail.py").read_text(encoding="utf-8")
    bare = tmp_path / "bare.py"
    bare.write_text(source.replace("def simulate(", "def _simulate("))
    with pytest.raises(NoSuchModel, match="defines no simulate"):
        prior_predictive(exact, bare)


def ink(path: Path) -> float:
    """Share of the pixels of a picture that are dark or of a strong colour."""
    return float((image.imread(path)[..., :3].min(axis=-1) < 0.5).mean())


def test_the_prior_is_drawn_against_the_data(
    made: PriorPredictive, exact: br.Evaluation, tmp_path: Path
) -> None:
    path = tmp_path / "prior.png"
    collection = made.plot(path, backend="matplotlib")
    assert 0.01 < ink(path) < 0.6
    median = made.table.query("level == 0.5")
    for behaviour in NAMES:
        line = collection.get_viz("median", "score", behaviour=behaviour)
        own: Any = median[median["behaviour"] == behaviour]
        np.testing.assert_allclose(line.get_xdata(), np.log10(own["queries"]))
        np.testing.assert_allclose(line.get_ydata(), np.clip(own["score"], -6.6, 6.9))
        points = collection.get_viz("seen", "score", behaviour=behaviour).get_offsets()
        worst = np.nanmax(points, axis=0)
        np.testing.assert_allclose(worst, [np.log10(200), exact.worst(behaviour)])
        for band in ("band_90", "band_50"):
            area = collection.get_viz(band, "score", behaviour=behaviour)
            assert np.ptp(area.get_paths()[0].vertices, axis=0).min() > 0.5
    # An empty panel would not pass.
    empty = plotting.save(pyplot.figure(), tmp_path / "empty.png")
    assert ink(empty) < 0.01


def test_counts_are_shown_by_their_shares(counts: br.Evaluation) -> None:
    made = prior_predictive(counts, "beta_binomial", queries=[1, 10, 100])
    collection = made.plot(backend="none")
    [drawn] = [
        part
        for part in collection.viz["plot"].item()
        if part.get("function") == "scatter"
    ]
    most = counts.riskiest["successes"].max() / 50
    assert np.nanmax(drawn["y"]) == pytest.approx(float(score_from_risk(most)))


@pytest.mark.parametrize("kind", ["exact", "counts", "weighted counts", "estimates"])
def test_what_was_seen_is_drawn_at_its_ranks(
    kind: str, rng: np.random.Generator
) -> None:
    """The i-th riskiest of m at m/i, those that always failed too: by sorting."""
    trials = rng.integers(1, 8, 300)
    successes = rng.binomial(trials, 0.3)
    share, weight = successes / trials, np.ones(300)
    match kind:
        case "exact":
            seen = br.Evaluation.from_scores(score_from_risk(share))
        case "counts":
            seen = br.Evaluation.from_counts(successes, trials)
        case "weighted counts":
            weight = rng.choice([1.0, 2.0], 300)
            columns = {"successes": successes, "trials": trials, "weight": weight}
            seen = br.read_table(pd.DataFrame(columns))
        case _:
            share = np.maximum(share, 1e-3)
            seen = br.Evaluation.from_estimates(np.log(share), np.full(300, 0.1))
    found = _seen(seen)
    assert (share == 1).sum() > 5
    # A query alone: the share of the weight of those that are as risky or riskier.
    risk = risk_from_score(found["score"].to_numpy())
    as_risky = [weight[share >= level - 1e-12].sum() / weight.sum() for level in risk]
    np.testing.assert_allclose(1 / found["queries"], as_risky, rtol=1e-9)
    np.testing.assert_allclose(
        np.sort(risk), [level for level in np.unique(share) if level > 0], rtol=1e-9
    )


def test_the_prior_of_counts_is_that_of_simulated_deployments(
    counts: br.Evaluation,
) -> None:
    """Brute force: parameters from the prior, each with its queries one by one."""
    queries = 50
    made = prior_predictive(counts, "beta_binomial", queries=[queries])
    rng = np.random.default_rng(4)
    size = (20_000, 1)
    logit = rng.normal(-5.5, 2.7, size)
    first = np.exp(rng.normal(-0.7, 1.1, size))
    fallible = rng.random((size[0], queries)) >= expit(rng.normal(-1.0, 1.5, size))
    risk = rng.beta(first, first * np.exp(-logit), (size[0], queries)) * fallible
    below = [float((risk.max(axis=1) <= level).mean()) for level in made.table["risk"]]
    # 400 draws from the prior: their quantiles are off by 2.5 % or so.
    np.testing.assert_allclose(below, made.table["level"], atol=0.08)


def test_any_backend_of_arviz_draws_it(made: PriorPredictive, tmp_path: Path) -> None:
    path = tmp_path / "prior.html"
    figure = made.plot(path, backend="plotly").viz["figure"].item()
    assert path.stat().st_size > 10_000
    # Two bands have two edges each; with the median and the points, for each panel.
    assert len(figure.data) == 6 * len(NAMES)
    assert all(np.isfinite(trace.y).any() for trace in figure.data)
    shown = {text.text for text in figure.layout.annotations}
    assert set(NAMES) <= shown


def test_a_backend_that_is_not_there_is_refused(
    made: PriorPredictive, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "arviz_plots.backend.bokeh", None)
    with pytest.raises(InvalidInput, match="ArviZ has: matplotlib, plotly"):
        made.plot(backend="ggplot")
    with pytest.raises(InvalidInput, match=r'pip install "arviz-plots\[bokeh\]"'):
        made.plot(backend="bokeh")
    with pytest.raises(InvalidInput, match="Give at least one row"):
        plotting.prior_predictive(made.table.iloc[:0])


@pytest.mark.parametrize(
    "name",
    [
        "contributions",
        "coverage",
        "pit",
        "quantiles",
        "ranks",
        "scaling",
        "thresholds",
    ],
)
def test_pictures_of_matplotlib_alone_say_so(name: str, exact: br.Evaluation) -> None:
    picture: Any = getattr(plotting, name)
    more = {"evaluation": exact} if name == "scaling" else {}
    with pytest.raises(InvalidInput, match="drawn by matplotlib alone"):
        picture(pd.DataFrame(), backend="plotly", **more)
