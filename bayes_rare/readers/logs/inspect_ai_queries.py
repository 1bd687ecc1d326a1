"""Names of queries in Inspect logs, whose ids need not be unique.

Inspect enforces unique ids only from version 0.3.50, and numbers samples itself: after
a dataset is shuffled or edited, an id may belong to another input.
"""

import re
from typing import Any

from bayes_rare.readers.logs.json_stream import as_list, as_object

__all__ = ["QueryNames", "pieces"]

# Summaries keep this much of a text, and words in brackets for other content.
_KEPT = 5_120
_NO_TEXT = re.compile(r"\([A-Z][a-z_]+\)")


class QueryNames:
    """A name for each pair of id and input: the id itself for its first input.

    Examples
    --------
    >>> names = QueryNames()
    >>> [names.name("1", text) for text in ("one", "two", "one", None)]
    ['1', '1 (2)', '1', '1']
    >>> names.told_apart
    [('1', '1 (2)')]
    """

    def __init__(self) -> None:
        # Inputs are kept as hashes, as they are long.
        self._first: dict[str, int] = {}
        self._others: dict[tuple[str, int], str] = {}
        self._made: dict[str, None] = {}
        self._renamed: dict[str, str] = {}
        self.told_apart: list[tuple[str, str]] = []
        """Ids with several inputs, and the names made for the further inputs."""

    def name(self, identity: str, given: Any) -> str:
        """The name of a query."""
        texts = tuple(
            piece[:_KEPT] for piece in pieces(given) if not _NO_TEXT.fullmatch(piece)
        )
        mark = hash(texts) or 1 if texts else 0
        if identity not in self._first and identity in self._made:
            self._renamed[identity] = self._new(identity)
        first = self._first.setdefault(identity, mark)
        if mark and not first:
            first = self._first[identity] = mark
        if mark in {0, first}:
            return self._renamed.get(identity, identity)
        other = self._others.get((identity, mark))
        if other is None:
            other = self._others[identity, mark] = self._new(identity)
            self.told_apart.append((identity, other))
        return other

    def _new(self, identity: str) -> str:
        number = 2
        while (made := f"{identity} ({number})") in self._first or made in self._made:
            number += 1
        self._made[made] = None
        return made


def pieces(given: Any) -> list[str]:
    """The texts of an input.

    Examples
    --------
    >>> pieces([{"role": "user", "content": [{"type": "text", "text": "Hello"}]}])
    ['Hello']
    """
    if isinstance(given, str):
        return [given] if given else []
    found: list[str] = []
    for message in as_list(given):
        content = as_object(message).get("content")
        for piece in as_list(content) or [content]:
            text = as_object(piece).get("text") or piece
            if isinstance(text, str):
                found.append(text)
    return found
