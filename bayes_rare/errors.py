"""What can go wrong, as types: one base, and each is also the builtin it specialises.

A message has three parts: what cannot be done, the numbers that make it so, and the
way out as something the reader can type. It has at most `LONGEST` characters: whatever
is named in it may be long, and loses its middle, for the way out stands at the end.
"""

from typing import override

from bayes_rare.shortening import LONGEST, within

__all__ = [
    "BayesRareError",
    "InvalidData",
    "InvalidInput",
    "NoSuchModel",
    "NotApplicable",
    "NotConverged",
]


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
