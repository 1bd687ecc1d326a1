"""Tables of any format and engine: one summary, and refusals that say the way out."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from bayes_rare.cells import EXACT_LIMIT
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.readers.tables import read_table


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
    with pytest.raises(InvalidInput, match="Known: a, b, counts"):
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
        r"data row 2.*log_risk is '?-2.0.*Keep one of the two kinds",
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
        r"query_id '4' stands 2 times.*Make one estimate of those of a query",
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
        r"'behaviour'.*weights from 1 to 2.*in proportion.*drop the column weight",
    ),
    "no behaviour": (
        exact(behaviour=["a", None], log_risk=[-1.0, -2.0]),
        r"data row 2.*behaviour is (missing|NaN).*Fill it in",
    ),
    "repeated": (
        pd.DataFrame({"query_id": [4, 5, 4], "log_risk": [-1.0, -2.0, -3.0]}),
        r"query_id '4' stands 2 times.*Drop the repeated rows",
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
    with pytest.raises(InvalidData, match="Check that the content is what"):
        read_table(tmp_path / "t.parquet")
    (tmp_path / "t.xlsx").write_text("")
    with pytest.raises(InvalidData, match=r"end in one of .csv, .tsv, .parquet"):
        read_table(tmp_path / "t.xlsx")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InvalidData, match="is empty. Give a table"):
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
from bayes_rare.readers.tables import read_table
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
