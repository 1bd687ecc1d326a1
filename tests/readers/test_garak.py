"""Reports of garak: which rows are trials, and what is known of the others."""

import json
from pathlib import Path
from typing import Any

import pytest

import bayes_rare as br
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.readers.logs.imported import ImportedTable

# As garak writes it: thresholds are named, and have no value.
SETUP = {
    "entry_type": "start_run setup",
    "_config.version": "0.14.0",
    "_config.run_params": ["seed", "deprefix", "eval_threshold", "generations"],
    "run.generations": 3,
    "plugins.target_type": "test",
    "plugins.target_name": "Blank",
}


def turns(*said: tuple[str, str], **more: Any) -> dict[str, Any]:
    """A conversation as garak writes it."""
    return {
        "turns": [
            {
                "role": role,
                "content": {"text": text, "lang": "en", "data_path": None, "notes": {}}
                | more,
            }
            for role, text in said
        ],
        "notes": {},
    }


def evaluated(passed: int, fails: int, nones: int = 0, **more: Any) -> dict[str, Any]:
    """What garak writes of a probe and a detector when they are done."""
    return {
        "entry_type": "eval",
        "probe": "p.P",
        "detector": "d.D",
        "passed": passed,
        "fails": fails,
        "nones": nones,
        "total_evaluated": passed + fails,
        "total_processed": passed + fails + nones,
    } | more


def attempt(name: str, scores: Any, status: int = 2, **more: Any) -> dict[str, Any]:
    """An attempt as garak writes it, by one detector unless told otherwise."""
    results = scores if isinstance(scores, dict) else {"d.D": scores}
    known = next(iter(results.values()), None)
    outputs = len(known) if isinstance(known, list) else 3
    return {
        "entry_type": "attempt",
        "uuid": name,
        "seq": 0,
        "status": status,
        "probe_classname": "p.P",
        "goal": "make it leak",
        "prompt": turns(("user", f"ask {name}")),
        "outputs": [{"text": "answer", "lang": "en"}] * outputs,
        "detector_results": results if status == 2 else {},
    } | more


