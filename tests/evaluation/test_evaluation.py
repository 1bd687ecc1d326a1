"""The summary of an evaluation: what it keeps, what it refuses, how it travels."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_rare.errors import InvalidData, InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation, ScoreCells
from bayes_rare.evaluation.score_cells import BIN_WIDTH, EXACT_LIMIT
from bayes_rare.readers.tables.summarise import summarise

COLUMNS = ("score", "count", "squares")


def cells_of(score: np.ndarray, count: np.ndarray, squares: np.ndarray) -> ScoreCells:
    return ScoreCells(score, count, squares, 2, 3, -4.6, 16.6)


@st.composite
def score_cells(draw: st.DrawFn) -> ScoreCells:
    size = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    score = np.sort(rng.normal(size=size))[::-1].copy()
    count = rng.integers(1, 1000, size).astype(float)
    return cells_of(score, count, (count > 1) * rng.exponential(size=size))


def moments(cells: ScoreCells) -> tuple[float, float, float]:
    total = cells.count.sum()
    mean = (cells.score * cells.count).sum() / total
    between = (cells.count * (cells.score - mean) ** 2).sum()
    return float(total), float(mean), float(cells.squares.sum() + between)


@given(score_cells(), st.integers(2, 40))
def test_coarsening_keeps_count_mean_and_squares(
    cells: ScoreCells, number: int
) -> None:
    coarse = cells.coarsen(number)
    assert len(coarse.score) <= max(number, 2)
    assert coarse.size == cells.size
    assert (np.diff(coarse.score) < 0).all()
    np.testing.assert_allclose(moments(coarse), moments(cells), rtol=1e-9, atol=1e-9)
    top = min(number - number // 2, len(cells.score))
    np.testing.assert_array_equal(coarse.score[:top], cells.score[:top])


def test_coarse_groups_are_nearly_equal() -> None:
    cells = cells_of(
        np.arange(5000.0)[::-1].copy(), np.ones(5000), np.zeros(5000)
    ).coarsen(100)
    assert len(cells.score) == 100
    low = cells.count[50:]
    assert low.max() - low.min() <= 1


def test_little_is_left_as_it_is() -> None:
    cells = cells_of(np.array([1.0, 0.0]), np.ones(2), np.zeros(2))
    assert cells.coarsen() is cells


def test_one_cell_is_refused_with_a_way_out() -> None:
    cells = cells_of(np.array([1.0, 0.0]), np.ones(2), np.zeros(2))
    with pytest.raises(InvalidInput, match="cells=2 or more"):
        cells.coarsen(1)
    cells.coarsen(2)


@given(score_cells(), st.floats(-3, 3))
def test_a_threshold_parts_the_queries(cells: ScoreCells, threshold: float) -> None:
    above, below = cells.above(threshold), cells.below(threshold)
    assert above.size + below.size == cells.size
    assert (above.score > threshold).all()
    assert (below.score <= threshold).all()
    assert (above.censored_above, above.censored_below) == (3, 0)
    assert (below.censored_above, below.censored_below) == (0, 2)


@pytest.mark.parametrize("threshold", [-5.0, 17.0])
def test_a_threshold_beyond_the_resolution_is_refused(threshold: float) -> None:
    cells = cells_of(np.array([1.0, 0.0]), np.ones(2), np.zeros(2))
    with pytest.raises(InvalidInput, match=r"Give a threshold from -4.6 to 16.6"):
        cells.above(threshold)


@given(st.lists(st.sampled_from([-2.0, -1.5, 0.25, 3.0, -np.inf, np.inf]), min_size=1))
def test_every_score_is_kept_with_its_multiplicity(scores: list[float]) -> None:
    evaluation = Evaluation.from_scores(scores)
    cells = evaluation.scores("behaviour")
    finite = np.array([s for s in scores if np.isfinite(s)])
    value, count = np.unique(finite, return_counts=True)
    np.testing.assert_array_equal(cells.score, value[::-1])
    np.testing.assert_array_equal(cells.count, count[::-1])
    assert not cells.squares.any()
    assert cells.censored_below == scores.count(-np.inf)
    assert cells.censored_above == scores.count(np.inf)
    assert evaluation.sizes == {"behaviour": len(scores)}
    assert math.isfinite(evaluation.worst("behaviour"))


@settings(max_examples=30)
@given(st.permutations(list(range(40))))
def test_the_order_of_the_queries_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(0)
    score = np.round(rng.normal(size=40), 1)
    family = np.array([f"f{i % 3}" for i in range(40)], object)
    query = np.array([str(i) for i in range(40)], object)
    one = Evaluation.from_scores(score, family=family, query_id=query)
    other = Evaluation.from_scores(
        score[order], family=family[order], query_id=query[order]
    )
    assert one.digest == other.digest


def test_the_digest_sees_every_part() -> None:
    one = Evaluation.from_scores([1.0, 2.0], query_id=["a", "b"])
    others = [
        Evaluation.from_scores([1.0, 2.5], query_id=["a", "b"]),
        Evaluation.from_scores([1.0, 2.0], query_id=["a", "c"]),
        Evaluation.from_scores([1.0, 2.0], query_id=["a", "b"], behaviour="x"),
        Evaluation.from_scores([1.0, 2.0], query_id=["a", "b"], family=["x", "x"]),
        Evaluation.from_scores(
            [1.0, 2.0], query_id=["a", "b"], resolution=(1e-9, 1e-9)
        ),
    ]
    assert len({one.digest, *(other.digest for other in others)}) == 6


def large(rng: np.random.Generator, size: int = 30_000) -> tuple[np.ndarray, list[str]]:
    score = np.log(rng.gamma(2.0, size=size))
    score[:50], score[50:70] = -np.inf, np.inf
    return score, [f"f{i % 7}" for i in range(size)]


def test_a_large_behaviour_keeps_its_top_and_the_moments_of_its_body() -> None:
    score, family = large(np.random.default_rng(1))
    evaluation = Evaluation.from_scores(score, family=family)
    cells = evaluation.scores("behaviour")
    finite = np.sort(score[np.isfinite(score)])[::-1]
    top = EXACT_LIMIT - 20  # the risks of 1 are the largest
    np.testing.assert_array_equal(cells.score[:top], finite[:top])
    assert cells.score[top] < finite[top - 1]
    assert len(cells.score) < 20_000
    assert (cells.size, cells.censored_below, cells.censored_above) == (30_000, 50, 20)
    assert (cells.squares <= cells.count * BIN_WIDTH**2 / 4 + 1e-9).all()
    expected = (len(finite), finite.mean(), ((finite - finite.mean()) ** 2).sum())
    np.testing.assert_allclose(moments(cells), expected, rtol=1e-8)
    by_family = evaluation.cells.query("abs(score) < inf").groupby("family")["count"]
    assert by_family.sum().sum() == len(finite)


def test_ties_at_the_cut_are_all_kept() -> None:
    score = np.concatenate((np.arange(9_000.0), np.full(8_000, -1.0), [-2.0, -3.0]))
    cells = Evaluation.from_scores(score).scores("behaviour")
    assert cells.count[cells.score == -1.0] == 8_000
    assert not cells.squares.any()
    assert cells.size == len(score)


@pytest.mark.parametrize("size", [500, 30_000])
def test_scores_and_a_frame_give_the_same_summary(size: int) -> None:
    rng = np.random.default_rng(2)
    score, family = large(rng, size)
    log_risk = -np.exp(-score)
    names = ["a" if i % 3 else "b" for i in range(size)]
    query = [str(i) for i in range(size)]
    frame = pd.DataFrame(
        {"log_risk": log_risk, "family": family, "behaviour": names, "query_id": query}
    )
    with np.errstate(divide="ignore"):
        score = -np.log(-log_risk)
    direct = Evaluation.from_scores(
        score, behaviour=names, family=family, query_id=query
    )
    table = summarise(frame.sample(frac=1, random_state=0))
    if size <= EXACT_LIMIT:
        assert direct.digest == table.digest
    pd.testing.assert_frame_equal(direct.riskiest, table.riskiest)
    pd.testing.assert_frame_equal(
        direct.cells, table.cells, check_exact=False, rtol=0, atol=1e-8
    )


def test_a_mapping_is_the_same_as_labels() -> None:
    mapping = Evaluation.from_scores(
        {"b": [1.0, 2.0], "a": [0.0]}, family={"b": ["x", "y"], "a": ["x"]}
    )
    flat = Evaluation.from_scores(
        [1.0, 2.0, 0.0], behaviour=["b", "b", "a"], family=["x", "y", "x"]
    )
    assert mapping.digest == flat.digest
    assert mapping.behaviours == ("a", "b")


def test_a_backtest_can_call_it_thousands_of_times() -> None:
    score = np.random.default_rng(0).normal(size=1_000)
    Evaluation.from_scores(score)
    seconds = []
    for _ in range(20):
        start = time.perf_counter()
        Evaluation.from_scores(score)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 2e-3  # a quarter of that on an idle core


def test_nan_is_refused_with_its_position() -> None:
    with pytest.raises(InvalidData, match=r"score 2 .* Give -inf for a risk of 0"):
        Evaluation.from_scores([0.0, 1.0, np.nan])


def test_no_scores_are_refused() -> None:
    with pytest.raises(InvalidData, match="at least one"):
        Evaluation.from_scores([])
    with pytest.raises(InvalidData, match="at least one"):
        Evaluation.from_scores({})


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(InvalidData, match="1 values of family for 2 queries"):
        Evaluation.from_scores([0.0, 1.0], family=["a"])


def test_labels_that_are_no_mapping_are_refused_beside_one() -> None:
    with pytest.raises(InvalidData, match="mapping with the same names: a, b"):
        Evaluation.from_scores({"a": [0.0], "b": [1.0]}, family=["x", "y"])
    with pytest.raises(InvalidInput, match="Leave `behaviour` out"):
        Evaluation.from_scores({"a": [0.0]}, behaviour="b")


@pytest.mark.parametrize("resolution", [(0.0, 0.5), (0.5, 1.0), (math.nan, 0.5)])
def test_a_resolution_outside_its_range_is_refused(
    resolution: tuple[float, float],
) -> None:
    with pytest.raises(InvalidInput, match=r"resolution=\(2"):
        Evaluation.from_scores([0.0], resolution=resolution)


def test_the_resolution_is_a_pair_of_scores() -> None:
    cells = Evaluation.from_scores([0.0, np.inf], resolution=(0.01, 1e-20)).scores(
        "behaviour"
    )
    assert cells.lowest == pytest.approx(-math.log(-math.log(0.01)), rel=1e-15)
    assert cells.highest == pytest.approx(20 * math.log(10), rel=1e-15)


def test_the_worst_score_is_the_resolution_for_a_risk_of_1() -> None:
    assert Evaluation.from_scores([0.0, 1.5]).worst("behaviour") == 1.5
    censored = Evaluation.from_scores([0.0, np.inf])
    assert censored.worst("behaviour") == censored.scores("behaviour").highest
    none = Evaluation.from_scores([-np.inf])
    assert none.worst("behaviour") == none.scores("behaviour").lowest


def test_the_riskiest_are_in_order_and_ties_by_identity() -> None:
    evaluation = Evaluation.from_scores(
        [0.0, 2.0, 2.0, np.inf], query_id=["d", "c", "b", "a"], query_text=list("wxyz")
    )
    shown = evaluation.riskiest
    assert shown["query_id"].tolist() == ["a", "b", "c", "d"]
    assert shown["query_text"].tolist() == ["z", "y", "x", "w"]
    np.testing.assert_allclose(
        shown["log_risk"], [0, -math.exp(-2)] * 1 + [-math.exp(-2), -1.0]
    )


def test_a_hundred_are_shown_of_each_behaviour() -> None:
    score = np.arange(600.0)
    shown = Evaluation.from_scores(score, behaviour=["a", "b"] * 300).riskiest
    assert shown.groupby("behaviour").size().tolist() == [100, 100]
    assert shown["score"].min() == 400.0


def test_selecting_is_reading_only_that() -> None:
    score = np.random.default_rng(0).normal(size=90)
    names = np.array(["a", "b", "c"] * 30)
    family = np.where(names == "c", "z", names).astype(object)
    whole = Evaluation.from_scores(score, behaviour=names, family=family)
    part = names != "b"
    only = Evaluation.from_scores(
        score[part], behaviour=names[part], family=family[part]
    )
    assert whole.select(["c", "a"]).digest == only.digest
    assert whole.select(["c"]).families == ("z",)


def test_an_unknown_behaviour_is_answered_with_the_known_ones() -> None:
    evaluation = Evaluation.from_scores([0.0, 1.0], behaviour=["a", "b"])
    for ask in (evaluation.scores, evaluation.worst, evaluation.kind):
        with pytest.raises(InvalidInput, match="There are: a, b"):
            ask("c")
    for names in (["c"], []):
        with pytest.raises(InvalidInput, match="There are: a, b"):
            evaluation.select(names)


def mixed() -> Evaluation:
    return summarise(
        pd.DataFrame(
            {
                "behaviour": ["a", "a", "b", "b", "b"],
                "family": ["x", "ÿ", "x", "x", "x"],
                "query_id": ["1", "2", "3", "4", "5"],
                "query_text": ["eins", "", 'zw"ei', "drei", "vier"],
                "log_risk": [-1.5, -np.inf, np.nan, np.nan, np.nan],
                "successes": [np.nan, np.nan, 0, 0, 9],
                "trials": [np.nan, np.nan, 10, 10, 10],
            }
        )
    )


def test_counts_have_no_scores() -> None:
    evaluation = mixed()
    assert (evaluation.kind("a"), evaluation.kind("b")) == ("exact", "counts")
    with pytest.raises(NotApplicable, match=r"evaluation.counts"):
        evaluation.scores("b")


def test_the_table_of_the_summary_says_what_is_there() -> None:
    summary = mixed().summary().set_index("behaviour")
    assert summary["queries"].to_dict() == {"a": 2, "b": 3}
    assert summary["families"].to_dict() == {"a": 2, "b": 1}
    assert summary.loc["a", "risks_of_0"] == 1
    assert summary.loc["a", "riskiest"] == pytest.approx(math.exp(-1.5))
    assert summary.loc["b", "riskiest"] == pytest.approx(0.9)
    assert "5 queries in 2 families" in repr(mixed())


@pytest.mark.parametrize("which", ["small", "large", "mixed", "counts"])
def test_it_travels_in_a_netcdf_file(which: str, tmp_path: Path) -> None:
    score, family = large(np.random.default_rng(3), 12_000)
    evaluation = {
        "small": Evaluation.from_scores([0.5, -np.inf, np.inf, 0.5]),
        "large": Evaluation.from_scores(score, family=family),
        "mixed": mixed(),
        "counts": mixed().select(["b"]),
    }[which]
    path = tmp_path / "evaluation.nc"
    evaluation.to_dataset().to_netcdf(path, engine="h5netcdf")
    with xr.open_dataset(path, engine="h5netcdf") as stored:
        again = Evaluation.from_dataset(stored)
    assert again.digest == evaluation.digest
    pd.testing.assert_frame_equal(again.riskiest, evaluation.riskiest)
    pd.testing.assert_frame_equal(again.dropped, evaluation.dropped)


def test_a_data_set_without_an_evaluation_is_refused() -> None:
    with pytest.raises(InvalidData, match=r"made by Evaluation.to_dataset"):
        Evaluation.from_dataset(xr.Dataset())


# Counts, where there is no table.


def test_counts_are_those_of_the_same_table() -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "behaviour": rng.choice(["a", "b"], 200),
            "family": rng.choice(["x", "y", "z"], 200),
            "query_id": [f"q{number}" for number in range(200)],
            "trials": rng.integers(1, 20, 200),
        }
    )
    table["successes"] = rng.binomial(table["trials"], 0.3)
    made = Evaluation.from_counts(
        table["successes"],
        table["trials"],
        behaviour=table["behaviour"].tolist(),
        family=table["family"].tolist(),
        query_id=table["query_id"].tolist(),
    )
    assert made.digest == summarise(table).digest


@pytest.mark.parametrize(
    ("successes", "trials", "message"),
    [
        ([3], [2], "query 0 .* has 3 successes of 2 trials"),
        ([0, 1], [1, 0], "query 1 .* has 1 successes of 0 trials"),
        ([0.5], [1], "has 0.5 successes"),
        ([-1], [1], "has -1 successes"),
        ([1, 2], [3], "arrays of equal length"),
        ([], [], "at least one"),
        ([float("nan")], [1], "has nan successes"),
        ([1], [math.inf], "of inf trials"),
        ([1], [1e19], "1 <= trials <= 9,007,199,254,740,992"),
        (["1", "x"], [1, 1], "successes are not all numbers"),
    ],
)
def test_impossible_counts_are_refused(
    successes: list[Any], trials: list[float], message: str
) -> None:
    with pytest.raises(InvalidData, match=message):
        Evaluation.from_counts(successes, trials)
