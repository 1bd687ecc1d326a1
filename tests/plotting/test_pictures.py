"""The pictures: what is on them, and that it would show."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy import stats

from bayes_rare import plotting
from bayes_rare.backtesting import compare, coverage_interval, plot_coverage, plot_pit
from bayes_rare.errors import InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import Deployment
from bayes_rare.methods.gumbel_ols import gumbel_ols
from bayes_rare.methods.log_normal_moments import log_normal_moments

DEPLOYMENT = Deployment([1_000, 10**6])


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    rng = np.random.default_rng(0)
    return Evaluation.from_scores(
        {name: rng.gumbel(-2.5, 0.3, 300) for name in ("one", "two", "three", "four")}
    )


def test_every_part_is_drawn(evaluation: Evaluation) -> None:
    rng = np.random.default_rng(1)
    truth = Evaluation.from_scores({"one": rng.gumbel(-2.5, 0.3, 3_000)})
    forecast = gumbel_ols(evaluation, DEPLOYMENT)
    other = log_normal_moments(evaluation, DEPLOYMENT)
    figure = forecast.plot(truth=truth, others=[other])
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_title() for panel in panels] == list(evaluation.behaviours)
    [legend] = figure.legends
    labels = {text.get_text() for text in legend.get_texts()}
    assert "evaluation (300 queries)" in labels
    assert "log_normal_moments" in labels
    first = panels[list(evaluation.behaviours).index("one")]
    points = {str(line.get_label()): line for line in first.get_lines()}
    held_out = points["held out (3,000 queries)"]
    # The riskiest of m queries stands at m, at its score.
    assert np.asarray(held_out.get_xdata())[0] == 3_000
    assert np.asarray(held_out.get_ydata())[0] == pytest.approx(truth.worst("one"))
    seen = points["evaluation (300 queries)"]
    assert np.asarray(seen.get_ydata())[0] == pytest.approx(evaluation.worst("one"))


def test_any_name_heads_its_panel() -> None:
    rng = np.random.default_rng(2)
    names = ("costs $5 and $x_{1", "a very long name " * 9)
    evaluation = Evaluation.from_scores(
        {name: rng.gumbel(-2.5, 0.3, 100) for name in names}
    )
    figure = gumbel_ols(evaluation, DEPLOYMENT).plot()
    figure.canvas.draw()
    titles = {panel.get_title() for panel in figure.axes}
    assert names[0] in titles
    assert max(map(len, titles)) <= 40


def test_risks_label_the_axis_of_scores(evaluation: Evaluation) -> None:
    figure = gumbel_ols(evaluation, DEPLOYMENT).plot()
    for panel in figure.axes[:4]:
        low, high = panel.get_ylim()
        ticks = panel.get_yticks()
        assert len(ticks) >= 2
        assert ((ticks >= low) & (ticks <= high)).all()
        texts = [label.get_text() for label in panel.get_yticklabels()]
        assert len(set(texts)) == len(texts)


def ink(path: Path) -> float:
    """Share of the pixels of a picture that are dark or of a strong colour."""
    return float((image.imread(path)[..., :3].min(axis=-1) < 0.5).mean())


def test_a_written_picture_is_not_empty(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "scaling.png"
    gumbel_ols(evaluation, DEPLOYMENT).plot(path=path)
    assert min(image.imread(path).shape[:2]) > 400
    assert 0.005 < ink(path) < 0.5
    # An empty figure would not pass.
    blank = plotting.save(Figure(figsize=(4, 4)), tmp_path / "blank.png")
    assert ink(blank) < 0.005


POINTS = ("gumbel_ols", "log_normal_moments", "evaluation_maximum")
METHODS = (
    *POINTS,
    "gumbel_ols_pivot",
    "gpd_mle",
    "gpd_tail",
    "exchangeable",
    "hierarchical_gumbel_with_covariates",
    "costs $5 and $x_{1",
)
SIZES = tuple((m, n) for m in (100, 300, 1_000) for n in (10**4, 10**5, 10**6))
TARGETS = ("worst_query_risk", "behaviour_frequency", "aggregate_risk")


def backtest(
    methods: tuple[str, ...] = METHODS,
    sizes: tuple[tuple[int, int], ...] = SIZES[:1],
    targets: tuple[str, ...] = TARGETS[:1],
    *,
    behaviours: int = 7,
    repeats: int = 4,
    seed: int = 0,
) -> pd.DataFrame:
    """A table as a backtest makes it, of numbers that mean nothing."""
    rng = np.random.default_rng(seed)
    keys = [
        (method, target, *size, f"b{behaviour}", repeat)
        for method in methods
        for target in targets
        for size in sizes
        for behaviour in range(behaviours)
        for repeat in range(repeats)
    ]
    names = ["method", "target", "evaluation_size", "deployment_size"]
    table = pd.DataFrame(keys, columns=[*names, "behaviour", "repeat"])
    chance = pd.Series(rng.random(len(table)))
    pit = chance.where(~table["method"].isin(POINTS))
    table["crps"] = rng.gamma(4.0, 0.25, len(table))
    covered = {
        f"covered_{level}": ((pit - 0.5).abs() <= level / 200)
        .astype(float)
        .where(pit.notna())
        for level in (50, 80, 90, 95)
    }
    others = dict.fromkeys(
        (
            "abs_log10_error",
            "abs_error",
            "within_one_order",
            "underestimated",
            "seconds",
            "log_score",
            "interval_score_90",
        ),
        0.5,
    )
    return table.assign(
        risk_threshold=np.nan,
        status="forecast",
        reason="",
        pit=pit,
        **covered,
        **others,
    )


def faults(figure: Figure) -> list[str]:
    """Panels, legends and headings that are cut, or lie on one another."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer: Any = canvas.get_renderer()
    drawn: dict[str, Any] = {
        f"panel {number}": panel
        for number, panel in enumerate(figure.axes)
        if panel.get_visible()
    }
    drawn |= {text.get_text(): text for text in figure.texts if text.get_text()}
    drawn |= {f"legend {n}": legend for n, legend in enumerate(figure.legends)}
    boxes = {name: item.get_tightbbox(renderer) for name, item in drawn.items()}
    whole: Any = figure.bbox
    # To a pixel or two: letters are drawn on a grid.
    found = [
        f"{name} is cut"
        for name, box in boxes.items()
        if not (whole.x0 - 2 < box.x0 and box.x1 < whole.x1 + 2)
        or not (whole.y0 - 2 < box.y0 and box.y1 < whole.y1 + 2)
    ]
    found += [
        f"{one} lies on {other}"
        for (one, first), (other, second) in combinations(boxes.items(), 2)
        if first.padded(-2).overlaps(second.padded(-2))
    ]
    return found