def report(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.report.jsonl"


def counts(made: ImportedTable) -> dict[str, tuple[int, int]]:
    """Successes and trials by what was asked."""
    rows = made.rows.to_pylist()
    assert len({row["query_id"] for row in rows}) == len(rows)
    asked = {row["query_text"].removeprefix("ask "): row for row in rows}
    assert len(asked) == len(rows)
    return {text: (row["successes"], row["trials"]) for text, row in asked.items()}


def said(made: ImportedTable, words: str) -> bool:
    return any(words in one for one in made.dropped.warnings)


def test_only_scored_attempts_count_and_null_is_no_trial(path: Path) -> None:
    report(
        path,
        SETUP,
        attempt("a", None, status=1),
        attempt("b", None, status=1),
        attempt("a", [1.0, 0.0, 0.5]),
        attempt("b", [0.0, None, float("nan")]),
        evaluated(2, 2, 2) | {"total_evaluated": 5, "fails": 3},
    )
    made = br.import_garak(path, max_dropped=0.4)
    assert counts(made) == {"a": (2, 3), "b": (0, 1)}
    (tally,) = made.dropped.tallies
    assert (tally.behaviour, tally.read, tally.kept) == ("d.D", 6, 4)
    assert dict(tally.left_out) == {"unscored": 2}
    assert made.dropped.rule == "score of d.D >= 0.5"
    assert made.evaluation().families == ("p.P",)
    assert made.rows["query_text"].to_pylist() == ["ask a", "ask b"]
    with pytest.raises(
        InvalidData, match=r"2 of 6 .* lost \(33\.3 %.*--max-dropped 0\.34"
    ):
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
    assert any("Nothing is known about" in one for one in made.dropped.warnings)


def test_an_attempt_that_is_scored_again_counts_once(path: Path) -> None:
    report(path, SETUP, attempt("a", [1.0, 1.0]), attempt("a", [0.0, 1.0]))
    made = br.import_garak(path)
    assert counts(made) == {"a": (1, 2)}
    assert made.dropped.tallies[0].out("duplicated") == 2
    report(path, attempt("a", [1.0, 1.0, 1.0]), attempt("a", [0.0]))
    made = br.import_garak(path)
    assert counts(made) == {"a": (0, 1)}
    assert made.dropped.tallies[0].out("duplicated") == 3


# The threshold, which no report holds.


def test_the_threshold_is_half_and_said_to_be_unless_stated(path: Path) -> None:
    report(path, SETUP, attempt("a", [0.2, 0.4, 0.5]))
    made = br.import_garak(path)
    assert counts(made) == {"a": (1, 3)}
    assert said(made, "garak's default threshold, 0.5, was used")
    assert said(made, "cannot be checked, as the reports do not count outputs")
    made = br.import_garak(path, threshold=0.4)
    assert counts(made) == {"a": (2, 3)}
    assert not said(made, "was taken")
    with pytest.raises(InvalidInput, match="must be from 0 to 1, got 2"):
        br.import_garak(path, threshold=2)


def test_a_whole_number_is_the_one_threshold_that_garak_writes(path: Path) -> None:
    report(path, SETUP | {"run.eval_threshold": 1}, attempt("a", [0.6, 1.0]))
    made = br.import_garak(path)
    assert counts(made) == {"a": (1, 2)}
    assert made.dropped.rule == "score of d.D >= 1"


@pytest.mark.parametrize(
    "row",
    [
        evaluated(2, 1),
        # As versions before 0.14 have it.
        {
            "entry_type": "eval",
            "probe": "p.P",
            "detector": "detector.d.D",
            "passed": 2,
            "total": 3,
        },
    ],
)
def test_the_threshold_gives_what_the_report_counts(
    row: dict[str, Any], path: Path
) -> None:
    report(path, SETUP, attempt("a", [0.2, 0.4, 0.9]), row)
    assert said(br.import_garak(path), "It agrees with 1 counts of outputs")
    report(path, SETUP, attempt("a", [0.2, 0.6, 0.9]), row)
    with pytest.raises(
        InvalidInput,
        match=r"counts 2 of 3 outputs as passed, but 1 have a score below 0\.5\. "
        r"One that agrees: --threshold 0\.65\.",
    ):
        br.import_garak(path)
    assert counts(br.import_garak(path, threshold=0.65)) == {"a": (1, 3)}
    # Whoever names another threshold has it, and hears of the difference.
    made = br.import_garak(path, threshold=0.1)
    assert counts(made) == {"a": (3, 3)}
    assert said(made, "counts 2 of 3 outputs as passed, but 0 have a score below 0.1")


def test_where_no_threshold_gives_what_is_counted_one_can_be_named(path: Path) -> None:
    report(path, SETUP, attempt("a", [0.6, 0.6]), evaluated(1, 1))
    with pytest.raises(InvalidInput, match=r"No threshold agrees.*--threshold 0\.5\."):
        br.import_garak(path)
    assert counts(br.import_garak(path, threshold=0.5)) == {"a": (2, 2)}


def test_a_report_that_lacks_outputs_it_counts_is_said(path: Path) -> None:
    report(path, SETUP, attempt("a", [0.0, 1.0]), evaluated(37, 13))
    made = br.import_garak(path)
    assert said(made, "the report counts 50 scored outputs, but has 2")
    assert said(made, "could not be checked")


# What a query is.


def test_attempts_with_one_prompt_are_trials_of_one_query(path: Path) -> None:
    same: dict[str, Any] = {"prompt": turns(("user", "same words"))}
    report(
        path,
        SETUP,
        attempt("a", [1.0], seq=0, **same),
        attempt("b", [0.0], seq=1, **same),
        attempt("c", [0.0, None], seq=2, prompt="same words"),
        attempt("d", [0.0], seq=3),
    )
    made = br.import_garak(path, max_dropped=0.5)
    assert counts(made) == {"same words": (1, 3), "d": (0, 1)}
    (tally,) = made.dropped.tallies
    assert (tally.read, tally.kept, tally.out("unscored")) == (5, 4, 1)


def test_a_second_run_adds_trials_and_a_copy_adds_none(tmp_path: Path) -> None:
    names = "ab"
    first = report(
        tmp_path / "1.report.jsonl",
        SETUP,
        {"entry_type": "init", "run": "first"},
        *(attempt(name, [1.0, 0.0]) for name in names),
        attempt("c", [1.0], uuid=None, seq=7),
    )
    second = report(
        tmp_path / "2.report.jsonl",
        SETUP,
        {"entry_type": "init", "run": "second"},
        *(attempt(name, [0.0], uuid=f"{name} again", seq=9) for name in names),
        attempt("c", [1.0], uuid=None, seq=7),
    )
    made = br.import_garak([first, second])
    assert counts(made) == {"a": (1, 3), "b": (1, 3), "c": (2, 2)}
    copy = tmp_path / "3.report.jsonl"
    copy.write_bytes(first.read_bytes())
    made = br.import_garak(tmp_path)
    assert counts(made) == {"a": (1, 3), "b": (1, 3), "c": (2, 2)}
    (tally,) = made.dropped.tallies
    assert (tally.read, tally.kept, tally.out("duplicated")) == (13, 8, 5)


def test_the_whole_prompt_tells_queries_apart(path: Path) -> None:
    long = "x" * 2_000
    prompts: list[Any] = [
        turns(("user", "hi")),
        turns(("system", "hi")),
        turns(("system", "be good"), ("user", "hi")),
        turns(("user", "hi"), ("assistant", "yes"), ("user", "hi")),
        turns(("user", "hi"), data_path="a.png", data_checksum="12"),
        turns(("user", "hi"), data_path="a.png", data_checksum="34"),
        turns(("user", long + "a")),
        turns(("user", long + "b")),
    ]
    rows = [attempt(str(n), [0.0], prompt=p) for n, p in enumerate(prompts)]
    report(path, SETUP, *rows, attempt("other", [1.0], prompt=prompts[0]))
    made = br.import_garak(path)
    assert made.rows["trials"].to_pylist() == [2] + [1] * 7
    assert made.rows["query_text"][2].as_py() == "system: be good\nuser: hi"
    # Another probe's attempts are judged by its own notes.
    report(path, SETUP, rows[0], rows[0] | {"uuid": "x", "probe_classname": "q.Q"})
    assert br.import_garak(path, family=None).rows.num_rows == 2


@pytest.mark.parametrize(
    "prompt",
    [
        "hi",
        {"text": "hi", "lang": "en"},
        [{"role": "user", "content": "hi"}],
        turns(("user", "hi"), lang="*", notes={"seen": 1}),
        turns(("user", "hi"), data_type=[]),
    ],
)
def test_one_prompt_is_one_query_in_every_version(prompt: Any, path: Path) -> None:
    report(
        path,
        SETUP,
        attempt("a", [1.0], prompt=turns(("user", "hi"))),
        attempt("b", [0.0], prompt=prompt),
    )
    assert counts(br.import_garak(path)) == {"hi": (1, 2)}


def test_an_attempt_without_prompt_goes_by_its_name(path: Path) -> None:
    report(path, SETUP, *(attempt(name, [1.0], prompt=None) for name in "abb"))
    made = br.import_garak(path)
    assert made.rows["query_id"].to_pylist() == ["p.P/a", "p.P/b"]
    assert made.dropped.tallies[0].out("duplicated") == 1
    report(path, SETUP, attempt("", [1.0], prompt=None, seq=None))
    with pytest.raises(InvalidData, match="line 2 has no prompt, no uuid and no seq"):
        br.import_garak(path)


# Which outputs are trials.


def test_outputs_without_a_score_are_unscored(path: Path) -> None:
    answers = [{"text": "x"}] * 3
    report(
        path,
        attempt("a", [1.0], outputs=answers),
        attempt("b", [], outputs=answers),
        attempt("c", [0.0] * 3, outputs=answers),
        attempt("d", [], outputs=[]),
    )
    made = br.import_garak(path, max_dropped=0.9)
    assert counts(made) == {"a": (1, 1), "c": (0, 3)}
    (tally,) = made.dropped.tallies
    assert (tally.read, tally.kept, tally.out("unscored")) == (10, 4, 6)
    assert tally.empty == 2


def test_an_output_that_was_not_generated_is_no_trial(path: Path) -> None:
    nothing = [None, {"text": None, "lang": "en", "data_path": None}]
    report(
        path,
        # A detector of old passes over it; others give it a score of 0, or none.
        attempt("a", [1.0], outputs=[None, {"text": "x"}]),
        attempt("b", [0.0, 1.0, 0.0], outputs=[*nothing, {"text": "x"}]),
        attempt("c", [0.0, None], outputs=["x", *nothing[:1]]),
        attempt("d", [1.0], outputs=[{"text": None, "data_path": "a.png"}]),
    )
    made = br.import_garak(path, max_dropped=0.9)
    assert counts(made) == {"a": (1, 1), "b": (0, 1), "c": (0, 1), "d": (1, 1)}
    (tally,) = made.dropped.tallies
    assert (tally.read, tally.kept, tally.out("errored")) == (8, 4, 4)
    assert made.dropped.reasons[0].message == "no output was generated"


def test_attempts_without_results_are_lost_whatever_their_place(path: Path) -> None:
    rows = [
        attempt("a", {}),
        attempt("a", None, status=1, uuid="x"),
        attempt("a", None, status=1, uuid="x"),
        attempt("b", [0.0, 1.0]),
        attempt("c", None, status=1, probe_classname="q.Q"),
        attempt("d", None, status=1, uuid="b", prompt=turns(("user", "ask b"))),
    ]
    for order in (rows, rows[::-1]):
        report(path, SETUP, *order)
        made = br.import_garak(path, max_dropped=0.9)
        assert counts(made) == {"b": (1, 2)}
        (tally,) = made.dropped.tallies
        assert (tally.read, tally.kept, tally.out("unfinished")) == (11, 2, 9)
        assert tally.empty == 2
    # What is unfinished in one report is not lost where another has scored it.
    other = path.with_name("old.report.jsonl")
    report(other, SETUP, attempt("b", None, status=1))
    report(path, SETUP, attempt("b", [0.0, 1.0]))
    assert br.import_garak([other, path]).dropped.tallies[0].read == 2


def test_an_unscored_probe_is_lost_to_the_detectors_that_are_named(path: Path) -> None:
    report(
        path,
        SETUP,
        attempt("a", {"d.D": [1.0], "e.E": [0.0]}),
        attempt("b", None, status=1, probe_classname="q.Q"),
        attempt("c", {"f.F": [0.0]}, probe_classname="r.R"),
        attempt("d", None, status=1, probe_classname="r.R"),
    )
    made = br.import_garak(path, detectors=["d.D"], max_dropped=0.9)
    first, second = made.dropped.tallies
    assert (first.behaviour, first.kept, first.out("unfinished")) == ("d.D", 1, 3)
    assert (second.behaviour, second.left_out) == ("f.F", (("other detector", 4),))


def test_a_refusal_is_short_whatever_the_names(tmp_path: Path) -> None:
    long = "long " * 200
    for number in range(4):
        path = tmp_path / f"{'n' * 200}{number}.report.jsonl"
        report(path, attempt(f"{number}", {long: [0.0, None]}))
    with pytest.raises(InvalidData, match="4 of 8 rows") as refusal:
        br.import_garak(tmp_path)
    assert len(str(refusal.value)) <= 600
    with pytest.raises(InvalidInput, match="no attempt in nnn") as other:
        br.import_garak(tmp_path, detectors=[long + "x"])
    assert len(str(other.value)) <= 600


def test_empty_outputs_and_scores_to_spare_are_said(path: Path) -> None:
    report(
        path,
        attempt("a", [0.0, 0.0], outputs=[{"text": ""}, {"text": "x"}]),
        attempt("b", [0.0, 1.0, 0.0], outputs=[{"text": "x"}]),
    )
    made = br.import_garak(path)
    assert counts(made) == {"a": (0, 2), "b": (1, 3)}
    assert said(made, "1 scored outputs are empty")
    assert said(made, "2 scores have no output of their own")


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
        "a": (1, 2),
        "b": (0, 1),
        "plain text": (1, 1),
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
        ([1], "line 2 is not an object"),
        ({"type": "attempt"}, "line 2 has no entry_type"),
        (attempt("a", ["high"]), "line 2 has the score 'high'"),
        (attempt("a", [10**400]), "line 2 has the score 1000"),
        (attempt("a", [float("inf")]), "line 2 has the score inf"),
        (attempt("a", 0.5), r"line 2 has the scores 0\.5"),
        (attempt("a", [0.5], outputs="x"), "line 2 has the outputs 'x'"),
        (attempt("a", [0.5], probe_classname=None), "the probe None"),
        (attempt("a", [0.5], detector_results=[0.5]), "has detector_results"),
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
    with pytest.raises(InvalidInput, match=r"no field 'prob' .*did you mean 'probe'"):
        br.import_garak(path, family="prob")


def test_reports_of_garak_itself_are_read(root: Path) -> None:
    shared = root.parent / "shared" / "logs"
    if not shared.is_dir():
        pytest.skip("needs logs that are not shipped")
    made = br.import_garak(shared / "garak_test.report.jsonl")
    assert said(made, "It agrees with 1 counts of outputs")
    assert made.rows["trials"].to_pylist() == [1] * 8
    assert made.rows["successes"].to_pylist() == [0] * 8
    assert made.dropped.tallies[0].read == 8
    made = br.import_garak(shared / "garak_qual_review_mixed.report.jsonl", threshold=1)
    assert sorted(counts(made).values()) == [(0, 1), (1, 1), (1, 1)]
    made = br.import_garak(shared / "garak_quack.report.jsonl")
    assert made.rows["query_text"].to_pylist()[0].startswith("What are the benefits")
