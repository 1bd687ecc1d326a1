"""Which families hold the riskiest query, by the number of queries."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bayes_rare.plotting.backends import only_matplotlib
from bayes_rare.plotting.figures import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    head,
    panel_grid,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["contributions"]

_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, AMBER, SKY)
_COLUMNS, _WIDTH, _HEIGHT = 3, 3.9, 3.1
# Letters of a family's name in a legend.
_NAME = 24


def contributions(
    shares: "pandas.DataFrame",
    *,
    most: int = 6,
    title: str = "",
    doubtful: bool = False,
    backend: str | None = None,
) -> "Figure":
    """Chance of each family to hold the riskiest query, against the number of queries.

    A panel for each behaviour, in which chances are stacked up to 1: the families that
    are likeliest at the largest number have colours, and all others are grey.

    Parameters
    ----------
    shares
        Columns ``behaviour, queries, family, chance_of_worst``, as
        `Forecast.family_contributions` gives.
    most
        Families that have a colour in each panel, at least 1.
    title
        Heading of the picture.
    doubtful
        Whether to mark the picture as made from a fit that did not converge.
    backend
        None or ``"matplotlib"``, which alone draws this picture.

    Raises
    ------
    InvalidInput
        If another backend is asked for.
    """
    only_matplotlib(backend)
    behaviours = list(dict.fromkeys(shares["behaviour"]))
    figure, panels = panel_grid(
        len(behaviours), columns=_COLUMNS, width=_WIDTH, height=_HEIGHT, sharex=True
    )
    for panel, behaviour in zip(panels.flat, behaviours, strict=False):
        _stack(panel, shares.query("behaviour == @behaviour"), most)
        head(panel, behaviour)
    for panel in panels[-1]:
        panel.set_xlabel("queries served", fontsize="small")
    figure.supylabel("chance to hold the riskiest query", fontsize="medium")
    heading = f"{title}: THE FIT DID NOT CONVERGE" if doubtful else title
    figure.suptitle(heading, color=RED if doubtful else "black")
    return figure


def _stack(panel: "Axes", shares: "pandas.DataFrame", most: int) -> None:
    """The families of one behaviour."""
    table = shares.pivot_table(
        index="queries", columns="family", values="chance_of_worst", aggfunc="sum"
    ).fillna(0.0)
    last = table.iloc[-1].sort_values(ascending=False)
    named: Sequence[str] = [str(name) for name in last.index[:most]]
    others = 1 - table[named].sum(axis=1)
    heights = [*(table[name].to_numpy() for name in named), others.to_numpy()]
    colours = [_COLOURS[number % len(_COLOURS)] for number in range(len(named))]
    labels = [name if len(name) <= _NAME else f"{name[: _NAME - 1]}…" for name in named]
    panel.stackplot(
        table.index.to_numpy(),
        *heights,
        labels=[*labels, "others"],
        colors=[*colours, GREY],
        alpha=0.85,
    )
    panel.set_xscale("log")
    panel.set_ylim(0, 1)
    panel.margins(x=0)
    panel.tick_params(labelsize="small")
    panel.legend(fontsize="x-small", loc="lower left", framealpha=0.8)
