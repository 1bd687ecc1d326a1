"""Finished parts, damaged: a run goes on with the same numbers or refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fuzzing import fuzz, refusals
from hypothesis import given
from hypothesis import strategies as st

from bayes_rare.backtesting.store import Store

ORIGIN: dict[str, Any] = {"data": "a", "options": {"seed": 0}, "methods": []}
PARTS = 3


def table(number: int) -> pd.DataFrame:
    rng = np.random.default_rng(number)
    lists = [rng.normal(size=3).tolist(), None]
    return pd.DataFrame({"truth": rng.random(2), "text": ["a", None], "list": lists})


def run(folder: Path) -> pd.DataFrame:
    """What a run makes of what it finds."""
    with Store.opened(folder, ORIGIN) as store:
        for number in set(range(PARTS)) - store.done():
            store.keep(number, table(number))
        made = store.joined(PARTS)
        store.clear()
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was killed as it was done."""
    folder = tmp_path_factory.mktemp("parts") / "whole"
    with Store.opened(folder, ORIGIN) as store:
        for number in range(PARTS):
            store.keep(number, table(number))
    return folder


def flip(content: bytes, place: int, byte: int) -> bytes:
    place %= max(len(content), 1)
    return content[:place] + bytes([byte]) + content[place + 1 :]


def cut(content: bytes, place: int, _: int) -> bytes:
    return content[: place % (len(content) + 1)]


def add(content: bytes, place: int, byte: int) -> bytes:
    return content + bytes([byte]) * (place % 100)


def foreign(_: bytes, place: int, byte: int) -> bytes:
    return pd.DataFrame({"truth": [place, byte]}).to_parquet()


DAMAGE: list[Callable[[bytes, int, int], bytes]] = [flip, cut, add, foreign]


@fuzz()
@given(
    st.lists(
        st.tuples(
            st.sampled_from(DAMAGE),
            st.integers(0, PARTS),  # the last is the label
            st.integers(0, 2**20),
            st.integers(0, 255),
            st.sampled_from(["", "old.parquet", "000001.parquet", "000001-{}.parquet"]),
        ),
        min_size=1,
        max_size=3,
    )
)
def test_damaged_parts_are_done_again_or_refused(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, damages: list[Any]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    files = [*sorted(folder.glob("0*.parquet")), folder / "backtest.json"]
    for damage, which, place, byte, name in damages:
        content = damage(files[which].read_bytes(), place, byte)
        # Beside the file or in its place.
        name = name.format(f"{place:016x}") or files[which].name
        (folder / name).write_bytes(content)
    expected = pd.concat([table(number) for number in range(PARTS)], ignore_index=True)
    with refusals() as refused:
        made = run(folder)
    if not refused:
        pd.testing.assert_frame_equal(
            made.drop(columns="list"), expected.drop(columns="list"), check_exact=True
        )
        for seen, right in zip(made["list"], expected["list"], strict=True):
            np.testing.assert_array_equal(seen, right)
