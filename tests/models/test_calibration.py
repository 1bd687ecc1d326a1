"""Models of exact risks: truths drawn from the prior rank evenly among draws."""

from pathlib import Path

import pytest
from ranking import SIZES, of_kind, simulated_ranks

from bayes_rare import catalog


@pytest.mark.parametrize(
    ("name", "behaviours"),
    [
        pytest.param(
            name,
            behaviours,
            marks=pytest.mark.long if name == "family_tail" else pytest.mark.slow,
        )
        for name in of_kind("exact")
        for behaviours in (1, 3)
        # One behaviour's families need more queries: test_calibration_families.py.
        if (name, behaviours) != ("family_tail", 1)
    ],
)
def test_truths_rank_evenly(name: str, behaviours: int, seed: int) -> None:
    sets = {1: 400, 3: 100}[behaviours]
    ranks = simulated_ranks(catalog.load(name), sets, behaviours, seed, **SIZES)
    kept = sets - ranks.refused
    assert kept > 0.6 * sets, f"{ranks.refused} of {sets} refused"
    # These are short chains; a few that did not mix cannot bend so few ranks.
    assert ranks.unconverged <= 0.05 * kept, f"{ranks.unconverged} of {kept}"
    assert not ranks.failures()


@pytest.mark.slow
def test_that_test_can_fail(tmp_path: Path, seed: int) -> None:
    """A model that counts each exceedance twice is too sure of its scale."""
    source = (catalog.FOLDER / "gumbel_tail.py").read_text(encoding="utf-8")
    right = "known = data_variables(data)"
    assert source.count(right) == 1
    wrong = tmp_path / "twice.py"
    wrong.write_text(
        source.replace(right, f'{right}\n        known["multiplicity"] *= 2.0', 1),
        encoding="utf-8",
    )
    ranks = simulated_ranks(catalog.load(wrong), 400, 1, seed, **SIZES)
    assert "log_scale[0], spread" in ranks.failures(), ranks.p_values()
    assert not any(name.startswith("rate") for name in ranks.failures())
