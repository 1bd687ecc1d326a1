"""Files that appear whole or not at all."""

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

# Characters of a name that its half-written file repeats: what is in front of them
# still fits into the 255 bytes of a name.
_REPEATED = 50
# Written to see whether there is room at all.
_PROBE = bytes(4096)
# What ends a process before it could tidy up, unless it listens.
_ENDINGS = [
    getattr(signal, name)
    for name in ("SIGTERM", "SIGHUP", "SIGINT")
    if hasattr(signal, name)
]
# Half-written files of this process.
_begun: set[Path] = set()


def refuse_unwritable(path: Path, *inputs: Path) -> None:
    """Refuse an output that could not be written, before the work is done.

    A file is written beside it and removed again, in folders that are made and removed
    again where they are missing: nobody else knows for certain what can be written.
    """
    with _refusing(path):
        target = _resolved(path)
        found = [name for one in inputs for name in glob.glob(str(one))]  # noqa: PTH207
        read = {*inputs, *map(Path, found)}
        if target.exists() and any(n.exists() and target.samefile(n) for n in read):
            raise InvalidInput(
                f"cannot write {path}: it is what is read. Give another name."
            )
        if target.is_dir():
            raise InvalidInput(
                f"cannot write {path}: it is a folder. Give the name of a file in it."
            )
        if target.exists() and not target.is_file():
            raise InvalidInput(
                f"cannot write {path}: it is a device, and would be replaced by a "
                "file. Give the name of a file."
            )
        nearest = next(folder for folder in target.parents if folder.exists())
        if not nearest.is_dir():
            raise InvalidInput(
                f"cannot write {path}: {nearest} is no folder. Give a path in a folder."
            )
        with _half_written(target) as (written, _):
            written.write_bytes(_PROBE)
            with suppress(FileNotFoundError):
                target.lstat()  # complains of a name that is too long
            raise _Enough


class _Enough(Exception):
    """What was to be seen has been seen: nothing is to be kept."""


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A path to write to, whose file takes the place of ``path`` if all goes well.

    If not, ``path`` stays what it was and nothing is left beside it, also where the
    process is ended by a signal that it can hear. What a process left that was killed
    outright goes when the same file is next written. A missing folder is made.

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
        # A link stays a link, to a new file.
        target = _resolved(path)
        with _half_written(target) as (written, held):
            yield written
            os.fsync(held.fileno())  # a disk that was full all along says so here
            if os.name == "nt":  # which moves no open file
                held.close()
            written.replace(target)


@contextmanager
def _refusing(path: Path) -> Generator[None]:
    """Say in our own words what the operating system refuses."""
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
    """Where a path leads, past all links."""
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
    """Whether the operating system could have a file of this name."""
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
        f"cannot write {shown}: {reason[:200]}. Give a path in a folder of yours, on a "
        "disk with room."
    )


@contextmanager
def _half_written(target: Path) -> Generator[tuple[Path, IO[bytes]]]:
    """A new file beside a target, and it opened; gone at the end, if still there.

    The ending of its name is that of the target, for writers that tell the format from
    it; the rest is of this process alone.
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
    """A new file, locked while it is open; None if another took it for a leftover."""
    written.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = written.open("xb", buffering=0)
    except FileNotFoundError:
        if not attempts_left:
            raise
        return _held(written, attempts_left - 1)  # its folder was tidied away
    _lock(held)
    with suppress(FileNotFoundError):
        if os.path.samestat(os.fstat(held.fileno()), written.stat()):
            return held
    held.close()
    return None


def _lock(opened: IO[bytes]) -> bool:
    """Lock a file, if no other process has and the system knows how."""
    try:
        import fcntl

        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):  # on Windows, and on some file systems
        return False
    return True


def _remove_leftovers(target: Path) -> None:
    """Remove what killed processes left half written: nobody has it locked."""
    repeated = re.escape(target.name[-_REPEATED:])
    leftover = re.compile(rf"\.\d+-[0-9a-f]{{8}}-{repeated}", re.ASCII)
    try:
        beside = [*target.parent.iterdir()]
    except OSError:  # no such folder yet, or one that may not be listed
        return
    for path in beside:
        if not leftover.fullmatch(path.name) or path.is_symlink():
            continue
        with suppress(OSError), path.open("rb+") as held:  # gone, or somebody else's
            if _lock(held):
                path.unlink()


@contextmanager
def _tidied_when_ended() -> Generator[None]:
    """Remove half-written files if a signal ends the process, and end by it then.

    Where somebody else listens, it is for them to end the process in an orderly way.
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
    """Tidy up, and let the signal do what it does by default."""
    for path in list(_begun):
        with suppress(OSError):
            path.unlink(missing_ok=True)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
