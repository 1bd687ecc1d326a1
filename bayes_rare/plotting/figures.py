"""What the pictures share: colours, a grid of panels, and writing to a file."""

import math
import textwrap
from collections.abc import Iterable, Sequence
from functools import cache
from io import BytesIO
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bayes_rare.plotting.backends import picture_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "AMBER",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "RED",
    "SKY",
    "Look",
    "head",
    "legend_below",
    "looks",
    "panel_grid",
    "remark",
    "save",
    "shown_figure",
    "written",
]

# Okabe & Ito (2008): colours that stay apart for colour-blind readers.
BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, GREY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#555555",
)
RED = "#B00020"
"""What is wrong, or may be."""

# Seven colours and nine markers, each in turn: 63 methods that differ, and the first
# seven differ in both.
_METHOD_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY, GREY)
_METHOD_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*")
# Letters that fit above a panel.
_TITLE = 40
# Inches that a letter of small print takes, and the letters that a mark beside it does.
_LETTER, _HANDLE = 0.085, 6


class Look(NamedTuple):
    """Colour and marker of a method, the same in every panel.

    Parameters
    ----------
    colour
        As matplotlib reads it.
    marker
        Likewise.
    """

    colour: str
    marker: str


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """A look for each method, by its place in the list.

    Examples
    --------
    >>> found = looks(f"method {number}" for number in range(60))
    >>> len(set(found.values()))
    60
    """
    styles = zip(cycle(_METHOD_COLOURS), cycle(_METHOD_MARKERS), strict=False)
    names = dict.fromkeys(methods)
    return {
        name: Look(colour, marker)
        for name, (colour, marker) in zip(names, styles, strict=False)
    }


@cache
def shown_figure() -> "type[Figure]":
    """Figures that a notebook shows whether or not pyplot has been imported."""
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            picture = BytesIO()
            self.savefig(picture, format="png")
            return picture.getvalue()

    return ShownFigure


def panel_grid(
    count: int,
    *,
    columns: int,
    width: float,
    height: float,
    above: float = 1.0,
    beside: float = 0.4,
    **shared: Any,
) -> tuple["Figure", Any]:
    """A figure and its array of panels, those beyond the count hidden."""
    columns = min(columns, count)
    rows = math.ceil(count / columns)
    figure = shown_figure()(
        figsize=(width * columns + beside, height * rows + above), layout="constrained"
    )
    panels: Any = figure.subplots(rows, columns, squeeze=False, **shared)
    for panel in panels.flat[count:]:
        panel.set_visible(False)
    return figure, panels


def head(panel: "Axes", title: str) -> None:
    """Write a name above a panel.

    A name is no formula, whatever dollar signs it has, and no longer than its panel.
    """
    short = title if len(title) <= _TITLE else f"{title[: _TITLE - 1]}…"
    panel.set_title(short, fontsize="medium", parse_math=False)


def remark(panel: "Axes", text: str, *, alarm: bool) -> None:
    """Write a short remark into the upper left corner of a panel, red if an alarm."""
    panel.text(
        0.02,
        0.98,
        text,
        transform=panel.transAxes,
        verticalalignment="top",
        fontsize="x-small",
        color=RED if alarm else GREY,
        parse_math=False,
    )


def legend_below(
    figure: "Figure",
    handles: Sequence[Any],
    labels: Sequence[str],
    *,
    columns: int,
    caption: str = "",
) -> None:
    """A legend below all panels, under a caption."""
    width = figure.get_figwidth()
    entry = _LETTER * (max(map(len, labels), default=0) + _HANDLE)
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=max(1, min(len(labels), columns, int(width / entry))),
        frameon=False,
        fontsize="small",
        title=textwrap.fill(caption, int(width / _LETTER)) or None,
        title_fontproperties={"size": "small"},
    ).get_title().set_parse_math(False)


def save(figure: "Figure", path: str | Path) -> Path:
    """Write a figure atomically; replaces an existing file.

    Parameters
    ----------
    figure
        What to write.
    path
        Where; the ending says in which format.
    """
    path = Path(path)
    with picture_file(path) as written:
        figure.savefig(written, dpi=150)
    return path


def written(figure: "Figure", path: str | Path | None) -> "Figure":
    """The figure, after it was saved where a path is given.

    Parameters
    ----------
    figure
        What to show, and to write.
    path
        Where, if anywhere.
    """
    if path is not None:
        save(figure, path)
    return figure
