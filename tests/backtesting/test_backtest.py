"""Backtests: paired, honest about refusals, and the same however they were run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

import bayes_rare as br
from bayes_rare.backtesting import COLUMNS, Backtest, backtest, load_backtest, run
from bayes_rare.errors import InvalidData, InvalidInput, NoSuchModel, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.evaluation.pool import Splitting
from bayes_rare.forecasting import Deployment, Forecast
from bayes_rare.readers.tables.read_pool import read_pool
from bayes_rare.readers.tables.sample import SAMPLE
from bayes_rare.scores import score_from_log_risk

BEHAVIOURS = ["Death", "I destroy"]
QUICK: dict[str, Any] = {"chains": 2, "warmup": 200, "draws": 200}
PLAN: dict[str, Any] = {
    "methods": ["gumbel_ols", "evaluation_maximum", "gumbel_ols_pivot", "gumbel_tail"],
    "evaluation_sizes": [100, 300],
    "deployment_sizes": [2_000, 5_000],
    "repeats": 6,
    "behaviours": BEHAVIOURS,
    **QUICK,
}
KEYS = [
    "method",
    "behaviour",
    "repeat",
    "evaluation_size",
    "deployment_size",
    "target",
    "risk_threshold",
]


def timeless(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns="seconds")


def assert_same(one: Backtest, other: Backtest) -> None:
    """Equal to the last bit, timings aside."""
    pd.testing.assert_frame_equal(
        timeless(one.table), timeless(other.table), check_exact=True
    )


@pytest.fixture(scope="module")
def made() -> Backtest:
    return backtest(br.sample_table(), **PLAN)


def test_every_method_forecasts_every_split(made: Backtest) -> None:
    table = made.table
    assert tuple(table.columns) == COLUMNS
    assert len(table) == 4 * 2 * 2 * PLAN["repeats"] * 2 * 3
    assert not table.duplicated(KEYS).any()
    truths = table.groupby([k for k in KEYS if k != "method"], dropna=False)["truth"]
    assert (truths.nunique() == 1).all()
    assert np.isfinite(table["crps"]).all()
    assert (table["status"] == "forecast").mean() > 0.9


def test_the_truth_is_that_of_the_queries_that_were_held_out(made: Backtest) -> None:
    """By the pool itself, for one split."""
    pool = read_pool(br.sample_table(), behaviours=BEHAVIOURS)
    splitting = Splitting((100, 300), (2_000, 5_000))
    split = pool.split(["Death"], 3, splitting)
    scores = pool.rows["score"][split.deployment[2_000]["Death"]]
    rows = made.table.query(
        "behaviour == 'Death' and repeat == 3 and deployment_size == 2000"
    )
    truth = rows.groupby("target")["truth"].first()
    risk = np.exp(-np.exp(-scores))
    assert truth["worst_query_risk"] == pytest.approx(risk.max())
    assert truth["aggregate_risk"] == pytest.approx(1 - np.prod(1 - risk))
    # Ten of 2,000 is 125 of the 25,000: so many of the pool exceed the threshold.
    threshold = np.sort(pool.rows["score"][pool.members["Death"]])[-126]
    assert truth["behaviour_frequency"] == (scores > threshold).sum()


def test_point_methods_have_no_interval(made: Backtest) -> None:
    table = made.table[made.table["status"] == "forecast"]
    points = table["method"].isin(["gumbel_ols", "evaluation_maximum"])
    assert (table["is_point"] == points).all()
    for column in ("pit", "covered_90", "interval_score_50", "lower_90"):
        assert table.loc[points, column].isna().all()
        assert table.loc[~points, column].notna().all()


@pytest.mark.slow
def test_two_workers_make_the_same_table(made: Backtest, tmp_path: Path) -> None:
    output = tmp_path / "backtest.parquet"
    again = backtest(br.sample_table(), **PLAN, workers=2, output=output)
    assert_same(again, made)
    assert_same(load_backtest(output), made)
    assert load_backtest(output).origin == again.origin == made.origin
    assert not output.with_name("backtest.parquet.parts").exists()


@pytest.mark.parametrize("after", [1, pytest.param(7, marks=pytest.mark.slow)])
def test_what_was_interrupted_goes_on(
    made: Backtest, tmp_path: Path, after: int
) -> None:
    output = tmp_path / "backtest.parquet"
    parts = tmp_path / "backtest.parquet.parts"
    seen: list[int] = []

    def interrupt(done: int, _: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backtest(br.sample_table(), **PLAN, output=output, progress=interrupt)
    assert not output.exists()
    assert len(list(parts.glob("*.parquet"))) == after
    again = backtest(
        br.sample_table(),
        **PLAN,
        output=output,
        progress=lambda done, _: seen.append(done),
    )
    assert seen[0] == after
    assert_same(again, made)


CHANGES: list[tuple[dict[str, Any], str]] = [
    ({"seed": 1}, r"options seed was 0 and is 1"),
    ({"repeats": 3}, r"options repeats was 2 and is 3"),
    ({"behaviours": ["Death"]}, r"data was \w+\.\.\. and is"),
    ({"methods": ["evaluation_maximum", "gumbel_ols"]}, r"methods were .* and are"),
    ({"methods": ["mine.py:ours"]}, r"method mine:ours digest was"),
]
SMALL: dict[str, Any] = {
    "methods": ["evaluation_maximum", "mine.py:ours"],
    "evaluation_sizes": 100,
    "deployment_sizes": 2_000,
    "repeats": 2,
    "behaviours": BEHAVIOURS,
}
OURS = "from bayes_rare.methods.baselines import evaluation_maximum as ours\n"


@pytest.mark.parametrize(("change", "message"), CHANGES)
def test_parts_of_another_backtest_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OURS, encoding="utf-8")
    interrupted(Path("out.parquet"))
    if "mine.py:ours" in change.get("methods", []):
        Path("mine.py").write_text(f"{OURS}# better\n", encoding="utf-8")
        change = {}
    with pytest.raises(InvalidData, match=message) as refusal:
        backtest(br.sample_table(), **{**SMALL, **change}, output="out.parquet")
    assert "delete that folder to begin again" in str(refusal.value)


def test_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OURS, encoding="utf-8")
    interrupted(Path("out.parquet"))
    monkeypatch.setattr(run, "version", lambda _: "0.0.1")
    with pytest.raises(InvalidData, match=r"versions bayes-rare was .* and is 0\.0\.1"):
        backtest(br.sample_table(), **SMALL, output="out.parquet")


def interrupted(output: Path) -> None:
    def interrupt(done: int, _: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backtest(br.sample_table(), **SMALL, output=output, progress=interrupt)


def test_a_damaged_folder_of_parts_is_refused(tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    plan: dict[str, Any] = {**SMALL, "methods": ["evaluation_maximum"]}
    parts = tmp_path / "out.parquet.parts"
    parts.mkdir()
    (parts / "backtest.json").write_text("{", encoding="utf-8")
    with pytest.raises(InvalidData, match="cannot be read"):
        backtest(br.sample_table(), **plan, output=output)
    (parts / "backtest.json").unlink()
    (parts / "000000.parquet").touch()
    with pytest.raises(InvalidData, match="holds other things"):
        backtest(br.sample_table(), **plan, output=output)


def test_other_files_in_the_folder_of_parts_are_left_alone(tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    plan: dict[str, Any] = {**SMALL, "methods": ["evaluation_maximum"]}
    parts = tmp_path / "out.parquet.parts"
    parts.mkdir()
    (parts / "notes.txt").touch()
    with pytest.raises(InvalidData, match="holds other things"):
        backtest(br.sample_table(), **plan, output=output)
    assert (parts / "notes.txt").exists()


def test_two_runs_at_once_are_one_too_many(tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    plan: dict[str, Any] = {**SMALL, "methods": ["evaluation_maximum"]}

    def again(done: int, _: int) -> None:
        if not done:
            with pytest.raises(InvalidData, match="another process is at work"):
                backtest(br.sample_table(), **plan, output=output)

    backtest(br.sample_table(), **plan, output=output, progress=again)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_a_damaged_part_is_done_again(tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    plan: dict[str, Any] = {**SMALL, "methods": ["evaluation_maximum", "gumbel_ols"]}

    def interrupt(done: int, _: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backtest(br.sample_table(), **plan, output=output, progress=interrupt)
    (part,) = (tmp_path / "out.parquet.parts").glob("0*.parquet")
    part.write_bytes(part.read_bytes()[:100])
    again = backtest(br.sample_table(), **plan, output=output)
    assert_same(again, backtest(br.sample_table(), **plan))


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    plan: dict[str, Any] = {**SMALL, "methods": ["evaluation_maximum"]}
    first = backtest(br.sample_table(), **plan, output=output)
    again = backtest(br.sample_table(), **plan, output=output, progress=_refused)
    pd.testing.assert_frame_equal(first.table, again.table, check_exact=True)
    plan["seed"] = 1
    other = backtest(br.sample_table(), **plan, output=output)
    assert load_backtest(output).origin == other.origin != first.origin


def _refused(*_: int) -> None:
    pytest.fail("it was all there")


def test_a_backend_that_gives_no_results_one_by_one(
    made: Backtest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of Ray and Spark are."""
    plan: dict[str, Any] = {**PLAN, "methods": ["gumbel_ols", "evaluation_maximum"]}
    with joblib.parallel_config("threading", n_jobs=2):
        threads = backtest(br.sample_table(), **plan)
        backend: Any = joblib.parallel.ThreadingBackend
        monkeypatch.setattr(backend, "supports_return_generator", False)
        waiting = backtest(br.sample_table(), **plan)
    assert_same(waiting, threads)
    mine = made.table["method"].isin(plan["methods"])
    kept = timeless(made.table[mine]).sort_values(KEYS, ignore_index=True)
    pd.testing.assert_frame_equal(
        timeless(waiting.table).sort_values(KEYS, ignore_index=True), kept
    )


