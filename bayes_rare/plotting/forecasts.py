"""The scaling picture of a forecast: the risk of the riskiest query by queries."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_rare.diagnostics.tail_checks import TailCheck
from bayes_rare.evaluation import Evaluation, ScoreCells
from bayes_rare.plotting.backends import only_matplotlib
from bayes_rare.plotting.figures import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    head,
    legend_below,
    panel_grid,
    remark,
)
from bayes_rare.scores import risk_from_score, score_from_log_risk, score_from_risk

if TYPE_CHECKING:
    import pandas
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["risk_ticks", "scaling"]

# Four colours and three styles, each in turn: twelve lines that differ.
_LINE_COLOURS = (ORANGE, GREEN, PURPLE, AMBER)
_LINE_STYLES = ("--", ":", "-.")
# Seen queries that are drawn one by one; the others would hide each other.
_POINTS = 200
# Decades of risk that label the axis of scores, and the nines near 1.
_DECADES = (-300, -100, -50, -20, -12, -9, -6, -5, -4, -3, -2, -1)
_NINES = (0.5, 0.9, 0.99, 0.999, 1 - 1e-6, 1 - 1e-9)
_COLUMNS, _WIDTH, _HEIGHT = 3, 3.9, 3.1
_MARGIN = 0.06
# Scores of risks that float64 rounds to 0 and to 1.
_NO_RISK, _CERTAIN = -7.0, 37.0


def scaling(
    quantiles: "pandas.DataFrame",
    *,
    evaluation: Evaluation,
    truth: Evaluation | None = None,
    lines: Mapping[str, "pandas.DataFrame"] | None = None,
    title: str = "",
    doubtful: bool = False,
    checks: Mapping[str, Sequence[TailCheck]] | None = None,
    shrunken: "pandas.DataFrame | None" = None,
    backend: str | None = None,
) -> "Figure":
    """The risk of the riskiest query against the number of queries.

    A panel for each behaviour: the forecast's median and its bands, 50 and 90 % where
    the default levels are given; the evaluation, its i-th riskiest of m queries at m/i
    queries; a larger evaluation that was held out, in the same way; and point
    forecasts as lines. Where an evaluation has counts or estimates its queries are
    drawn with the intervals of their shrunken risks, if these are given, and not at all
    if not: a share of successes is no risk. The vertical axis is even in the score,
    labelled by the risk.

    Parameters
    ----------
    quantiles
        Columns ``behaviour, queries, level, score``, as `Forecast.scaling` gives.
    evaluation
        What the forecast was made from.
    truth
        A larger evaluation that was held out.
    lines
        By name, frames of one level for point forecasts.
    title
        Heading of the picture.
    doubtful
        Whether to mark the picture as made from a fit that did not converge.
    checks
        Checks of the tail by behaviour; a panel names those that raise an alarm.
    shrunken
        Columns ``behaviour, median, lower, upper``, risks of the riskiest queries of
        behaviours with counts or estimates, as `QueryRisks.summary` gives.
    backend
        None or ``"matplotlib"``, which alone draws this picture.

    Raises
    ------
    InvalidInput
        If another backend is asked for.
    """
    only_matplotlib(backend)
    behaviours = list(dict.fromkeys(quantiles["behaviour"]))
    figure, panels = panel_grid(
        len(behaviours), columns=_COLUMNS, width=_WIDTH, height=_HEIGHT, sharex=True
    )
    for panel, behaviour in zip(panels.flat, behaviours, strict=False):
        _draw_bands(panel, _of(quantiles, behaviour))
        for (name, frame), colour, style in zip(
            (lines or {}).items(),
            cycle(_LINE_COLOURS),
            cycle(_LINE_STYLES),
            strict=False,
        ):
            own = _of(frame, behaviour)
            panel.plot(
                own["queries"],
                _drawable(own["score"]),
                color=colour,
                linestyle=style,
                label=name,
            )
        if truth is not None and behaviour in truth.behaviours:
            _draw_queries(panel, truth, behaviour, "held out", GREY, hollow=True)
        _draw_queries(panel, evaluation, behaviour, "evaluation", "black", hollow=False)
        if shrunken is not None:
            _draw_shrunken(panel, _of(shrunken, behaviour), evaluation.sizes[behaviour])
        _label_axes(panel, behaviour)
        names = [c.name for c in (checks or {}).get(behaviour, ()) if c.alarm]
        if names:
            doubts = ", ".join(name.replace("_", " ") for name in names)
            remark(panel, f"doubtful: {doubts}", alarm=True)
    entries = {
        label: handle
        for panel in panels.flat
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    legend_below(
        figure,
        list(entries.values()),
        list(entries),
        columns=2 * panels.shape[1] + 1,
    )
    for panel in panels[-1]:
        panel.set_xlabel("queries served", fontsize="small")
    figure.supylabel("risk of the riskiest query", fontsize="medium")
    heading = f"{title}: THE FIT DID NOT CONVERGE" if doubtful else title
    figure.suptitle(heading, color=RED if doubtful else "black")
    return figure


def _of(frame: Any, behaviour: str) -> Any:
    """The rows of one behaviour."""
    return frame[frame["behaviour"] == behaviour]


def _draw_bands(panel: "Axes", frame: Any) -> None:
    """The median, and a band for each pair of levels that leave equal tails."""
    table: Any = frame.assign(score=_drawable(frame["score"])).pivot_table(
        index="queries", columns="level", values="score"
    )
    levels = sorted(float(level) for level in table.columns)
    for rank, low in enumerate(level for level in levels if level < 0.5):
        high = 1 - low
        matches = [level for level in levels if math.isclose(level, high)]
        if matches:
            panel.fill_between(
                table.index,
                table[low],
                table[matches[0]],
                color=BLUE,
                alpha=0.18 + 0.14 * rank,
                linewidth=0,
                label=f"{high - low:.0%} interval",
            )
    if 0.5 in levels:
        panel.plot(table.index, table[0.5], color=BLUE, linewidth=2, label="median")


def _draw_queries(
    panel: "Axes",
    evaluation: Evaluation,
    behaviour: str,
    label: str,
    colour: str,
    *,
    hollow: bool,
) -> None:
    """The riskiest queries seen, of exact risks: the i-th of m at m/i queries."""
    if evaluation.kind(behaviour) != "exact":
        return
    scores = evaluation.scores(behaviour)
    queries, score = _riskiest(scores)
    panel.plot(
        queries,
        score,
        linestyle="none",
        marker="o",
        markersize=3.6 if hollow else 3.2,
        markerfacecolor="none" if hollow else colour,
        markeredgecolor=colour,
        markeredgewidth=0.7,
        label=f"{label} ({scores.size:,} queries)",
        zorder=3,
    )


def _draw_shrunken(panel: "Axes", risks: Any, queries: int) -> None:
    """Shrunken risks of the riskiest of so many queries, with their intervals."""
    if not len(risks):
        return
    ordered = risks.sort_values("median", ascending=False, kind="stable")
    low, middle, high = (
        _drawable(score_from_risk(ordered[name].to_numpy(np.float64)))
        for name in ("lower", "median", "upper")
    )
    panel.errorbar(
        queries / (1 + np.arange(len(ordered))),
        middle,
        yerr=[middle - low, high - middle],
        color="black",
        linestyle="none",
        linewidth=0.8,
        marker="o",
        markersize=3.2,
        label=f"evaluation ({queries:,} queries), shrunken risks",
        zorder=3,
    )


def _drawable(scores: Any) -> Any:
    """Scores, those of risks of 0 and of 1 at the ends of what can be drawn."""
    return np.clip(scores, _NO_RISK, _CERTAIN)


def _riskiest(
    scores: ScoreCells,
) -> tuple[Float[np.ndarray, " point"], Float[np.ndarray, " point"]]:
    """Numbers of queries, m over the rank, and scores of the riskiest cells."""
    rank = scores.censored_above + np.cumsum(scores.count[:_POINTS])
    return scores.size / rank, scores.score[:_POINTS]


def _label_axes(panel: "Axes", behaviour: str) -> None:
    from matplotlib.ticker import LogLocator, NullLocator

    head(panel, behaviour)
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(LogLocator(numticks=6))
    panel.xaxis.set_minor_locator(NullLocator())
    low, high = panel.get_ylim()
    room = _MARGIN * (high - low)
    low, high = low - room, high + room
    panel.set_ylim(low, high)
    ticks = risk_ticks(low, high)
    panel.set_yticks([score for score, _ in ticks], [text for _, text in ticks])
    panel.grid(alpha=0.25, linewidth=0.6)
    panel.tick_params(labelsize="small")


def risk_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round risks within a range of scores, thinned where they would touch."""
    decades = [
        (float(score_from_log_risk(power * math.log(10))), f"$10^{{{power}}}$")
        for power in _DECADES
    ]
    nines = [
        (float(score_from_log_risk(math.log1p(risk - 1))), _written(risk))
        for risk in _NINES
    ]
    chosen: list[tuple[float, str]] = []
    for score, text in decades + nines:
        apart = not chosen or score - chosen[-1][0] > (high - low) / 9
        if low <= score <= high and apart:
            chosen.append((score, text))
    if len(chosen) < 2:
        finer = [
            (float(score_from_log_risk(math.log(digit * 10.0**power))), digit, power)
            for power in range(-12, 0)
            for digit in (1, 2, 3, 4, 5, 6, 7, 8, 9)
        ]
        for wanted in ((1, 2, 5), (1, 2, 3, 4, 5, 6, 7, 8, 9)):
            chosen = []
            for score, digit, power in finer:
                apart = not chosen or score - chosen[-1][0] > (high - low) / 9
                if digit in wanted and low <= score <= high and apart:
                    chosen.append((score, f"{digit * 10.0**power:.6g}"))
            if len(chosen) > 1:
                break
    if len(chosen) < 2:
        chosen = [
            (score, f"{float(risk_from_score(score)):.2g}")
            for score in np.linspace(low, high, 4)[1:-1]
        ]
    return chosen


def _written(risk: float) -> str:
    return f"{risk:g}" if risk <= 0.999 else f"$1-10^{{{round(math.log10(1 - risk))}}}$"
