"""The commands that import logs, and the page that shows them."""

import html
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import bayes_rare as br
from bayes_rare.cli import main, tables
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation.import_record import Dropped, Judgement, Tally, merged

type Capture = pytest.CaptureFixture[str]


def log(path: Path, **more: Any) -> Path:
    """A small log of Inspect as JSON: three queries in two epochs, one of them lost."""
    samples: list[dict[str, Any]] = [
        {
            "id": f"[bold]q{number}",
            "epoch": epoch,
            "input": "ask",
            "scores": {"leaks": {"value": "C" if number + epoch == 1 else "I"}},
        }
        for number in range(3)
        for epoch in (1, 2)
    ]
    samples[-1] |= {"error": {"message": "[red]timed out[/red]"}, "scores": {}}
    spec = {"task": "small", "task_id": "t", "model": "mockllm/model"}
    path.write_text(json.dumps({"eval": spec, "samples": samples} | more))
    return path


def run(capsys: Capture, *words: str | Path) -> tuple[int, str, str]:
    code = main([str(word) for word in words])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_an_import_writes_a_table_and_prints_what_it_left_out(
    tmp_path: Path, capsys: Capture
) -> None:
    source, output = log(tmp_path / "log.json"), tmp_path / "new" / "made.parquet"
    command = ["import", "inspect", source, "--behaviour-value", "C", "--output"]
    code, out, _ = run(capsys, *command, output, "--max-dropped", "0.2")
    assert code == 0
    assert re.search(r"small\s+6\s+5\s+1\s+0\s+0\s+17 %\s+3", out)
    assert "'I': 4, not the behaviour; 'C': 1, the behaviour" in out
    assert "1 errored: [red]timed out[/red]" in out
    assert pq.read_table(output).num_rows == 3
    record = json.loads((tmp_path / "new" / "made.dropped.json").read_text())
    assert record["sources"] == ["log.json"]
    assert br.read_table(output).record == Dropped.from_json(json.dumps(record))


def test_nothing_is_written_where_it_is_refused(
    tmp_path: Path, capsys: Capture
) -> None:
    source, output = log(tmp_path / "log.json"), tmp_path / "made.parquet"
    before = sorted(tmp_path.iterdir())
    given: list[list[str | Path]] = [
        [source, "--output", output],
        [source, "--output", output, "--behaviour-value", "C"],
        [source, "--output", source, "--behaviour-value", "C"],
        [source, "--output", tmp_path / "made.csv", "--behaviour-value", "C"],
        [tmp_path / "none", "--output", output, "--behaviour-value", "C"],
        [source, "--output", output, "--behaviour-value", "C", "--max-dropped", "5"],
    ]
    for words in given:
        code, out, err = run(capsys, "import", "inspect", *words)
        assert (code, out) == (1, "")
        assert err.startswith("bayes-rare: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        assert sorted(tmp_path.iterdir()) == before
    code, _, _ = run(capsys, "import", "inspect", source)
    assert code == 2


def test_a_disk_that_fills_up_leaves_neither_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = br.import_inspect(
        log(tmp_path / "log.json"), behaviour_values=["C"], max_dropped=0.2
    )
    made.save(tmp_path / "made.parquet")
    old = (tmp_path / "made.parquet").read_bytes()
    before = sorted(tmp_path.iterdir())

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InvalidInput, match="No space left on device"):
        made.save(tmp_path / "made.parquet")
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "made.parquet").read_bytes() == old


def test_lm_eval_and_garak_have_commands_too(tmp_path: Path, capsys: Capture) -> None:
    row = {
        "doc_id": 0,
        "doc": {"kind": "a"},
        "filter": "none",
        "metrics": [],
        "arguments": {"gen_args_0": {"arg_0": "ask", "arg_1": {"temperature": 1}}},
        "resps": [["sure, here", "no", "no"]],
        "filtered_resps": ["no"],
    }
    source = tmp_path / "samples_a_2026-01-01T00-00-00.jsonl"
    source.write_text(json.dumps(row))
    output = tmp_path / "made.parquet"
    words = ["import", "lm-eval", source, "--success", "^sure", "--family", "kind"]
    code, out, err = run(capsys, *words, "--output", output)
    assert code == 0, err
    assert "response matches '^sure'" in out
    assert pq.read_table(output).to_pylist()[0]["successes"] == 1

    attempt = {
        "entry_type": "attempt",
        "status": 2,
        "uuid": "a",
        "prompt": "ask",
        "probe_classname": "p.P",
        "detector_results": {"d.D": [1, 0], "e.E": [0, 0]},
    }
    source = tmp_path / "run.report.jsonl"
    source.write_text(json.dumps(attempt))
    words = ["import", "garak", source, "--threshold", "0.5", "--family", "none"]
    code, out, err = run(capsys, *words, "--detector", "d.D", "e.E", "--output", output)
    assert code == 0, err
    rows = pq.read_table(output).to_pylist()
    assert [(r["behaviour"], r["successes"]) for r in rows] == [("d.D", 1), ("e.E", 0)]
    assert "family" not in rows[0]