def test_repeats_of_the_only_split_are_refused() -> None:
    table = br.sample_table()
    known = table["query_id"].unique()
    table["part"] = np.where(
        table["query_id"].isin(known[:300]), "evaluation", "deployment"
    )
    plan: dict[str, Any] = {"behaviours": ["Death"], "split": "part"}
    with pytest.raises(InvalidInput, match="3 repeats of it would be copies"):
        backtest(table, ["gumbel_ols"], repeats=3, **plan)
    made = backtest(table, ["gumbel_ols"], 300, repeats=None, **plan)
    assert set(made.table["repeat"]) == {0}


def test_a_pool_of_zeros_is_scored_as_such() -> None:
    """Of risks of 0 next to nothing is known, and a forecast of 0 is right."""
    risk = np.zeros(2_000)
    risk[:3] = 0.01
    with np.errstate(divide="ignore"):
        table = pd.DataFrame({"log_risk": np.log(risk)})
    made = backtest(table, ["evaluation_maximum"], 200, 1_000, repeats=5)
    counts = made.table[made.table["target"] == "behaviour_frequency"]
    # Nobody takes a risk of 0 for risky: neither the truth nor the forecast.
    assert (counts["truth"] <= 3).all()
    assert (counts["median"] <= 15).all()
    saturated = pd.DataFrame({"log_risk": np.where(np.arange(2_000) < 100, 0.0, -9.0)})
    made = backtest(saturated, ["evaluation_maximum"], 200, 1_000, repeats=5)
    counts = made.table[made.table["target"] == "behaviour_frequency"]
    assert (counts["truth"] > 20).all()
    assert (counts["abs_log10_error"] < 0.5).all()


