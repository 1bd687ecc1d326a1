"""The prior against the data, in orders of magnitude: drawn by any backend of ArviZ."""

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rare.errors import InvalidInput
from bayes_rare.plotting.backends import chosen_backend
from bayes_rare.plotting.figures import BLUE
from bayes_rare.plotting.forecasts import risk_ticks

if TYPE_CHECKING:
    import pandas

__all__ = ["prior_predictive"]

_COLUMNS, _WIDTH, _HEIGHT = 3, 3.9, 3.4
# Scores of risks below 1e-300 and above 0.999: a prior has draws far beyond them.
_NO_RISK, _CERTAIN = -6.6, 6.9
_TOUCHING = 1e-9
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# Letters that fit above a panel.
_TITLE = 40


def prior_predictive(
    quantiles: "pandas.DataFrame",
    *,
    seen: "pandas.DataFrame | None" = None,
    title: str = "",
    backend: str | None = None,
) -> Any:
    """Prior predictive risk of the riskiest query, with the evaluated queries.

    A panel for each behaviour: the median of the prior and its bands, and the
    evaluation, its i-th riskiest of m queries at m/i queries. A prior that rules out
    the evaluated queries is too narrow; one whose band covers all risks is
    uninformative. The vertical axis is even in the score, labelled by the risk.

    Parameters
    ----------
    quantiles
        Columns ``behaviour, queries, level, score``.
    seen
        Columns ``behaviour, queries, score``.
    title
        Heading of the picture.
    backend
        One of ArviZ's, by default the one that it is set to.

    Returns
    -------
    `arviz_plots.PlotCollection`, as ArviZ's own pictures: ``show()``, ``savefig(path)``
    and, of what was drawn, ``viz``.

    Raises
    ------
    InvalidInput
        If there is no row, or no such backend.
    """
    import xarray as xr
    from arviz_plots import visuals
    from arviz_plots.plot_collection import PlotCollection

    backend = chosen_backend(backend)
    if quantiles.empty:
        raise InvalidInput("there is no quantile to show. Give at least one row.")
    names = list(dict.fromkeys(quantiles["behaviour"]))
    sizes = np.array(sorted(set(quantiles["queries"])), dtype=np.float64)
    levels = sorted(set(quantiles["level"]))
    scores = (
        quantiles.set_index(["behaviour", "level", "queries"])["score"]
        .reindex([(n, q, s) for n in names for q in levels for s in sizes])
        .to_numpy(dtype=np.float64)
        .reshape(len(names), len(levels), len(sizes))
    )
    data = xr.Dataset(
        {
            "score": (
                ("behaviour", "level", "decades"),
                np.clip(scores, _NO_RISK, _CERTAIN),
            )
        },
        {"behaviour": names, "level": levels, "decades": np.log10(sizes)},
    )
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    collection: Any = PlotCollection.wrap(
        data,
        cols=["behaviour"],
        col_wrap=columns,
        backend=backend,
        figure_kwargs=_size(
            _WIDTH * columns, _HEIGHT * rows + 0.8, matplotlib=backend == "matplotlib"
        ),
    )
    score = data["score"]
    for rank, low in enumerate(level for level in levels if level < 0.5):
        [*high] = [level for level in levels if abs(level - 1 + low) < _TOUCHING]
        if high:
            collection.map(
                visuals.fill_between_y,
                f"band_{100 * (high[0] - low):.0f}",
                data=data,
                x=data["decades"],
                y_bottom=score.sel(level=low),
                y_top=score.sel(level=high[0]),
                color=BLUE,
                alpha=0.2 + 0.15 * rank,
                ignore_aes="all",
            )
    if 0.5 in levels:
        collection.map(
            visuals.line,
            "median",
            data=data.sel(level=0.5, drop=True),
            xname="decades",
            color=BLUE,
            width=2,
            ignore_aes="all",
        )
    if seen is not None and not seen.empty:
        _draw_seen(collection, data, seen, names)
    _label(collection, data, visuals)
    if title:
        collection.add_title(title)
    return collection


