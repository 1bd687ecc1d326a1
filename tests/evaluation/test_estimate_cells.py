"""Estimated risks and weights: what a summary keeps, refuses, and how it travels."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from bayes_rare.errors import InvalidData, InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation
from bayes_rare.evaluation.score_cells import BIN_WIDTH, EXACT_LIMIT
from bayes_rare.methods import observed_shares


def estimates(
    rng: np.random.Generator, size: int, **labels: Any
) -> tuple[np.ndarray, np.ndarray, Evaluation]:
    log_risk = -rng.gamma(3, 2, size) - 1e-3
    log_risk[:5] = 0.0
    error = np.exp(rng.normal(-1, 1, size))
    return log_risk, error, Evaluation.from_estimates(log_risk, error, **labels)


def of_all_kinds() -> Evaluation:
    family = ["x", "y", "x"]
    identity = ["1", "2", "3"]
    return Evaluation.joined(
        [
            Evaluation.from_estimates(
                [-3.0, -1.0, -2.0],
                [0.5, 0.25, 1.0],
                behaviour="estimated",
                family=family,
                query_id=identity,
                weight=[1, 2, 1],
            ),
            Evaluation.from_scores([1.0, 2.0, -np.inf], behaviour="exact"),
            Evaluation.from_counts(
                [0, 3, 0], [9, 9, 9], behaviour="counted", family=["y", "z", "y"]
            ),
            Evaluation.from_counts(
                [0, 3, 0], [9, 9, 9], behaviour="weighted", weight=[1.0, 2.0, 4.0]
            ),
        ]
    )


def test_one_evaluation_may_hold_all_kinds() -> None:
    whole = of_all_kinds()
    kinds = {name: whole.kind(name) for name in whole.behaviours}
    assert kinds == {
        "counted": "counts",
        "estimated": "estimates",
        "exact": "exact",
        "weighted": "counts",
    }
    assert whole.sizes == dict.fromkeys(kinds, 3)
    assert whole.weighted == ("estimated", "weighted")
    assert whole.effective_sizes == pytest.approx(
        {"counted": 3, "estimated": 16 / 6, "exact": 3, "weighted": 49 / 21}
    )
    assert "12 queries in 4 families, kept as 10 cells" in repr(whole)
    summary = whole.summary().set_index("behaviour")
    assert summary["riskiest"].to_dict() == pytest.approx(
        {
            "counted": 1 / 3,
            "estimated": np.exp(-1),
            "exact": np.exp(-np.exp(-2)),
            "weighted": 1 / 3,
        }
    )
    assert summary.loc["estimated", "lowest_score"] == pytest.approx(-np.log(3))
    assert summary["effective_queries"].to_dict() == whole.effective_sizes


def test_the_riskiest_have_the_columns_of_their_kind() -> None:
    whole = of_all_kinds()
    shown = dict(iter(whole.riskiest.groupby("behaviour")))
    assert shown["estimated"]["query_id"].tolist() == ["2", "3", "1"]
    assert shown["estimated"]["log_risk_se"].tolist() == [0.25, 1.0, 0.5]
    assert shown["exact"]["log_risk_se"].isna().all()
    assert shown["counted"]["successes"].tolist() == [3, 0, 0]
    outcomes = {
        name: set(whole.select([name]).riskiest.columns)
        & {"score", "log_risk", "log_risk_se", "successes", "trials"}
        for name in whole.behaviours
    }
    assert outcomes == {
        "counted": {"successes", "trials"},
        "estimated": {"score", "log_risk", "log_risk_se"},
        "exact": {"score", "log_risk"},
        "weighted": {"successes", "trials"},
    }


def test_joining_is_the_inverse_of_selecting() -> None:
    whole = of_all_kinds()
    parts = [whole.select([name]) for name in reversed(whole.behaviours)]
    assert Evaluation.joined(parts).digest == whole.digest
    assert Evaluation.joined([whole]).digest == whole.digest


def test_it_travels_in_a_netcdf_file(tmp_path: Path) -> None:
    whole = of_all_kinds()
    whole.to_dataset().to_netcdf(tmp_path / "evaluation.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "evaluation.nc", engine="h5netcdf") as stored:
        again = Evaluation.from_dataset(stored)
    assert again.digest == whole.digest
    pd.testing.assert_frame_equal(again.riskiest, whole.riskiest)
    pd.testing.assert_frame_equal(again.estimates, whole.estimates)


def test_what_cannot_be_joined_is_refused() -> None:
    one = Evaluation.from_scores([1.0], behaviour="a")
    with pytest.raises(InvalidInput, match=r"such as 'a \(counts\)'"):
        Evaluation.joined([one, Evaluation.from_counts([1], [2], behaviour="a")])
    other = Evaluation.from_scores([1.0], behaviour="b", resolution=(1e-9, 1e-9))
    with pytest.raises(InvalidInput, match="same resolution="):
        Evaluation.joined([one, other])
    with pytest.raises(InvalidInput, match="Give at least one"):
        Evaluation.joined([])


def test_estimates_have_no_scores() -> None:
    whole = of_all_kinds()
    for ask in (whole.scores, whole.worst):
        with pytest.raises(NotApplicable, match=r"evaluation\.estimates"):
            ask("estimated")


# Estimates.


def test_few_estimates_are_kept_as_they_are(rng: np.random.Generator) -> None:
    log_risk, error, evaluation = estimates(rng, EXACT_LIMIT)
    kept = evaluation.estimates
    order = np.lexsort((error, -log_risk))
    np.testing.assert_array_equal(kept["log_risk"], log_risk[order])
    np.testing.assert_array_equal(kept["log_risk_se"], error[order])
    assert (kept["count"] == 1).all()


def test_equal_estimates_are_kept_once() -> None:
    kept = Evaluation.from_estimates([-1, -1, -1], [0.5, 0.5, 0.25]).estimates
    assert kept["count"].tolist() == [1, 2]
    assert kept["weight"].tolist() == [1, 2]


def test_many_estimates_keep_their_top_and_the_moments_of_their_body(
    rng: np.random.Generator,
) -> None:
    size = 6 * EXACT_LIMIT
    weight = rng.exponential(size=size)
    family = rng.choice(["x", "y"], size)
    log_risk, error, whole = estimates(rng, size, weight=weight, family=family)
    kept = whole.estimates
    assert kept["count"].sum() == size
    assert len(kept) < 5 * EXACT_LIMIT
    alone = kept[kept["log_risk"] > -2.5]
    assert len(alone) == (log_risk > -2.5).sum()
    np.testing.assert_array_equal(alone["log_risk"], -np.sort(-log_risk)[: len(alone)])
    for name in "xy":
        mine, cells = family == name, kept[kept["family"] == name]
        for made, known in (
            (cells["log_risk"], log_risk[mine]),
            (cells["log_risk_se"] ** 2, error[mine] ** 2),
        ):
            total = float((made * cells["count"]).sum())
            np.testing.assert_allclose(total, known.sum(), rtol=1e-8)
        scaled = weight[mine].sum() * weight.sum() / (weight**2).sum()
        np.testing.assert_allclose(cells["weight"].sum(), scaled, rtol=1e-9)
    # A bin is as narrow as it says: its mean is near the estimates it holds.
    deepest = kept["log_risk"].min()
    assert abs(np.log(deepest / log_risk.min())) <= BIN_WIDTH


def test_what_is_kept_does_not_grow_with_the_queries(rng: np.random.Generator) -> None:
    cells = []
    for size in (100_000, 800_000):
        log_risk = np.log(rng.uniform(1e-4, 1e-3, size))
        error = rng.uniform(0.5, 1.0, size)
        evaluation = Evaluation.from_estimates(log_risk, error)
        cells.append(len(evaluation.estimates))
    assert max(cells) < 2 * EXACT_LIMIT


def test_a_crowd_at_a_risk_of_1_is_put_in_bins(rng: np.random.Generator) -> None:
    error = rng.uniform(0.5, 1.0, 2 * EXACT_LIMIT)
    kept = Evaluation.from_estimates(np.zeros(len(error)), error).estimates
    assert len(kept) == 8  # an eighth of an octave each
    assert (kept["log_risk"] == 0).all()


@pytest.mark.parametrize("size", [500, 3 * EXACT_LIMIT])
def test_the_order_of_estimates_does_not_matter(
    size: int, rng: np.random.Generator
) -> None:
    log_risk, error, _ = estimates(rng, size)
    weight, family = rng.exponential(size=size), rng.choice(["x", "y"], size)
    order = rng.permutation(size)
    one, other = (
        Evaluation.from_estimates(
            log_risk[rows], error[rows], weight=weight[rows], family=family[rows]
        )
        for rows in (np.arange(size), order)
    )
    assert one.digest == other.digest


@pytest.mark.parametrize(
    ("log_risk", "error", "message"),
    [
        ([0.5], [1.0], "query 0 .* log_risk of 0.5. Give the natural logarithm"),
        ([-1.0, -np.inf], [1.0, 1.0], "query 1 .* give successes and trials"),
        ([np.nan], [1.0], "log_risk of nan"),
        ([-1.0], [0.0], r"log_risk_se of 0.0. .*Evaluation.from_scores"),
        ([-1.0], [-0.5], "Give a positive standard error"),
        ([-1.0], [np.inf], "log_risk_se of inf"),
        ([-1.0], [np.nan], "log_risk_se of nan"),
        ([-1.0, -2.0], [1.0], "arrays of equal length"),
        ([], [], "at least one"),
    ],
)
def test_impossible_estimates_are_refused(
    log_risk: list[float], error: list[float], message: str
) -> None:
    with pytest.raises(InvalidData, match=message):
        Evaluation.from_estimates(log_risk, error)


# Weights.


def test_weights_add_up_to_the_effective_number_of_queries(
    rng: np.random.Generator,
) -> None:
    size = 2_000
    weight = np.exp(rng.normal(0, 2, size))
    hits = rng.binomial(5, 0.3, size)
    counts = Evaluation.from_counts(hits, np.full(size, 5), weight=weight).counts
    factor = weight.sum() / (weight**2).sum()
    for cell in counts.itertuples():
        expected = weight[hits == cell.successes].sum() * factor
        assert cell.weight == pytest.approx(expected, rel=1e-12)
    assert counts["weight"].sum() == pytest.approx(weight.sum() * factor, rel=1e-12)


@given(
    st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=40),
    st.sampled_from([1e-300, 0.1, 3.0, 1e280]),
    st.randoms(use_true_random=False),
)
def test_only_ratios_of_weights_matter(
    weights: list[float], factor: float, random: Any
) -> None:
    order = list(range(len(weights)))
    random.shuffle(order)
    hits = np.arange(len(weights)) % 3
    weight = np.array(weights)
    one = Evaluation.from_counts(hits, np.full(len(hits), 3), weight=weight)
    other = Evaluation.from_counts(
        hits[order], np.full(len(hits), 3), weight=weight[order] * factor
    )
    np.testing.assert_allclose(
        one.counts["weight"], other.counts["weight"], rtol=1e-9, atol=1e-12
    )
    if factor == 3.0 and one.weighted:
        again = Evaluation.from_counts(
            hits[order], np.full(len(hits), 3), weight=weight[order]
        )
        assert again.digest == one.digest


def test_equal_weights_are_no_weights() -> None:
    plain = Evaluation.from_counts([0, 3, 0], [9, 9, 9])
    equal = Evaluation.from_counts([0, 3, 0], [9, 9, 9], weight=[0.1, 0.1, 0.1])
    assert equal.digest == plain.digest
    assert equal.weighted == ()
    assert equal.counts["weight"].tolist() == [2.0, 1.0]
    assert "effective_queries" not in equal.summary()
    other = Evaluation.from_counts([0, 3, 0], [9, 9, 9], weight=[0.1, 0.1, 0.2])
    assert other.digest != plain.digest


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, 0.0], "weight 1 .* is 0.0; .* sampling probability"),
        ([1.0, -1.0], "not positive number"),
        ([np.nan, 1.0], "weight 0 .* is nan"),
        ([np.inf, 1.0], "weight 0 .* is inf"),
        ([1.0], "Give one per query"),
    ],
)
def test_impossible_weights_are_refused(weight: list[float], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        Evaluation.from_counts([0, 1], [2, 2], weight=weight)
    with pytest.raises(InvalidData, match=message):
        Evaluation.from_estimates([-1, -1], [2, 2], weight=weight)


def test_shares_of_weighted_counts_are_not_taken_for_exact_risks() -> None:
    whole = of_all_kinds()
    with pytest.raises(NotApplicable, match="Use a model for counts"):
        observed_shares(whole)
    plain = observed_shares(whole.select(["counted", "estimated", "exact"]))
    assert [plain.kind(name) for name in plain.behaviours] == [
        "exact",
        "estimates",
        "exact",
    ]
