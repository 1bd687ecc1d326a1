"""Tables in text: what is certain is taken, the rest told by option, or refused."""

import codecs
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayes_rare.cli import main
from bayes_rare.cli.speech import write_table
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.evaluation.score_cells import EXACT_LIMIT
from bayes_rare.forecasting.family_mix import read_mix
from bayes_rare.readers.tables import frames
from bayes_rare.readers.tables.read_pool import read_pool
from bayes_rare.readers.tables.read_table import read_table
from bayes_rare.readers.tables.spreadsheets import guarded
from bayes_rare.readers.tables.texts import TextFormat

PLAIN = "log_risk,family\n-1.5,café\n-2.5,b\n"
LINES = '{"log_risk":-1.5,"family":"café"}\n{"log_risk":-2.5,"family":"b"}\n'


def read(folder: Path, content: bytes, name: str = "t.csv", **options: Any) -> Any:
    path = folder / name
    path.write_bytes(content)
    return read_table(path, **options)


def told(evaluation: Evaluation) -> dict[str, float]:
    shown = evaluation.riskiest
    return dict(zip(shown["family"], shown["log_risk"].round(9), strict=True))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.csv", PLAIN.encode()),
        ("t.csv", codecs.BOM_UTF8 + PLAIN.encode()),
        ("t.csv", PLAIN.encode("utf-16")),
        ("t.csv", codecs.BOM_UTF16_BE + PLAIN.encode("utf-16-be")),
        ("t.csv", PLAIN.encode("utf-32")),
        ("t.csv", PLAIN.replace(",", ";").encode()),
        ("t.csv", PLAIN.replace(",", "\t").encode()),
        ("t.csv", PLAIN.replace(",", "|").encode()),
        ("t.tsv", PLAIN.replace(",", "\t").encode("utf-16")),
        ("t.csv", PLAIN.replace("\n", "\r\n").encode()),
        ("t.csv", PLAIN.replace("\n", "\r").encode()),
        ("t.csv", ("\n\r\n  \n" + PLAIN).encode()),
        ("t.csv.gz", gzip.compress(PLAIN.encode("utf-16"), mtime=0)),
        ("t.jsonl", codecs.BOM_UTF8 + LINES.encode()),
        ("t.jsonl", LINES.encode("utf-16")),
        ("t.json", f"[{','.join(LINES.split())}]".encode("utf-16")),
    ],
)
def test_what_a_file_says_for_certain_is_taken(
    tmp_path: Path, name: str, content: bytes
) -> None:
    assert told(read(tmp_path, content, name)) == {"café": -1.5, "b": -2.5}


@pytest.mark.parametrize(
    ("content", "options"),
    [
        (PLAIN.encode("latin-1"), {"encoding": "latin-1"}),
        (PLAIN.encode("cp1252"), {"encoding": "windows-1252"}),
        (PLAIN.encode("utf-16-le"), {"encoding": "utf-16-le"}),
        (PLAIN.replace(",", "~").encode(), {"delimiter": "~"}),
        (PLAIN.replace(",", "\t").encode(), {"delimiter": "tab"}),
        (
            PLAIN.replace(",", ";").replace(".", ",").encode("cp1252"),
            {"encoding": "cp1252", "delimiter": ";", "decimal": ","},
        ),
        (b'log_risk,family\n"-1,5",caf\xc3\xa9\n"-2,5",b\n', {"decimal": ","}),
    ],
)
def test_what_it_does_not_say_is_an_option(
    tmp_path: Path, content: bytes, options: Mapping[str, str]
) -> None:
    assert told(read(tmp_path, content, **options)) == {"café": -1.5, "b": -2.5}


def test_numbers_of_json_have_points_whatever_texts_have(tmp_path: Path) -> None:
    content = b'{"log_risk":-1.5,"family":"a"}\n{"log_risk":"-2,5","family":"b"}\n'
    assert told(read(tmp_path, content, "t.jsonl", decimal=",")) == {
        "a": -1.5,
        "b": -2.5,
    }