def test_a_refusal_is_a_row_scored_as_the_evaluation_maximum() -> None:
    def odd_ones_out(evaluation: Evaluation, deployment: Deployment) -> Forecast:
        top = evaluation.worst("Death")
        if int(1e9 * abs(top)) % 2:
            raise NotApplicable("an odd one")
        return br.gumbel_ols(evaluation, deployment)

    made = backtest(
        br.sample_table(),
        {"odd": odd_ones_out, "evaluation_maximum": "evaluation_maximum"},
        100,
        2_000,
        repeats=12,
        behaviours=["Death"],
    )
    odd, maximum = (
        made.table[made.table["method"] == name].reset_index(drop=True)
        for name in ("odd", "evaluation_maximum")
    )
    refused = odd["status"] == "refused"
    assert 0 < refused.mean() < 1
    assert set(odd.loc[refused, "reason"]) == {"an odd one"}
    same = [c for c in COLUMNS if c not in ("method", "status", "reason", "seconds")]
    pd.testing.assert_frame_equal(odd.loc[refused, same], maximum.loc[refused, same])
    assert (odd.loc[~refused, "crps"] != maximum.loc[~refused, "crps"]).any()


def test_an_unconverged_fit_is_a_row_scored_as_the_evaluation_maximum() -> None:
    plan: dict[str, Any] = {"chains": 1, "warmup": 20, "draws": 4, "repeats": 2}
    made = backtest(
        br.sample_table(),
        ["gpd_tail", "evaluation_maximum"],
        100,
        2_000,
        behaviours=["Death"],
        **plan,
    )
    fits, maxima = (
        made.table[made.table["method"] == name]
        for name in ("gpd_tail", "evaluation_maximum")
    )
    assert set(fits["status"]) == {"unconverged"}
    assert fits["reason"].str.contains("DID NOT CONVERGE").all()
    np.testing.assert_array_equal(fits["crps"], maxima["crps"])