def _size(width: float, height: float, *, matplotlib: bool) -> dict[str, Any]:
    """Size of the figure, in inches or in dots, of which a browser has 100 an inch."""
    if matplotlib:
        return {"figsize": (width, height), "layout": "constrained"}
    return {"figsize": (100 * width, 100 * height), "figsize_units": "dots"}


def _draw_seen(collection: Any, data: Any, seen: Any, names: list[str]) -> None:
    """Points of the evaluation, as many in each panel as there are."""
    import xarray as xr
    from arviz_plots import visuals

    most = int(seen.groupby("behaviour").size().max())
    points = np.full((2, len(names), most), np.nan)
    for place, name in enumerate(names):
        own = seen[seen["behaviour"] == name]
        points[0, place, : len(own)] = np.log10(own["queries"])
        points[1, place, : len(own)] = np.clip(own["score"], _NO_RISK, _CERTAIN)
    pairs = xr.Dataset(
        {"score": (("plot_axis", "behaviour", "point"), points)},
        {"plot_axis": ["x", "y"], "behaviour": data["behaviour"]},
    )
    collection.map(
        visuals.scatter_xy,
        "seen",
        data=pairs,
        color="#000000",
        size=10,
        ignore_aes="all",
    )


def _label(collection: Any, data: Any, visuals: Any) -> None:
    """Axes: queries on a logarithmic one, risks on one that is even in the score."""
    from arviz_base.labels import BaseLabeller

    class Names(BaseLabeller):
        """The behaviour alone, and no formula."""

        def make_label_vert(self, var_name: Any, sel: Any, isel: Any) -> str:  # noqa: ARG002
            name = str(sel["behaviour"])
            short = name if len(name) <= _TITLE else f"{name[: _TITLE - 1]}…"
            return short.replace("$", r"\$") if is_matplotlib else short

    is_matplotlib = collection.backend == "matplotlib"
    collection.map(
        visuals.labelled_title,
        "title",
        data=data,
        labeller=Names(),
        subset_info=True,
        ignore_aes="all",
    )
    collection.map(
        visuals.labelled_x, "xlabel", data=data, text="queries served", ignore_aes="all"
    )
    low, high = float(data["score"].min()), float(data["score"].max())
    ticks = risk_ticks(low, high)
    collection.map(
        _set_ticks,
        data=data,
        axis="y",
        values=[score for score, _ in ticks],
        labels=[_plain(text) for _, text in ticks],
        ignore_aes="all",
        store_artist=False,
    )
    most = int(data["decades"].max())
    powers = range(0, most + 1, max(most // 3, 1))
    collection.map(
        _set_ticks,
        data=data,
        axis="x",
        values=list(powers),
        labels=[
            f"10{str(power).translate(_RAISED)}" if power else "1" for power in powers
        ],
        ignore_aes="all",
        store_artist=False,
    )


def _set_ticks(
    _da: Any, target: Any, axis: str, values: Any, labels: Any, **_: Any
) -> None:
    """Ticks of an axis: not every backend has logarithmic ones, so they are written."""
    module: Any = import_module("arviz_plots.plot_collection")
    module = module.backend_from_object(target)
    (module.xticks if axis == "x" else module.yticks)(values, labels, target)


def _plain(text: str) -> str:
    """A risk that matplotlib writes as a formula, as any backend can.

    Examples
    --------
    >>> _plain("$10^{-12}$"), _plain("$1-10^{-3}$"), _plain("0.5")
    ('10⁻¹²', '1-10⁻³', '0.5')
    """
    found = re.fullmatch(r"\$(1-)?10\^\{(-?\d+)\}\$", text)
    if found is None:
        return text
    return ("1-" if found[1] else "") + "10" + found[2].translate(_RAISED)