def test_help_needs_nothing_heavy() -> None:
    script = (
        "import sys; from bayes_rare.cli import main\n"
        "main(['import', 'inspect', '--help'])\n"
        "print(sorted({'pandas', 'pyarrow', 'duckdb', 'pymc'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert answer.stdout.endswith("[]\n")
    assert "--behaviour-value" in answer.stdout


def test_no_tool_is_needed_to_read_its_logs(tmp_path: Path) -> None:
    source = log(tmp_path / "log.json")
    script = (
        "import sys; sys.modules['inspect_ai'] = sys.modules['zipfile_zstd'] = None\n"
        "import bayes_rare as br\n"
        f"made = br.import_inspect({str(source)!r}, behaviour_values=['C'],\n"
        "    max_dropped=0.2)\n"
        "print(made)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert answer.stdout.startswith("ImportedTable of 3 queries, from 5 of 6 rows read")


# Records of several imports.


def test_records_of_several_files_are_added_up(tmp_path: Path) -> None:
    paths = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    for number, path in enumerate(paths):
        spec = {"task": "small", "task_id": "t", "model": "m"}
        samples = [
            {"id": f"{number} {n}", "epoch": 1, "scores": {"s": {"value": "I"}}}
            for n in range(3)
        ]
        source = log(tmp_path / f"{number}.json", eval=spec, samples=samples)
        br.import_inspect(source, behaviour_values=["C"]).save(path)
    record = br.read_table(paths).record
    assert record is not None
    assert (record.tallies[0].read, record.tallies[0].queries) == (6, 6)
    assert record.sources == ("0.json", "1.json")
    assert br.read_table(paths[:1]).record != record


def test_rows_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(InvalidData, match="20 rows read, 18 kept and 1 left"):
        Tally("a", 20, 18, 0, (("errored", 1),), 5, 0)
    with pytest.raises(InvalidData, match="Import the logs again"):
        Dropped.from_json("{}")
    assert merged([]) is None


def test_the_report_of_a_record_has_all_of_it() -> None:
    tally = Tally("a", 21, 18, 2, (("errored", 1), ("duplicated", 2)), 5, 1)
    record = Dropped(
        "inspect",
        ("a.eval",),
        "score is 'C'",
        (tally,),
        judgements=tuple(Judgement(str(n), n == 0, 1) for n in range(10)),
        warnings=("Mind the gap.",),
    )
    frame = record.frame()
    assert frame.to_dict("records") == [
        {
            "behaviour": "a",
            "read": 21,
            "kept": 18,
            "errored": 1,
            "unscored": 0,
            "duplicated": 2,
            "cut off": 2,
            "share lost": 1 / 19,
            "queries": 5,
        }
    ]
    out = tables.console()
    with out.capture() as captured:
        for part in tables.dropped_report(record):
            out.print(part)
    said = captured.get()
    assert "5.3 %" in said
    assert "'0': 1, the behaviour; '1': 1, not the behaviour" in said
    assert "; ..." in said
    assert "Mind the gap." in said


# The page.


def blocks(root: Path, kind: str) -> list[str]:
    page = (root / "docs" / "howto" / "logs.md").read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == kind]


@pytest.mark.slow
def test_the_page_goes_from_a_real_log_to_a_report(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    task = root / "tests" / "data" / "inspect_task.py"
    subprocess.run(
        [sys.executable, str(task), str(tmp_path / "logs"), "many"],
        check=True,
        env=os.environ | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)},
    )
    monkeypatch.chdir(tmp_path)
    first, shown, *_ = blocks(root, "")
    commands = [line.removeprefix("$ ") for line in first.splitlines()]
    assert len(commands) == 3
    printed = ""
    for command in commands:
        name, *words = shlex.split(command)
        assert name == "bayes-rare"
        code, out, err = run(capsys, *words)
        assert code == 0, err
        printed += out
    # The page shows what is printed; a console may pad it.
    for line in shown.splitlines():
        if not line.startswith("─"):
            assert line.rstrip() in printed, line
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "score 'by_chance' is 'C'" in html.unescape(page)
    for program in blocks(root, "python"):
        exec(compile(program, "logs.md", "exec"), {"__name__": "page"})
    assert "many" in capsys.readouterr().out


def test_other_commands_of_the_page_can_be_understood(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Where there are no such logs, they are refused for that and nothing else."""
    monkeypatch.chdir(tmp_path)
    commands = [
        line.removeprefix("$ ")
        for block in blocks(root, "")
        for line in block.splitlines()
        if line.startswith("$ bayes-rare import")
    ]
    assert len(commands) == 3
    for command in commands:
        code, _, err = run(capsys, *shlex.split(command)[1:])
        assert code == 1
        assert "there is no file" in err