def three_pictures(table: pd.DataFrame, folder: Path) -> dict[Path, Figure]:
    paths = [folder / f"{name}.png" for name in ("skill", "coverage", "pit")]
    return {
        paths[0]: compare(table, resamples=200).plot_skill(paths[0]),
        paths[1]: plot_coverage(table, path=paths[1], resamples=200),
        paths[2]: plot_pit(table, path=paths[2]),
    }


@pytest.mark.parametrize(
    ("methods", "sizes", "targets"),
    [
        (METHODS[:1] + METHODS[5:7], SIZES[:1], TARGETS[:1]),
        (METHODS[:1] + METHODS[5:7], SIZES[:4], TARGETS[:1]),
        (METHODS, SIZES[:1], TARGETS[:1]),
        (METHODS, SIZES[:2], TARGETS),
        (METHODS, SIZES, TARGETS[:1]),
    ],
)
def test_nothing_is_cut_empty_or_on_top_of_another(
    methods: tuple[str, ...],
    sizes: tuple[tuple[int, int], ...],
    targets: tuple[str, ...],
    tmp_path: Path,
) -> None:
    table = backtest(methods, sizes, targets)
    for path, figure in three_pictures(table, tmp_path).items():
        assert not faults(figure), path.name
        assert 0.005 < ink(path) < 0.6, path.name


def test_that_faults_would_be_found() -> None:
    figure = Figure(figsize=(3, 3))
    panel = figure.add_axes((0, 0, 1, 1))
    panel.set_title("above the picture")
    figure.legend(panel.plot([1, 2]), ["a line"])
    found = faults(figure)
    assert found == ["panel 0 is cut", "panel 0 lies on legend 0"]


def marks(panel: Any) -> dict[str, Any]:
    """The containers of error bars by the name of their method."""
    return {str(mark.get_label()): mark for mark in panel.containers}


