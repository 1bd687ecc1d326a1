"""Every public call with wrong arguments: it answers, or refuses in our own words.

The calls are found by looking: each name of ``bayes_rare.__all__``, and the public
methods of its classes. A new one is tried by being there; where a parameter of it has a
name that no other has, `BASE` is to be given a value that is right for it.
"""

import contextlib
import inspect
import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import cheap
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fuzzing import fuzz, refusals
from hypothesis import given
from hypothesis import strategies as st

import bayes_rare as br
from bayes_rare.backtesting import run
from bayes_rare.evaluation.import_record import Dropped, Tally
from bayes_rare.evaluation.pool import Splitting
from bayes_rare.forecasting import prior_predictive
from bayes_rare.inference import batches
from bayes_rare.inference.stack import StackMember
from bayes_rare.populations import Normal


class _Begun(Exception):
    """Arguments are in order, and what is slow would begin."""


def _begin(*_: Any, **__: Any) -> None:
    raise _Begun


@pytest.fixture(autouse=True)
def _nothing_slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(batches.programs, "density_and_data", _begin)
    monkeypatch.setattr(run, "_run", _begin)
    monkeypatch.setattr(prior_predictive, "prior_draws", _begin)
    monkeypatch.chdir(tmp_path)


@cache
def _pool() -> br.QueryPool:
    return br.read_pool(cheap.table())


@cache
def _imported() -> br.ImportedTable:
    import pyarrow as pa

    tally = Tally("a", 600, 600, 0, (), 0, 0)
    rows = pa.Table.from_pandas(cheap.table().query("behaviour == 'a'"))
    return br.ImportedTable(rows, Dropped("inspect", ("a.eval",), "rule", (tally,)))


def _stack() -> br.Stack:
    members = tuple(StackMember(name, name, "0") for name in "ab")
    return br.Stack(members, {300: {"a": 0.5, "b": 0.5}}, {}, {})


@cache
def _comparison() -> br.Comparison:
    return br.compare(cheap.backtest(), resamples=50)


SPLITTING = Splitting((50,), (100,))
SCORES = np.linspace(-3, -1, 50)

# A value of each class, whose methods are called.
VALUES: dict[str, Callable[[], Any]] = {
    "Average": cheap.averaged,
    "Backtest": cheap.backtest,
    "Comparison": _comparison,
    "Deployment": lambda: br.Deployment(1000),
    "Evaluation": cheap.evaluation,
    "Forecast": cheap.forecast,
    "ImportedTable": _imported,
    "MissedMode": br.MissedMode,
    "Posterior": cheap.posterior,
    "PriorPredictive": lambda: br.PriorPredictive(
        cheap.posterior().model,
        cheap.evaluation(),
        pd.DataFrame(
            {
                "behaviour": ["a", "a"],
                "queries": [1, 10],
                "level": [0.5, 0.5],
                "score": [-2.0, -1.0],
                "risk": [0.001, 0.07],
            }
        ),
    ),
    "QueryPool": _pool,
    "QueryRisks": lambda: cheap.posterior().query_risks(top=3),
    "Realised": lambda: br.Realised.of("a", SCORES),
    "Report": lambda: br.Report("<html></html>", ()),
    "Stack": _stack,
}

