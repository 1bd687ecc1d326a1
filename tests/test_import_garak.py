"""Reports of garak: which rows are trials, and what is known of the others."""

import json
from pathlib import Path
from typing import Any

import pytest

import bayes_rare as br
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.readers.imported import ImportedTable

SETUP = {
    "entry_type": "start_run setup",
    "run.eval_threshold": 0.5,
    "plugins.target_type": "test",
    "plugins.target_name": "Blank",
}


def attempt(name: str, scores: Any, status: int = 2, **more: Any) -> dict[str, Any]:
    """An attempt as garak writes it, by one detector unless told otherwise."""
    results = scores if isinstance(scores, dict) else {"d.D": scores}
    return {
        "entry_type": "attempt",
        "uuid": name,
        "seq": 0,
        "status": status,
        "probe_classname": "p.P",
        "goal": "make it leak",
        "prompt": {"turns": [{"role": "user", "content": {"text": f"ask {name}"}}]},
        "outputs": [{"text": "answer"}] * 3,
        "detector_results": results if status == 2 else {},
    } | more


def report(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.report.jsonl"


def counts(made: ImportedTable) -> dict[str, tuple[int, int]]:
    rows = made.rows.to_pylist()
    return {row["query_id"]: (row["successes"], row["trials"]) for row in rows}


def test_only_scored_attempts_count_and_null_is_no_trial(path: Path) -> None:
    report(
        path,
        SETUP,
        attempt("a", None, status=1),
        attempt("b", None, status=1),
        attempt("a", [1.0, 0.0, 0.5]),
        attempt("b", [0.0, None, float("nan")]),
        {"entry_type": "eval", "probe": "p.P", "detector": "d.D", "passed": 2},
    )
    made = br.import_garak(path, max_dropped=0.4)
    assert counts(made) == {"a": (2, 3), "b": (0, 1)}
    (tally,) = made.dropped.tallies
    assert (tally.behaviour, tally.read, tally.kept) == ("d.D", 6, 4)
    assert dict(tally.left_out) == {"unscored": 2}
    assert made.dropped.rule == "score of d.D >= 0.5"
    assert made.evaluation().families == ("p.P",)
    assert made.rows["query_text"].to_pylist() == ["ask a", "ask b"]
    with pytest.raises(InvalidData, match=r"2 are lost \(33\.3 %.*--max-dropped 0\.34"):
        br.import_garak(path)


def test_attempts_that_were_never_scored_are_lost(path: Path) -> None:
    report(
        path,
        SETUP,
        attempt("a", None, status=1),
        attempt("b", None, status=1),
        attempt("a", [0.0, 1.0]),
    )
    made = br.import_garak(path, max_dropped=0.9)
    (tally,) = made.dropped.tallies
    assert (tally.kept, tally.out("unfinished"), tally.empty) == (2, 3, 1)
    assert any("not known to be safe" in said for said in made.dropped.warnings)


def test_an_attempt_that_is_scored_again_counts_once(path: Path) -> None:
    report(path, SETUP, attempt("a", [1.0, 1.0]), attempt("a", [0.0, 1.0]))
    made = br.import_garak(path)
    assert counts(made) == {"a": (1, 2)}
    assert made.dropped.tallies[0].out("duplicated") == 2


def test_the_threshold_is_that_of_the_run_or_stated(path: Path) -> None:
    rows = [attempt("a", [0.2, 0.4, 0.9])]
    report(path, SETUP | {"run.eval_threshold": 0.3}, *rows)
    assert counts(br.import_garak(path)) == {"a": (2, 3)}
    assert counts(br.import_garak(path, threshold=0.9)) == {"a": (1, 3)}
    report(path, *rows)
    with pytest.raises(InvalidInput, match=r"line 1: .*--threshold 0\.5"):
        br.import_garak(path)
    with pytest.raises(InvalidInput, match="a score from 0 to 1, got 2"):
        br.import_garak(path, threshold=2)


def test_a_detector_is_named_where_there_are_several(path: Path) -> None:
    report(
        path,
        SETUP,
        attempt("a", {"d.D": [1.0, 0.0], "e.E": [0.0, 0.0]}),
        attempt("b", {"f.F": [1.0]}, probe_classname="q.Q"),
    )
    with pytest.raises(InvalidInput, match=r"line 2 .*'d\.D', 'e\.E'.*--detector d\.D"):
        br.import_garak(path)
    with pytest.raises(InvalidInput, match=r"the detector 'd\.F'.*There are: d\.D, e"):
        br.import_garak(path, detectors=["d.F"])
    made = br.import_garak(path, detectors=["d.D"])
    assert counts(made) == {"a": (1, 2)}
    assert sum(t.out("other detector") for t in made.dropped.tallies) == 1
    both = br.import_garak(path, detectors=["d.D", "e.E"]).evaluation()
    assert both.behaviours == ("d.D", "e.E")
    by_probe = br.import_garak(path, detectors=["d.D"], behaviour="probe", family=None)
    assert by_probe.evaluation().behaviours == ("p.P",)


def test_attempts_without_a_name_are_told_apart_by_prompt(path: Path) -> None:
    bare: dict[str, Any] = {"uuid": None, "seq": None}
    report(
        path,
        SETUP,
        attempt("a", None, status=1, **bare),
        attempt("a", [1.0], **bare),
        attempt("a", None, status=1, **bare),
        attempt("a", [0.0], **bare),
        attempt("b", [0.0], uuid=None),
        attempt("c", None, status=1, **bare),
        attempt("d", [1.0], prompt="plain text", **bare),
    )
    made = br.import_garak(path, max_dropped=0.5)
    assert counts(made) == {
        "p.P/ask a": (1, 2),
        "p.P/0": (0, 1),
        "p.P/plain text": (1, 1),
    }
    assert made.dropped.tallies[0].out("unfinished") == 3


def test_reports_of_several_models_are_several_behaviours(tmp_path: Path) -> None:
    first = report(tmp_path / "a.report.jsonl", SETUP, attempt("a", [1.0]))
    other = SETUP | {"plugins.target_name": "Repeat"}
    second = report(tmp_path / "b.report.jsonl", other, attempt("b", [0.0]))
    made = br.import_garak([first, second])
    assert made.evaluation().behaviours == ("d.D (test Blank)", "d.D (test Repeat)")
    assert br.import_garak(tmp_path, behaviour="model").evaluation().behaviours == (
        "test Blank",
        "test Repeat",
    )


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1], "line 2 is no object"),
        (attempt("a", ["high"]), "line 2 has the score 'high'"),
        (attempt("a", 0.5), r"line 2 has '0\.5' for the scores"),
    ],
)
def test_what_is_no_report_is_refused_with_its_line(
    row: Any, said: str, path: Path
) -> None:
    report(path, SETUP, row)
    with pytest.raises(InvalidData, match=said):
        br.import_garak(path)


def test_fields_are_named(path: Path) -> None:
    report(path, SETUP, attempt("a", [1.0]))
    made = br.import_garak(path, behaviour="goal", family="detector")
    assert made.evaluation().behaviours == ("make it leak",)
    with pytest.raises(InvalidInput, match=r"'prob' is nothing .*did you mean 'probe'"):
        br.import_garak(path, family="prob")


def test_reports_of_garak_itself_are_read(root: Path) -> None:
    shared = root.parent / "shared" / "logs"
    if not shared.is_dir():
        pytest.skip("needs logs that are not shipped")
    made = br.import_garak(shared / "garak_test.report.jsonl", threshold=0.5)
    assert list(counts(made).values()) == [(0, 1)] * 8
    assert made.dropped.tallies[0].read == 8
    made = br.import_garak(shared / "garak_qual_review_mixed.report.jsonl", threshold=1)
    assert sorted(counts(made).values()) == [(0, 1), (1, 1), (1, 1)]
    made = br.import_garak(shared / "garak_quack.report.jsonl", threshold=0.5)
    assert made.rows["query_text"].to_pylist()[0].startswith("What are the benefits")