HEAD = b"log_risk,family\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "t.csv",
            HEAD + b"-1,a\n-2,b,c,d\n",
            r"line 3 .* more .*'-2,b,c,d'.*deli",
        ),
        ("t.csv", b"\n\n" + HEAD + b"-1,a,b\n", "line 4 .* more values"),
        ("t.csv", HEAD + b"-1,5,a\n-2,5,b\n", "line 2 .* more .* in double quotes"),
        ("t.csv", HEAD + b"-1,a\n-2\n", "line 3 .* fewer values .*'-2'.*Complete"),
        ("t.csv", HEAD + b"-1,a\n-2,\xe9\n", "not UTF-8: line 3 .*encoding='cp1252'"),
        ("t.csv", b"log_risk,\xe9\n-1,a\n", "not UTF-8: line 1 .*--encoding cp1252"),
        ("t.csv", PLAIN.encode("utf-16-le"), "zero bytes .*encoding='utf-16-le'"),
        ("t.csv", PLAIN.encode("utf-16")[:-1], "not encoded in utf-16: about line 3"),
        ("t.csv", HEAD + b'-1,a\n-2,"b\n-3,c\n', "line 3 .* quote .* not closed"),
        ("t.csv", HEAD + b'-1,"a"b\n', "line 2 .* quote"),
        (
            "t.csv",
            HEAD + b"-1,a\r\n-2,b\n",
            "several kinds of line ends: .*line 1 .*line 2",
        ),
        ("t.csv", HEAD + b"-1," + b"a" * 2_100_000, "line 2 .* longer than 2,000,000"),
        ("t.csv", b" \n\n", "is empty"),
        ("t.csv", HEAD, "no rows"),
        ("t.csv", b"-1.5,a\n-2.5,b\n", "first line has values: write the names"),
        ("t.csv", b'log_risk;"a,b"\n-1;2\n', "delimiter=';'"),
        ("t.tsv", PLAIN.encode(), "delimiter=','"),
        ("t.csv", b'log_risk\n"-1,5"\n', "row 1 .* '-1,5'.*decimal=','"),
        ("t.csv.gz", gzip.compress(HEAD, mtime=0)[:-4], "is cut off .*again"),
        ("t.csv.gz", HEAD, "not a gzip file"),
        ("t.jsonl", b'{"log_risk":-1}\n\n{"log_risk":}\n', "line 3 .* not valid JSON"),
        ("t.jsonl", b'{"log_risk":-1}\n[1]\n', r"line 2 .* not an object: '\[1\]'"),
        ("t.jsonl", b'{"log_risk":-1,"x":"\xe9"}', "not UTF-8: line 1"),
        ("t.jsonl", b'{"log_risk":-1,"log_risk":-2}', "'log_risk' occurs twice"),
        ("t.jsonl", b"", "is empty"),
        ("t.json", b'[{"log_risk":-1},\n{"log_risk":-2]', "line 2 .* not valid JSON"),
        ("t.parquet", b"log_risk\n-1\n", "not a Parquet file"),
        ("t.parquet", b"PAR1" + b"0" * 99, "cut off"),
        ("t.parquet", b"PARE" + b"0" * 99 + b"PARE", "encrypted"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line_and_a_way_out(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(InvalidData, match=message) as refused:
        read(tmp_path, content, name)
    said = str(refused.value)
    assert len(said) <= 600
    assert "ignore_errors" not in said
    assert "\n" not in said


def test_a_flipped_bit_in_a_packed_file_is_found(tmp_path: Path) -> None:
    """DuckDB does not compare the checksum of what it unpacks."""
    content = bytearray(gzip.compress((PLAIN * 9).encode(), 0, mtime=0))
    content[-30] ^= 1
    with pytest.raises(InvalidData, match="is damaged"):
        read(tmp_path, bytes(content), "t.csv.gz")


def test_rows_before_a_fault_are_not_all_there_is(tmp_path: Path) -> None:
    """The fault is far behind what a reader looks at to guess a format."""
    rows = b"".join(b"-1,a%d\n" % number for number in range(50_000))
    with pytest.raises(InvalidData, match="line 50,002 "):
        read(tmp_path, HEAD + rows + b"-2,b,c\n")


def test_files_with_other_columns_and_delimiters_are_one_table(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("log_risk,family\n-1,a\n")
    (tmp_path / "b.csv").write_text("family;x;log_risk\nb;0;-2\n", "utf-16")
    assert told(read_table(tmp_path / "*.csv")) == {"a": -1.0, "b": -2.0}
    (tmp_path / "b.csv").write_text("family;log_risk\nb;2\n", "utf-16")
    with pytest.raises(InvalidData, match=r"positive: in data row 1 of \S+b\.csv"):
        read_table(tmp_path / "*.csv")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoding": "klingon"}, "encoding='latin-1'"),
        ({"encoding": "base64"}, "encoding='latin-1'"),
        ({"delimiter": "ab"}, "delimiter=';'"),
        ({"delimiter": '"'}, "delimiter=';'"),
        ({"decimal": ";"}, "decimal=','"),
    ],
)
def test_options_that_cannot_be_are_refused(
    tmp_path: Path, options: Mapping[str, str], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        read(tmp_path, PLAIN.encode(), **options)


def test_options_are_for_files_that_they_can_tell_of(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="Leave delimiter"):
        read(tmp_path, LINES.encode(), "t.jsonl", delimiter=";")
    pd.DataFrame({"log_risk": [-1.0]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(InvalidInput, match="Leave encoding"):
        read_table(tmp_path / "t.parquet", encoding="latin-1")
    with pytest.raises(InvalidInput, match="DataFrame is not a file"):
        read_table(pd.DataFrame({"log_risk": [-1.0]}), decimal=",")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()
    with pytest.raises(InvalidData, match="is a folder"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(InvalidData, match="there is no file") as refused:
        read_table(tmp_path / f"{'x' * 3_000}.csv")
    assert len(str(refused.value)) <= 600


def test_every_command_takes_the_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("log_risk;family\n-1,5;é\n".encode("latin-1"))
    options = ["--encoding", "latin-1", "--delimiter", ";", "--decimal", ";"]
    output = ["--output", str(tmp_path / "made.nc")]
    assert main(["fit", str(path), *output, *options]) == 1
    assert "decimal=','" in capsys.readouterr().err
    sizes = ["--evaluation-sizes", "9", "--deployment-sizes", "9"]
    words = ["backtest", str(path), "--methods", "gumbel_ols", *sizes, *output]
    assert main([*words, *options[:-1], ","]) == 1
    assert "queries" in capsys.readouterr().err  # it was read, and has too few


def test_a_pool_and_a_mix_take_them_too(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("log_risk;family\n-1,5;é\n".encode("latin-1"))
    pool = read_pool(path, text=TextFormat("latin-1", decimal=","))
    np.testing.assert_allclose(pool.rows["score"], -np.log(1.5))
    path.write_bytes("weight;family\n1,5;é\n0,5;b\n".encode("latin-1"))
    assert read_mix(path, TextFormat("latin-1", decimal=",")) == {"é": 0.75, "b": 0.25}
    with pytest.raises(InvalidInput, match="weight of family"):
        read_mix(path, TextFormat("latin-1"))


def test_a_value_too_many_in_a_mix_moves_no_column(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("family,weight\na,1,2\nb,3,4\n")
    with pytest.raises(InvalidData, match=r"line 2 .* more values"):
        read_mix(path)


RISKY = ["=1+1", "+a", "-a", "@a", "\ta", "\ra", "'=1", "''-a", "- item\n- item"]
PLAIN_TEXTS = ["-5", "+1.5e3", "'a", "it's", "", "a=b", "5-3"]


@pytest.mark.parametrize("text", RISKY)
def test_a_text_that_begins_like_a_formula_is_written_safely(text: str) -> None:
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", PLAIN_TEXTS)
def test_other_texts_and_numbers_stay_as_they_are(text: str) -> None:
    assert guarded(text) == text
    assert guarded(-5.0) == -5.0


def test_texts_come_back_from_csv_as_they_were(tmp_path: Path) -> None:
    texts = [*RISKY, *PLAIN_TEXTS]
    frame = pd.DataFrame(
        {
            "query_id": [f"-{number}" for number in range(len(texts))],
            "query_text": texts,
            "family": [f"={text}" for text in texts],
            "log_risk": -1.0 - np.arange(len(texts)),
        }
    )
    path = tmp_path / "t.csv"
    write_table(frame, path)
    written = pd.read_csv(path, keep_default_na=False)
    assert written["log_risk"].tolist() == frame["log_risk"].tolist()
    assert not written["family"].str.startswith("=").any()
    shown = read_table(path).riskiest
    for name in ("query_id", "query_text", "family"):
        assert shown[name].tolist() == frame[name].tolist()


MANY = 3_000


def test_no_refusal_is_long_however_many_names_there_are(tmp_path: Path) -> None:
    names = [f"a rather long name of a behaviour, {n}" for n in range(MANY)]
    evaluation = Evaluation.from_scores(np.zeros(MANY), behaviour=names)
    for ask in (
        lambda: evaluation.kind("x" * 5_000),
        lambda: evaluation.select([]),
        lambda: read_table(pd.DataFrame({name: [1.0] for name in names})),
        lambda: read_table(
            pd.DataFrame({"behaviour": names, "log_risk": -1.0}), behaviours=["x"]
        ),
        lambda: read(tmp_path, (",".join(f"c{n}" for n in range(MANY))).encode()),
    ):
        with pytest.raises((InvalidData, InvalidInput)) as refused:
            ask()
        said = str(refused.value)
        assert len(said) <= 600
        assert f"and {MANY - 3:,} more" in said or "more" in said


def test_many_behaviours_are_each_read_as_alone(tmp_path: Path) -> None:
    """More behaviours than an engine is asked for one by one, each with its own cut."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 260, 90)
    frame = pd.DataFrame(
        {
            "behaviour": np.repeat([f"b{n:02d}" for n in range(len(sizes))], sizes),
            "query_id": np.arange(sizes.sum()).astype(str),
            "log_risk": -rng.gamma(3, 2, sizes.sum()) - 0.01,
        }
    )
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    together = read_table(path)
    for name in ("b00", "b44", "b89"):
        alone = read_table(frame[frame["behaviour"] == name])
        assert together.select([name]).digest == alone.digest
    expected = (
        frame.sort_values("log_risk", ascending=False)
        .groupby("behaviour")
        .head(100)
        .sort_values(["behaviour", "log_risk"], ascending=[True, False])
    )
    assert together.riskiest["query_id"].tolist() == expected["query_id"].tolist()


@pytest.mark.parametrize("column", ["log_risk_se", "other"])
def test_cuts_that_are_asked_for_together_leave_no_row_twice(
    column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    rows = EXACT_LIMIT + 2_000
    frame = pd.DataFrame(
        {
            "behaviour": np.repeat(["a", "b", "c"], rows),
            "log_risk": -rng.gamma(3, 2, 3 * rows) * np.repeat([1, 9, 99], rows) - 0.01,
            column: 0.5,
        }
    )
    apart = read_table(frame)
    monkeypatch.setattr(frames, "_CONDITIONS", 1)
    together = read_table(frame)
    assert together.digest == apart.digest
    assert together.sizes == dict.fromkeys("abc", rows)


@pytest.mark.parametrize("kind", ["csv", "parquet", "pandas"])
def test_a_table_of_very_many_columns_is_read(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bayes_rare.readers.tables.read_table._WIDE", 100)
    wide = pd.DataFrame(np.zeros((3, 150)), columns=[f"c{n}" for n in range(150)])
    frame = wide.assign(log_risk=[-1.0, -2.0, -3.0], query_id=["a", "b", "c"])
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        frame.to_csv(path, index=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    shown = read_table(frame if kind == "pandas" else path).riskiest
    assert shown["query_id"].tolist() == ["a", "b", "c"]
    if kind != "pandas":
        frame.loc[1, "log_risk"] = 2.0
        (frame.to_csv if kind == "csv" else frame.to_parquet)(path, index=False)
        with pytest.raises(InvalidData, match="positive: in data row 2 "):
            read_table(path)


def test_very_many_blanks_before_a_header_are_refused(tmp_path: Path) -> None:
    for blanks in (b"\n" * 2_100_000, b" " * 2_100_000):
        with pytest.raises(InvalidData, match="is longer than 2,000,000 bytes"):
            read(tmp_path, blanks + HEAD + b"-1,a\n")


def test_json_has_one_line_an_object(tmp_path: Path) -> None:
    content = "\n".join(json.dumps({"log_risk": -1.0 - n}) for n in range(3))
    assert read(tmp_path, content.encode(), "t.ndjson").sizes == {"behaviour": 3}


@pytest.mark.parametrize("word", ["nan", "NaN", ""])
def test_a_missing_number_among_labels_is_a_missing_label(
    tmp_path: Path, word: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"query_id,log_risk\n1,-1\n{word},-2\n{word},-3\n")
    assert read_table(path).sizes == {"behaviour": 3}
    path.write_text(f"family,log_risk\n1,-1\n{word},-2\n")
    with pytest.raises(InvalidData, match="family"):
        read_table(path)