# What is right for a parameter of this name, or of this call and name.
BASE: dict[str, Callable[[], Any]] = {
    "backtest": cheap.backtest,
    "behaviour": lambda: "a",
    "dataset": lambda: cheap.evaluation().to_dataset(),
    "deployment": lambda: br.Deployment([1000, 10**6]),
    "evaluation": cheap.evaluation,
    "evaluations": lambda: [cheap.evaluation()],
    "chosen": lambda: list(cheap.averaged().members[:1]),
    "files": dict,
    "model_file": lambda: "nowhere.py",
    "first": lambda: "a",
    "forecast": cheap.forecast,
    "fraction": lambda: 0.01,
    "log_risk": lambda: [-3.0, -2.0],
    "log_risk_se": lambda: [0.1, 0.2],
    "logs": lambda: "nowhere.jsonl",
    "methods": lambda: ["gumbel_ols"],
    "model": lambda: "log_normal",
    "most": lambda: 50,
    "parts": lambda: [cheap.evaluation(), cheap.counts().select(["c"])],
    "path": lambda: "made.parquet",
    "population": lambda: Normal(np.zeros(3), np.ones(3)),
    "posterior": cheap.posterior,
    "queries": lambda: 1000,
    "realised": lambda: br.Realised.of("a", SCORES),
    "repeat": lambda: 0,
    "rng": lambda: np.random.default_rng(0),
    "scores": lambda: SCORES,
    "second": lambda: "b",
    "size": lambda: 50,
    "source": cheap.table,
    "split": lambda: _pool().split(["a"], 0, SPLITTING),
    "splitting": lambda: SPLITTING,
    "successes": lambda: [0, 1],
    "table": lambda: cheap.backtest().table,
    "taken": lambda: 10,
    "trials": lambda: [5, 5],
    "Average.population.behaviour": lambda: "a",
    "Backtest.origin": lambda: cheap.backtest().origin,
    "Average.by_chain.values": lambda: np.zeros(cheap.averaged().order("a").size),
    "Evaluation.behaviour.name": lambda: "a",
    "Evaluation.family_sizes.behaviour": lambda: "a",
    "Evaluation.select.behaviours": lambda: ["a"],
    "Posterior.by_chain.values": lambda: np.zeros(cheap.CHAINS * cheap.DRAWS),
    "Posterior.of_behaviour.behaviour": lambda: "a",
    "Posterior.population.behaviour": lambda: "a",
    "QueryPool.split.behaviours": lambda: ["a"],
    "Stack.of_content.content": lambda: _stack().json(),
    "backtest.evaluation_sizes": lambda: [50],
    "backtest.deployment_sizes": lambda: [100],
    "backtest.split": lambda: None,
    "read_pool.split": lambda: None,
    "sample_evaluation.queries": lambda: 50,
    "sample_split.queries": lambda: 50,
    "posterior_predictive.behaviour": lambda: "a",
    "query_risks.successes": lambda: None,
    "stack.backtest": cheap.backtest,
    "stack.methods": lambda: None,
}

# Beside what is needed, so that less has to be drawn for a valid call.
_SMALL: dict[str, dict[str, Any]] = {
    "compare": {"resamples": 50},
    "backtest": {"evaluation_sizes": [50], "deployment_sizes": [100]},
    "gpd_mle": {"targets": ("worst_query_risk",)},
    "gumbel_ols_pivot": {"targets": ("worst_query_risk",)},
    "forecast": {"targets": ("worst_query_risk",)},
}


def _calls() -> dict[str, tuple[Callable[[], Callable[..., Any]], inspect.Signature]]:
    """By name: what gives the call, and its signature."""
    found: dict[str, Any] = {}
    for name in br.__all__:
        item = getattr(br, name)
        if not inspect.isclass(item):
            found[name] = (lambda item=item: item), inspect.signature(item)
            continue
        if issubclass(item, BaseException) or inspect.isabstract(item):
            continue
        found[name] = (lambda item=item: item), inspect.signature(item)
        for word, member in vars(item).items():
            if word.startswith("_") or not callable(getattr(item, word)):
                continue
            if isinstance(member, property):
                continue
            owner = VALUES[name]
            found[f"{name}.{word}"] = (
                lambda owner=owner, word=word: getattr(owner(), word),
                inspect.signature(getattr(owner(), word)),
            )
    return found


CALLS = _calls()


def _fields(name: str) -> dict[str, Any]:
    """What a class is made of, from a value of it."""
    value = VALUES[name]()
    return {
        word: getattr(value, word)
        for word in CALLS[name][1].parameters
        if hasattr(value, word)
    }


def _right(name: str) -> dict[str, Any]:
    """Arguments that are in order: those that are needed, and a few more."""
    if name in VALUES:
        return _fields(name)
    made: dict[str, Any] = {}
    for word, parameter in CALLS[name][1].parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        own = BASE.get(f"{name}.{word}")
        if own is not None or parameter.default is inspect.Parameter.empty:
            made[word] = (own or BASE[word])()
    return made | _SMALL.get(name, {})


