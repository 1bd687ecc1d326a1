r"""Text that no file can hold: halves of characters, as JSON may escape them.

JSON writes a character such as an emoji as two halves, ``"\ud83d\ude00"``; where a
tool cut a text between them, one half is left. Python reads it; UTF-8, and with it
Parquet, NetCDF and a terminal, cannot hold it.
"""

__all__ = ["REPLACEMENT", "Storable", "storable"]

REPLACEMENT = "\ufffd"
"""What stands for half of a character: Unicode's own sign of one that is unknown."""


def storable(text: str) -> str:
    r"""A text whose halves of characters are joined, or replaced where one is missing.

    Parameters
    ----------
    text
        Any text.

    Examples
    --------
    >>> storable("a\ud83d") == "a\ufffd", storable("\ud83d\ude00") == "\U0001f600"
    (True, True)
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class Storable:
    r"""Names that files can hold; different ones stay different.

    Examples
    --------
    >>> names = Storable()
    >>> names.name("a"), names.name("\ud83d"), names.name("\ud83e")
    ('a', '�', '� (2)')
    >>> names.replaced
    2
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()
        self.replaced = 0
        """How many names had half of a character."""

    def name(self, text: str) -> str:
        """The name as files can hold it.

        Parameters
        ----------
        text
            The name as it was read.
        """
        plain = storable(text)
        # Any other name cannot meet one that was made here.
        if REPLACEMENT not in plain:
            return plain
        if text not in self._names:
            name, number = plain, 1
            while name in self._taken:
                number += 1
                name = f"{plain} ({number})"
            self._names[text] = name
            self._taken.add(name)
            self.replaced += plain != text
        return self._names[text]

    @property
    def example(self) -> str:
        """A name that was made; none where nothing was replaced."""
        return next((made for text, made in self._names.items() if made != text), "")
