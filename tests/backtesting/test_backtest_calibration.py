"""Backtests of the true model on data simulated from it: honest, and seen to be.

The simulation is that of ``benchmarks/calibration.py``: a population of its own for
each split, drawn from the model's prior; and a method too sure of itself, the control.
"""

from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

SPLITS = 2_000


@pytest.fixture(scope="module")
def verdict(root: Path) -> Any:
    """Coverage and p-values by method and target."""
    scope = run_path(str(root / "benchmarks" / "calibration.py"))
    table = scope["calibration"]("gumbel_tail", SPLITS)
    fits = table[table["method"] == "gumbel_tail"]
    assert (fits["status"] == "forecast").mean() > 0.99
    return scope["verdict"](table).set_index("method")


def test_the_true_model_covers_as_often_as_it_says(verdict: Any) -> None:
    found = verdict.loc["gumbel_tail"]
    assert len(found) == 4  # the worst, two thresholds, the aggregate
    assert (found["splits"] > 0.99 * SPLITS).all()
    assert (found["p_of_90"] > 1e-6).all(), found
    assert (found["p_uniform"] > 1e-6).all(), found


def test_a_method_too_sure_of_itself_fails_the_same_check(verdict: Any) -> None:
    found = verdict.loc["overconfident"]
    assert (found["p_of_90"] < 1e-6).all(), found
    assert (found["p_uniform"] < 1e-6).all(), found
