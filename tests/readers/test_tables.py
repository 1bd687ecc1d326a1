"""Tables of any format and engine: one summary, and refusals that say the way out."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bayes_rare.cli import tables
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.evaluation.score_cells import EXACT_LIMIT
from bayes_rare.forecasting import notes
from bayes_rare.readers.tables import repeats
from bayes_rare.readers.tables.read_pool import read_pool
from bayes_rare.readers.tables.read_table import read_table


def table(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Both kinds of outcome, ties, risks of 0 and 1, labels that look like numbers."""
    rng = np.random.default_rng(seed)
    log_risk = -np.round(rng.gamma(3, 2, rows), 2) - 0.01
    log_risk[:3], log_risk[3:5] = -np.inf, 0.0
    counted = np.arange(rows) % 3 == 2
    trials = np.where(counted, rng.integers(1, 50, rows), np.nan)
    return pd.DataFrame(
        {
            "query_id": [f"{i:05d}" for i in range(rows)],
            "behaviour": np.array(["b", "a", "counts"], object)[np.arange(rows) % 3],
            "family": [f"0{i % 4}" for i in range(rows)],
            "query_text": [f'say "{i}", please\nnow' for i in range(rows)],
            "log_risk": np.where(counted, np.nan, log_risk),
            "successes": np.floor(trials * rng.random(rows)),
            "trials": trials,
        }
    )


def polars(frame: pd.DataFrame) -> pl.DataFrame:
    return pl.DataFrame(
        {
            name: [None if pd.isna(value) else value for value in column]
            for name, column in frame.items()
        }
    )


