"""Finished parts of a backtest: kept as they come, and joined at the end."""

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from bayes_rare.errors import InvalidData
from bayes_rare.files import replacing

if TYPE_CHECKING:
    import pandas

__all__ = ["Store", "parts_folder"]

# What the parts of a folder are of.
_LABEL = "backtest.json"
# Held by the process that is at work on them.
_LOCK = ".lock"


def parts_folder(output: Path) -> Path:
    """Where the parts of a backtest lie while it is not done.

    Parameters
    ----------
    output
        The file that it will be.
    """
    return output.with_name(f"{output.name}.parts")


@dataclass(eq=False)
class Store:
    """Finished parts: in a folder, or in memory where there is none.

    Parameters
    ----------
    folder
        Where they lie.
    origin
        What the parts depend on.
    held
        Parts in memory, by number.
    locked
        Open as long as no other process may work on the folder.
    """

    folder: Path | None
    origin: Mapping[str, Any]
    held: dict[int, "pandas.DataFrame"] = field(default_factory=dict[int, Any])
    locked: IO[str] | None = None

    @classmethod
    def opened(cls, folder: Path | None, origin: Mapping[str, Any]) -> "Store":
        """The parts that there are, ready for more.

        Parameters
        ----------
        folder
            Where they lie; made if it is missing.
        origin
            What they depend on.

        Raises
        ------
        InvalidData
            If the folder holds parts of another backtest.
        """
        store = cls(folder, origin)
        if folder is None:
            return store
        label = folder / _LABEL
        if label.is_file():
            store._refuse_another(label)
        elif folder.exists() and any(path.name != _LOCK for path in folder.iterdir()):
            raise InvalidData(
                f"{folder} is to hold the parts of a backtest, and holds other things. "
                "Delete it, or give another output."
            )
        else:
            with replacing(label) as written:
                written.write_text(json.dumps(origin, indent=1), encoding="utf-8")
        store._lock()
        return store

    @classmethod
    def clear_leftovers(cls, folder: Path, origin: Mapping[str, Any]) -> None:
        """Remove what a run left that was ended after its last step but one.

        Parameters
        ----------
        folder
            Where parts lie, if they do; those of another backtest stay.
        origin
            What they depend on.
        """
        label = folder / _LABEL
        if label.is_file() and json.loads(label.read_text("utf-8")) == origin:
            with cls.opened(folder, origin) as store:
                store.clear()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        if self.locked is not None:
            self.locked.close()

    def _lock(self) -> None:
        """Keep a second run away for as long as this process lives."""
        assert self.folder is not None
        try:
            import fcntl
        except ImportError:  # not on Windows
            return
        self.locked = (self.folder / _LOCK).open("w")
        try:
            fcntl.flock(self.locked, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.locked.close()
            raise InvalidData(
                f"another process is at work on {self.folder}. Wait until it is done, "
                "or give another output."
            ) from error

    def _refuse_another(self, label: Path) -> None:
        """Refuse to go on with parts that were made of something else."""
        try:
            before = json.loads(label.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidData(
                f"{label} cannot be read ({error}). Delete {label.parent}, and begin "
                "again."
            ) from error
        differences = list(_differences(before, dict(self.origin)))
        if differences:
            raise InvalidData(
                f"{label.parent} holds the finished parts of another backtest: "
                f"{'; '.join(differences[:5])}. Run it as it was, give another output, "
                f"or delete {label.parent} to begin again."
            )

    def done(self) -> set[int]:
        """Numbers of the finished parts; a damaged one is to be done again."""
        if self.folder is None:
            return set(self.held)
        numbers: set[int] = set()
        for path in self.folder.glob("*.parquet"):
            if not path.stem.isdecimal():  # half written, by a run that was killed
                path.unlink()
            elif _is_whole(path):
                numbers.add(int(path.stem))
        return numbers

    def keep(self, number: int, table: "pandas.DataFrame") -> None:
        """Keep a finished part.

        Parameters
        ----------
        number
            Its place in the table.
        table
            Its rows.
        """
        if self.folder is None:
            self.held[number] = table
            return
        with replacing(self._place(number)) as written:
            table.to_parquet(written, index=False)

    def joined(self, parts: int) -> "pandas.DataFrame":
        """All parts as one table, in the order of their numbers.

        Parameters
        ----------
        parts
            How many there are.
        """
        import pandas as pd

        tables = [
            self.held[number]
            if self.folder is None
            else pd.read_parquet(self._place(number))
            for number in range(parts)
        ]
        return pd.concat(tables, ignore_index=True)

    def clear(self) -> None:
        """Remove the parts, whose content is elsewhere now, and the folder."""
        if self.folder is None:
            return
        for path in self.folder.glob("*.parquet"):
            path.unlink()
        # The label goes after the parts: ended in between, the same run can go on.
        for name in (_LABEL, _LOCK):
            (self.folder / name).unlink(missing_ok=True)
        if not any(self.folder.iterdir()):  # what somebody else put there stays
            self.folder.rmdir()

    def _place(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"{number:06d}.parquet"


def _is_whole(path: Path) -> bool:
    """Whether a part can be read: one that a loss of power cut short cannot."""
    try:
        import_module("pyarrow.parquet").read_metadata(path)
    except (OSError, ValueError):
        return False
    return True


def _differences(before: Any, now: Any, name: str = "") -> Generator[str]:
    """What differs between two origins, in words."""
    if isinstance(before, dict) and isinstance(now, dict):
        old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", now)
        for key in sorted({*old, *new}):
            yield from _differences(old.get(key), new.get(key), f"{name} {key}".strip())
    elif name == "methods" and _names(before) != _names(now):
        yield f"methods were {_names(before)} and are {_names(now)}"
    elif name == "methods":
        for one, other in zip(cast("Any", before), now, strict=True):
            yield from _differences(one, other, f"method {one['name']}")
    elif before != now:
        yield f"{name} was {_short(before)} and is {_short(now)}"


def _names(methods: Any) -> str:
    return " ".join(one["name"] for one in methods)


def _short(value: Any) -> Any:
    """A value, or the beginning of a digest."""
    text = str(value)
    return f"{text[:12]}..." if isinstance(value, str) and len(text) > 40 else value
