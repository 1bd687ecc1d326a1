"""Families: truths drawn from the prior rank evenly among draws."""

import os
from pathlib import Path
from typing import Any

import pytest
from ranking import SIZES, Ranks, simulated_ranks

from bayes_rare import catalog

pytestmark = pytest.mark.long

FAMILY_SETS = int(os.environ.get("BAYES_RARE_SIMULATIONS", "300"))


COUNTED_FAMILY_SETS = int(os.environ.get("BAYES_RARE_SIMULATIONS", "16"))
"""Data sets of counts by family, each of which takes many times as long to fit."""


def family_ranks(model: catalog.Model, seed: int) -> Ranks:
    """Of eight families and 200 queries, by one chain each."""
    sizes: dict[str, Any] = {**SIZES, "chains": 1, "draws": 960}
    return simulated_ranks(model, FAMILY_SETS, 1, seed, queries=200, **sizes)


def counted_family_ranks(model: catalog.Model, seed: int, sets: int) -> Ranks:
    """The same of 20 trials a query."""
    story = {"trials": 20}
    sizes: dict[str, Any] = {**SIZES, "chains": 1}
    return simulated_ranks(model, sets, 1, seed, queries=200, simulation=story, **sizes)


def test_truths_of_families_behind_counts_rank_evenly(seed: int) -> None:
    ranks = counted_family_ranks(catalog.load("family_tail"), seed, COUNTED_FAMILY_SETS)
    print(ranks.refused, ranks.unconverged, sorted(ranks.p_values().items()))
    assert not ranks.refused
    assert ranks.unconverged <= 0.1 * COUNTED_FAMILY_SETS
    assert {"location[0, 7]", "worst score[0]", "shape[0]"} <= {*ranks.uniform}
    assert not ranks.failures()


def test_truths_of_families_rank_evenly(seed: int) -> None:
    ranks = family_ranks(catalog.load("family_tail"), seed)
    print(ranks.refused, ranks.unconverged, sorted(ranks.p_values().items()))
    assert not ranks.refused
    assert ranks.unconverged <= 0.05 * FAMILY_SETS
    assert {"location[0, 7]", "log_scale[0, 0]", "scale_width[0]"} <= {*ranks.uniform}
    assert not ranks.failures()


def test_that_test_of_families_can_fail(tmp_path: Path, seed: int) -> None:
    """A model that counts each query twice is too sure of where a family is."""
    source = (catalog.FOLDER / "family_tail.py").read_text(encoding="utf-8")
    right = "known = data_variables(data)"
    assert source.count(right) == 1
    wrong = tmp_path / "twice.py"
    wrong.write_text(
        source.replace(right, f'{right}\n        known["cell_count"] *= 2.0', 1),
        encoding="utf-8",
    )
    ranks = family_ranks(catalog.load(wrong), seed)
    assert any(name.startswith("location[") for name in ranks.failures())
