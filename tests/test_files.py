"""Files appear whole or not at all, and take nothing with them."""

import os
from pathlib import Path

import pytest

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
