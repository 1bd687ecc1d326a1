"""The sample data: what its README says of it."""

import time

import numpy as np
import pandas as pd
import pytest

from bayes_rare.errors import InvalidInput
from bayes_rare.readers.tables.read_table import read_table
from bayes_rare.readers.tables.sample import (
    SAMPLE,
    sample_evaluation,
    sample_split,
    sample_table,
)


def test_it_is_what_its_readme_says() -> None:
    table = sample_table()
    assert SAMPLE.stat().st_size < 1_000_000
    assert len(table) == 150_000
    assert table["behaviour"].nunique() == 6
    assert (table.groupby(["behaviour", "family"]).size() == 500).all()
    assert table["family"].nunique() == 50
    assert (table["log_risk"] < 0).all()
    assert not table.duplicated(["behaviour", "query_id"]).any()


def test_a_text_is_its_template_with_a_word() -> None:
    table = sample_table().drop_duplicates("query_id")
    pieces = table["family"].str.split("…")
    for text, (start, end) in zip(table["query_text"], pieces, strict=True):
        assert text.startswith(start)
        assert text.endswith(end)


def test_behaviours_run_from_frequent_to_very_rare() -> None:
    median = sample_table().groupby("behaviour")["log_risk"].median()
    assert median.max() > -6
    assert median.min() < -17


def test_the_file_is_a_table_like_any_other() -> None:
    assert read_table(SAMPLE).digest == sample_evaluation().digest


def test_a_part_is_of_the_same_queries_under_each_behaviour() -> None:
    part = sample_evaluation(60)
    assert set(part.sizes.values()) == {60}
    shown = part.riskiest.groupby("behaviour")["query_id"].agg(lambda ids: set(ids))
    assert len({frozenset(ids) for ids in shown}) == 1
    assert part.digest == sample_evaluation(60).digest
    assert part.digest != sample_evaluation(60, seed=1).digest


def test_a_split_loses_and_repeats_nothing() -> None:
    seen, unseen = sample_split(300, seed=5)
    whole = sample_table()
    for behaviour, table in whole.groupby("behaviour"):
        parts = [part.scores(str(behaviour)) for part in (seen, unseen)]
        assert [part.size for part in parts] == [300, 24_700]
        total = sum(float(part.score @ part.count) for part in parts)
        score = -np.log(-table["log_risk"].to_numpy(np.float64))
        assert total == pytest.approx(score.sum(), rel=1e-9)
        worst = max(part.score[0] for part in parts)
        assert worst == pytest.approx(score.max(), rel=1e-15)


def test_the_table_is_a_copy() -> None:
    table = sample_table()
    table["log_risk"] = 0.0
    assert (sample_table()["log_risk"] < 0).all()


@pytest.mark.parametrize("queries", [0, 25_001])
def test_more_than_there_is_is_refused(queries: int) -> None:
    with pytest.raises(InvalidInput, match="from 1 to 25000"):
        sample_evaluation(queries)


def test_a_split_with_nothing_held_out_is_refused() -> None:
    with pytest.raises(InvalidInput, match="queries=24999 or fewer"):
        sample_split(25_000)


def test_loading_is_quick() -> None:
    pd.read_parquet(SAMPLE)
    start = time.perf_counter()
    pd.read_parquet(SAMPLE)
    assert time.perf_counter() - start < 0.3