def csv(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def zipped(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_csv(folder / "t.v2.csv.gz", index=False)
    return folder / "t.v2.csv.gz"


def tsv(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_csv(folder / "t.tsv", index=False, sep="\t")
    return folder / "t.tsv"


def parquet(frame: pd.DataFrame, folder: Path) -> Path:
    frame.to_parquet(folder / "t.parquet")
    return folder / "t.parquet"


def lines(frame: pd.DataFrame, folder: Path) -> Path:
    """JSON lines as Python writes them: with -Infinity."""
    path = folder / "t.jsonl"
    with path.open("w") as file:
        for row in frame.to_dict("records"):
            kept = {k: v for k, v in row.items() if not pd.isna(v)}
            file.write(json.dumps(kept) + "\n")
    return path


def parts(frame: pd.DataFrame, folder: Path) -> str:
    half = len(frame) // 2
    frame[:half].to_parquet(folder / "p1.parquet")
    frame[half:].to_parquet(folder / "p2.parquet")
    return str(folder / "p*.parquet")


def relation(frame: pd.DataFrame, folder: Path) -> Any:
    return duckdb.connect().sql(f"from '{parquet(frame, folder)}'")


FORMS: dict[str, Callable[[pd.DataFrame, Path], Any]] = {
    "csv": csv,
    "csv.gz": zipped,
    "tsv": tsv,
    "parquet": parquet,
    "jsonl": lines,
    "glob": parts,
    "list": lambda frame, folder: sorted(Path(parts(frame, folder)).parent.glob("p*")),
    "duckdb": relation,
    "polars": lambda frame, _: polars(frame),
    "polars lazy": lambda frame, _: polars(frame).lazy(),
    "pyarrow": lambda frame, _: pa.Table.from_pandas(frame),
    "categories": lambda frame, _: frame.astype(
        {"behaviour": "category", "family": "category"}
    ),
    "nullable": lambda frame, _: frame.convert_dtypes(),
    "shuffled": lambda frame, _: frame.sample(frac=1, random_state=1),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_evaluation(form: str, tmp_path: Path) -> None:
    frame = table()
    evaluation = read_table(FORMS[form](frame, tmp_path))
    expected = read_table(frame)
    pd.testing.assert_frame_equal(evaluation.cells, expected.cells)
    pd.testing.assert_frame_equal(evaluation.counts, expected.counts)
    pd.testing.assert_frame_equal(evaluation.riskiest, expected.riskiest)
    assert evaluation.digest == expected.digest


@pytest.mark.parametrize("form", ["csv", "parquet", "polars lazy", "pyarrow"])
def test_a_large_table_is_the_same_up_to_rounding(form: str, tmp_path: Path) -> None:
    frame = table(4 * EXACT_LIMIT)
    evaluation = read_table(FORMS[form](frame, tmp_path))
    expected = read_table(frame)
    assert len(expected.cells) < 2 * EXACT_LIMIT  # the body is binned
    pd.testing.assert_frame_equal(
        evaluation.cells, expected.cells, check_exact=False, rtol=0, atol=1e-8
    )
    pd.testing.assert_frame_equal(evaluation.riskiest, expected.riskiest)
    assert evaluation.sizes == expected.sizes


def test_a_large_file_has_one_digest(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"log_risk": -rng.gamma(3, 2, 100_000)})
    one = read_table(parquet(frame, tmp_path)).digest
    other = read_table(parquet(frame.sample(frac=1, random_state=0), tmp_path)).digest
    assert one == other


def test_what_is_read_is_what_is_there() -> None:
    frame = table()
    evaluation = read_table(frame)
    assert evaluation.behaviours == ("a", "b", "counts")
    assert evaluation.families == ("00", "01", "02", "03")
    assert evaluation.sizes == {"a": 100, "b": 100, "counts": 100}
    log_risk = frame.loc[frame["behaviour"] == "a", "log_risk"].to_numpy()
    cells = evaluation.scores("a")
    assert cells.censored_below == (log_risk == -np.inf).sum() == 1
    assert cells.censored_above == (log_risk == 0).sum() == 1
    finite = log_risk[np.isfinite(log_risk) & (log_risk < 0)]
    value, count = np.unique(-np.log(-finite), return_counts=True)
    np.testing.assert_array_equal(cells.score, value[::-1])
    np.testing.assert_array_equal(cells.count, count[::-1])
    expected = (
        frame[frame["behaviour"] == "counts"]
        .groupby(["behaviour", "family", "trials", "successes"])
        .size()
    )
    assert evaluation.counts["count"].tolist() == expected.tolist()


def test_many_ties_at_the_top_are_shown_by_identity(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"query_id": [f"{i:06d}" for i in range(40_000)], "log_risk": 0.0}
    )
    frame.loc[7, "log_risk"] = -1.0
    shown = read_table(parquet(frame[::-1], tmp_path)).riskiest["query_id"].tolist()
    assert shown == [f"{i:06d}" for i in range(101) if i != 7]


def test_float32_is_widened_before_any_arithmetic() -> None:
    log_risk = np.array([-0.1, -3.3], np.float32)
    cells = read_table(pd.DataFrame({"log_risk": log_risk})).scores("behaviour")
    np.testing.assert_array_equal(cells.score, -np.log(-log_risk.astype(np.float64)))


def test_counts_are_ranked_by_what_they_show() -> None:
    """A query that never failed comes after any that did, however seldom it was."""
    frame = pd.DataFrame(
        {"successes": [0, 1, 10, 0, 50, 2], "trials": [10, 1, 10, 1, 1_000, 2]}
    )
    shown = read_table(frame).riskiest
    assert shown["successes"].tolist() == [10, 2, 1, 50, 0, 0]
    assert shown["trials"].tolist() == [10, 2, 1, 1_000, 1, 10]
    assert "log_risk" not in shown


@pytest.mark.parametrize("trials", [1e19, math.inf, 2.0**53 + 2])
def test_trials_beyond_what_numbers_tell_apart_are_refused(trials: float) -> None:
    frame = pd.DataFrame({"successes": [0.0, 1.0], "trials": [10.0, trials]})
    with pytest.raises(InvalidData, match="trials"):
        read_table(frame)


def test_columns_are_mapped() -> None:
    frame = table().rename(columns={"log_risk": "log_p", "family": "template_id"})
    mapped = read_table(frame, columns={"log_risk": "log_p", "family": "template_id"})
    assert mapped.digest == read_table(table()).digest


def test_behaviours_are_selected() -> None:
    only = read_table(table(), behaviours=["b"])
    assert only.digest == read_table(table()).select(["b"]).digest
    with pytest.raises(InvalidInput, match="There are: a, b, counts"):
        read_table(table(), behaviours=["c"])


def test_a_table_without_families_has_none() -> None:
    assert read_table(table().drop(columns="family")).families == ()


def exact(**columns: list[Any]) -> pd.DataFrame:
    rows = len(next(iter(columns.values())))
    return pd.DataFrame({"query_id": list(range(rows)), **columns})


WRONG: dict[str, tuple[pd.DataFrame, str]] = {
    "more successes than trials": (
        exact(successes=[1, 7], trials=[2, 6]),
        r"data row 2.*successes is '?7.*trials is '?6.*not swapped",
    ),
    "negative successes": (
        exact(successes=[-1, 7], trials=[2, 8]),
        r"data row 1.*successes is '?-1.*Give a count",
    ),
    "fractional successes": (
        exact(successes=[1, 0.5], trials=[2, 8]),
        r"data row 2.*successes is '?0.5.*Give a count",
    ),
    "fractional trials": (
        exact(successes=[1, 0], trials=[2, 8.5]),
        r"data row 2.*trials is '?8.5.*Give a count",
    ),
    "no trials": (
        exact(successes=[1, 0], trials=[2, 0]),
        r"data row 2.*trials is '?0.*Drop such rows",
    ),
    "trials alone": (
        exact(successes=[1, None], trials=[2, 3]),
        r"data row 2.*successes is (missing|NaN).*Fill in both",
    ),
    "successes alone": (
        exact(successes=[1, 1], trials=[2, None]),
        r"data row 2.*trials is (missing|NaN).*Fill in both",
    ),
    "positive": (
        exact(log_risk=[-1.0, 0.25]),
        r"data row 2.*log_risk is '?0.25.*take their logarithm.*change their sign",
    ),
    "missing": (
        exact(log_risk=[-1.0, None, -2.0]),
        r"data row 2.*log_risk is (missing|NaN).*drop the row",
    ),
    "both kinds": (
        exact(log_risk=[None, -2.0], successes=[0, 1], trials=[1, 2]),
        r"data row 2.*log_risk is '?-2.0.*Keep one of the two: ",
    ),
    "kinds mixed in a behaviour": (
        exact(log_risk=[None, -2.0], successes=[0, None], trials=[1, None]),
        r"'behaviour \(exact\)' and 'behaviour \(counts\)'",
    ),
    "some estimated": (
        exact(log_risk=[-1.0, -2.0, -3.0], log_risk_se=[0.1, 0.0, None]),
        r"data row 2.*log_risk_se is '?0.0.*\(2 such rows\).*'behaviour \(exact\)'",
    ),
    "some without error": (
        exact(log_risk=[-1.0, -2.0], log_risk_se=[0.1, None]),
        r"data row 2.*log_risk_se is (missing|NaN)\. Fill it in",
    ),
    "negative error": (
        exact(log_risk=[-1.0, -2.0], log_risk_se=[0.1, -0.1]),
        r"data row 2.*log_risk_se is '?-0.1.*Give the standard error of log_risk",
    ),
    "infinite error": (
        exact(log_risk=[-1.0, -2.0], log_risk_se=[0.1, float("inf")]),
        r"data row 2.*log_risk_se is '?inf.*Give the standard error of log_risk",
    ),
    "an estimate of 0": (
        exact(log_risk=[-1.0, float("-inf")], log_risk_se=[0.1, 0.1]),
        r"data row 2.*log_risk is '?-inf.*log_risk_se is '?0.1.*successes and trials",
    ),
    "an error of counts": (
        exact(successes=[1, 0], trials=[2, 8], log_risk_se=[None, 0.1]),
        r"data row 2.*log_risk_se is '?0.1.*leave log_risk_se empty",
    ),
    "an estimate twice": (
        pd.DataFrame(
            {
                "query_id": [4, 5, 4],
                "log_risk": [-1.0, -2.0, -3.0],
                "log_risk_se": [0.1, 0.1, 0.1],
            }
        ),
        r"query_id '4' occurs 2 times.*Combine its estimates into one",
    ),
    "no weight": (
        exact(successes=[1, 0], trials=[2, 8], weight=[1.0, None]),
        r"data row 2.*weight is (missing|NaN).*1 / its sampling probability",
    ),
    "a weight of 0": (
        exact(successes=[1, 0], trials=[2, 8], weight=[0.0, 1.0]),
        r"data row 1.*weight is '?0.0.*drop the column",
    ),
    "a negative weight": (
        exact(log_risk=[-1.0, -2.0], log_risk_se=[0.1, 0.1], weight=[1.0, -2.0]),
        r"data row 2.*weight is '?-2.0.*drop the column",
    ),
    "an infinite weight": (
        exact(successes=[1, 0], trials=[2, 8], weight=[1.0, float("inf")]),
        r"data row 2.*weight is '?inf.*drop the column",
    ),
    "weights of exact risks": (
        exact(log_risk=[-1.0, -2.0], weight=[1.0, 2.0]),
        r"'behaviour'.*weights from 1 to 2.*proportional.*drop the column weight",
    ),
    "no behaviour": (
        exact(behaviour=["a", None], log_risk=[-1.0, -2.0]),
        r"data row 2.*behaviour is (missing|NaN).*Fill it in",
    ),
    "repeated": (
        pd.DataFrame({"query_id": [4, 5, 4], "log_risk": [-1.0, -2.0, -3.0]}),
        r"query_id '4' occurs 2 times.*Drop the repeated rows",
    ),
    "text": (
        exact(log_risk=["-1.0", "often"]),
        r"'often'.*(convert the column to float64|Give the natural logarithm)",
    ),
    "nothing": (
        exact(log_risk=[None, None]),
        r"data row 1.*log_risk is (missing|NaN).*drop the row",
    ),
    "empty": (
        pd.DataFrame({"log_risk": np.empty(0)}),
        "no rows. Give at least one query",
    ),
}


@pytest.mark.parametrize("form", ["pandas", "polars", "csv", "parquet"])
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_wrong_is_refused_with_a_way_out(
    wrong: str, form: str, tmp_path: Path
) -> None:
    frame, message = WRONG[wrong]
    forms = FORMS | {"pandas": lambda frame, _: frame}
    source = forms[form](frame, tmp_path)
    with pytest.raises(InvalidData, match=f"(?s){message}"):
        read_table(source)


def test_a_first_problem_comes_before_a_later_wrong_weight() -> None:
    frame = exact(successes=[1, 9, 1], trials=[2, 8, 2], weight=[1.0, 1.0, -1.0])
    with pytest.raises(InvalidData, match=r"data row 2.*not swapped"):
        read_table(frame)


def test_nan_is_no_error_and_no_weight_where_it_differs_from_null() -> None:
    nan = float("nan")
    frame = pl.DataFrame({"log_risk": [-1.0, -2.0], "log_risk_se": [0.1, nan]})
    with pytest.raises(InvalidData, match=r"data row 2.*NaN.*standard error of"):
        read_table(frame)
    frame = pl.DataFrame({"successes": [1, 2], "trials": [2, 2], "weight": [1.0, nan]})
    with pytest.raises(InvalidData, match=r"data row 2.*NaN.*sampling probability"):
        read_table(frame)


def test_a_row_of_a_lazy_frame_is_named_by_its_identity() -> None:
    frame = pl.LazyFrame({"query_id": ["q1", "q2"], "log_risk": [-1.0, 0.5]})
    with pytest.raises(InvalidData, match=r"in the row of query_id 'q2', log_risk is"):
        read_table(frame)


def test_nan_is_refused_where_it_differs_from_null() -> None:
    frame = pl.DataFrame({"log_risk": [-1.0, float("nan")]})
    with pytest.raises(InvalidData, match=r"data row 2.*NaN.*-inf for a risk of 0"):
        read_table(frame)


def test_the_file_of_a_wrong_row_is_named(tmp_path: Path) -> None:
    exact(log_risk=[-1.0, -2.0]).to_csv(tmp_path / "p1.csv", index=False)
    wrong = exact(log_risk=[-1.0, 0.5]).assign(query_id=["x", "y"])
    wrong.to_csv(tmp_path / "p2.csv", index=False)
    with pytest.raises(InvalidData, match=r"data row 2 of .*p2\.csv"):
        read_table(str(tmp_path / "p*.csv"))


def test_the_first_wrong_row_of_a_long_file_is_named(tmp_path: Path) -> None:
    log_risk = np.full(500_000, -1.0)
    log_risk[[345_677, 400_000]] = 0.5
    path = parquet(pd.DataFrame({"log_risk": log_risk}), tmp_path)
    with pytest.raises(InvalidData, match=r"data row 345678 .*\(2 such rows\)"):
        read_table(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (["logp"], r"map it: columns=\{'log_risk': 'logp'\}"),
        (["p"], r"looks like a risk: give log_risk.*numpy.log\(table\[\"p\"\]\)"),
        (["risk"], "looks like a risk: give log_risk"),
        (["x", "y"], "neither log_risk nor successes and trials. It has: x, y"),
        (["successes", "trial"], r"no trials \(did you mean 'trial'\?\)"),
    ],
)
def test_a_table_without_outcomes_is_refused(columns: list[str], message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        read_table(pd.DataFrame({name: [0.5] for name in columns}))


def test_a_wrong_map_is_refused() -> None:
    frame = pd.DataFrame({"log_p": [-1.0]})
    with pytest.raises(InvalidInput, match=r"did you mean 'log_p'\?\). It has: log_p"):
        read_table(frame, columns={"log_risk": "logp"})
    with pytest.raises(InvalidInput, match=r"did you mean 'log_risk'\?"):
        read_table(frame, columns={"logrisk": "log_p"})


def test_a_column_of_another_type_is_refused() -> None:
    frame = pl.DataFrame({"log_risk": [True, False]})
    with pytest.raises(InvalidData, match=r"holds Boolean, not numbers. Map"):
        read_table(frame)


def test_repeated_columns_are_refused() -> None:
    frame = pd.DataFrame([[-1.0, -2.0]], columns=["log_risk", "log_risk"])
    with pytest.raises(InvalidData, match="Rename the repeated columns"):
        read_table(frame)


def test_no_row_is_taken_for_a_comment(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("query_id,log_risk\n#1,-1\n2,-2\n#3,-3\n#4,-4\n")
    assert read_table(path).sizes == {"behaviour": 4}


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"int is not a table. Give a path"):
        read_table(3)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match=r"there is no file .*none.csv"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(InvalidInput, match="at least one path"):
        read_table([])
    (tmp_path / "t.parquet").write_text("log_risk\n-1\n")
    with pytest.raises(InvalidData, match="Check that the content fits"):
        read_table(tmp_path / "t.parquet")
    (tmp_path / "t.xlsx").write_text("")
    with pytest.raises(InvalidData, match=r"end in one of .csv, .tsv, .parquet"):
        read_table(tmp_path / "t.xlsx")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InvalidData, match=r"is empty\. Give a table"):
        read_table(tmp_path / "empty.csv")


def test_odd_names_are_only_names(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {'log "p"; drop': [-1.0, -np.inf], "filename": ["x", "y"], "_cell": [1, 2]}
    )
    path = tmp_path / "it's [1].csv"
    frame.to_csv(path, index=False)
    evaluation = read_table(path, columns={"log_risk": 'log "p"; drop'})
    assert evaluation.sizes == {"behaviour": 2}


GENERATE = """
import duckdb, sys
duckdb.connect(config={"memory_limit": "1GB"}).execute(
    "copy (select 'behaviour ' || i % 4 as behaviour, "
    "'template ' || hash(i) % 50 as family, i as query_id, "
    "(-exp(2.3 + 0.5 * sin(hash(i + 1) % 1000003)))::float as log_risk "
    f"from range(10_000_000) t(i)) to '{sys.argv[1]}' (format parquet)"
)
"""
MEASURE = r"""
import json, re, sys
from pathlib import Path
from bayes_rare.readers.tables.read_table import read_table
evaluation = read_table(sys.argv[1])
status = Path("/proc/self/status").read_text()
peak = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
print(json.dumps([sum(evaluation.sizes.values()), peak]))
"""


def run(script: str, path: Path) -> str:
    """Output of a script in a process of its own.

    Its peak is that of its own memory: the one of getrusage starts from its parent's.
    """
    command = [sys.executable, "-c", script, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_ten_million_rows_are_summarised_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.parquet"
    run(GENERATE, path)
    queries, megabytes = json.loads(run(MEASURE, path))
    assert queries == 10_000_000
    assert megabytes <= 1_500


@pytest.mark.slow
def test_that_measure_sees_memory(tmp_path: Path) -> None:
    path = csv(table(9), tmp_path)
    output = run("held = bytes([1]) * 2**31\n" + MEASURE, path)
    assert json.loads(output)[1] > 1_500


def test_the_summary_is_an_evaluation() -> None:
    assert isinstance(read_table(table()), Evaluation)


LONG = pd.DataFrame(
    {
        "query_id": ["q1", "q2", "q1", "q1", "q2"],
        "behaviour": ["a", "a", "a", "b", "a"],
        "family": ["x", "y", "x", "x", "y"],
        "query_text": ["one", "two", "one", "one", "two"],
        "successes": [1, 0, 1, 0, 0],
        "trials": [1, 1, 2, 1, 1],
    }
)
IN_MEMORY = ("pandas", "polars", "polars lazy", "pyarrow", "duckdb", "csv", "jsonl")


def made(form: str, frame: pd.DataFrame, folder: Path) -> Any:
    return frame if form == "pandas" else FORMS[form](frame, folder)


@pytest.mark.parametrize("form", IN_MEMORY)
def test_counts_of_one_query_are_added_up_and_that_is_said(
    form: str, tmp_path: Path
) -> None:
    evaluation = read_table(made(form, LONG, tmp_path))
    assert evaluation.sizes == {"a": 2, "b": 1}
    counts = evaluation.counts[["behaviour", "successes", "trials", "count"]]
    assert counts.values.tolist() == [["a", 2, 3, 1], ["a", 0, 2, 1], ["b", 0, 1, 1]]
    record = evaluation.record
    assert record is not None
    assert record.added_up == (
        "4 rows were added up to 2 queries: several rows had the same query_id.",
    )
    assert notes.on_evaluation(evaluation)[0] == record.added_up[0]
    assert list(tables.dropped_report(record)) == [*record.added_up]
    again = Evaluation.from_dataset(evaluation.to_dataset())
    assert again.record == record
    assert evaluation.select(["b"]).record.added_up == ()  # pyright: ignore[reportOptionalMemberAccess]
    pool = read_pool(made(form, LONG, tmp_path))
    assert sorted(pool.rows["trials"].tolist()) == [1, 2, 3]


@pytest.mark.parametrize("form", IN_MEMORY)
@pytest.mark.parametrize("ids", ["all differ", "one twice", "one in two behaviours"])
def test_repeated_queries_are_found_whether_or_not_ids_can_be_hashed(
    ids: str, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = pd.DataFrame(
        {
            "query_id": [f"q{number}" for number in range(3_000)],
            "behaviour": ["a", "b"] * 1_500,
            "successes": 0,
            "trials": 1,
        }
    )
    if ids != "all differ":
        frame.loc[2_999, "query_id"] = "q1" if ids == "one twice" else "q0"
    evaluation = read_table(made(form, frame, tmp_path))
    monkeypatch.setattr(repeats, "_MOST_HASHES", 0)
    slow = read_table(made(form, frame, tmp_path))
    assert (evaluation.digest, evaluation.record) == (slow.digest, slow.record)
    assert (evaluation.record is not None) == (ids == "one twice")


def test_counts_of_one_query_are_added_up_in_arrays_as_in_tables() -> None:
    columns = {name: LONG[name].tolist() for name in LONG.columns}
    arrays = Evaluation.from_counts(
        columns.pop("successes"), columns.pop("trials"), **columns
    )
    assert arrays.digest == read_table(LONG).digest
    assert arrays.record == read_table(LONG).record


@pytest.mark.parametrize("form", IN_MEMORY)
@pytest.mark.parametrize("column", ["family", "query_text", "weight"])
def test_rows_of_one_query_that_contradict_each_other_are_refused(
    column: str, form: str, tmp_path: Path
) -> None:
    frame = LONG.assign(weight=1.0)
    frame.loc[2, column] = 2.0 if column == "weight" else "other"
    with pytest.raises(InvalidData, match=rf"'q1'.*'a'.*differ in {column}"):
        read_table(made(form, frame, tmp_path))
    columns = {name: frame[name].tolist() for name in frame.columns}
    with pytest.raises(InvalidData, match=rf"'q1'.*'a'.*differ in {column}"):
        Evaluation.from_counts(
            columns.pop("successes"), columns.pop("trials"), **columns
        )


@pytest.mark.parametrize("form", IN_MEMORY)
def test_a_row_without_identity_is_a_query_of_its_own(
    form: str, tmp_path: Path
) -> None:
    frame = pd.DataFrame(
        {"query_id": ["q", None, "q", None], "successes": [1, 1, 0, 1], "trials": 1}
    )
    evaluation = read_table(made(form, frame, tmp_path))
    counts = evaluation.counts[["successes", "trials", "count"]]
    assert counts.values.tolist() == [[1, 1, 2], [1, 2, 1]]


def test_counts_beside_exact_risks_are_added_up() -> None:
    frame = pd.concat([LONG, pd.DataFrame({"behaviour": ["c"], "log_risk": [-2.0]})])
    frame = frame.assign(query_id=frame["query_id"].fillna("q1")).drop(columns="family")
    assert read_table(frame).sizes == {"a": 2, "b": 1, "c": 1}


def test_a_risk_is_one_a_query_in_arrays_too() -> None:
    with pytest.raises(InvalidData, match=r"'q' occurs more than once"):
        Evaluation.from_scores([0.0, 0.0], query_id=["q", "q"])
    with pytest.raises(InvalidData, match=r"'q' occurs more than once"):
        Evaluation.from_estimates([-1.0, -1.0], [0.1, 0.1], query_id=["q", "q"])


def test_successes_of_a_row_a_response_are_refused_with_the_way_out() -> None:
    frame = pd.DataFrame({"query_id": ["q", "q"], "successes": [True, False]})
    with pytest.raises(InvalidData, match=r"no trials.*add a column trials of ones"):
        read_table(frame)
    with pytest.raises(InvalidData, match=r"true and false.*astype\(int\)"):
        read_table(frame.assign(trials=1))


@pytest.mark.parametrize("form", IN_MEMORY)
def test_no_column_of_ours_meets_one_of_the_table(form: str, tmp_path: Path) -> None:
    frame = table().assign(weight=1.0)
    ours = [f"_{name}" for name in (*frame.columns, "cell", "step", "key", "score")]
    ours += ["_problem", "_finite", "_count", "_share", "_has_trials", "_edge"]
    ours += ["row (bayes-rare)", "file (bayes-rare)", "log_risk as written", "times"]
    ours += ["_KEY", "_Cell", "key", "count", "split", "filename", "a.b", 'a"b', "[x]"]
    odd = frame.assign(**{name: 1.0 - np.arange(len(frame)) for name in ours})
    odd = odd.drop(columns="_KEY" if form in {"duckdb", "csv", "jsonl"} else [])
    odd = odd[sorted(odd.columns)]
    evaluation = read_table(made(form, odd, tmp_path))
    expected = read_table(frame)
    assert evaluation.digest == expected.digest
    pd.testing.assert_frame_equal(evaluation.riskiest, expected.riskiest)


@pytest.mark.parametrize("form", IN_MEMORY)
@pytest.mark.parametrize(
    "name", ['a"b', "a.b", "a b", "[x]", "it's", "{x}", "*", "^a$"]
)
def test_any_name_may_be_mapped(name: str, form: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"ab": [-3.0, -4.0], name: [-1.0, -2.0], "a": [0.0, 0.0]})
    source = made(form, frame, tmp_path)
    shown = read_table(source, columns={"log_risk": name}).riskiest
    assert shown["log_risk"].tolist() == pytest.approx([-1.0, -2.0])


TWICE = {
    "twice": "log_risk,family,log_risk\n-1,a,-3\n",
    "in another case": "log_risk,Log_Risk\n-1,-3\n",
    "in another case, a label": "log_risk,family,FAMILY\n-1,a,b\n",
    "with a blank": "log_risk,family, family\n-1,a,b\n",
}


@pytest.mark.parametrize("text", TWICE.values(), ids=TWICE)
def test_a_column_that_stands_twice_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(InvalidData, match=r"t\.csv has the column.*twice.*column 1|2"):
        read_table(tmp_path / "t.csv")


def test_a_column_that_stands_twice_is_refused_on_every_engine(tmp_path: Path) -> None:
    arrow = pa.table([pa.array([-1.0]), pa.array([-2.0])], ["log_risk", "Log_Risk"])
    same = pa.table([pa.array([-1.0]), pa.array([-2.0])], ["log_risk", "log_risk"])
    for number, held in enumerate((arrow, same)):
        pq.write_table(held, tmp_path / f"t{number}.parquet")
        with pytest.raises(InvalidData, match=r"has the column 'log_risk' twice"):
            read_table(tmp_path / f"t{number}.parquet")
    with pytest.raises(InvalidData, match="Rename the repeated columns"):
        read_table(same)
    relation = duckdb.connect().sql('select -1.0 as log_risk, -2.0 as "Log_Risk"')
    for source in (arrow, arrow.to_pandas(), pl.DataFrame(arrow), relation):
        with pytest.raises(InvalidData, match=r"the table has the column.*twice"):
            read_table(source)
    (tmp_path / "t.jsonl").write_text('{"log_risk": -1, "Log_Risk": -2}\n')
    with pytest.raises(InvalidData, match=r"has the column 'log_risk' twice"):
        read_table(tmp_path / "t.jsonl")


@pytest.mark.parametrize("asked", ["successes", "Successes", "successes_1"])
@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_a_number_behind_a_name_does_not_choose_one_of_two(
    form: str, asked: str, tmp_path: Path
) -> None:
    """DuckDB calls the second of two columns successes_1, and the file does not."""
    path = tmp_path / f"t.{form}"
    if form == "csv":
        path.write_text("query_id,Successes,successes,trials\na,1,0,1\n")
    elif form == "jsonl":
        path.write_text('{"Successes": 1, "successes": 0, "trials": 1}\n')
    else:
        pq.write_table(
            pa.table({"Successes": [1], "successes": [0], "trials": [1]}), path
        )
    with pytest.raises(InvalidData, match=r"has the column '\w+' twice"):
        read_table(path, columns={"successes": asked})
    path = tmp_path / "sound.csv"
    path.write_text("query_id,hits,hits_1,trials\na,1,0,1\n")
    assert read_table(path, columns={"successes": "hits_1"}).sizes == {"behaviour": 1}


def test_a_column_that_is_not_read_may_stand_twice(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("note,log_risk,note,,\na,-1,b,,\n")
    assert read_table(tmp_path / "t.csv").sizes == {"behaviour": 1}


@pytest.mark.parametrize("missing", [None, "", "  "])
@pytest.mark.parametrize("form", IN_MEMORY)
def test_a_missing_family_where_others_have_one_is_refused(
    form: str, missing: str | None, tmp_path: Path
) -> None:
    frame = LONG.assign(query_id=range(5))
    frame.loc[[1, 4], "family"] = missing
    with pytest.raises(
        InvalidData, match=r"only some queries of behaviour 'a' have a family.*2 such"
    ):
        read_table(made(form, frame, tmp_path))
    families = frame["family"].tolist()
    with pytest.raises(InvalidData, match=r"query 1 \(counted from 0\) is missing"):
        Evaluation.from_counts([0] * 5, [1] * 5, family=families)
    whole = frame.assign(family=missing)
    assert read_table(made(form, whole, tmp_path)).families == ()


def test_a_missing_behaviour_is_refused_in_arrays() -> None:
    with pytest.raises(InvalidData, match=r"behaviour of query 1 .*is missing"):
        Evaluation.from_scores([0.0, 1.0], behaviour=["a", float("nan")])


def written_by(writer: str, table: pa.Table, folder: Path) -> Any:
    path = folder / "t.parquet"
    if writer == "polars":
        pl.DataFrame(table).write_parquet(path, row_group_size=2)
    elif writer == "duckdb":
        connection = duckdb.connect()
        connection.register("held", table)
        connection.sql("from held").write_parquet(str(path))
    else:
        statistics = writer != "pyarrow without statistics"
        pq.write_table(table, path, row_group_size=2, write_statistics=statistics)
    return duckdb.connect().sql(f"from '{path}'") if writer == "relation" else path


OF_NAN = {
    "log_risk": {},
    "log_risk_se": {"log_risk": [-1.0, -2.0, -3.0, -4.0]},
    "successes": {"trials": [5.0] * 4},
    "trials": {"successes": [1.0] * 4},
    "weight": {"successes": [1.0] * 4, "trials": [2.0] * 4},
}


@pytest.mark.parametrize(
    "writer",
    ["pyarrow", "pyarrow without statistics", "polars", "duckdb", "relation"],
)
@pytest.mark.parametrize("column", OF_NAN)
def test_nan_in_a_file_is_refused_whatever_its_statistics_say(
    column: str, writer: str, tmp_path: Path
) -> None:
    sound = -1.0 if column == "log_risk" else 2.0
    held = {column: [sound, sound, math.nan, sound], "query_id": list("abcd")}
    source = written_by(writer, pa.table(held | OF_NAN[column]), tmp_path)
    with pytest.raises(InvalidData, match=rf"{column} is NaN"):
        read_table(source)


NUMBERED: dict[str, tuple[list[Any], pa.DataType, tuple[str, ...]]] = {
    "floats": ([1.0, 0.5, 1e-5, 1e20], pa.float64(), ("0.5", "1", "1e+20", "1e-05")),
    "single": (
        [1.0, 0.1, 1e-5, 16777216.0],
        pa.float32(),
        ("0.1", "1", "16777216", "1e-05"),
    ),
    "integers": ([1, 10, -2, 2**62], pa.int64(), ("-2", "1", "10", str(2**62))),
    "unsigned": ([1, 2, 3, 2**64 - 1], pa.uint64(), ("1", str(2**64 - 1), "2", "3")),
    "decimals": (
        [Decimal("1.50"), Decimal("1.00"), Decimal("100.00"), Decimal("0.05")],
        pa.decimal128(8, 2),
        ("0.05", "1", "1.5", "100"),
    ),
    "truth": ([True, False, True, False], pa.bool_(), ("false", "true")),
    "dates": ([date(2026, 1, 2)] * 4, pa.date32(), ("2026-01-02",)),
}


@pytest.mark.parametrize("kind", NUMBERED)
def test_a_label_has_one_text_on_every_engine(kind: str, tmp_path: Path) -> None:
    values, dtype, expected = NUMBERED[kind]
    arrow = pa.table({"family": pa.array(values, dtype), "log_risk": [-1.0] * 4})
    pq.write_table(arrow, tmp_path / "t.parquet")
    coded = arrow.set_column(0, "family", arrow["family"].dictionary_encode())
    connection = duckdb.connect()
    connection.register("held", arrow)
    sources = {
        "pyarrow": arrow,
        "dictionary": coded,
        "pandas": arrow.to_pandas(),
        "categories": coded.to_pandas().astype({"family": "category"}),
        "of arrow": arrow.to_pandas(types_mapper=pd.ArrowDtype),
        "nullable": arrow.to_pandas().convert_dtypes(),
        "polars": pl.DataFrame(arrow),
        "relation": connection.sql("from held"),
        "parquet": tmp_path / "t.parquet",
    }
    found = {name: read_table(source).families for name, source in sources.items()}
    found["arrays"] = Evaluation.from_scores(
        [0.0] * 4, family=np.array(values, np.float32) if kind == "single" else values
    ).families
    assert found == dict.fromkeys(found, expected)


def test_numbers_in_categories_are_numbers() -> None:
    numbers = pa.array([1, 2, 2]).dictionary_encode()
    arrow = pa.table({"successes": pa.array([0, 1, 1]), "trials": numbers})
    expected = read_table(arrow.to_pandas().astype("int64")).digest
    for source in (
        arrow,
        arrow.to_pandas(),
        arrow.to_pandas(types_mapper=pd.ArrowDtype),
        pl.DataFrame(arrow),
        arrow.to_pandas().astype({"successes": object}),
    ):
        assert read_table(source).digest == expected


@pytest.mark.parametrize("whole", [True, False])
def test_a_missing_number_in_categories_is_refused_as_any_missing_number(
    whole: bool,
) -> None:
    numbers = pa.array([0, None, 1] if whole else [0.0, None, 1.0])
    arrow = pa.table({"successes": numbers.dictionary_encode(), "trials": [2, 2, 2]})
    for source in (
        arrow,
        arrow.to_pandas(),
        arrow.to_pandas(types_mapper=pd.ArrowDtype),
        pl.DataFrame(arrow),
        pl.DataFrame({"successes": [0, None, 1], "trials": [2, 2, 2]}),
    ):
        with pytest.raises(InvalidData, match="no successes: in data row 2"):
            read_table(source)


def test_labels_without_a_text_are_refused() -> None:
    frame = pl.DataFrame({"family": [[1], [2]], "log_risk": [-1.0, -2.0]})
    with pytest.raises(InvalidData, match=r"'family' .* holds List.*text first"):
        read_table(frame)
