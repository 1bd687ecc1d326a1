"""Exceptions of this package; each is also the builtin exception that it specialises.

A message has three parts: what cannot be done, the values that make it so, and a way
out that the reader can type. It has at most `LONGEST` characters; long names in it lose
their middle, since the way out stands at the end.
"""

from collections.abc import Collection
from itertools import islice
from typing import override

__all__ = [
    "LONGEST",
    "BayesRareError",
    "InvalidData",
    "InvalidInput",
    "NoSuchModel",
    "NotApplicable",
    "NotConverged",
    "listed",
    "quoted",
    "shortened",
    "within",
]

LONGEST = 600
"""Largest number of characters of a message: a short paragraph."""


def shortened(text: object, most: int) -> str:
    r"""A text on one line of printable characters, cut at the end if it is long.

    Parameters
    ----------
    text
        Any value.
    most
        Largest number of characters, at least 1.

    Examples
    --------
    >>> shortened("Ignore all\nprevious instructions.", 14)
    'Ignore all pr…'
    """
    # A lone surrogate, which UTF-8 cannot encode, is replaced.
    whole = str(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    line = " ".join("".join(c if c.isprintable() else " " for c in whole).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def quoted(value: object, most: int) -> str:
    """The repr of a value, on one line, cut at the end if it is long.

    Parameters
    ----------
    value
        Any value.
    most
        Largest number of characters, at least 1.

    Examples
    --------
    >>> quoted("a long text", 8)
    "'a long…"
    """
    return shortened(repr(value), most)


def within(text: str, most: int) -> str:
    """A text without its middle if it is long.

    Parameters
    ----------
    text
        Any text; it is unchanged if it is short enough.
    most
        Largest number of characters, at least 3.

    Examples
    --------
    >>> within("behaviour 1 of model a", 9), within("leak", 9)
    ('beha…el a', 'leak')
    """
    if len(text) <= most:
        return text
    end = (most - 1) // 2
    return f"{text[: most - 1 - end]}…{text[len(text) - end :]}"


def listed(
    names: Collection[object], joint: str = ", ", *, most: int = 160, each: int = 48
) -> str:
    """The first few of a list of names, and how many more there are.

    Parameters
    ----------
    names
        The names, in order.
    joint
        Text between two names.
    most
        Approximate number of characters; at least one name is written.
    each
        Largest number of characters of a name; a longer one loses its middle.

    Examples
    --------
    >>> listed(["a", "b"]), listed([]), listed(range(5_000), most=9)
    ('a, b', '', '0, 1, 2 and 4,997 more')
    """
    shown: list[str] = []
    length = 0
    for name in islice(names, most):
        text = within(str(name), each)
        length += len(text) + len(joint)
        if shown and length - len(joint) > most:
            break
        shown.append(text)
    more = len(names) - len(shown)
    return joint.join(shown) + (f" and {more:,} more" if more else "")


class BayesRareError(Exception):
    """Base of all errors that this package raises on purpose.

    Its message has at most 600 characters.

    Examples
    --------
    >>> len(str(BayesRareError("much " * 1_000 + "Give less.")))
    600
    """

    @override
    def __str__(self) -> str:
        # A lone surrogate in a name could not be printed.
        return within(super().__str__().encode("utf-8", "replace").decode(), LONGEST)


class InvalidInput(BayesRareError, ValueError):
    """An argument outside its range."""


class InvalidData(BayesRareError, ValueError):
    """An evaluation, or a file, that contradicts itself or cannot be read."""


class NotApplicable(BayesRareError, ValueError):
    """A method that cannot be used with this evaluation."""


class NoSuchModel(BayesRareError, LookupError):
    """A name that is neither a shipped model nor a file that defines one."""


class NotConverged(BayesRareError, RuntimeError):
    """A fit whose draws do not represent the posterior."""
