"""Comparisons: by a slow bootstrap, by simulation, and as they are printed."""

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from bayes_rare.backtesting import (
    Backtest,
    Comparison,
    compare,
    coverage_interval,
    resampled_means,
)
from bayes_rare.cli import tables
from bayes_rare.errors import InvalidData, InvalidInput

ROW = {
    "method",
    "target",
    "evaluation_size",
    "deployment_size",
    "forecasts",
    "mean_abs_log10_error",
    "mean_abs_error",
    "within_one_order",
    "underestimated",
    "mean_crps",
    "coverage_50",
    "coverage_80",
    "coverage_90",
    "coverage_95",
    "seconds_per_forecast",
}
PAIR = {
    "method",
    "against",
    "target",
    "evaluation_size",
    "deployment_size",
    "crps_difference",
    "lower",
    "upper",
}
POINT = "gumbel_ols"
LEVELS = (50, 80, 90, 95)


def backtest(
    crps: Callable[[str, int, int], float],
    *,
    methods: Sequence[str] = (POINT, "gpd_tail", "exchangeable"),
    targets: Sequence[str] = ("worst_query_risk",),
    behaviours: int = 8,
    repeats: int = 3,
    sizes: Sequence[tuple[int, int]] = ((300, 30_000),),
    thresholds: Sequence[float] = (np.nan,),
) -> pd.DataFrame:
    """A table as a backtest makes it, with the CRPS of method, behaviour, repeat."""
    rows: list[dict[str, Any]] = []
    for method in methods:
        for target in targets:
            limits = thresholds if target == "behaviour_frequency" else (np.nan,)
            for limit in limits:
                for evaluated, deployed in sizes:
                    for behaviour in range(behaviours):
                        for repeat in range(repeats):
                            pit = (0.37 * behaviour + 0.21 * repeat) % 1
                            pit = np.nan if method == POINT else pit
                            rows.append(
                                {
                                    "method": method,
                                    "behaviour": f"b{behaviour}",
                                    "repeat": repeat,
                                    "evaluation_size": evaluated,
                                    "deployment_size": deployed,
                                    "samples_per_query": 1,
                                    "target": target,
                                    "risk_threshold": limit,
                                    "status": "forecast",
                                    "reason": "",
                                    "is_point": method == POINT,
                                    "crps": crps(method, behaviour, repeat),
                                    "pit": pit,
                                }
                            )
    table = pd.DataFrame(rows)
    given = table["pit"].notna()
    for level in LEVELS:
        inside = (table["pit"] - 0.5).abs() <= level / 200
        table[f"covered_{level}"] = inside.astype(float).where(given)
        table[f"interval_score_{level}"] = table["crps"].where(given)
    table["log_score"] = table["crps"].where(given)
    table["abs_error"] = table["abs_log10_error"] = table["crps"]
    table["within_one_order"] = (table["crps"] < 1).astype(float)
    table["underestimated"] = 1.0
    table["seconds"] = 0.5
    return table


def noisy(seed: int, **better: float) -> Callable[[str, int, int], float]:
    """A CRPS with noise, less what a method is better by."""
    rng = np.random.default_rng(seed)
    return lambda method, _b, _r: rng.gamma(4.0, 0.1) + 1 - better.get(method, 0.0)


def one(frame: pd.DataFrame, **values: Any) -> pd.Series:
    for name, value in values.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1
    return frame.iloc[0]


@pytest.fixture
def compared(seed: int) -> Comparison:
    return compare(backtest(noisy(seed, gpd_tail=0.8)))


def test_resampled_means_are_those_of_the_rows_drawn(rng: np.random.Generator) -> None:
    cluster = np.array([0, 0, 0, 1, 2, 2, 3, 3, 3, 3])
    values = rng.normal(size=(cluster.size, 2))
    weights = rng.multinomial(4, np.full(4, 0.25), size=50).astype(float)
    found = resampled_means(values, cluster, weights)
    for drawn, means in zip(weights, found, strict=True):
        rows: list[np.ndarray] = []
        for number, times in enumerate(drawn):
            for _ in range(int(times)):
                rows += [values[row] for row in np.flatnonzero(cluster == number)]
        np.testing.assert_allclose(means, np.mean(rows, axis=0), rtol=1e-12)


