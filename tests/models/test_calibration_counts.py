"""Models of counts: truths drawn from the prior rank evenly among draws."""

import os
from pathlib import Path
from typing import Any

import pytest
from ranking import SIZES, of_kind, simulated_ranks

from bayes_rare import catalog

pytestmark = pytest.mark.long

COUNT_SIZES: dict[str, Any] = {
    **SIZES,
    "chains": 1,
    "draws": 960,
    "queries": 500,
    "levels": (0.5, 0.9, 0.99),
}
"""A fit of counts takes seconds, and its draws are more alike from one to the next.

More queries cost nothing, and they must outweigh the prior: with 60 of them a model
that counts each query three times is not found out.
"""

COUNT_SETS = int(os.environ.get("BAYES_RARE_SIMULATIONS", "100"))
"""Data sets of a model of counts; the environment asks for more."""


@pytest.mark.parametrize("name", sorted({*of_kind("counts")} - {*of_kind("exact")}))
def test_truths_behind_counts_rank_evenly(name: str, seed: int) -> None:
    ranks = simulated_ranks(catalog.load(name), COUNT_SETS, 1, seed, **COUNT_SIZES)
    print(ranks.refused, ranks.unconverged, ranks.p_values())  # shown by -s
    assert not ranks.refused
    assert ranks.unconverged <= 0.05 * COUNT_SETS
    assert not ranks.failures()


def test_that_test_of_counts_can_fail(tmp_path: Path, seed: int) -> None:
    """A model that counts each query five times is too sure of everything."""
    source = (catalog.FOLDER / "binomial_tail.py").read_text(encoding="utf-8")
    right = "known = marginal.known(data)"
    assert source.count(right) == 1
    wrong = tmp_path / "five_times.py"
    wrong.write_text(
        source.replace(right, f'{right}\n        known["tally_count"] *= 5.0', 1),
        encoding="utf-8",
    )
    ranks = simulated_ranks(catalog.load(wrong), 100, 1, seed, **COUNT_SIZES)
    assert any(n.endswith("spread") for n in ranks.failures()), ranks.p_values()
