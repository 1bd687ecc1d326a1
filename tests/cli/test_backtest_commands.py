"""The commands that backtest and compare: what they print, write and refuse."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bayes_rare.backtesting import load_backtest
from bayes_rare.cli import main
from bayes_rare.readers.tables.sample import SAMPLE

ROW_KEYS = [
    "method",
    "target",
    "evaluation_size",
    "deployment_size",
    "forecasts",
    "mean_abs_log10_error",
    "mean_abs_error",
    "within_one_order",
    "underestimated",
    "mean_crps",
    "coverage_50",
    "coverage_80",
    "coverage_90",
    "coverage_95",
    "seconds_per_forecast",
]
PAIR_KEYS = [
    "method",
    "against",
    "target",
    "evaluation_size",
    "deployment_size",
    "crps_difference",
    "lower",
    "upper",
]
TARGETS = ["worst_query_risk", "behaviour_frequency", "aggregate_risk"]


def words(output: Path, *others: str) -> list[str]:
    return [
        "backtest",
        str(SAMPLE),
        *("--methods", "gumbel_ols", "gumbel_ols_pivot"),
        *("--evaluation-sizes", "1e2", "300"),
        *("--deployment-sizes", "2000"),
        *("--repeats", "2"),
        *("--behaviours", "Death", "I destroy"),
        *("--workers", "1"),
        *("--output", str(output)),
        *others,
    ]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("backtest") / "new folder" / "backtest.parquet"
    assert main(words(output)) == 0
    return output


def strict(text: str) -> Any:
    """The content of JSON that has no NaN and no infinity."""

    def refuse(token: str) -> None:
        pytest.fail(f"not JSON: {token}")

    return json.loads(text, parse_constant=refuse)


def refusal(capsys: pytest.CaptureFixture[str], given: Sequence[str]) -> str:
    """What a refused command says: one paragraph on standard error."""
    assert main(given) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    said = [line for line in captured.err.splitlines() if line[:10] == "bayes-rare"]
    assert len(said) == 1
    return said[0]


def test_it_prints_a_table_for_each_cell_and_the_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "backtest.parquet"
    assert main(words(output)) == 0
    printed = capsys.readouterr().out
    for target in TARGETS:
        assert f"{target}, 100 -> 2,000: 4 forecasts per method" in printed
        assert f"{target}, 300 -> 2,000: 4 forecasts per method" in printed
    assert "has the smallest CRPS" in " ".join(printed.split())
    assert f"Wrote {output}" in printed
    assert max(map(len, printed.replace(str(output), "").splitlines())) <= 80
    assert [path.name for path in tmp_path.iterdir()] == ["backtest.parquet"]


def test_compare_prints_what_backtest_printed(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(written)]) == 0
    again = capsys.readouterr().out
    assert main(words(written)) == 0
    first = capsys.readouterr().out

    def timeless(text: str) -> list[str]:
        lines = [line.rstrip() for line in text.splitlines() if "Wrote" not in line]
        # The last column is the time, and its width moves the others.
        plain = [re.sub(r"[0-9.]+ (s|min|h)$", "", line) for line in lines]
        return [" ".join(line.split()).strip("─ ") for line in plain if line]

    assert timeless(again) == timeless(first)


def test_json_is_the_contract_and_nothing_else(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(written), "--json"]) == 0
    content = strict(capsys.readouterr().out)
    assert set(content) == {"rows", "pairs"}
    assert len(content["rows"]) == 2 * 2 * len(TARGETS)
    for row in content["rows"]:
        assert list(row) == ROW_KEYS
        assert row["target"] in TARGETS
        assert row["forecasts"] == 4
        assert (row["coverage_90"] is None) == (row["method"] == "gumbel_ols")
    for pair in content["pairs"]:
        assert list(pair) == PAIR_KEYS
        assert pair["lower"] <= pair["crps_difference"] <= pair["upper"]
    output = tmp_path / "backtest.parquet"
    assert main(words(output, "--json", "--risk-thresholds", "0.01")) == 0
    content = strict(capsys.readouterr().out)
    thresholds = {
        (row["target"], row["risk_threshold"])
        for row in content["rows"] + content["pairs"]
    }
    assert thresholds == {(target, None) for target in TARGETS} | {
        ("behaviour_frequency", 0.01)
    }


def test_pictures_are_written_where_asked(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    assert main(["compare", str(written), "--pictures", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {
        "coverage.png",
        "pit.png",
        "skill.png",
    }
    assert f"Wrote {folder / 'skill.png'}" in capsys.readouterr().out


def test_every_option_reaches_the_backtest(tmp_path: Path) -> None:
    output = tmp_path / "backtest.parquet"
    given = {
        "--hold-out-families": "40",
        "--trials-per-query": "50",
        "--samples-per-query": "3",
        "--unseen-share": "0.8",
        "--unseen-families": "40",
        "--chains": "2",
        "--warmup": "30",
        "--draws": "20",
        "--seed": "5",
    }
    flags = [word for pair in given.items() for word in pair]
    assert main(words(output, *flags, "--ignore-families", "--pool")) == 0
    options = load_backtest(output).origin["options"]
    for flag, value in given.items():
        assert options[flag.removeprefix("--").replace("-", "_")] == float(value)
    assert options["ignore_families"] is options["pool"] is True
    assert options["evaluation_sizes"] == [100, 300]


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (["--repeats", "1.5"], "--repeats must be a whole number"),
        (["--workers", "0"], "workers is a whole number from 1"),
        (["--split", "part"], "no column 'part'"),
        (["--hold-out-families", "50"], "has 50 families"),
        (["--unseen-share", "0.5"], "do not go together"),
        (["--output", str(SAMPLE)], "it is an input"),
    ],
)
def test_what_cannot_be_done_is_refused(
    others: list[str],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = words(tmp_path / "backtest.parquet")
    if others[0] in given:
        place = given.index(others[0])
        given[place : place + 2] = others
    else:
        given += others
    assert message in refusal(capsys, given)
    assert not list(tmp_path.iterdir())


def test_an_unknown_method_is_answered_with_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = words(tmp_path / "backtest.parquet")
    given[given.index("gumbel_ols")] = "gumbel"
    said = refusal(capsys, given)
    assert "no method 'gumbel'. Shipped: gumbel_ols, " in said
    assert "gpd_tail" in said


def test_what_is_no_backtest_cannot_be_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "holds no backtest" in refusal(capsys, ["compare", str(SAMPLE)])
    missing = str(tmp_path / "none.parquet")
    assert "there is no file" in refusal(capsys, ["compare", missing])
