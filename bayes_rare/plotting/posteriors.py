"""Pictures of a posterior: its fit to the tail, its thresholds and its chains."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rare.diagnostics.tail_checks import TailCheck
from bayes_rare.errors import InvalidInput
from bayes_rare.plotting.backends import only_matplotlib
from bayes_rare.plotting.figures import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    head,
    legend_below,
    panel_grid,
    remark,
)
from bayes_rare.plotting.forecasts import risk_ticks

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["quantiles", "ranks", "thresholds"]

_COLUMNS, _WIDTH, _HEIGHT = 3, 3.4, 2.8
_MARGIN = 0.06
# Colours and styles of chains: the first eight differ in both.
_CHAIN_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, AMBER)
_CHAIN_STYLES = ("-", "--", ":", "-.")
_BAND = 0.99
# Scores beyond these, of risks below 1e-300 and above 0.999, would hide the others.
_NO_RISK, _CERTAIN = -6.6, 6.9


def quantiles(
    frame: "pandas.DataFrame",
    *,
    title: str = "",
    backend: str | None = None,
) -> "Figure":
    """The riskiest evaluated queries, against what the model expects.

    A panel for each behaviour: points near the diagonal and inside the band follow the
    fitted tail. Both axes are even in the score, labelled by the risk.

    Parameters
    ----------
    frame
        Columns ``behaviour, observed, lower, median, upper``, scores; a row for each of
        the riskiest queries.
    title
        Heading of the picture.
    backend
        None or ``"matplotlib"``, which alone draws this picture.

    Raises
    ------
    InvalidInput
        If there is no row, or another backend is asked for.
    """
    only_matplotlib(backend)
    behaviours = _behaviours(frame, "query")
    figure, panels = panel_grid(
        len(behaviours), columns=_COLUMNS, width=_WIDTH, height=_HEIGHT, beside=0.6
    )
    for panel, behaviour in zip(panels.flat, behaviours, strict=False):
        own = _of(frame, behaviour).sort_values("median")
        panel.fill_between(
            own["median"],
            own["lower"],
            own["upper"],
            color=BLUE,
            alpha=0.2,
            linewidth=0,
            label="90 % interval",
        )
        panel.plot(
            own["median"], own["median"], color=BLUE, linewidth=1.5, label="expected"
        )
        panel.plot(
            own["median"],
            own["observed"],
            linestyle="none",
            marker="o",
            markersize=3.2,
            color="black",
            label="observed",
        )
        head(panel, behaviour)
        _label_risks(panel, "x")
        _label_risks(panel, "y")
    _finish(figure, panels, "risk expected by the model", "observed risk")
    figure.suptitle(title, parse_math=False)
    return figure


def thresholds(
    frame: "pandas.DataFrame",
    *,
    checks: Mapping[str, Sequence[TailCheck]] | None = None,
    title: str = "",
    backend: str | None = None,
) -> "Figure":
    """Forecasts of the riskiest query with lower and higher thresholds.

    A panel for each behaviour. Where the number of queries above the threshold moves
    the forecast by more than its interval, the model does not describe the tail.

    Parameters
    ----------
    frame
        Columns ``behaviour, method, exceedances, lower, median, upper``, the last three
        scores.
    checks
        Checks of the tail by behaviour; a panel shows how far its thresholds disagree.
    title
        Heading of the picture.
    backend
        None or ``"matplotlib"``, which alone draws this picture.

    Raises
    ------
    InvalidInput
        If there is no row, or another backend is asked for.
    """
    only_matplotlib(backend)
    behaviours = _behaviours(frame, "threshold")
    methods = list(dict.fromkeys(frame["method"]))
    figure, panels = panel_grid(
        len(behaviours),
        columns=_COLUMNS,
        width=_WIDTH,
        height=_HEIGHT,
        beside=0.6,
    )
    for panel, behaviour in zip(panels.flat, behaviours, strict=False):
        for place, (method, colour, marker) in enumerate(
            zip(methods, cycle((BLUE, ORANGE, GREEN)), cycle("os^"), strict=False)
        ):
            own = _of(_of(frame, behaviour), method, "method")
            low, middle, high = (
                np.clip(own[name], _NO_RISK, _CERTAIN)
                for name in ("lower", "median", "upper")
            )
            panel.errorbar(
                # Side by side on a logarithmic axis, whatever the number.
                own["exceedances"] * 1.06**place,
                middle,
                yerr=[middle - low, high - middle],
                color=colour,
                marker=marker,
                markersize=4.5,
                linestyle="none",
                linewidth=1.3,
                label=method,
            )
        counts = sorted(set(_of(frame, behaviour)["exceedances"]))
        panel.set_xscale("log")
        panel.set_xticks(counts, [f"{count:,}" for count in counts])
        panel.minorticks_off()
        head(panel, behaviour)
        for check in (checks or {}).get(behaviour, ()):
            if check.name == "threshold_stability":
                found = f"deviance {check.value:.3g}, limit {check.limit:.3g}"
                remark(panel, found, alarm=check.alarm)
        _label_risks(panel, "y")
    _finish(figure, panels, "queries above the threshold", "risk of the riskiest query")
    figure.suptitle(title, parse_math=False)
    return figure


def ranks(
    frame: "pandas.DataFrame",
    *,
    title: str = "",
    backend: str | None = None,
) -> "Figure":
    """Rank plots: ranks of the draws of each chain among all draws.

    A panel for each parameter, a line for each chain: near 1 everywhere if the chains
    agree. The band holds a share in 99 % of cases if draws were independent;
    those of a chain are not, so shares leave it more often.

    Parameters
    ----------
    frame
        Columns ``parameter, of, chain, bin, share, draws``.
    title
        Heading of the picture.
    backend
        None or ``"matplotlib"``, which alone draws this picture.

    Raises
    ------
    InvalidInput
        If there is no row, or another backend is asked for.
    """
    only_matplotlib(backend)
    from scipy import stats

    if frame.empty:
        raise InvalidInput("there is no parameter to show. Give draws that move.")
    groups: Any = list(frame.groupby(["parameter", "of"], sort=False))
    figure, panels = panel_grid(
        len(groups),
        columns=4,
        width=2.5,
        height=1.7,
        beside=0.5,
        sharex=True,
        sharey=True,
    )
    bins = int(frame["bin"].max()) + 1
    draws = int(frame["draws"].min())
    low, high = stats.binom.interval(_BAND, draws, 1 / bins)
    for panel, ((name, of), own) in zip(panels.flat, groups, strict=False):
        panel.axhspan(
            low * bins / draws,
            high * bins / draws,
            color=GREY,
            alpha=0.2,
            linewidth=0,
            label="99 % if draws were independent",
        )
        for (chain, shares), colour, style in zip(
            own.groupby("chain"),
            cycle(_CHAIN_COLOURS),
            cycle(_CHAIN_STYLES),
            strict=False,
        ):
            panel.stairs(
                shares["share"],
                np.linspace(0, 1, bins + 1),
                color=colour,
                linestyle=style,
                linewidth=1.1,
                label=f"chain {chain + 1}",
            )
        panel.set_title(
            f"{name}\n{of}" if of else name, fontsize="small", parse_math=False
        )
        panel.set_xticks([0, 0.5, 1], ["0", "½", "1"])
        panel.tick_params(labelsize="small")
    _finish(figure, panels, "rank among all draws", "share of draws")
    figure.suptitle(title, parse_math=False)
    return figure


def _behaviours(frame: Any, what: str) -> list[str]:
    names = list(dict.fromkeys(frame["behaviour"]))
    if not names:
        raise InvalidInput(f"there is no {what} to show. Give at least one row.")
    return names


def _of(frame: Any, value: str, column: str = "behaviour") -> Any:
    return frame[frame[column] == value]


def _label_risks(panel: "Axes", axis: str) -> None:
    """Label an axis of scores by the risks that they stand for."""
    low, high = getattr(panel, f"get_{axis}lim")()
    room = _MARGIN * (high - low)
    getattr(panel, f"set_{axis}lim")(low - room, high + room)
    ticks = risk_ticks(low, high)
    getattr(panel, f"set_{axis}ticks")(
        [score for score, _ in ticks], [text for _, text in ticks]
    )
    panel.tick_params(labelsize="small")
    panel.grid(alpha=0.25, linewidth=0.6)


def _finish(figure: "Figure", panels: Any, below: str, beside: str) -> None:
    legend_below(
        figure,
        *panels.flat[0].get_legend_handles_labels(),
        columns=6,
    )
    for panel in panels[-1]:
        panel.set_xlabel(below, fontsize="small")
    figure.supylabel(beside, fontsize="medium")
