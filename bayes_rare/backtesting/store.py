"""Storage of a backtest's finished parts, joined at the end."""

import hashlib
import io
import json
import os
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from filelock import FileLock, Timeout

from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.files import replacing

if TYPE_CHECKING:
    import pandas

__all__ = ["Store", "parts_folder"]

# What the parts of a folder are of.
_LABEL = "backtest.json"
# Held by the process that is at work on them, and free when that ends in any way.
_LOCK = ".lock"
# A part is named by its number and its content, so that no byte of it can change
# unseen and no file of somebody else is taken for one.
_PART = re.compile(r"(\d{6})-([0-9a-f]{16})\.parquet", re.ASCII)
# What `replacing` leaves of such files where a process is killed as it writes them.
_HALF_WRITTEN = re.compile(
    rf"\.\d+-[0-9a-f]{{8}}-({_PART.pattern}|{re.escape(_LABEL)})", re.ASCII
)
_KEY = b"bayes_rare"
# Differences that are told, and characters of each of their values.
_TOLD, _SHORT = 3, 30


def parts_folder(output: Path) -> Path:
    """Where the parts of a backtest lie while it is not done."""
    return output.with_name(f"{output.name}.parts")


@dataclass(eq=False)
class Store:
    """Finished parts: in a folder, or in memory where there is none.

    Other things in the folder are neither read nor removed.

    Parameters
    ----------
    folder
        Where they lie.
    origin
        What the parts depend on.
    held
        Parts in memory, by number.
    places
        Files of the others, by number.
    lock
        Lock that keeps other processes from working on the folder.
    """

    folder: Path | None
    origin: Mapping[str, Any]
    held: dict[int, "pandas.DataFrame"] = field(default_factory=dict[int, Any])
    places: dict[int, Path] = field(default_factory=dict[int, Path])
    lock: FileLock | None = None

    @classmethod
    def opened(cls, folder: Path | None, origin: Mapping[str, Any]) -> "Store":
        """The parts that there are, ready for more."""
        store = cls(folder, origin)
        if folder is None:
            return store
        store._refuse_foreign(folder)  # before anything is put there
        with _writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / _LOCK)
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise InvalidData(
                    f"another process is at work on {folder}. Wait until it is done, "
                    "or give another output."
                ) from error
        try:
            store._refuse_foreign(folder)
            store._find_parts(folder)
            label = folder / _LABEL
            if not label.is_file():
                with replacing(label) as written:
                    written.write_text(json.dumps(origin, indent=1), encoding="utf-8")
        except BaseException:
            lock.release()
            raise
        store.lock = lock
        return store

    @classmethod
    def clear_leftovers(cls, folder: Path, origin: Mapping[str, Any]) -> None:
        """Remove what a run left that was ended after its last step but one."""
        if not (folder / _LABEL).is_file():
            return
        try:
            store = cls.opened(folder, origin)
        except (InvalidData, InvalidInput):  # not ours, or not to be touched
            return
        with store:
            store.clear()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        if self.lock is not None:
            self.lock.release()

    def _refuse_foreign(self, folder: Path) -> None:
        """Refuse a folder that holds something else than parts of this backtest."""
        with _writable(folder):
            if not folder.exists() and not folder.is_symlink():
                return
        if not folder.is_dir():
            raise InvalidData(
                f"{folder} is to be the folder of a backtest's finished parts, and is "
                "something else. Move it away, or give another output."
            )
        with _writable(folder):
            names = [path.name for path in folder.iterdir()]
        if _LABEL in names:
            self._refuse_another(folder / _LABEL)
        elif any(name != _LOCK and not _HALF_WRITTEN.fullmatch(name) for name in names):
            raise InvalidData(
                f"{folder} is to hold the parts of a backtest, and holds other things. "
                "Move them away, or give another output."
            )

    def _refuse_another(self, label: Path) -> None:
        """Refuse to go on with parts that were made of something else."""
        try:
            before = json.loads(label.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InvalidData(
                f"{label} cannot be read ({str(error)[:200]}). Move {label.parent} "
                "away, and begin again."
            ) from error
        differences = list(_differences(before, dict(self.origin)))
        if differences:
            raise InvalidData(
                f"{label.parent} holds the finished parts of another backtest: "
                f"{'; '.join(differences[:_TOLD])}. Run it as it was, give another "
                "output, or delete that folder to begin again."
            )

    def _find_parts(self, folder: Path) -> None:
        """Note the whole parts, and remove what killed runs left half written."""
        for path in sorted(folder.iterdir()):
            if _HALF_WRITTEN.fullmatch(path.name) and _is_file(path):
                path.unlink()
            elif (part := _PART.fullmatch(path.name)) and _is_file(path):
                number = int(part[1])
                if self._table(path, number) is not None:
                    self.places.setdefault(number, path)

    def done(self) -> set[int]:
        """Numbers of the finished parts; a damaged one is to be done again."""
        return {*self.held, *self.places}

    def keep(self, number: int, table: "pandas.DataFrame") -> None:
        """Keep a finished part."""
        if self.folder is None:
            self.held[number] = table
            return
        if not (self.folder / _LABEL).is_file():
            raise InvalidData(
                f"{self.folder} was removed while the backtest ran, with what was "
                "finished. Run it again, and leave the folder until it is done."
            )
        content = self._bytes(number, table)
        place = self.folder / f"{number:06d}-{_digest(content)}.parquet"
        with replacing(place) as written:
            written.write_bytes(content)
        self.places[number] = place

    def joined(self, parts: int) -> "pandas.DataFrame":
        """All parts as one table, in the order of their numbers."""
        import pandas as pd

        tables: list[pd.DataFrame] = []
        for number in range(parts):
            place = self.places.get(number)
            table = (
                self.held.get(number) if place is None else self._table(place, number)
            )
            if table is None:
                raise InvalidData(
                    f"part {number} in {self.folder} was removed or changed while the "
                    "backtest ran. Run it again: intact parts are reused."
                )
            tables.append(table)
        return pd.concat(tables, ignore_index=True)

    def clear(self) -> None:
        """Remove the parts, whose content is elsewhere now, and the folder."""
        if self.folder is None or self.lock is None:
            return
        with _writable(self.folder):
            for path in list(self.folder.iterdir()):
                if self._is_mine(path):
                    path.unlink()
            # The label goes after the parts: ended in between, the same run can go on.
            (self.folder / _LABEL).unlink(missing_ok=True)
            # While it is held: whoever opens it later is refused, or opens another.
            # On Windows an open file cannot be removed.
            if os.name == "nt":
                self.lock.release()
            (self.folder / _LOCK).unlink(missing_ok=True)
            # What somebody else put there stays, and so does a link.
            if not self.folder.is_symlink() and not any(self.folder.iterdir()):
                self.folder.rmdir()

    def _is_mine(self, path: Path) -> bool:
        """Whether a file is a part of this backtest, whole or damaged.

        A whole part of another backtest, which somebody put there, is not.
        """
        part = _PART.fullmatch(path.name)
        if part is None or not _is_file(path):
            return False
        whole = _digest(path.read_bytes()) == part[2]
        return not whole or self._table(path, int(part[1])) is not None

    def _bytes(self, number: int, table: "pandas.DataFrame") -> bytes:
        """A part as Parquet has it, with what it is of."""
        made = import_module("pyarrow").Table.from_pandas(table, preserve_index=False)
        metadata: dict[bytes, bytes] = {**made.schema.metadata}
        metadata[_KEY] = self._mark(number)
        written = io.BytesIO()
        import_module("pyarrow.parquet").write_table(
            made.replace_schema_metadata(metadata), written
        )
        return written.getvalue()

    def _table(self, path: Path, number: int) -> "pandas.DataFrame | None":
        """The rows of a part; None if it is damaged or of something else."""
        try:
            content = path.read_bytes()
        except OSError:  # removed under way, or a disk that fails
            return None
        part = _PART.fullmatch(path.name)
        if part is None or _digest(content) != part[2]:
            return None
        try:
            table = import_module("pyarrow.parquet").read_table(io.BytesIO(content))
        except (OSError, ValueError):  # named like a part by somebody else
            return None
        metadata: Mapping[bytes, bytes] = table.schema.metadata or {}
        return table.to_pandas() if metadata.get(_KEY) == self._mark(number) else None

    def _mark(self, number: int) -> bytes:
        """What says of a part that it is of this backtest, and which."""
        origin = json.dumps(self.origin, sort_keys=True).encode()
        return f"{number} {hashlib.sha256(origin).hexdigest()}".encode()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _is_file(path: Path) -> bool:
    """Whether it is a file itself, and no link to one."""
    return path.is_file() and not path.is_symlink()


@contextmanager
def _writable(folder: Path) -> Generator[None]:
    """Say in our own words where the operating system refuses a folder."""
    try:
        yield
    except OSError as error:
        raise InvalidInput(
            f"cannot keep finished parts in {folder}: {error.strerror or error}. Give "
            "an output in a folder of yours, on a disk with room."
        ) from error


def _differences(before: Any, now: Any, name: str = "") -> Generator[str]:
    """What differs between two origins, in words."""
    if isinstance(before, dict) and isinstance(now, dict):
        old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", now)
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{name} {key}".strip())
    elif name == "methods" and _names(before) != _names(now):
        yield f"methods were {_short(_names(before))} and are {_short(_names(now))}"
    elif name == "methods":
        for one, other in zip(cast("Any", before), now, strict=True):
            yield from _differences(one, other, f"method {one['name']}")
    elif before != now:
        what = _short(name) or "what it is of"
        yield f"{what} was {_short(before)} and is {_short(now)}"


def _names(methods: Any) -> str:
    """Names of methods; a label that somebody else wrote may hold anything there."""
    try:
        return " ".join(one["name"] for one in methods)
    except (KeyError, TypeError):
        return str(methods)


def _short(value: Any) -> Any:
    """A value, or the beginning of a long one."""
    text = str(value)
    return f"{text[:_SHORT]}..." if len(text) > _SHORT + 10 else value
