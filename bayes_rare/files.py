"""Files that appear whole or not at all."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from bayes_rare.errors import InvalidInput

__all__ = ["refuse_unwritable", "replacing"]


def refuse_unwritable(path: Path, *inputs: Path) -> None:
    """Refuse an output that could not be written, before the work is done.

    Parameters
    ----------
    path
        Where a file is to be written; its folder need not exist yet.
    *inputs
        Files that are read, and must not be replaced by what is made of them.

    Raises
    ------
    InvalidInput
        If it is one of the inputs, a folder or a device, or lies in what is no folder
        or may not be written to.
    """
    if any(path.exists() and one.exists() and path.samefile(one) for one in inputs):
        raise InvalidInput(
            f"cannot write {path}: it is what is read. Give another name."
        )
    if path.is_dir():
        raise InvalidInput(
            f"cannot write {path}: it is a folder. Give the name of a file in it."
        )
    if path.exists() and not path.is_file():
        raise InvalidInput(
            f"cannot write {path}: it is a device, and would be replaced by a file. "
            "Give the name of a file."
        )
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir():
        raise InvalidInput(
            f"cannot write {path}: {nearest} is no folder. Give a path in a folder."
        )
    if not os.access(nearest, os.W_OK):
        raise InvalidInput(
            f"cannot write {path}: {nearest} may not be written to. Give a path in a "
            "folder of yours."
        )


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A path to write to, whose file takes the place of ``path`` if all goes well.

    If not, ``path`` stays what it was and nothing is left beside it. A missing folder
    is made.

    Parameters
    ----------
    path
        The file that is to appear.

    Raises
    ------
    InvalidInput
        If the operating system refuses.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder) / "new" / "table.csv"
    ...     with replacing(target) as written:
    ...         _ = written.write_text("a,b")
    ...         early = target.exists()
    ...     early, target.read_text()
    (False, 'a,b')
    """
    # A link stays a link, to a new file.
    path = path.resolve()
    # The ending stays, for writers that tell the format from it; the rest of the name
    # is that of this process alone.
    written = path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield written
        written.replace(path)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())
        raise InvalidInput(
            f"cannot write {path}: {reason}. Give a path in a folder of yours, on a "
            "disk with room."
        ) from error
    finally:
        if written.is_file():
            written.unlink()
