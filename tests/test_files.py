"""Files appear whole or not at all, and take nothing with them."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from room import little_room

from bayes_rare.errors import InvalidInput
from bayes_rare.files import refuse_unwritable, replacing


def test_what_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("old")

    def fail_after_writing() -> None:
        with replacing(path) as written:
            written.write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_writing()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"  # the inner one was done first
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target)
    with replacing(link) as written:
        written.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_what_is_read_is_not_replaced(tmp_path: Path) -> None:
    path, alias = tmp_path / "table.csv", tmp_path / "alias.csv"
    path.write_text("data")
    alias.symlink_to(path)
    for output in (path, alias):
        with pytest.raises(InvalidInput, match="Give another name"):
            refuse_unwritable(output, path)
    refuse_unwritable(tmp_path / "other.csv", path)


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InvalidInput, match="Give the name of a file"):
        refuse_unwritable(pipe)


def _table(path: Path) -> None:
    with replacing(path) as written:
        pd.DataFrame({"a": np.arange(5_000)}).to_csv(written)


def _picture(path: Path) -> None:
    figure, axes = plt.subplots()
    axes.plot(np.random.default_rng(0).normal(size=500))
    with replacing(path) as written:
        figure.savefig(written, format="svg")
    plt.close(figure)


def _parquet(path: Path) -> None:
    numbers = pa.table({"x": np.random.default_rng(0).normal(size=5_000)})
    with replacing(path) as written:
        pq.write_table(numbers, written)


@pytest.mark.parametrize("write", [_table, _picture, _parquet])
def test_without_room_nothing_is_written(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    place = tmp_path / "new" / "folder" / "out"
    with (
        little_room(8_192),
        pytest.raises(InvalidInput, match="on a disk with free space"),
    ):
        write(place)
    plt.close("all")
    assert list(tmp_path.iterdir()) == []
    write(place)
    assert [path.name for path in place.parent.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("x" * 256, "File name too long"),
        ("x" * 256 + "/out.nc", "File name too long"),
        ("/".join(["x" * 200] * 30), "File name too long"),
        ("a\0b", "null"),
        ("a\ud800b", "surrogates not allowed"),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_the_work(
    name: str, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=reason) as caught:
        refuse_unwritable(tmp_path / name)
    assert len(str(caught.value)) <= 600
    with pytest.raises(InvalidInput, match=reason), replacing(tmp_path / name):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "x" * 250 + ".nc"])
def test_the_longest_name_can_be_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    refuse_unwritable(path)
    assert list(tmp_path.iterdir()) == []
    with replacing(path) as written:
        written.write_text("new")
        assert written.suffix == path.suffix or len(path.suffix) > 50
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_found_before_the_work(tmp_path: Path) -> None:
    with (
        little_room(1_000),
        pytest.raises(InvalidInput, match="on a disk with free space"),
    ):
        refuse_unwritable(tmp_path / "new" / "out.nc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux")
@pytest.mark.parametrize("place", ["/proc/out.nc", "/dev/full", "/proc/self/cmdline"])
def test_a_place_that_takes_no_file_is_found_before_the_work(place: str) -> None:
    with pytest.raises(InvalidInput, match=f"cannot write {place}"):
        refuse_unwritable(Path(place))


def test_a_loop_of_links_is_found_before_the_work(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.symlink_to(other)
    other.symlink_to(one)
    with pytest.raises(InvalidInput, match="cannot write"):
        refuse_unwritable(one / "out.nc")
    with pytest.raises(InvalidInput, match="cannot write"):
        refuse_unwritable(one)


def test_what_is_read_by_a_pattern_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "table[1].csv"
    path.write_text("data")
    for pattern in (path, tmp_path / "*.csv"):
        with pytest.raises(InvalidInput, match="Give another name"):
            refuse_unwritable(path, pattern)


ENDED = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # else as the tests were started
from bayes_rare.files import replacing
with replacing(Path(sys.argv[1])) as one, replacing(Path(sys.argv[1] + "2")) as other:
    one.write_text("half")
    other.write_text("half")
    print("ready", flush=True)
    signal.pause()
"""


def ended(path: Path, number: int) -> "subprocess.Popen[str]":
    """A process that was ended by a signal as it wrote."""
    command: Any = [sys.executable, "-c", ENDED, str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        process.wait(20)
    return process


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_who_is_ended_by_a_signal_leaves_nothing(name: str, tmp_path: Path) -> None:
    number = getattr(signal, name)
    path = tmp_path / "out.nc"
    path.write_text("old")
    assert ended(path, number).returncode == -number
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_text() == "old"


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "out.nc"
    ended(path, signal.SIGKILL)
    mine = tmp_path / ".notes-out.nc"
    mine.write_text("of the user's own")
    assert len(list(tmp_path.iterdir())) == 3
    with replacing(path) as held, replacing(path) as written:
        held.write_text("held: no leftover")
        written.write_text("new")
        assert held.read_text() == "held: no leftover"
    refuse_unwritable(tmp_path / "out.nc2")
    assert sorted(tmp_path.iterdir()) == [mine, path]
