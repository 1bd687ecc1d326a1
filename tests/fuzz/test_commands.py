"""Command lines put together at random: done, or refused in one short paragraph.

What is slow begins in no example; that its arguments are in order is what is tried.
"""

import shutil
import string
from pathlib import Path
from typing import Any

import cheap
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from fuzzing import LONGEST_REFUSAL, fuzz
from hypothesis import given
from hypothesis import strategies as st

import bayes_rare as br
from bayes_rare import cli
from bayes_rare.backtesting import run
from bayes_rare.cli import demonstration
from bayes_rare.inference import batches
from bayes_rare.inference.stack import StackMember
from bayes_rare.reporting import outlook


class _Begun(Exception):
    """The words are in order, and what is slow would begin."""


def _begin(*_: Any, **__: Any) -> None:
    raise _Begun


@pytest.fixture(autouse=True)
def _nothing_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches.programs, "density_and_data", _begin)
    monkeypatch.setattr(run, "_run", _begin)
    monkeypatch.setattr(demonstration, "run", _begin)
    monkeypatch.setattr(outlook, "outlook", _begin)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of files that are in order, and of some that are not."""
    folder = tmp_path_factory.mktemp("files")
    cheap.table().to_csv(folder / "evaluation.csv", index=False)
    cheap.posterior().save(folder / "posterior.nc")
    cheap.averaged().save(folder / "average.nc")
    cheap.backtest().save(folder / "backtest.parquet")
    member = StackMember("a", "gpd_tail", cheap.MODEL.digest)
    br.Stack((member,), {300: {"a": 1.0}}, {}, {}).save(folder / "stack.json")
    pd.DataFrame({"family": ["x", "y"], "weight": [1, 3]}).to_csv(
        folder / "weights.csv", index=False
    )
    (folder / "empty.csv").write_bytes(b"")
    (folder / "words.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    (folder / "noise.nc").write_bytes(bytes(range(256)))
    (folder / "cut.nc").write_bytes((folder / "posterior.nc").read_bytes()[:5000])
    (folder / "mine.py").write_text("import nothing_like_this\n", encoding="utf-8")
    (folder / "an odd [name] é.csv").write_bytes(
        (folder / "evaluation.csv").read_bytes()
    )
    (folder / "log.jsonl").write_text('{"a": 1}\n', encoding="utf-8")
    (folder / "folder").mkdir()
    return folder


NAMES = [
    "evaluation.csv",
    "posterior.nc",
    "average.nc",
    "backtest.parquet",
    "stack.json",
    "weights.csv",
    "empty.csv",
    "words.csv",
    "noise.nc",
    "cut.nc",
    "mine.py",
    "an odd [name] é.csv",
    "log.jsonl",
    "folder",
    "nowhere.csv",
    "posterio.nc",
    "*.csv",
    ".",
    "/dev/null",
    "folder/new/made.csv",
    "made.csv",
    "made.png",
    "made.nc",
    "made.parquet",
    "n" * 300,
    "nul\0",
    "\udcff.csv",
    "evaluation.csv/made.csv",
]
VALUES = [
    "",
    " ",
    "-",
    "--",
    "0",
    "1",
    "-1",
    "7",
    "0.5",
    "1e4",
    "1e12",
    "1e13",
    "1e400",
    "9" * 400,
    "9" * 5000,
    "9223372036854775808",
    "nan",
    "inf",
    "-inf",
    "true",
    "none",
    "a",
    "b",
    "x",
    "gpd_tail",
    "gpd_tial",
    "average",
    "gumbel_ols",
    "gumbel_ols:points=3",
    "gpd_tail:shape_sd=x",
    "./mine.py:forecast",
    "shape_sd=0.2",
    "shape_sd=",
    "=",
    "tune=500",
    "log_risk=log_p",
    "log_risk=log_risk,",
    "é\n\tb",
    "[b]odd[/b]",
    "\ud800",
    "w" * 3000,
    "family",
]
FIRST: dict[str, list[str]] = {
    "demo": [],
    "models": [],
    "fit": ["evaluation.csv", "--output", "made.nc"],
    "forecast": ["posterior.nc", "--queries", "1e4"],
    "families": ["posterior.nc", "--queries", "1e4"],
    "queries": ["posterior.nc"],
    "backtest": [
        *("evaluation.csv", "--methods", "gumbel_ols", "--evaluation-sizes", "50"),
        *("--deployment-sizes", "100", "--output", "made.parquet"),
    ],
    "compare": ["backtest.parquet", "--resamples", "20"],
    "stack": ["backtest.parquet", "--output", "made.json"],
    "report": ["posterior.nc", "--output", "made.html"],
    "import inspect": ["log.jsonl", "--output", "made.parquet"],
    "import lm-eval": ["log.jsonl", "--output", "made.parquet"],
    "import garak": ["log.jsonl", "--output", "made.parquet"],
}


def assembled(first: str, *second: str) -> Any:
    """The arguments of a command."""
    command = cli.app[first]
    for name in second:
        command = command[name]
    return command.assemble_argument_collection(parse_docstring=True)


def _options() -> list[str]:
    """Every option of every command, and some that are none."""
    found = {
        name
        for command in FIRST
        for argument in assembled(*command.split())
        for name in argument.names
        if name.startswith("--")
    }
    none = ["--bogus", "--querys", "-q", "--json", "--version", "--help", "--no-json"]
    return [*sorted(found), *none, "--seed=x", f"--{'w' * 2000}"]


OPTIONS = _options()

words = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(VALUES),
    st.sampled_from(OPTIONS),
    st.text(string.printable, max_size=6),
)


@st.composite
def lines(draw: st.DrawFn) -> list[str]:
    """A command that is in order, with one to three changes."""
    command = draw(st.sampled_from(sorted(FIRST)))
    line = [*FIRST[command]]
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(line)))
        match draw(st.integers(0, 5)):
            case 0 if line:
                line[place % len(line)] = draw(words)
            case 1 if line:
                del line[place % len(line)]
            case 2:
                line.insert(place, draw(words))
            case 3 if line:
                line.append(line[place % len(line)])
            case _:
                line += [draw(st.sampled_from(OPTIONS)), draw(words)]
    if draw(st.integers(0, 19)) == 0:
        return draw(st.lists(words, max_size=3))
    return [*command.split(), *line]


def content(folder: Path) -> dict[str, bytes]:
    """What lies in a folder."""
    return {
        str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes()
        for path in folder.rglob("*")
    }


@fuzz()
@given(line=lines())
def test_a_command_is_done_or_refused_in_a_paragraph(
    line: list[str],
    files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = tmp_path / "here"
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(files, here)
    monkeypatch.chdir(here)
    before = content(here)
    capsys.readouterr()
    try:
        code = cli.main(line)
    except _Begun:
        return
    plt.close("all")
    said = capsys.readouterr()
    assert code in (0, 1, 2, 3)
    if not code:
        assert "Traceback" not in said.err
        return
    assert said.err.startswith("bayes-rare: "), said.err
    assert said.err.count("\n") == 1, said.err
    assert len(said.err.strip()) <= LONGEST_REFUSAL
    assert content(here) == before
