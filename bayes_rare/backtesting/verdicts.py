"""Results of a comparison and caveats about them, in sentences."""

import math
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from bayes_rare.backtesting.cells import CELL, groups
from bayes_rare.errors import listed

__all__ = ["notes_on_origin", "notes_on_table", "verdict"]

# Below six clusters a bootstrap rejects far too often: Cameron, Gelbach & Miller
# (2008) find it still so with five.
_FEW_BEHAVIOURS = 6


def verdict(rows: Any, pairs: Any, interval: int | float) -> str:
    """The best method of a cell, and how the others compare with it, in sentences."""
    best = rows["method"].iloc[0]
    least = _number(rows["mean_crps"].iloc[0])
    if len(rows) == 1:
        return f"{best} has a CRPS of {least}, and there is no other method."
    own = pairs[pairs["method"] == best].set_index("against")
    apart: list[str] = []
    together: list[str] = []
    unknown: list[str] = []
    for against in rows["method"].iloc[1:]:
        pair = own.loc[against]
        difference = _signed(pair["crps_difference"])
        if math.isnan(pair["lower"]):
            unknown.append(f"{against} (difference {difference})")
            continue
        excluded = pair["lower"] > 0 or pair["upper"] < 0
        found = apart if excluded else together
        numbers = [
            difference,
            f"{_signed(pair['lower'])} to {_signed(pair['upper'])}",
        ]
        on = f"{pair['behaviours_better']} of {pair['behaviours']}"
        if not found:
            # The first of a list says what the numbers of the others are.
            on = f"{on if excluded else f'better on {on}'} behaviours"
            numbers = [
                f"difference {numbers[0]}",
                f"{100 * interval:g} % interval {numbers[1]}",
                f"which {'excludes' if excluded else 'includes'} 0",
            ]
        if pair["behaviours"] == 1:
            name = against
        elif excluded:
            name = f"{against} on {on}"
        else:
            name, numbers = against, [on, *numbers]
        found.append(f"{name} ({', '.join(numbers)})")
    sentences = [f"{best} has the smallest CRPS, {least}"]
    if apart:
        sentences[0] += f"; better than {_listed(apart)}"
    if together:
        sentences.append(f"No clear difference from {_listed(together)}")
    if unknown:
        sentences.append(f"A single split gives no interval for {_listed(unknown)}")
    return ". ".join(sentences) + "."


def _listed(items: Sequence[str]) -> str:
    """Items as a list in words."""
    if len(items) < 3:
        return " and ".join(items)
    return f"{', '.join(items[:-1])} and {items[-1]}"


def _number(value: int | float) -> str:
    """A score with three digits, and whole where it is large.

    Examples
    --------
    >>> _number(0.12345), _number(12345.6), _number(3e-9)
    ('0.123', '12,346', '3e-09')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _signed(value: int | float) -> str:
    """A difference with two digits.

    Examples
    --------
    >>> _signed(-0.4512), _signed(1234.5), _signed(-0.0)
    ('-0.45', '1,234', '0')
    """
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value + 0.0:.2g}"


def notes_on_table(table: Any) -> Generator[str]:
    """Notes on substituted forecasts, on few behaviours and on coverage."""
    own = table[table["status"] != "forecast"]
    for (method, status), part in groups(own, ["method", "status"]):
        reasons = part["reason"].astype(str).value_counts(sort=True)
        first = str(reasons.index[0]).strip().rstrip(".")
        others = len(reasons) - 1
        more = f" (and {others} other reason{'s'[: others != 1]})" if others else ""
        what = "were refused" if status == "refused" else "did not converge"
        joint = " and" if status == "refused" else " and were"
        yield (
            f"{method}: {len(part):,} of {(table['method'] == method).sum():,} "
            f"forecasts {what}{joint} scored as evaluation_maximum: {first}{more}."
        )
    counts = groups(table, CELL)["behaviour"].nunique()
    if (counts == 1).any():
        where = "" if (counts == 1).all() else " in some cells"
        yield (
            f"There is a single behaviour{where}, so its splits are resampled: "
            "intervals say nothing about other behaviours. Splits of one table "
            "overlap, so intervals are too narrow even for this behaviour, and more so "
            "the larger the deployment is compared with the table."
        )
    few = counts[(counts > 1) & (counts < _FEW_BEHAVIOURS)]
    if len(few):
        yield (
            f"With {few.min()} behaviours, intervals are too narrow: a bootstrap that "
            "resamples so few clusters is optimistic (Cameron, Gelbach & Miller 2008)."
        )
    if table["covered_90"].notna().any():
        yield (
            "Coverage is computed from the forecasts that have an interval. Forecasts "
            "of one behaviour have correlated errors, so coverage is less certain than "
            "their number suggests: see plot_coverage."
        )


def notes_on_origin(origin: Mapping[str, Any]) -> Generator[str]:
    """Caveats that follow from how a backtest was made."""
    if origin.get("options", {}).get("pool"):
        yield (
            "The behaviours of a split were fitted together, on the same queries: they "
            "are no independent clusters, so intervals are too narrow."
        )
    for each in origin.get("methods", []):
        if each.get("learnt_on") and each["learnt_on"] == origin.get("data"):
            yield (
                f"{each['name']} is a stack whose weights were learnt on the same "
                "queries, so its scores are too good: they flatter it. Its held_out "
                "scores do not."
            )
    if origin.get("counted"):
        yield (
            f"The truth of {listed([*map(repr, origin['counted'])])} is a share of "
            "trials, not a known risk. The largest of many shares overstates the "
            "largest risk, most of all with few trials, so a method that corrects for "
            "this gets a worse score."
        )
