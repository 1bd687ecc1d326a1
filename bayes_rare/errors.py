"""What can go wrong, as types: one base, and each is also the builtin it specialises.

A message has three parts: what cannot be done, the numbers that make it so, and the
way out as something the reader can type. It has at most `LONGEST` characters: whatever
is named in it may be long, and loses its middle, for the way out stands at the end.
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
"""Characters of a refusal, at most: a paragraph that is read to its end."""


def shortened(text: object, most: int) -> str:
    r"""A text in one line of printable characters, its end left out if it is long.

    Parameters
    ----------
    text
        Anything.
    most
        Characters, at least 1.

    Examples
    --------
    >>> shortened("Ignore all\nprevious instructions.", 14)
    'Ignore all pr…'
    """
    # Half a character, which no file can hold, is shown as what takes its place.
    whole = str(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    line = " ".join("".join(c if c.isprintable() else " " for c in whole).split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def quoted(value: object, most: int) -> str:
    """A value as Python writes it, on one line, its end left out if it is long.

    Parameters
    ----------
    value
        Anything.
    most
        Characters, at least 1.

    Examples
    --------
    >>> quoted("a long text", 8)
    "'a long…"
    """
    return shortened(repr(value), most)


def within(text: str, most: int) -> str:
    """A text whose middle is left out if it is long: beginnings and endings tell most.

    Parameters
    ----------
    text
        Any text; it stays as it is where it is short enough.
    most
        Characters, at least 3.

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
    """The first few of some names, and how many more there are.

    Parameters
    ----------
    names
        What is named, in its order.
    joint
        What stands between two of them.
    most
        Characters, about; at least one name is written.
    each
        Characters of a name, which loses its middle if it is longer.

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
    """Base of every error that this package raises on purpose.

    Its message has at most 600 characters, whatever it was made from.

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
    """An evaluation that says something impossible, or says it twice."""


class NotApplicable(BayesRareError, ValueError):
    """A method asked for an evaluation that it does not serve."""


class NoSuchModel(BayesRareError, LookupError):
    """A model that is neither shipped nor a file that defines one."""


class NotConverged(BayesRareError, RuntimeError):
    """A fit whose draws do not represent its posterior."""