def test_counts_hide_the_risks_and_not_the_truth() -> None:
    plan: dict[str, Any] = {
        "evaluation_sizes": 300,
        "deployment_sizes": 2_000,
        "repeats": 3,
        "behaviours": BEHAVIOURS,
    }
    names = ["evaluation_maximum", "gumbel_tail"]
    exact = backtest(br.sample_table(), names, **plan, **QUICK).table
    counted = backtest(
        br.sample_table(), names, **plan, **QUICK, trials_per_query=100
    ).table
    np.testing.assert_array_equal(exact["truth"], counted["truth"])
    worst = counted.query(
        "target == 'worst_query_risk' and method == 'evaluation_maximum'"
    )
    # Shares of a hundred trials, with half a success and half a failure more.
    successes = 101 * worst["median"] - 0.5
    assert np.allclose(successes, np.round(successes))
    models = counted[counted["method"] == "gumbel_tail"]
    assert set(models["status"]) == {"refused"}
    assert models["reason"].str.contains("has counts").all()


def test_whole_families_are_held_out_and_the_families_told_or_not() -> None:
    told: list[tuple[int, float, int | None]] = []

    def spy(evaluation: Evaluation, deployment: Deployment) -> Forecast:
        told.append(
            (
                len(evaluation.families),
                deployment.unseen_share,
                deployment.unseen_families,
            )
        )
        return br.evaluation_maximum(evaluation, deployment)

    plan: dict[str, Any] = {
        "evaluation_sizes": 200,
        "deployment_sizes": 2_000,
        "repeats": 3,
        "behaviours": ["Death"],
    }
    backtest(
        br.sample_table(),
        {"spy": spy},
        **plan,
        hold_out_families=40,
        unseen_share=0.8,
        unseen_families=40,
    )
    assert told == [(10, 0.8, 40)] * 3
    told.clear()
    backtest(br.sample_table(), {"spy": spy}, **plan, ignore_families=True)
    assert told == [(0, 0.0, None)] * 3


def test_pooled_behaviours_are_fitted_together() -> None:
    seen: list[tuple[str, ...]] = []

    def spy(evaluation: Evaluation, deployment: Deployment) -> Forecast:
        seen.append(evaluation.behaviours)
        return br.evaluation_maximum(evaluation, deployment)

    plan: dict[str, Any] = {"repeats": 2, "behaviours": BEHAVIOURS}
    made = backtest(br.sample_table(), {"spy": spy}, 100, 2_000, **plan, pool=True)
    assert seen == [tuple(BEHAVIOURS)] * 2
    assert len(made.table) == 2 * 2 * 3


def test_a_column_splits_the_table() -> None:
    table = br.sample_table()
    queries = table["query_id"].unique()
    words = pd.Series("deployment", index=queries)
    words[queries[:500]] = "evaluation"
    words[queries[500:600]] = None
    table["part"] = table["query_id"].map(words)
    made = backtest(table, ["gumbel_ols"], behaviours=BEHAVIOURS, split="part")
    assert set(made.table["evaluation_size"]) == {500}
    assert set(made.table["deployment_size"]) == {24_400}
    assert len(made.table) == 2 * 3  # all of them, once
    served = table.query("part == 'deployment' and behaviour == 'Death'")
    truth = made.table.query("target == 'worst_query_risk' and behaviour == 'Death'")
    assert truth["truth"].item() == pytest.approx(np.exp(served["log_risk"].max()))
    some = backtest(table, ["gumbel_ols"], 100, behaviours=["Death"], split="part")
    assert some.table["repeat"].nunique() == 10


def test_thresholds_and_samples_that_were_asked_for() -> None:
    made = backtest(
        br.sample_table(),
        ["gumbel_ols_pivot"],
        300,
        2_000,
        repeats=1,
        behaviours=["Death"],
        risk_thresholds=[0.01, 1e-4],
        samples_per_query=50,
    )
    counts = made.table[made.table["target"] == "behaviour_frequency"]
    assert counts["risk_threshold"].fillna(-1).tolist() == [-1, 1e-4, 0.01]
    plain = backtest(
        br.sample_table(),
        ["gumbel_ols_pivot"],
        300,
        2_000,
        repeats=1,
        behaviours=["Death"],
    )
    hazards = [
        -np.log1p(-b.table.query("target == 'aggregate_risk'")["truth"].item())
        for b in (plain, made)
    ]
    assert hazards[1] == pytest.approx(50 * hazards[0])


