"""The command line: what it prints and writes, refuses, and answers to the shell."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loading import loaded
from rich.console import Console
from room import little_room

from bayes_rare import catalog, forecasting, inference
from bayes_rare.cli import app, main, tables
from bayes_rare.forecasting import TARGETS, Deployment, forecast
from bayes_rare.reporting import wording
from bayes_rare.scores import log_risk_from_score

QUICK = ["--model", "gumbel_tail", "--warmup", "200", "--draws", "400"]
TINY = ["--model", "gumbel_tail", "--warmup", "20", "--draws", "10"]
# Looks like the markup of the library that prints.
ODD = "[bold]jail[/bold]"
CHECK_KEYS = [
    "behaviour",
    "name",
    "value",
    "limit",
    "alarm",
    "false_alarms",
    "sentence",
]
ROW_KEYS = [
    "behaviour",
    "target",
    "queries",
    "samples_per_query",
    "risk_threshold",
    "mean",
    "median",
    "lower",
    "upper",
    "interval",
]
HEAVY = {"arviz", "jax", "matplotlib", "numpyro", "pymc", "pytensor"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of two behaviours, as CSV."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("evaluation") / "evaluation.csv"
    scores = np.concatenate([rng.gumbel(-3, 0.3, 300), rng.gumbel(-2, 0.2, 300)])
    pd.DataFrame(
        {
            "query_id": np.arange(600),
            "behaviour": ["leak"] * 300 + [ODD] * 300,
            "log_risk": log_risk_from_score(scores),
        }
    ).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def posterior(table: Path) -> Path:
    path = table.with_name("posterior.nc")
    assert main(["fit", str(table), "--output", str(path), *QUICK]) == 0
    return path


@pytest.fixture(scope="module")
def doubtful(table: Path) -> Path:
    """A posterior whose fit did not converge."""
    path = table.with_name("doubtful.nc")
    words = ["fit", str(table), "--output", str(path), *TINY, "--allow-unconverged"]
    assert main(words) == 0
    return path


def run(*words: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    start = ["-m", "bayes_rare"] if code is None else ["-c", code]
    if code is None:
        start = ["-c", "import sys; from bayes_rare.cli import main; sys.exit(main())"]
    return subprocess.run(
        [sys.executable, *start, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def refusal(capsys: pytest.CaptureFixture[str], words: Sequence[str]) -> str:
    """What a refused command says: one paragraph on standard error."""
    assert main(words) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("bayes-rare: ")
    assert captured.err.count("\n") == 1
    return captured.err


def strict(text: str) -> Any:
    """The content of JSON that has no NaN and no infinity."""

    def refuse(token: str) -> None:
        pytest.fail(f"not JSON: {token}")

    return json.loads(text, parse_constant=refuse)


def test_fit_says_what_it_read_what_it_fitted_and_what_it_wrote(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "a" / "new folder" / "posterior.nc"
    words = ["fit", str(table), "--output", str(output), "--model", "gpd_tail"]
    assert main([*words, "--warmup", "3e2", "--draws", "500", "--seed", "7"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert f"Read {table}" in captured.out
    assert re.search(r"leak +300 +0\.\d+", captured.out)
    assert ODD in captured.out
    assert "Model gpd_tail. " in captured.out
    assert re.search(r"leak +0\.\d+ +10", captured.out)
    assert "Converged: R-hat 1.0" in captured.out
    assert f"Wrote {output}\n" in captured.out
    fitted = loaded(output)
    assert fitted.model.name == "gpd_tail"
    assert (fitted.provenance["warmup"], fitted.provenance["seed"]) == (300, 7)
    assert [path.name for path in output.parent.iterdir()] == ["posterior.nc"]


def test_fit_is_the_python_interface(table: Path, posterior: Path) -> None:
    from bayes_rare.inference import fit
    from bayes_rare.readers.tables.read_table import read_table

    same = fit(read_table(table), "gumbel_tail", warmup=200, draws=400)
    stored = loaded(posterior)
    for name, draws in same.draws.items():
        np.testing.assert_array_equal(stored.draws[name], draws)


def test_fit_takes_columns_behaviours_priors_and_a_file_of_the_users(
    table: Path, root: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.py"
    mine.write_bytes((root / "models" / "gumbel_tail.py").read_bytes())
    renamed = tmp_path / "renamed.csv"
    names = {"behaviour": "kind", "log_risk": "log_p"}
    pd.read_csv(table).rename(columns=names).to_csv(renamed, index=False)
    output = tmp_path / "posterior.nc"
    words = ["fit", str(renamed), "--output", str(output), "--model", str(mine)]
    words += ["--columns", "log_risk=log_p,behaviour=kind", "--behaviours", ODD]
    words += ["--prior", "exceedances=2e1", "log_scale_sd=inf", "pool=False"]
    assert main([*words, "--warmup", "200", "--draws", "400"]) == 0
    fitted = loaded(output, model_file=mine)
    assert fitted.behaviours == (ODD,)
    assert fitted.model.path == mine
    assert fitted.settings["exceedances"] == 20
    assert fitted.settings["log_scale_sd"] == float("inf")
    assert fitted.settings["pool"] is False
    assert fitted.data["exceeding"].tolist() == [20]


@pytest.mark.parametrize(
    ("words", "way_out"),
    [
        (["--behaviours", "leek"], f"There are: {ODD}, leak"),
        (["--prior", "sigma=2"], "no prior 'sigma'. It has: exceedances"),
        (["--prior", "log_scale"], "pairs such as shape_sd=0.2"),
        (["--prior", "log_scale=wide"], "a number, inf, true, false or none"),
        (
            ["--prior", "log_scale=none"],
            "log_scale of gumbel_tail is a number, got None",
        ),
        (["--prior", "log_scale=nan"], "a number, inf, true, false or none"),
        (["--columns", "log_p"], "pairs such as log_risk=log_p"),
        (["--columns", "log_risk=log_p"], "log_p"),
        (["--model", "gumble"], "gpd_tail, graded, gumbel_tail"),
        (["--model", "./none.py"], "gpd_tail, graded, gumbel_tail"),
        (["--chains", "1.5"], "--chains must be a whole number"),
        (["--draws", "1"], "draws is a whole number from 4 on"),
        (["--seed", "-1"], "--seed must be a whole number from 0"),
        (["--warmup", "nan"], "--warmup must be a whole number"),
        (["--warmup", "inf"], "--warmup must be a whole number"),
    ],
)
def test_fit_refuses_with_a_way_out(
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    way_out: str,
) -> None:
    output = tmp_path / "posterior.nc"
    model = [] if "--model" in words else ["--model", "gumbel_tail"]
    start = ["fit", str(table), "--output", str(output), *model]
    assert way_out in refusal(capsys, [*start, *words])
    assert not list(tmp_path.iterdir())


def test_what_is_not_there_or_not_what_it_seems_is_refused(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = ["--output", str(tmp_path / "posterior.nc")]
    assert "none.csv" in refusal(capsys, ["fit", "none.csv", *output])
    ask = ["--queries", "10"]
    assert "bayes-rare fit" in refusal(capsys, ["forecast", "none.nc", *ask])
    assert "bayes-rare fit" in refusal(capsys, ["forecast", str(table), *ask])


def test_an_output_that_cannot_be_written_is_refused_before_the_work(
    table: Path,
    posterior: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def work(*_: Any, **__: Any) -> None:
        pytest.fail("this was work")

    monkeypatch.setattr(inference, "fit", work)
    monkeypatch.setattr(forecasting, "forecast", work)
    for bad, way_out in (
        (tmp_path, "name of a file"),
        (table / "a", "is not a folder"),
    ):
        words = ["--output", str(bad)]
        assert way_out in refusal(capsys, ["fit", str(table), *words])
        ask = ["forecast", str(posterior), "--queries", "10", *words]
        assert way_out in refusal(capsys, ask)


def test_a_failed_write_leaves_what_was_there(
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    room, fit = ExitStack(), inference.fit

    def fit_and_fill(*given: Any, **more: Any) -> Any:
        made = fit(*given, **more)
        room.enter_context(little_room(8_192))
        return made

    monkeypatch.setattr(inference, "fit", fit_and_fill)
    output = tmp_path / "posterior.nc"
    output.write_text("earlier")
    words = ["fit", str(table), "--output", str(output), *QUICK]
    with room:
        said = refusal(capsys, words)
    assert f"cannot write {output}: File too large" in said
    assert output.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [output]


def test_an_interruption_is_quiet_and_leaves_nothing(
    table: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(inference, "fit", interrupted)
    words = ["fit", str(table), "--output", str(tmp_path / "posterior.nc")]
    assert main(words) == 130
    assert capsys.readouterr().err == ""
    assert not list(tmp_path.iterdir())


def test_a_fit_that_did_not_converge_is_an_error(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "posterior.nc"
    assert main(["fit", str(table), "--output", str(output), *TINY]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "did not converge" in said
    assert "--warmup 2000" in said
    assert "Nothing was written; --allow-unconverged" in said
    assert not output.exists()


def test_an_unconverged_posterior_is_marked_wherever_it_goes(
    doubtful: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not loaded(doubtful).verdict.converged
    assert main(["forecast", str(doubtful), "--queries", "1e4", "--json"]) == 0
    captured = capsys.readouterr()
    answer = strict(captured.out)
    assert answer["converged"] is False
    assert any("DID NOT CONVERGE" in note for note in answer["notes"])
    assert "warning: the fit of gumbel_tail did not converge" in captured.err
    assert main(["forecast", str(doubtful), "--queries", "1e4"]) == 0
    captured = capsys.readouterr()
    assert "DID NOT CONVERGE" in captured.out
    assert "warning" in captured.err


def test_json_is_one_strict_object_with_the_rows_of_the_summary(
    posterior: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["forecast", str(posterior), "--queries", "1e9", "1e4", "--json"]
    words += ["--risk-thresholds", "0.1", "--samples-per-query", "1e1"]
    assert main([*words, "--interval", "0.5", "--seed", "3"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    answer = strict(captured.out)
    assert list(answer) == ["rows", "converged", "model", "notes", "tail_checks"]
    assert (answer["converged"], answer["model"]) == (True, "gumbel_tail")
    checks = answer["tail_checks"]
    assert all(list(row) == CHECK_KEYS for row in checks)
    assert {row["behaviour"] for row in checks} == {ODD, "leak"}
    assert {row["alarm"] for row in checks if row["name"] == "extrapolation"} == {True}
    assert any("cannot exclude" in note for note in answer["notes"])
    rows = answer["rows"]
    assert all(list(row) == ROW_KEYS for row in rows)
    assert {row["target"] for row in rows} == set(TARGETS)
    assert {row["behaviour"] for row in rows} == {ODD, "leak"}
    assert {row["queries"] for row in rows} == {10**4, 10**9, None}
    assert all(isinstance(row["queries"], int | None) for row in rows)
    assert {row["samples_per_query"] for row in rows} == {10}
    assert {row["risk_threshold"] for row in rows} == {0.1, None}
    assert {row["interval"] for row in rows} == {0.5}
    summary = forecast(
        loaded(posterior),
        Deployment([1e4, 1e9], samples_per_query=10),
        risk_thresholds=[0.1],
        seed=3,
    ).summary(0.5)
    assert rows == wording.records(summary)


def test_the_csv_is_the_summary_and_replaces_what_was_there(
    posterior: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "made" / "forecast.csv"
    words = ["forecast", str(posterior), "--output", str(output), "--queries"]
    assert main([*words, "10"]) == 0
    assert main([*words, "1e4", "1e6"]) == 0
    assert f"Wrote {output}" in capsys.readouterr().out
    written = pd.read_csv(output)
    made = forecast(loaded(posterior), Deployment([1e4, 1e6])).summary()
    pd.testing.assert_frame_equal(
        written, made.astype({"queries": float}), check_dtype=False
    )
    assert list(output.parent.iterdir()) == [output]


def test_the_forecast_starts_with_the_worst_query_in_words(
    posterior: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["10", "1e3", "1e4", "1e6", "1e9"]
    assert main(["forecast", str(posterior), "--queries", *sizes]) == 0
    out = capsys.readouterr().out
    made = forecast(loaded(posterior), Deployment([1e9])).summary()
    rows = wording.records(made[made["target"] == "worst_query_risk"])
    row = max(rows, key=lambda row: row["median"])
    assert " ".join(out.split("\n\n")[0].split()) == (
        f"The riskiest of 1e9 queries is forecast to show {row['behaviour']!r} with "
        f"probability {tables.risk(row['median'])} in each response (90 % "
        f"interval {tables.span(row, tables.risk)}), the highest of all behaviours."
    )
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert "What to bear in mind:" in out
    assert "1,000,000 queries" in out


@pytest.mark.parametrize("queries", ["1.5", "0", "-5", "1e13", "nan", "inf"])
def test_numbers_of_queries_that_are_none_are_refused(
    posterior: Path, capsys: pytest.CaptureFixture[str], queries: str
) -> None:
    words = ["forecast", str(posterior), "--queries", "10", queries]
    assert "whole number from 1 to 1e12" in refusal(capsys, words)


@pytest.mark.parametrize(
    "words",
    [
        ["--interval", "1"],
        ["--interval", "nan"],
        ["--risk-thresholds", "0"],
        ["--samples-per-query", "0"],
        ["--samples-per-query", "2.5"],
        ["--seed", "0.5"],
    ],
)
def test_other_numbers_out_of_range_are_refused(
    posterior: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    refusal(capsys, ["forecast", str(posterior), "--queries", "10", *words])


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["fit", "evaluation.csv"],
        ["fit", "--output", "posterior.nc"],
        ["fit", "evaluation.csv", "--output", "posterior.nc", "--speed", "9"],
        ["forecast", "posterior.nc"],
        ["forecast", "posterior.nc", "--queries"],
        ["forecast", "posterior.nc", "--queries", "1e4.5"],
        ["forecast", "posterior.nc", "--queries", "many"],
        ["forecast", "posterior.nc", "--queries", "10", "--interval", "wide"],
    ],
)
def test_what_cannot_be_understood_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"bayes-rare: .+[.?\w'\"]\n", captured.err)


def test_models_are_listed_with_what_they_say(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for name, summary in catalog.summaries().items():
        assert f"{name} {summary}" in said


@pytest.mark.parametrize(
    "command",
    [
        "demo",
        "models",
        "fit",
        "forecast",
        "families",
        "queries",
        "backtest",
        "compare",
        "stack",
        "report",
    ],
)
def test_every_option_is_explained(command: str) -> None:
    for argument in app[command].assemble_argument_collection(parse_docstring=True):
        assert argument.parameter.help, argument.name


@pytest.mark.parametrize("tool", ["inspect", "lm-eval", "garak"])
def test_every_option_of_an_import_is_explained(tool: str) -> None:
    command = app["import"][tool]
    for argument in command.assemble_argument_collection(parse_docstring=True):
        assert argument.parameter.help, argument.name


def test_help_version_and_models_import_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from bayes_rare.cli import main\n"
        "for words in (['--help'], ['fit', '--help'], ['forecast', '--help'],\n"
        "              ['backtest', '--help'], ['compare', '--help'],\n"
        "              ['queries', '--help'],\n"
        "              ['demo', '--help'], ['models'], ['--version'], []):\n"
        "    assert main(words) == 0\n"
        f"print(*sorted({HEAVY!r} & set(sys.modules)), file=sys.stderr)\n"
    )
    answer = run(code=program)
    assert answer.returncode == 0
    assert answer.stderr.split() == []


def test_the_process_ends_with_the_code_and_without_a_traceback(
    table: Path, posterior: Path, tmp_path: Path
) -> None:
    done = run("forecast", str(posterior), "--queries", "1e4", "1e6", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(strict(done.stdout)["rows"]) == 2 * (3 * 2 + 2 * 2 * 2 + 1 + 2 * 2)
    output = str(tmp_path / "posterior.nc")
    refused = run("fit", str(table), "--output", output, "--behaviours", "x")
    assert refused.returncode == 1
    unread = run("forecast", str(posterior), "--queries", "1e4.5")
    assert unread.returncode == 2
    unconverged = run("fit", str(table), "--output", output, *TINY)
    assert unconverged.returncode == 3
    for answer in (refused, unread, unconverged):
        assert answer.stderr
        assert "Traceback" not in answer.stderr
    assert not list(tmp_path.iterdir())


def test_a_reader_who_leaves_is_no_error_to_shout_about() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        answer = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; from bayes_rare.cli import main; sys.exit(main())",
                "models",
            ],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert answer.returncode == 1
    assert answer.stderr == ""


@pytest.mark.parametrize(
    ("is_terminal", "patience", "shown"),
    [(True, 0.0, True), (True, 60.0, False), (False, 0.0, False)],
)
def test_a_bar_shows_where_a_person_waits(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, patience: float, shown: bool
) -> None:
    seen = io.StringIO()
    screen = Console(file=seen, force_terminal=is_terminal, width=80)
    monkeypatch.setattr(tables, "console", lambda **_: screen)
    monkeypatch.setattr(tables, "_PATIENCE_SECONDS", patience)
    with tables.progress_bar("Sampling") as progress:
        progress(1, 4)
        if shown:
            while "Sampling" not in seen.getvalue():
                progress(2, 4)
    assert ("Sampling" in seen.getvalue()) is shown