def test_the_interval_is_that_of_a_slow_bootstrap(seed: int) -> None:
    table = backtest(noisy(seed, gpd_tail=0.3), methods=("gpd_tail", "exchangeable"))
    pair = one(compare(table, seed=seed).pairs, method="gpd_tail")
    wide = table.pivot(index=["behaviour", "repeat"], columns="method", values="crps")
    difference = wide["gpd_tail"] - wide["exchangeable"]
    assert pair["crps_difference"] == pytest.approx(difference.mean())
    means = difference.groupby(level="behaviour").mean()
    assert pair["behaviours_better"] == (means < 0).sum()
    rng = np.random.default_rng(seed + 1)
    slow = [
        np.mean([means[name] for name in rng.choice(means.index, means.size)])
        for _ in range(2_000)
    ]
    # Two bootstraps, with 10,000 and 2,000 resamples: ends within their noise.
    low, high = np.quantile(slow, [0.025, 0.975])
    noise = 5 * np.std(slow) * np.sqrt(0.025 * 0.975 / 2_000) / 0.058
    assert pair["lower"] == pytest.approx(low, abs=noise)
    assert pair["upper"] == pytest.approx(high, abs=noise)


def test_each_direction_is_the_other_with_its_sign_changed(
    compared: Comparison,
) -> None:
    pairs = compared.pairs
    assert len(pairs) == 6
    for row in pairs.to_dict("records"):
        back = one(pairs, method=row["against"], against=row["method"])
        assert back["crps_difference"] == -row["crps_difference"]
        assert (back["lower"], back["upper"]) == (-row["upper"], -row["lower"])
        assert row["lower"] <= row["crps_difference"] <= row["upper"]


def test_a_cell_does_not_hang_on_its_neighbours(seed: int) -> None:
    table = backtest(noisy(seed), sizes=[(300, 30_000), (1_000, 30_000)])
    small = table[table["evaluation_size"] == 300]
    together = compare(table).pairs
    alone = compare(small.sample(frac=1, random_state=seed)).pairs
    key = ["method", "against"]
    pd.testing.assert_frame_equal(
        together[together["evaluation_size"] == 300].sort_values(
            key, ignore_index=True
        )[[*key, "crps_difference", "behaviours_better"]],
        alone.sort_values(key, ignore_index=True)[
            [*key, "crps_difference", "behaviours_better"]
        ],
    )
    unshuffled = compare(small).pairs
    pd.testing.assert_frame_equal(
        together[together["evaluation_size"] == 300].reset_index(drop=True), unshuffled
    )


CELLS = 400


def hits(table: pd.DataFrame, truth: float) -> int:
    """In how many cells the interval of the difference holds the true one."""
    pairs = compare(table, resamples=2_000).pairs
    pairs = pairs[pairs["method"] == "one"]
    assert len(pairs) == CELLS
    return int(((pairs["lower"] <= truth) & (truth <= pairs["upper"])).sum())


