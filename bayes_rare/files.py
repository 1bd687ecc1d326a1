"""Files that are written atomically: completely, or not at all."""

import errno
import glob
import os
import re
import secrets
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from bayes_rare.errors import InvalidInput

__all__ = ["refuse_unwritable", "replacing"]

# Characters of a file's name that its temporary file repeats: with what is put before
# them the name still has at most 255 bytes.
_REPEATED = 50
# Written to see whether the disk has room.
_PROBE = bytes(4096)
# Signals that end a process before it can clean up, unless it handles them.
_ENDINGS = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGHUP", "SIGINT")
    if hasattr(signal, name)
]
# Temporary files of this process.
_begun: set[Path] = set()


def refuse_unwritable(path: Path, *inputs: Path) -> None:
    """Refuse an output that cannot be written, before the work is done.

    A temporary file is written beside it and removed, as are missing folders: nothing
    else shows for certain what can be written.
    """
    with _refusing(path):
        target = _resolved(path)
        found = [name for one in inputs for name in glob.glob(str(one))]  # noqa: PTH207
        read = {*inputs, *map(Path, found)}
        if target.exists() and any(n.exists() and target.samefile(n) for n in read):
            raise InvalidInput(
                f"cannot write {path}: it is an input. Give another name."
            )
        if target.is_dir():
            raise InvalidInput(
                f"cannot write {path}: it is a folder. Give the name of a file in it."
            )
        if target.exists() and not target.is_file():
            raise InvalidInput(
                f"cannot write {path}: it is a device, which a file would replace. "
                "Give the name of a file."
            )
        nearest = next(folder for folder in target.parents if folder.exists())
        if not nearest.is_dir():
            raise InvalidInput(
                f"cannot write {path}: {nearest} is not a folder. Give a path in a "
                "folder."
            )
        with _half_written(target) as (written, _):
            written.write_bytes(_PROBE)
            with suppress(FileNotFoundError):
                target.lstat()  # raises if the name is too long
            raise _Enough


class _Enough(Exception):
    """The check is done, and nothing is to be kept."""


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A temporary path to write to, whose file replaces ``path`` on success.

    Otherwise ``path`` is unchanged and nothing is left beside it, even if a signal
    ends the process. What a killed process (SIGKILL) leaves is removed when the same
    file is next written. A missing folder is created.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "new" / "table.csv"
    ...     with replacing(target) as written:
    ...         _ = written.write_text("a,b")
    ...         early = target.stat().st_size if target.exists() else None
    ...     early, target.read_text()
    (None, 'a,b')
    """
    with _refusing(path):
        # A symbolic link remains one, to a new file.
        target = _resolved(path)
        with _half_written(target) as (written, held):
            yield written
            os.fsync(held.fileno())  # raises here at the latest if the disk is full
            if os.name == "nt":  # where an open file cannot be moved
                held.close()
            written.replace(target)


@contextmanager
def _refusing(path: Path) -> Generator[None]:
    """Turn errors of the operating system into our own."""
    try:
        yield
    except _Enough:
        pass
    except OSError as error:
        raise _unwritable(path, error) from error
    except ValueError as error:
        if _is_a_name(path):
            raise
        raise _unwritable(path, error) from error


def _resolved(path: Path) -> Path:
    """The path with all links resolved."""
    try:
        found = path.resolve()
    except RuntimeError as error:  # as of Python 3.12
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from error
    if found.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not found.name:  # the root directory
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return found


def _is_a_name(path: Path) -> bool:
    """Whether a file can have this name."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _unwritable(path: Path, error: Exception) -> InvalidInput:
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())
    shown = str(path).encode("utf-8", "replace").decode().replace("\0", "?")
    if len(shown) > 200:
        shown = f"{shown[:100]}...{shown[-90:]}"
    return InvalidInput(
        f"cannot write {shown}: {reason[:200]}. Give a path in a folder that you may "
        "write to, on a disk with free space."
    )


@contextmanager
def _half_written(target: Path) -> Generator[tuple[Path, IO[bytes]]]:
    """A new temporary file beside a target, opened, and removed at the end.

    Its name ends like the target's, for writers that take the format from it; the rest
    is unique to this process.
    """
    missing = [folder for folder in target.parents if not folder.exists()]
    written, held, done = target, None, False
    with _tidied_when_ended():
        try:
            _remove_leftovers(target)
            while held is None:
                token = secrets.token_hex(4)
                name = f".{os.getpid()}-{token}-{target.name[-_REPEATED:]}"
                written = target.with_name(name)
                _begun.add(written)
                held = _held(written, attempts_left=3)
            yield written, held
            done = True
        finally:
            if held is not None:
                held.close()
            with suppress(OSError):
                written.unlink(missing_ok=True)
            _begun.discard(written)
            if not done:
                for folder in missing:
                    with suppress(OSError):  # somebody else has put something there
                        folder.rmdir()


def _held(written: Path, attempts_left: int) -> IO[bytes] | None:
    """A new file, locked while it is open; None if another process removed it."""
    written.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = written.open("xb", buffering=0)
    except FileNotFoundError:
        if not attempts_left:
            raise
        return _held(written, attempts_left - 1)  # another removed the folder
    _lock(held)
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(held.fileno()), written.stat()):
            return held
    held.close()
    return None


def _lock(opened: IO[bytes]) -> bool:
    """Lock a file, if no other process has done so and the system can."""
    try:
        import fcntl

        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):  # on Windows, and on some file systems
        return False
    return True


def _remove_leftovers(target: Path) -> None:
    """Remove temporary files of killed processes, which nobody has locked."""
    repeated = re.escape(target.name[-_REPEATED:])
    leftover = re.compile(rf"\.\d+-[0-9a-f]{{8}}-{repeated}", re.ASCII)
    try:
        beside = [*target.parent.iterdir()]
    except OSError:  # there is no such folder yet, or it may not be listed
        return
    for path in beside:
        if not leftover.fullmatch(path.name) or path.is_symlink():
            continue
        with suppress(OSError), path.open("rb+") as held:  # gone, or not ours
            if _lock(held):
                path.unlink()


@contextmanager
def _tidied_when_ended() -> Generator[None]:
    """Remove temporary files if a signal ends the process.

    A signal that has a handler already is left to that handler.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    mine = [one for one in _ENDINGS if signal.getsignal(one) is signal.SIG_DFL]
    try:
        for one in mine:
            signal.signal(one, _end)
        yield
    finally:
        for one in mine:
            signal.signal(one, signal.SIG_DFL)


def _end(number: int, _: Any) -> None:
    """Remove temporary files, and let the signal have its default effect."""
    for path in list(_begun):
        with suppress(OSError):
            path.unlink(missing_ok=True)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