REFUSALS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"evaluation_sizes": float("nan")}, InvalidInput, "evaluation_sizes is a whole"),
    ({"evaluation_sizes": float("inf")}, InvalidInput, "evaluation_sizes is a whole"),
    ({"samples_per_query": 0}, InvalidInput, "samples_per_query is a whole number"),
    ({"evaluation_sizes": ()}, InvalidInput, "Give evaluation_sizes="),
    ({"deployment_sizes": 25_000}, InvalidInput, "deployment of at most 24900"),
    ({"evaluation_sizes": 0.5}, InvalidInput, "evaluation_sizes is a whole number"),
    ({"repeats": 0}, InvalidInput, "repeats is a whole number from 1"),
    ({"methods": ["nothing"]}, NoSuchModel, "no method 'nothing'"),
    ({"methods": []}, InvalidInput, "no method is named"),
    ({"behaviours": ["death"]}, InvalidInput, "no behaviour 'death'"),
    ({"hold_out_families": 50}, InvalidInput, "has 50 families"),
    ({"workers": 0}, InvalidInput, "workers is a whole number from 1"),
    ({"risk_thresholds": [2.0]}, InvalidInput, r"probability in \(0, 1\)"),
    ({"unseen_share": 0.5}, InvalidInput, "do not go together"),
    ({"split": "part"}, InvalidInput, "no column 'part'"),
]


@pytest.mark.parametrize(("change", "error", "message"), REFUSALS)
def test_what_cannot_be_done_is_refused_at_once(
    change: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    plan: dict[str, Any] = {**SMALL, "methods": ["evaluation_maximum"], **change}
    with pytest.raises(error, match=message):
        backtest(br.sample_table(), **plan, output=tmp_path / "out.parquet")
    assert not list(tmp_path.iterdir())


def test_what_is_no_backtest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="there is no file"):
        load_backtest(tmp_path / "none.parquet")
    text = tmp_path / "text.parquet"
    text.write_text("hello", encoding="utf-8")
    with pytest.raises(InvalidData, match="not a Parquet file that can be read"):
        load_backtest(text)
    other = tmp_path / "other.parquet"
    pd.DataFrame({"a": [1]}).to_parquet(other)
    with pytest.raises(InvalidData, match="no column 'method'"):
        load_backtest(other)


# Endurance: killed at any moment, in a process of its own.


def command(output: Path, workers: int) -> list[str]:
    names = ["evaluation_maximum", "gumbel_ols_pivot", "gumbel_tail"]
    return [
        sys.executable,
        "-c",
        "import sys; from bayes_rare.cli import main; sys.exit(main())",
        "backtest",
        str(SAMPLE),
        *("--methods", *names),
        *("--evaluation-sizes", "100", "300"),
        *("--deployment-sizes", "2000"),
        *("--repeats", "20"),
        *("--behaviours", *BEHAVIOURS),
        *("--chains", "2", "--warmup", "200", "--draws", "200"),
        *("--workers", str(workers)),
        *("--output", str(output)),
    ]


def killed(words: Sequence[str], parts: Path, after: int) -> None:
    """Run until there are so many parts, then kill it with all its workers."""
    process = subprocess.Popen(
        words,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while len(list(parts.glob("[0-9]*.parquet"))) < after:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs process groups to kill")
@pytest.mark.parametrize("workers", [1, 2])
def test_killed_at_random_moments_it_ends_with_the_same_table(
    tmp_path: Path, workers: int, rng: np.random.Generator
) -> None:
    whole = tmp_path / "whole.parquet"
    subprocess.run(command(whole, 1), check=True, capture_output=True)
    output = tmp_path / "killed.parquet"
    parts = output.with_name("killed.parquet.parts")
    for after in sorted(rng.choice(np.arange(0, 11), 3, replace=False).tolist()):
        killed(command(output, workers), parts, after)
        time.sleep(float(rng.random()) * 0.2)
    answer = subprocess.run(
        [*command(output, workers), "--json"], check=True, capture_output=True
    )
    assert set(json.loads(answer.stdout)) == {"rows", "pairs"}
    assert_same(load_backtest(output), load_backtest(whole))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "killed.parquet",
        "whole.parquet",
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_cluster_makes_the_same_table(made: Backtest) -> None:
    """Two processes of a real Dask cluster on this machine."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        again = backtest(br.sample_table(), **PLAN)
    assert_same(again, made)


def test_scores_are_held_as_the_table_has_them() -> None:
    """Risks that no float64 holds are forecast and scored all the same."""
    rng = np.random.default_rng(0)
    log_risk = -np.exp(rng.normal(8, 0.3, 2_000))  # risks down to 1e-3000
    made = backtest(
        pd.DataFrame({"log_risk": log_risk}), ["gumbel_ols"], 200, 1_000, repeats=1
    )
    assert np.isfinite(made.table["crps"]).all()
    worst = made.table.query("target == 'worst_query_risk'")
    assert score_from_log_risk(log_risk).max() < -6
    assert worst["abs_log10_error"].item() == 0  # both below 1e-12