@pytest.mark.slow
def test_intervals_hold_the_true_difference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    behaviours, repeats, truth = 40, 5, 0.3
    shape = (CELLS, behaviours, repeats)
    # Behaviours differ in how much better a method is; their splits less so.
    effect = rng.normal(truth, 0.5, shape[:2])[..., None]
    difference = effect + rng.normal(0, 0.25, shape)
    cell = backtest(
        lambda *_: 0.0, methods=("one", "two"), behaviours=behaviours, repeats=repeats
    )
    other = 5 + rng.normal(0, 1, shape)
    table = pd.concat(
        [cell.assign(evaluation_size=100 + number) for number in range(CELLS)],
        ignore_index=True,
    )
    table["crps"] = np.stack([other + difference, other], axis=1).ravel()
    held = hits(table, truth)
    assert stats.binomtest(held, CELLS, 0.90, alternative="less").pvalue > 1e-6
    assert stats.binomtest(held, CELLS, 0.97, alternative="greater").pvalue > 1e-6
    # The same table, each split called a behaviour: resampling rows is not enough.
    names = table["behaviour"] + "-" + table["repeat"].astype(str)
    ignored = hits(table.assign(behaviour=names), truth)
    assert stats.binomtest(ignored, CELLS, 0.90, alternative="less").pvalue < 1e-6


