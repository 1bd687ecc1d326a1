"""The examples run from end to end, at small size and without a warning."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[!_]*.py"))
ELICITS = "elicit_and_forecast"
"""Runs a language model, and needs what the group `engine` installs."""


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize(
    "example",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=pytest.mark.long if path.stem == ELICITS else pytest.mark.slow,
        )
        for path in EXAMPLES
    ],
)
def test_it_runs(example: Path, tmp_path: Path) -> None:
    environment = os.environ | {"BAYES_RARE_EXAMPLE_SIZE": "small"}
    answer = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        cwd=tmp_path,  # where it may leave files
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_can_be_made_small(example: Path) -> None:
    """As the test above asks it to, by a line that a reader of the file can see."""
    source = example.read_text(encoding="utf-8")
    assert 'os.environ.get("BAYES_RARE_EXAMPLE_SIZE") == "small"' in source
    assert source.startswith("# %% [markdown]\n# # ")