class _Awkward:
    """What cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no words")


HOSTILE: list[Any] = [
    None,
    True,
    0,
    1,
    -1,
    3,
    7.5,
    0.5,
    1e-320,
    -0.0,
    math.nan,
    math.inf,
    -math.inf,
    10**30,
    2**63,
    -(2**63) - 1,
    10**400,
    10**5000,
    np.float64(0.25),
    np.float32(math.nan),
    np.int64(2),
    np.uint64(2**64 - 1),
    np.bool_(False),
    np.array(4),
    np.array([]),
    np.array([0.1, math.nan]),
    np.array([1, 2, 3]),
    np.array(["a", "b"]),
    np.zeros((2, 2)),
    np.array([None, {}], dtype=object),
    np.datetime64("2020-01-01"),
    pd.NA,
    pd.Series([0.5, 0.9]),
    pd.DataFrame(),
    "",
    " ",
    "a",
    "0.05",
    "1e6",
    "nan",
    "average",
    "gpd_tail",
    "nowhere.json",
    "nowhere.nc",
    "nul\0.csv",
    "\ud800",
    "é" * 400,
    "x/" * 3000,
    "*.csv",
    "~",
    b"bytes",
    bytearray(b"a"),
    [],
    [[]],
    [None],
    [0.5],
    ["a", "a"],
    ["a", 1],
    [math.nan],
    [0.1, "0.2"],
    [10**400],
    (),
    ((1, 2), (3,)),
    {},
    {"a": 1},
    {"a": math.nan},
    {1: 2},
    {"family": ["x"], "weight": [1]},
    set(),
    {"a"},
    frozenset([1]),
    range(3),
    range(0),
    1j,
    Decimal("0.5"),
    Decimal("NaN"),
    Fraction(1, 3),
    object,
    _Awkward(),
    len,
    Path(),
    Path("/"),
    Path("/dev/null"),
    Path("nul\0"),
    Path("a.parquet"),
    Path("nowhere/deep/a.png"),
    Path("n" * 300),
    ...,
    NotImplemented,
]

# Words of other samplers, and words that are nearly right.
WORDS = (
    "tune",
    "random_seed",
    "target_accept",
    "cores",
    "progressbar",
    "return_inferencedata",
    "nuts_sampler",
    "idata_kwargs",
    "sed",
    "bahaviours",
    "",
    "\ud800",
    "w" * 2000,
)


def _values() -> list[Any]:
    """Hostile values, and values that are right elsewhere."""
    return [
        *HOSTILE,
        *(make() for make in VALUES.values()),
        *(f() for f in BASE.values()),
    ]


EVERYTHING = _values()
hostile = st.one_of(
    st.sampled_from(EVERYTHING),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.lists(st.sampled_from(HOSTILE), max_size=3),
    st.lists(st.floats(0, 1), max_size=3),
    st.dictionaries(st.text(max_size=3), st.sampled_from(HOSTILE), max_size=2),
)


def _called(name: str, positional: list[Any], words: dict[str, Any]) -> None:
    find, _ = CALLS[name]
    with refusals():
        try:
            made = find()(*positional, **words)
            if inspect.isgenerator(made):
                list(made)
        except _Begun:
            pass
    plt.close("all")


def test_each_call_is_right_as_it_stands() -> None:
    """Else the fuzz would only see the first refusal."""
    refused = set()
    for name in CALLS:
        with refusals() as seen, contextlib.suppress(_Begun):
            CALLS[name][0]()(**_right(name))
        if seen:
            refused.add(name)
    plt.close("all")
    nothing_there = {n for n in CALLS if n.startswith(("import_", "load_"))}
    assert refused <= {*nothing_there, "Stack.with_model_files"}


def _tried(name: str, data: st.DataObject) -> None:
    signature = CALLS[name][1]
    words = _right(name)
    known = [
        word
        for word, parameter in signature.parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    if known:
        for word in data.draw(
            st.lists(st.sampled_from(known), min_size=1, max_size=2, unique=True)
        ):
            words[word] = data.draw(hostile)
    match data.draw(st.integers(0, 9)):
        case 0:
            words[data.draw(st.sampled_from(WORDS))] = data.draw(hostile)
        case 1 if words:
            words.pop(data.draw(st.sampled_from(sorted(words))))
        case 2:
            _called(name, [data.draw(hostile)], words)
            return
        case _:
            pass
    _called(name, [], words)


@pytest.mark.parametrize("name", sorted(CALLS))
@fuzz(0.05)
@given(data=st.data())
def test_wrong_arguments_meet_our_own_errors(name: str, data: st.DataObject) -> None:
    _tried(name, data)