def test_coverage_has_an_interval_that_knows_of_behaviours(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = backtest(lambda *_: 1.0, behaviours=30, repeats=10)
    # Whole behaviours are missed: ten splits of one say no more than one split.
    missed = dict(zip(table["behaviour"].unique(), rng.random(30) < 0.3, strict=True))
    inside = 1.0 - table["behaviour"].map(missed)
    given = table["method"] != POINT
    table = table.assign(
        **{f"covered_{level}": inside.where(given) for level in LEVELS}
    )
    shares = coverage_interval(table)
    assert set(shares["method"]) == {"gpd_tail", "exchangeable"}
    assert set(shares["nominal"]) == {0.5, 0.8, 0.9, 0.95}
    share = one(shares, method="gpd_tail", nominal=0.9)
    assert share["coverage"] == pytest.approx(inside.mean())
    assert (share["forecasts"], share["behaviours"]) == (300, 30)
    # That of the mean of 30 independent behaviours, and not of 300 forecasts.
    known = stats.binom(30, share["coverage"])
    width = (known.ppf(0.975) - known.ppf(0.025)) / 30
    assert share["upper"] - share["lower"] == pytest.approx(width, abs=2.1 / 30)


def test_rows_are_means(compared: Comparison, seed: int) -> None:
    table = backtest(noisy(seed, gpd_tail=0.8))
    for method, part in table.groupby("method"):
        row = one(compared.rows, method=method)
        assert row["forecasts"] == len(part) == 24
        assert row["mean_crps"] == pytest.approx(part["crps"].mean())
        assert row["seconds_per_forecast"] == 0.5
        if method == POINT:
            assert np.isnan(row["coverage_90"])
        else:
            assert row["coverage_90"] == pytest.approx(part["covered_90"].mean())


def test_forecasts_put_in_place_are_counted_and_named(seed: int) -> None:
    table = backtest(noisy(seed))
    chosen = (table["method"] == "gpd_tail") & (table["behaviour"] == "b1")
    table.loc[chosen, ["status", "reason"]] = ("refused", "no query above 0.1.")
    without = [name for name in table if str(name).startswith(("covered", "pit"))]
    table.loc[chosen, without] = np.nan
    compared = compare(table)
    row = one(compared.rows, method="gpd_tail")
    assert (row["substituted"], row["forecasts"]) == (3, 24)
    # Coverage is over the forecasts that have an interval.
    own = table[(table["method"] == "gpd_tail") & ~chosen]
    assert row["coverage_90"] == pytest.approx(own["covered_90"].mean())
    assert (
        "gpd_tail: 3 of 24 forecasts were refused and scored as evaluation_maximum: "
        "no query above 0.1." in compared.notes
    )


@pytest.mark.parametrize("thresholds", [(np.nan,), (0.01,), (0.01, 0.5)])
def test_json_has_the_keys_that_are_promised(
    seed: int, thresholds: tuple[float, ...]
) -> None:
    table = backtest(
        noisy(seed),
        targets=("worst_query_risk", "behaviour_frequency"),
        thresholds=thresholds,
    )
    found = compare(table).json()
    asked = not np.isnan(thresholds[0])
    extra = {"risk_threshold"} if asked else set[str]()
    assert list(found) == ["rows", "pairs"]
    cells = 1 + len(thresholds)
    assert (len(found["rows"]), len(found["pairs"])) == (3 * cells, 6 * cells)
    assert all(set(row) == ROW | extra for row in found["rows"])
    assert all(set(pair) == PAIR | extra for pair in found["pairs"])
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    point = next(row for row in found["rows"] if row["method"] == POINT)
    assert point["coverage_50"] is None
    assert type(point["forecasts"]) is type(point["evaluation_size"]) is int
    if asked:
        limits = {(row["target"], row["risk_threshold"]) for row in found["rows"]}
        assert ("worst_query_risk", None) in limits
        assert ("behaviour_frequency", thresholds[0]) in limits


def test_verdicts_say_who_is_told_apart(compared: Comparison) -> None:
    [verdict] = compared.verdicts()
    assert verdict.startswith(
        "worst_query_risk, 300 -> 30,000: gpd_tail has the smallest CRPS, "
    )
    assert "better than" in verdict
    assert "of 8 behaviours (difference -0." in verdict
    assert "which excludes 0" in verdict


def test_verdicts_say_who_is_not_told_apart() -> None:
    def in_turn(method: str, behaviour: int, _repeat: int) -> float:
        return 1.0 + (method == "one") * (0.5 if behaviour % 2 else -0.49)

    table = backtest(in_turn, methods=("one", "two"))
    [verdict] = compare(table).verdicts()
    assert "two has the smallest CRPS, 1. No clear difference from one" in verdict
    assert "(better on 4 of 8 behaviours, difference -0.005, " in verdict
    assert "which includes 0)." in verdict


def test_a_single_behaviour_resamples_its_splits(seed: int) -> None:
    compared = compare(backtest(noisy(seed), behaviours=1, repeats=30))
    pair = one(compared.pairs, method="gpd_tail", against="exchangeable")
    assert pair["behaviours"] == 1
    assert pair["lower"] < pair["crps_difference"] < pair["upper"]
    assert any("a single behaviour" in note for note in compared.notes)
    assert " of 1 " not in compared.verdicts()[0]


def test_a_single_split_has_no_interval(seed: int) -> None:
    compared = compare(backtest(noisy(seed), behaviours=1, repeats=1))
    assert compared.pairs[["lower", "upper"]].isna().all(axis=None)
    assert {pair["lower"] for pair in compared.json()["pairs"]} == {None}
    assert "A single split gives no interval" in compared.verdicts()[0]


@pytest.mark.parametrize(("behaviours", "few"), [(2, True), (5, True), (6, False)])
def test_few_behaviours_are_noted(seed: int, behaviours: int, few: bool) -> None:
    notes = compare(backtest(noisy(seed), behaviours=behaviours)).notes
    assert any("optimistic" in note for note in notes) is few


def test_one_method_alone_is_told(seed: int) -> None:
    compared = compare(backtest(noisy(seed), methods=("gpd_tail",)))
    assert compared.json()["pairs"] == []
    assert "no other method" in compared.verdicts()[0]


def test_a_missing_split_is_named(seed: int) -> None:
    table = backtest(noisy(seed))
    lost = (
        (table["method"] == "gpd_tail")
        & (table["behaviour"] == "b2")
        & (table["repeat"] == 1)
    )
    with pytest.raises(
        InvalidData, match=r"gpd_tail has no forecast of 'b2', repeat 1"
    ):
        compare(table[~lost])
    rest = table[table["method"] != "gpd_tail"]
    assert compare(rest).methods == (POINT, "exchangeable")
    # A method that never saw one of the sizes is found, too.
    other = backtest(noisy(seed), methods=(POINT,), sizes=[(1_000, 30_000)])
    with pytest.raises(InvalidData, match=r"has no forecast of .* 1,000 -> 30,000"):
        compare(pd.concat([table, other]))


def test_a_forecast_that_is_there_twice_is_refused(seed: int) -> None:
    table = backtest(noisy(seed))
    doubled = pd.concat([table, table.iloc[:1]])
    with pytest.raises(InvalidData, match=r"table\.drop_duplicates\(\)"):
        compare(doubled)
    assert compare(doubled.drop_duplicates()).methods == compare(table).methods


def test_what_is_no_backtest_is_refused(seed: int) -> None:
    table = backtest(noisy(seed))
    with pytest.raises(InvalidData, match="lacks the columns crps"):
        compare(table.drop(columns="crps"))
    with pytest.raises(InvalidData, match="has no row"):
        compare(table.iloc[:0])
    table.loc[3, "crps"] = np.inf
    with pytest.raises(InvalidData, match=r"table\['method'\] != 'gumbel_ols'"):
        compare(table)


def test_settings_out_of_range_are_refused(seed: int) -> None:
    table = backtest(noisy(seed))
    with pytest.raises(InvalidInput, match=r"For 95 % give 0\.95"):
        compare(table, interval=95)
    with pytest.raises(InvalidInput, match="Give 10_000"):
        coverage_interval(table, resamples=0)


def test_a_category_is_a_name(seed: int) -> None:
    table = backtest(noisy(seed))
    names = ["method", "behaviour", "target"]
    labelled = table.astype(dict.fromkeys(names, "category"))
    labelled["method"] = labelled["method"].cat.add_categories("never run")
    pd.testing.assert_frame_equal(compare(labelled).rows, compare(table).rows)


def test_the_report_fits_a_terminal(compared: Comparison) -> None:
    seen = io.StringIO()
    screen = Console(file=seen, width=80, markup=False, highlight=False)
    for part in tables.comparison_report(compared):
        screen.print(part)
    text = seen.getvalue()
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    order = [line.split()[0] for line in lines if line.startswith(("g", "exch"))]
    best = compared.rows.sort_values("mean_crps")["method"]
    assert order == list(best)
    [point] = [line for line in lines if line.startswith(POINT)]
    assert point.split()[-3:] == ["-", "0.5", "s"]
    said = " ".join(text.split())
    assert all(verdict in said for verdict in compared.verdicts())


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = io.StringIO()
    clock = iter([0.0, 1.0, 11.0, 21.0, 22.0, 51.0])
    monkeypatch.setattr(tables, "console", lambda **_: Console(file=seen, width=20))
    monkeypatch.setattr(tables.time, "monotonic", lambda: next(clock))
    with tables.progress_bar("Backtest", plain=True) as progress:
        # What was done before, at second 1, tells nothing of the pace.
        for done in (50, 55, 60, 61, 75):
            progress(done, 100)
    assert seen.getvalue().splitlines() == [
        "Backtest: 60 of 100 parts, about 80 s left",
        "Backtest: 75 of 100 parts, about 50 s left",
    ]


def test_a_bar_shows_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = io.StringIO()
    screen = Console(file=seen, force_terminal=True, width=80)
    monkeypatch.setattr(tables, "console", lambda **_: screen)
    monkeypatch.setattr(tables, "_PATIENCE_SECONDS", 0.0)
    with tables.progress_bar("Backtest", time_left=True, plain=True) as progress:
        done = 0
        while "left" not in seen.getvalue():
            done += 1
            progress(done, 10**9)
    assert "Backtest" in seen.getvalue()


def test_how_a_backtest_was_made_is_said_where_it_matters() -> None:
    table = backtest(lambda *_: 1.0)
    plain = compare(Backtest(table, {"options": {"pool": False}, "counted": []}))
    assert plain.notes == compare(table).notes
    pooled = compare(Backtest(table, {"options": {"pool": True}, "counted": ["b0"]}))
    assert any("no independent clusters" in note for note in pooled.notes)
    assert any("The truth of 'b0' is a share" in note for note in pooled.notes)
