"""Arguments of public calls: what is taken as it is meant, and what is refused how."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cheap
import numpy as np
import pandas as pd
import pytest

import bayes_rare as br
from bayes_rare.arguments.checking import checked_call, refuse_unknown, whole_number
from bayes_rare.arguments.near_words import no_file, shown
from bayes_rare.errors import InvalidInput, NoSuchModel


@checked_call
def call(
    number: int | float = 1.0,
    count: int = 1,
    names: Sequence[str] = (),
    pair: tuple[float, float] = (0.0, 1.0),
    path: str | Path = "a",
    progress: Callable[[int], None] = lambda _: None,
    mapping: Mapping[str, int] | None = None,
    seed: int = 0,
) -> tuple[Any, ...]:
    """What came through."""
    del path, progress
    return number, count, list(names), pair, mapping, seed


# Called as no type checker would let it.
anyhow: Any = call
ours: Any = br

TAKEN = [
    ({"number": np.float32(0.5)}, 0, 0.5),
    ({"number": np.array(2)}, 0, 2),
    ({"count": np.int64(3)}, 1, 3),
    ({"count": 1e3}, 1, 1000),
    ({"names": np.array(["a", "b"])}, 2, ["a", "b"]),
    ({"names": pd.Series(["a"])}, 2, ["a"]),
    ({"names": (name for name in "ab")}, 2, ["a", "b"]),
    ({"pair": [1, 2]}, 3, (1, 2)),
    ({"mapping": {"a": 1}}, 4, {"a": 1}),
]


@pytest.mark.parametrize(("given", "place", "wanted"), TAKEN)
def test_what_is_plainly_meant_is_taken(
    given: dict[str, Any], place: int, wanted: Any
) -> None:
    taken = anyhow(**given)[place]
    assert taken == wanted
    assert not isinstance(taken, np.generic | np.ndarray)


REFUSED = [
    ({"number": "0.5"}, r"a number, got '0.5' \(str\). Give it without quotes: .*=0.5"),
    ({"number": [0.5]}, r"Give the one alone: number=0.5"),
    ({"number": True}, "is a number, got True"),
    ({"number": 10**400}, "is too large"),
    ({"count": 1.5}, "a whole number, got 1.5.*Leave it out, or give count=1"),
    ({"count": float("nan")}, "a whole number, got nan"),
    ({"count": 10**5000}, "digits.*is too large"),
    ({"names": "a"}, r"a list of texts, got 'a' \(str\). Give a list: names=\['a'\]"),
    ({"names": {"a"}}, "a list of texts, got"),
    ({"names": ["a", 1]}, "a list of texts, got"),
    ({"names": None}, r"a list of texts, got None\."),
    ({"pair": [1]}, "a tuple of 2 numbers"),
    ({"path": "a\0b"}, "which no file can be called"),
    ({"path": "n" * 256}, "which no file can be called"),
    ({"path": b"a"}, "a text or a path"),
    ({"progress": False}, "a function, got False"),
    ({"mapping": {1: 2}}, "a mapping or None"),
    ({"seed": -1}, "from 0, got -1. Give seed=0"),
    ({"sed": 1}, "no argument 'sed'. Did you mean 'seed'?"),
    ({"random_seed": 1}, "'random_seed' is called 'seed' here"),
    ({"cores": 2}, "Leave 'cores' out: chains share"),
]


@pytest.mark.parametrize(("given", "said"), REFUSED)
def test_what_is_not_is_refused_with_what_to_type(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        anyhow(**given)
    assert len(str(caught.value)) <= 600


def test_too_many_arguments_and_too_few_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"too many positional.*It takes: number"):
        anyhow(*range(20))
    with pytest.raises(InvalidInput, match="missing a required argument: 'posterior'"):
        ours.forecast()


def test_a_type_error_from_inside_is_no_refusal() -> None:
    @checked_call
    def broken(number: Any) -> int:
        return number + "a"

    with pytest.raises(TypeError, match="unsupported operand"):
        broken(1)


def test_signatures_stay_what_they_were() -> None:
    assert list(inspect.signature(br.forecast).parameters)[:2] == [
        "posterior",
        "deployment",
    ]
    assert br.Deployment.of_size.__doc__ is not None


OURS = [
    (
        lambda: ours.forecast(cheap.posterior(), 1e6),
        r"rare.Deployment\(1000000.0\)",
    ),
    (
        lambda: ours.forecast("fit.nc", ours.Deployment(1)),
        r"bayes_rare.load_posterior\('fit.nc'\)",
    ),
    (lambda: ours.fit("table.csv"), r"bayes_rare.read_table\('table.csv'\)"),
    (lambda: ours.fit(cheap.evaluation(), "gpd_tail", tune=9), "'warmup' here"),
    (lambda: ours.fit(cheap.evaluation(), "gpd_tail", target_accept=0.9), "Leave"),
    (lambda: ours.fit(cheap.evaluation(), tune=9), "'warmup' here.*Name one model"),
    (lambda: ours.average(cheap.evaluation(), random_seed=9), "'seed' here"),
    (lambda: ours.fit(cheap.evaluation(), draws=2**63), "draws is at most 1,000,000"),
    (lambda: ours.Deployment("1e6"), "Give a number, not a text"),
    (lambda: ours.Deployment(1.5), "Round it: queries=2"),
    (lambda: ours.Deployment(True), "queries is a whole number"),
    (lambda: ours.Deployment(10**5000), "a whole number of 5,000 digits"),
    (
        lambda: cheap.forecast().plot(path="picture.csv"),
        "ends in .png, .svg or .pdf",
    ),
]


@pytest.mark.parametrize(("wrong", "said"), OURS)
def test_calls_say_how_they_are_meant(wrong: Callable[[], Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        wrong()


def test_a_file_that_is_not_there_is_answered_with_those_that_are(
    tmp_path: Path,
) -> None:
    (tmp_path / "backtest.parquet").write_bytes(b"")
    said = no_file(tmp_path / "backtst.parquet")
    assert said.endswith("Did you mean backtest.parquet?")
    assert "There is no folder" in no_file(tmp_path / "none" / "a")
    with pytest.raises(br.BayesRareError, match=r"Did you mean backtest\.parquet"):
        br.load_backtest(tmp_path / "backtst.parquet")


def test_a_model_that_is_not_there_is_answered_with_one_that_is() -> None:
    with pytest.raises(NoSuchModel, match=r"Did you mean 'gpd_tail'\?"):
        br.fit(cheap.evaluation(), "gdp_tail")


@pytest.mark.parametrize(
    ("value", "whole"),
    [(3, 3), (1e3, 1000), (np.int8(2), 2), (True, None), ("3", None), (1.5, None)],
)
def test_whole_numbers_are_told_from_others(value: Any, whole: int | None) -> None:
    assert whole_number(value) == whole


def test_anything_is_shown_in_short() -> None:
    class Awkward:
        def __repr__(self) -> str:
            raise RuntimeError

    for value in (Awkward(), "x" * 9000, "\ud800", [list(range(99))] * 9, 10**9000):
        assert 0 < len(shown(value).encode()) <= 120


def test_names_that_are_not_known_are_refused() -> None:
    refuse_unknown("behaviour", "a", ["a"])
    with pytest.raises(InvalidInput, match=r"Did you mean 'leak'\?.*There are: leak"):
        refuse_unknown("behaviour", "leek", ["leak"])


@pytest.mark.parametrize(
    "value", [0, 0.5, np.float64(1), np.array(2), "0.5", {0.5}, ((1, 2), (3,))]
)
def test_what_has_no_rows_is_no_list_of_numbers(value: Any) -> None:
    for name in ("successes", "weight"):
        with pytest.raises(InvalidInput, match=f"{name} of .* is a list of numbers"):
            br.Evaluation.from_counts(**{"successes": [0], "trials": [1], name: value})
