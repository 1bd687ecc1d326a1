"""Pictures of a backtest: coverage, PIT histograms and differences of methods."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rare.errors import InvalidInput, listed
from bayes_rare.plotting.backends import only_matplotlib
from bayes_rare.plotting.figures import (
    BLUE,
    GREY,
    ORANGE,
    Look,
    head,
    legend_below,
    looks,
    panel_grid,
    shown_figure,
)

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

__all__ = ["coverage", "pit", "skill"]

_CELL = ["target", "risk_threshold", "evaluation_size", "deployment_size"]
# The most panels side by side, so that a page holds them.
_COLUMNS = 3
# Of the width between two nominal levels, what the methods' bars share.
_SPREAD = 0.72
# Least number of forecasts for each bar of a histogram: below, all is noise.
_EXPECTED = 8
_BAND = 0.99


def coverage(
    shares: "pandas.DataFrame",
    *,
    target: str = "worst_query_risk",
    interval: int | float = 0.95,
    title: str = "",
    backend: str | None = None,
) -> "Figure":
    """Coverage of intervals, against their stated probability.

    A panel for each threshold and pair of sizes. The stated probabilities are side by
    side, at even distances, each with a dashed line at that probability and with each
    method's coverage and its interval.

    Parameters
    ----------
    shares
        Columns ``method, target, risk_threshold, evaluation_size, deployment_size,
        nominal, coverage, lower, upper, behaviours``.
    target
        What is forecast: one to a picture.
    interval
        Probability of the interval of each share, for the caption.
    title
        Heading of the picture; by default the target.
    backend
        None or ``"matplotlib"``, which alone draws this picture.

    Raises
    ------
    InvalidInput
        If no method has an interval for the target, or another backend is asked for.
    """
    only_matplotlib(backend)
    shares = _of_target(shares, target)
    cells = _cells(shares)
    methods = list(dict.fromkeys(shares["method"]))
    levels = sorted(set(shares["nominal"]))
    figure, panels = panel_grid(
        len(cells), columns=_COLUMNS, width=3.9, height=3.1, above=1.5, sharey=True
    )
    step = _SPREAD / len(methods)
    for panel, (label, part) in zip(panels.flat, cells, strict=False):
        for place, level in enumerate(levels):
            panel.plot(
                [place - 0.45, place + 0.45],
                [level, level],
                color="black",
                linestyle="--",
                linewidth=1,
                label="stated" if place == 0 else None,
                zorder=1,
            )
        for number, (method, look) in enumerate(looks(methods).items()):
            own = part[part["method"] == method]
            shift = (number - (len(methods) - 1) / 2) * step
            x = [levels.index(level) + shift for level in own["nominal"]]
            _draw_interval(panel, x, own, look, method)
        _finish_coverage(panel, label, levels)
    legend_below(
        figure,
        *panels.flat[0].get_legend_handles_labels(),
        columns=6,
        caption="Horizontal axis: stated probability of the central interval. Bars: "
        f"{_percent(interval)} interval of the coverage{_resampled(shares)}.",
    )
    figure.supylabel("coverage: share of true values inside", fontsize="medium")
    figure.suptitle(title or f"Coverage: {target}", parse_math=False)
    return figure


def pit(
    table: "pandas.DataFrame",
    *,
    target: str = "worst_query_risk",
    title: str = "",
    backend: str | None = None,
) -> "Figure":
    """PIT histograms of the forecasts, which should be flat.

    The probability integral transform, the predictive probability of a smaller value
    than the true one, is uniform if forecasts are calibrated [1]_: high bars at both
    ends show intervals that are too narrow, a hump ones that are too wide, and a slope
    a bias. A row of panels for each method, a
    column for each threshold and pair of sizes. The band holds a bar in 99 % of
    backtests if splits were independent; those of one behaviour are not, so bars leave
    it more often.

    Parameters
    ----------
    table
        Columns ``method, target, risk_threshold, evaluation_size, deployment_size,
        pit``. Forecasts without a ``pit`` do not count.
    target
        What is forecast: one to a picture.
    title
        Heading of the picture; by default the target.
    backend
        None or ``"matplotlib"``, which alone draws this picture.

    Raises
    ------
    InvalidInput
        If no method has an interval for the target, or another backend is asked for.

    References
    ----------
    .. [1] A. P. Dawid (1984). Present position and potential developments: some
       personal views, statistical theory, the prequential approach. Journal of the
       Royal Statistical Society A 147, 278-292.
    """
    only_matplotlib(backend)
    table = _of_target(table[table["pit"].notna()], target)
    cells = _cells(table)
    methods = list(dict.fromkeys(table["method"]))
    figure = shown_figure()(
        figsize=(
            max(1.75 * len(cells) + 2.2, 6.4),
            1.25 * len(methods) + 1.5,
        ),
        layout="constrained",
    )
    panels: Any = figure.subplots(
        len(methods), len(cells), squeeze=False, sharex=True, sharey="row"
    )
    found = looks(methods)
    for line, method in zip(panels, methods, strict=True):
        line[0].set_ylabel(
            method, rotation=0, ha="right", va="center", parse_math=False
        )
        for panel, (_, part) in zip(line, cells, strict=True):
            own = part["pit"][part["method"] == method].to_numpy(dtype=float)
            _draw_histogram(panel, own, found[method])
    for panel, (label, _) in zip(panels[0], cells, strict=True):
        panel.set_title(label, fontsize="small")
    legend_below(
        figure,
        *panels.flat[0].get_legend_handles_labels(),
        columns=2,
        caption="Predictive probability of a smaller value than the true one (PIT). "
        "Splits of one behaviour are dependent, so more bars leave the band.",
    )
    figure.suptitle(title or f"PIT histograms: {target}", parse_math=False)
    return figure


def skill(
    rows: "pandas.DataFrame",
    pairs: "pandas.DataFrame",
    *,
    against: str | None = None,
    interval: int | float = 0.95,
    title: str = "",
    backend: str | None = None,
) -> "Figure":
    """Difference of each method's CRPS from that of a reference, with intervals.

    A panel for each target, threshold and pair of sizes, with a scale of its own; a
    line for each method, the best on top. Filled marks have an interval without 0.

    Parameters
    ----------
    rows
        Columns ``method``, those of the cell, ``mean_crps, coverage_90``.
    pairs
        Columns ``method, against``, those of the cell, ``crps_difference, lower,
        upper, behaviours``.
    against
        The reference method: by default ``gumbel_ols``, or else the point method that
        is best in the most panels, or else the first.
    interval
        Probability of the intervals, for the caption.
    title
        Heading of the picture; by default the reference method.
    backend
        None or ``"matplotlib"``, which alone draws this picture.

    Raises
    ------
    InvalidInput
        If there is no such method, or no other, or another backend is asked for.
    """
    only_matplotlib(backend)
    against = _reference(rows, against)
    pairs = pairs[pairs["against"] == against]
    if pairs.empty:
        raise InvalidInput(
            f"there is no method but {against!r} to compare with it. Backtest it with "
            "another, such as 'log_normal_moments'."
        )
    cells = _cells(pairs)
    methods = _best_first(rows[rows["method"] != against])
    targets = [part["target"].iloc[0] for _, part in cells]
    # A line of panels for each target, where all its cells fit into one.
    widest = max(targets.count(name) for name in targets)
    even = len(cells) == widest * len(set(targets))
    figure, panels = panel_grid(
        len(cells),
        columns=widest if even and widest <= _COLUMNS else _COLUMNS,
        width=3.6,
        height=0.75 + 0.27 * len(methods),
        above=1.5,
        beside=2.0,
        sharey=True,
    )
    for panel, (label, part) in zip(panels.flat, cells, strict=False):
        _draw_forest(panel, part, methods)
        panel.set_title(label, fontsize="small")
    for panel in panels[:, 0]:
        panel.set_yticks(range(len(methods)), methods, parse_math=False)
    panels[0, 0].set_ylim(len(methods) - 0.4, -0.6)
    marks = _marks()
    legend_below(
        figure,
        marks,
        [str(mark.get_label()) for mark in marks],
        columns=len(marks),
        caption=f"CRPS minus that of {against}; left of 0 is better. Bars: "
        f"{_percent(interval)} interval{_resampled(pairs)}.",
    )
    only = f": {targets[0]}" if len(set(pairs["target"])) == 1 else ""
    figure.suptitle(title or f"Compared with {against}{only}", parse_math=False)
    return figure


def _of_target(frame: Any, target: str) -> Any:
    own = frame[frame["target"] == target]
    if own.empty:
        targets = ", ".join(map(repr, dict.fromkeys(frame["target"])))
        raise InvalidInput(
            f"no forecast of {target!r} has an interval. "
            + (
                f"Give a target of {targets}."
                if targets
                else "Backtest a method that gives one, such as 'gpd_tail'."
            )
        )
    return own


def _cells(frame: Any) -> list[tuple[str, Any]]:
    """The rows of each panel under its label, targets as they came."""
    groups = frame.groupby(_CELL, dropna=False, sort=False)
    rank = {name: number for number, name in enumerate(dict.fromkeys(frame["target"]))}

    def place(item: tuple[Any, Any]) -> tuple[int | float, ...]:
        target, limit, *sizes = item[0]
        return (rank[target], -math.inf if math.isnan(limit) else limit, *sizes)

    several = len(rank) > 1
    found: list[tuple[str, Any]] = []
    for (target, limit, evaluated, deployed), part in sorted(groups, key=place):
        heading = target if several else ""
        if not math.isnan(limit):
            heading = f"{heading} above {limit:g}".strip()
        sizes = f"{evaluated:,} → {deployed:,} queries"
        found.append((f"{heading}\n{sizes}" if heading else sizes, part))
    return found


def _draw_interval(
    panel: "Axes", x: list[float], own: Any, look: Look, method: str
) -> None:
    share = own["coverage"].to_numpy()
    # A share whose interval is unknown, or of no width, is a mark alone.
    ends = np.stack([share - own["lower"], own["upper"] - share])
    panel.errorbar(
        x,
        share,
        yerr=np.clip(np.nan_to_num(ends), 0, None),
        color=look.colour,
        marker=look.marker,
        markersize=5,
        linestyle="none",
        linewidth=1.2,
        label=method,
        zorder=3,
    )


def _finish_coverage(panel: "Axes", label: str, levels: list[float]) -> None:
    head(panel, label)
    panel.set_xticks(range(len(levels)), [_percent(level) for level in levels])
    panel.set_xlim(-0.5, len(levels) - 0.5)
    panel.set_ylim(-0.03, 1.03)
    panel.grid(axis="y", alpha=0.25, linewidth=0.6)
    panel.tick_params(labelsize="small")


def _draw_histogram(panel: "Axes", values: np.ndarray, look: Look) -> None:
    from scipy import stats

    bins = int(np.clip(values.size // _EXPECTED, 2, 10))
    counts, edges = np.histogram(values, bins=bins, range=(0, 1))
    if values.size:
        scale = bins / values.size
        low, high = stats.binom.interval(_BAND, values.size, 1 / bins)
        panel.axhspan(
            low * scale,
            high * scale,
            color=GREY,
            alpha=0.22,
            linewidth=0,
            label=f"{_percent(_BAND)} of bars, if splits were independent",
        )
        panel.bar(
            edges[:-1],
            counts * scale,
            width=1 / bins,
            align="edge",
            color=look.colour,
            edgecolor="white",
            linewidth=0.5,
        )
    panel.axhline(1, color="black", linestyle="--", linewidth=1, label="uniform")
    panel.set_xlim(0, 1)
    panel.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    panel.set_yticks([])
    panel.tick_params(labelsize="small")


def _reference(rows: Any, against: str | None) -> str:
    methods = list(dict.fromkeys(rows["method"]))
    if against is not None:
        if against not in methods:
            raise InvalidInput(
                f"there is no method {against!r} to compare with. There are: "
                f"{listed(methods)}."
            )
        return against
    if "gumbel_ols" in methods:
        return "gumbel_ols"
    points = rows[rows.groupby("method")["coverage_90"].transform("count") == 0]
    if points.empty:
        return methods[0]
    cells = points.groupby(_CELL, dropna=False, sort=False)["mean_crps"]
    winners = points["method"][points["mean_crps"] == cells.transform("min")]
    return str(winners.mode().iloc[0])


def _best_first(rows: Any) -> list[str]:
    """Methods by their mean rank: scores of different targets have no mean."""
    ranks = rows.groupby(_CELL, dropna=False, sort=False)["mean_crps"].rank()
    return list(ranks.groupby(rows["method"]).mean().sort_values(kind="stable").index)


# How a difference is drawn, by what its interval says: colour, marker, filled.
_OUTCOMES = {
    "better": (BLUE, "o", True),
    "no clear difference": (GREY, "D", False),
    "worse": (ORANGE, "s", True),
}


def _draw_forest(panel: "Axes", part: Any, methods: list[str]) -> None:
    panel.axvline(0, color="black", linewidth=1, zorder=1)
    for row in part.to_dict("records"):
        place = methods.index(row["method"])
        outcome = (
            "better"
            if row["upper"] < 0
            else "worse"
            if row["lower"] > 0
            else "no clear difference"
        )
        colour, marker, filled = _OUTCOMES[outcome]
        panel.plot(
            [row["lower"], row["upper"]], [place, place], color=colour, linewidth=1.6
        )
        panel.plot(
            row["crps_difference"],
            place,
            color=colour,
            marker=marker,
            markerfacecolor=colour if filled else "white",
            markersize=5.5,
            linestyle="none",
            zorder=3,
        )
    panel.locator_params(axis="x", nbins=5)
    panel.margins(x=0.08)
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.tick_params(labelsize="small")


def _marks() -> "list[Line2D]":
    """Legend of the marks of a forest plot."""
    from matplotlib.lines import Line2D

    return [
        Line2D(
            [],
            [],
            color=colour,
            marker=marker,
            markerfacecolor=colour if filled else "white",
            label=outcome,
        )
        for outcome, (colour, marker, filled) in _OUTCOMES.items()
    ]


def _resampled(frame: Any) -> str:
    """What was resampled, if it was the same everywhere."""
    if (frame["behaviours"] > 1).all():
        return ", behaviours resampled"
    return ", splits resampled" if (frame["behaviours"] == 1).all() else ""


def _percent(share: int | float) -> str:
    """A share in percent, with its sign on the same line."""
    return f"{100 * share:g}\N{NO-BREAK SPACE}%"
