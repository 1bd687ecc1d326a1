"""Python files that somebody wrote, as bytes: what was hashed is what runs."""

import ast
import hashlib
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from bayes_rare.errors import InvalidInput, NoSuchModel

__all__ = ["ModelFiles", "Source", "named_files", "refuse_unused"]

type ModelFiles = str | Path | Sequence[str | Path] | None
"""The file of a model of the user's own, or several; None for none."""


@dataclass(frozen=True)
class Source:
    """A Python file as it was when it was read.

    Parameters
    ----------
    path
        Where it lay, absolute.
    content
        Its bytes.
    """

    path: Path
    content: bytes = field(repr=False)

    @classmethod
    def read(cls, path: str | Path) -> "Source":
        """The file at a path; nothing of it runs.

        Raises
        ------
        NoSuchModel
            If there is none, or it cannot be read.
        """
        try:
            found = Path(path).resolve()
            return cls(found, found.read_bytes())
        except FileNotFoundError as error:
            raise NoSuchModel(
                f"there is no file {path}. Give a path that exists."
            ) from error
        except (OSError, ValueError) as error:
            raise NoSuchModel(
                f"{str(path)[:200]!r} cannot be read as a file: "
                f"{getattr(error, 'strerror', None) or error}. Give the path of a "
                "Python file."
            ) from error

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def summary(self) -> str:
        """First line of the docstring; nothing of the file runs."""
        tree = ast.parse(self.content, filename=str(self.path))
        return (ast.get_docstring(tree) or "").partition("\n")[0]

    def run(self) -> dict[str, Any]:
        """What the file defines, by name: its content is run."""
        name = f"bayes_rare_file_{self.digest[:16]}"
        module = ModuleType(name)
        module.__file__ = str(self.path)
        code = compile(self.content, str(self.path), "exec", dont_inherit=True)
        sys.modules[name] = module  # where a dataclass looks its annotations up
        try:
            exec(code, vars(module))
        finally:
            sys.modules.pop(name, None)
        return vars(module)


def named_files(model_file: ModelFiles) -> dict[str, Source]:
    """The files that a user names in a call, by digest.

    Parameters
    ----------
    model_file
        A path, several, or None.

    Raises
    ------
    NoSuchModel
        If there is no such file.
    InvalidInput
        If it is no path of a Python file.
    """
    if model_file is None:
        return {}
    given: list[Any] = (
        [*model_file]
        if isinstance(model_file, Sequence) and not isinstance(model_file, str)
        else [model_file]
    )
    found: dict[str, Source] = {}
    for one in given:
        if not isinstance(one, str | Path) or not str(one).endswith(".py"):
            raise InvalidInput(
                "model_file is the path of a Python file, ending in .py, or several; "
                f"got {str(one)[:200]!r}."
            )
        source = Source.read(one)
        found[source.digest] = source
    return found


def refuse_unused(files: dict[str, Source], digests: Iterable[str], what: str) -> None:
    """Refuse a file that was named and is of no model.

    Parameters
    ----------
    files
        The files, by digest.
    digests
        SHA-256 of the models' files.
    what
        What has these models, for the message.

    Raises
    ------
    InvalidInput
        If one is of none.
    """
    known = set(digests)
    for digest, source in files.items():
        if digest not in known:
            raise InvalidInput(
                f"{source.path.name} (SHA-256 {digest[:12]}) is no file of a model of "
                f"{what}. Leave it out of model_file, or name the file as it was."
            )
