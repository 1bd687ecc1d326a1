"""The folder of finished parts: only files that are certainly ours are touched."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import bayes_rare as br
from bayes_rare.backtesting.store import Store
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.files import replacing

ORIGIN: dict[str, Any] = {"data": "a", "methods": [{"name": "one"}]}
TABLE = pd.DataFrame({"value": [1.0, 2.0], "list": [[0.5], None]})


def kept(folder: Path, numbers: range, origin: dict[str, Any] = ORIGIN) -> None:
    """Parts of a run that was ended before the last."""
    with Store.opened(folder, origin) as store:
        for number in numbers:
            store.keep(number, TABLE.assign(part=number))


def finish(folder: Path, origin: dict[str, Any] = ORIGIN) -> set[int]:
    """Do what is left of three parts; the numbers that were there."""
    with Store.opened(folder, origin) as store:
        done = store.done()
        for number in {0, 1, 2} - done:
            store.keep(number, TABLE.assign(part=number))
        table = store.joined(3)
        assert table["part"].tolist() == [0, 0, 1, 1, 2, 2]
        store.clear()
    return done


def test_parts_are_kept_joined_and_cleared(tmp_path: Path) -> None:
    kept(tmp_path / "parts", range(2))
    assert finish(tmp_path / "parts") == {0, 1}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        "notes.parquet",
        "notes.txt",
        "000001.parquet",
        "٣.parquet",
        "000002-mine.parquet",
        ".hidden.parquet",
        ".backtest.json.swp",
        "sub/folder.parquet",
        "000002-0123456789abcdef.parquet/inside",
    ],
)
def test_a_users_file_among_the_parts_stays_and_is_not_read(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "parts"
    kept(folder, range(2))
    mine = folder / name
    mine.parent.mkdir(exist_ok=True)
    TABLE.to_parquet(mine)
    before = mine.read_bytes()
    assert finish(folder) == {0, 1}
    assert [path for path in folder.rglob("*") if path.is_file()] == [mine]
    assert mine.read_bytes() == before


def test_a_link_among_the_parts_is_no_part_and_what_it_names_stays(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "parts"
    kept(folder, range(2))
    part = min(folder.glob("000001-*"))
    mine = tmp_path / part.name
    part.rename(mine)
    part.symlink_to(mine)
    assert finish(folder) == {0}
    assert mine.is_file()
    assert part.is_symlink()


def test_a_folder_that_is_a_link_is_used_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    folder = tmp_path / "parts"
    folder.symlink_to("disk")
    kept(folder, range(2))
    assert finish(folder) == {0, 1}
    assert folder.is_symlink()
    assert not list((tmp_path / "disk").iterdir())


def _file(path: Path) -> None:
    path.write_text("mine", encoding="utf-8")


def _link(path: Path) -> None:
    path.symlink_to("nowhere")


def _others(path: Path) -> None:
    path.mkdir()
    _file(path / "mine.txt")


@pytest.mark.parametrize("put", [_file, _link, _others])
def test_what_lies_in_the_place_of_the_folder_is_refused_and_stays(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    folder = tmp_path / "parts"
    put(folder)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InvalidData, match="give another output"):
        Store.opened(folder, ORIGIN)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "label", ["{}", "[1]", "3", '{"methods": 3}', "", "[" * 99_999]
)
def test_a_label_of_something_else_is_refused_shortly(
    tmp_path: Path, label: str
) -> None:
    kept(tmp_path / "parts", range(1))
    (tmp_path / "parts" / "backtest.json").write_text(label, encoding="utf-8")
    with pytest.raises(InvalidData) as refused:
        Store.opened(tmp_path / "parts", ORIGIN | {"options": ["x" * 999] * 999})
    assert len(str(refused.value)) - 2 * len(str(tmp_path)) < 500
    Store.clear_leftovers(tmp_path / "parts", ORIGIN)
    assert list((tmp_path / "parts").glob("000000-*"))


def test_parts_of_another_backtest_are_not_taken_for_this_ones(tmp_path: Path) -> None:
    kept(tmp_path / "other", range(3), ORIGIN | {"data": "b"})
    kept(tmp_path / "parts", range(1))
    for path in (tmp_path / "other").glob("0*.parquet"):
        shutil.copy(path, tmp_path / "parts")
    copies = {path.name for path in (tmp_path / "other").glob("0*.parquet")}
    assert finish(tmp_path / "parts") == {0}
    assert {path.name for path in (tmp_path / "parts").iterdir()} == copies


def test_a_part_under_another_number_is_not_taken(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    kept(folder, range(2))
    part = min(folder.glob("000001-*"))
    part.rename(part.with_name(part.name.replace("000001", "000002")))
    assert finish(folder) == {0}


def test_what_a_killed_run_left_half_written_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever `replacing` calls what it writes to."""
    folder = tmp_path / "parts"
    kept(folder, range(1))
    part = min(folder.glob("000000-*"))
    for name in (part.name, "backtest.json"):
        with replacing(folder / name) as written:
            written.write_bytes(b"half")
            left = written
            monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
            monkeypatch.setattr(Path, "replace", lambda *_: None)
        monkeypatch.undo()
        assert left.exists()
    assert finish(folder) == {0}
    assert not folder.exists()


def test_a_folder_that_is_removed_under_way_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    with Store.opened(folder, ORIGIN) as store:
        store.keep(0, TABLE)
        shutil.rmtree(folder)
        with pytest.raises(InvalidData, match="removed while"):
            store.keep(1, TABLE)
    assert not folder.exists()


def test_a_part_that_is_removed_under_way_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    with Store.opened(folder, ORIGIN) as store:
        store.keep(0, TABLE)
        min(folder.glob("000000-*")).unlink()
        with pytest.raises(InvalidData, match=r"part 0 .* was removed"):
            store.joined(1)


def test_two_writers_are_one_too_many_and_the_lock_ends_with_the_first(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "parts"
    with Store.opened(folder, ORIGIN) as first:
        with pytest.raises(InvalidData, match="another process is at work"):
            Store.opened(folder, ORIGIN)
        first.keep(0, TABLE.assign(part=0))
    (folder / ".lock").write_text("left by a process that was killed", encoding="utf-8")
    assert finish(folder) == {0}


def test_a_folder_that_cannot_be_made_is_refused_before_the_work(
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidInput, match="cannot keep finished parts"):
        Store.opened(tmp_path / f"{'x' * 254}.parts", ORIGIN)
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        with pytest.raises(InvalidInput, match="cannot keep finished parts"):
            Store.opened(tmp_path / "closed" / "parts", ORIGIN)


def test_the_output_of_another_process_that_was_first_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may finish after this one has looked for its output, and before the lock."""
    output = tmp_path / "out.parquet"
    plan: dict[str, Any] = {
        "methods": ["evaluation_maximum"],
        "evaluation_sizes": 100,
        "deployment_sizes": 1_000,
        "repeats": 1,
        "behaviours": ["Death"],
        "output": output,
    }
    opened = Store.opened

    def late(folder: Path | None, origin: Any) -> Store:
        monkeypatch.undo()
        br.backtest(br.sample_table(), **plan)
        return opened(folder, origin)

    monkeypatch.setattr(Store, "opened", late)

    def refused(*_: int) -> None:
        if output.exists():
            pytest.fail("it was all there")

    made = br.backtest(br.sample_table(), **plan, progress=refused)
    assert len(made.table)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