def test_coverage_is_drawn_with_its_interval() -> None:
    table = backtest()
    shares = coverage_interval(table, resamples=200)
    [panel] = plotting.coverage(shares).axes
    found = marks(panel)
    assert set(found) == set(METHODS) - set(POINTS)
    for method, part in shares.groupby("method"):
        line, _, (bars,) = found[str(method)]
        np.testing.assert_allclose(line.get_ydata(), part["coverage"])
        ends = np.array([bar[:, 1] for bar in bars.get_segments()])
        np.testing.assert_allclose(ends, part[["lower", "upper"]])
    looks = [
        (mark[0].get_color(), mark[0].get_marker(), mark[0].get_xdata()[0])
        for mark in found.values()
    ]
    for part in zip(*looks, strict=True):
        assert len(set(part)) == len(found)
    claimed = [line for line in panel.get_lines() if line.get_linestyle() == "--"]
    levels = [float(np.asarray(line.get_ydata())[0]) for line in claimed]
    assert levels == [0.5, 0.8, 0.9, 0.95]


def test_a_histogram_holds_every_forecast_and_its_band() -> None:
    table = backtest(("gumbel_ols", "gpd_tail", "exchangeable"), behaviours=20)
    figure = plotting.pit(table)
    # The point method has no probability of the truth.
    assert [panel.get_ylabel() for panel in figure.axes] == ["gpd_tail", "exchangeable"]
    for panel in figure.axes:
        own: Any = table[table["method"] == panel.get_ylabel()]["pit"]
        [bars] = panel.containers
        heights = [bar.get_height() for bar in bars]
        assert np.mean(heights) == pytest.approx(1)
        counts = np.histogram(own, bins=len(heights), range=(0, 1))[0]
        np.testing.assert_allclose(heights, counts * len(heights) / len(own))
        [band] = [patch for patch in panel.patches if patch not in list(bars)]
        low, high = stats.binom(len(own), 1 / len(heights)).ppf([0.005, 0.995])
        scale = len(heights) / len(own)
        edges: Any = band
        assert edges.get_y() == pytest.approx(low * scale)
        assert edges.get_y() + edges.get_height() == pytest.approx(high * scale)


def test_skill_is_the_difference_to_one_method() -> None:
    compared = compare(backtest(sizes=SIZES[:2]), resamples=200)
    figure = compared.plot_skill()
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert len(panels) == 2
    names = [label.get_text() for label in panels[0].get_yticklabels()]
    assert set(names) == set(METHODS) - {"gumbel_ols"}
    pairs = compared.pairs[compared.pairs["against"] == "gumbel_ols"]
    for panel, size in zip(panels, (10**4, 10**5), strict=True):
        lines = [np.asarray(line.get_xydata()) for line in panel.get_lines()]
        for row in pairs[pairs["deployment_size"] == size].to_dict("records"):
            place = names.index(row["method"])
            drawn = np.concatenate(
                [xy[:, 0] for xy in lines if (xy[:, 1] == place).all()]
            )
            expected = [row["lower"], row["upper"], row["crps_difference"]]
            np.testing.assert_allclose(drawn, expected)


def test_others_are_held_against_a_method_that_is_there() -> None:
    table = backtest()
    compared = compare(table, resamples=200)
    assert "Compared with gpd_tail" in str(
        compared.plot_skill(against="gpd_tail").get_suptitle()
    )
    with pytest.raises(InvalidInput, match="There are: gumbel_ols, log_normal_moments"):
        compared.plot_skill(against="gumbel_old")
    # Without gumbel_ols, the better of the point methods.
    rest = table[table["method"] != "gumbel_ols"]
    means = rest[rest["method"].isin(POINTS)].groupby("method")["crps"].mean()
    figure = compare(rest, resamples=200).plot_skill()
    assert f"Compared with {means.idxmin()}" in figure.get_suptitle()
    alone = compare(table[table["method"] == "gpd_tail"], resamples=200)
    with pytest.raises(InvalidInput, match="with another, such as"):
        alone.plot_skill()


def test_a_target_without_intervals_is_answered_with_those_that_have_some() -> None:
    table = backtest()
    with pytest.raises(InvalidInput, match="Give a target of 'worst_query_risk'"):
        plot_coverage(table, target="worst_risk")
    points = table[table["method"].isin(POINTS)]
    with pytest.raises(InvalidInput, match="Backtest a method that gives one"):
        plot_pit(points)
