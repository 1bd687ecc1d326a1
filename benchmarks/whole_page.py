"""The page of the documentation on every method, from finished backtests alone."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from paper import PAPER_WORST
from study import markdown, number
from whole_reasons import OURS, bold, explanation, reasons

import bayes_rare as br
from bayes_rare.backtesting import PREDICTIVE, coverage_interval
from bayes_rare.backtesting.scoring import SCORED
from bayes_rare.errors import InvalidData
from bayes_rare.methods import names
from bayes_rare.methods.baselines import BASELINES

__all__ = ["KINDS", "TRIALS", "USUAL", "page"]

SIMPLE = (*BASELINES, "log_normal")
"""What the default is held against: published methods, and a normal distribution."""
KINDS = {
    "families": "Exact risks, with families",
    "plain": "Exact risks, families ignored",
    "drawn": "Counts drawn from exact risks",
    "counts": "Counts",
}
TRIALS = 100
"""Responses to each query, of which methods see how many show the behaviour."""
USUAL = {"hold_out_families": 0, "split": None, "pool": False, "samples_per_query": 1}
"""What all backtests of the table have in common."""
ABOUT = {
    "families": "Methods see the risk and the family of each query.",
    "plain": "The same splits. Methods that take no notice of families forecast the "
    "same as above.",
    "drawn": f"Of each query methods see how many of {TRIALS} responses show the "
    "behaviour, drawn from its risk, and no families; the truth is the risk itself.",
    "counts": f"Of each query methods see {TRIALS} of its trials, drawn without "
    "replacement; the truth is the share of all its trials.",
}
PAPER_OTHER = {
    "gumbel_ols": ("0.76 to 0.84", "1.3"),
    "log_normal_moments": ("3.3 to 4.0", "2.5"),
}
"""Errors of behaviour frequency and aggregate risk, the latter from 1,000 queries."""

type Key = tuple[str, int, int]


HEAD = """# All methods on all sets

Every shipped method that suits the data, backtested on held-out queries; all
methods on the same splits. This page is written by `make results TABLE=... COUNTS=...`,
its figures and its reasons alike. {data}

Of worst-query risk the *error* is that of the median, in powers of ten;
*under-estimated* is the share of truths above the median; CRPS is on the score scale,
and that of a point forecast is its absolute error; *90 % covers* is the share of truths
in the 90 % interval, with a 95 % interval of that share where behaviours are resampled.
The lowest CRPS is bold. Forecasts that a method *refused*, or whose fit did *not
converge*, are scored as `evaluation_maximum`. The paper's figures
([theory](theory.md#sources), source 1) are means over its own sizes, and belong to
other models and outputs: they stand here for the order of the methods and the direction
of their errors.
"""
LOSSES = """## The default against the best simple method

`{ours}` against the best, by mean CRPS in the cell, of {simple}. The difference of CRPS
is negative where `{ours}` is better; its 95 % interval is that of behaviours resampled.
"""


def page(folder: Path, also: Sequence[Path]) -> str:
    """The page, in markdown.

    Parameters
    ----------
    folder
        Where finished backtests are, and the splits that they were made of.
    also
        Further backtests of these splits.
    """
    found = gathered([*sorted(folder.glob("*.parquet")), *also])
    splits = {key: _splits(folder, key, rows) for key, rows in found.items()}
    parts = [HEAD.format(data=_data(splits))]
    suited = {key: _suited(rows) for key, rows in found.items()}
    compared = {key: rows for key, rows in suited.items() if OURS in set(rows.method)}
    best = {key: _best_simple(rows) for key, rows in compared.items()}
    if compared:
        simple = ", ".join(f"`{name}`" for name in SIMPLE)
        parts.append(LOSSES.format(ours=OURS, simple=simple))
        parts.append(
            markdown([_duel(key, rows, best[key]) for key, rows in compared.items()])
        )
    for kind, title in KINDS.items():
        own = {key: rows for key, rows in suited.items() if key[0] == kind}
        if own:
            parts.append(f"## {title}\n\n{ABOUT[kind]}")
        for key, rows in own.items():
            parts += _of_cell(key, rows)
            parts += _left_out(set(rows.method), set(found[key].method))
    if compared:
        parts.append(explanation())
    for key, rows in compared.items():
        parts.append(f"### By behaviour, {_label(key)}: {KINDS[key[0]].lower()}")
        parts += reasons(_worst(rows), best[key], splits[key])
    return "\n\n".join(part.strip() for part in parts) + "\n"


def gathered(paths: Iterable[Path]) -> dict[Key, pd.DataFrame]:
    """Rows of all methods, by set and sizes; of a method that is there twice, once."""
    tables: dict[Key, dict[str, pd.DataFrame]] = {}
    for path in paths:
        made = br.load_backtest(path)
        rows = made.table.drop(columns=PREDICTIVE, errors="ignore")
        rows = rows.astype({"behaviour": str})
        kind = _kind(path, made.origin)
        sizes = ["evaluation_size", "deployment_size"]
        for (seen, served, method), own in rows.groupby([*sizes, "method"]):
            cell = tables.setdefault((kind, seen, served), {})
            cell.setdefault(str(method), own)
    places = list(KINDS)
    order = sorted(tables, key=lambda key: (places.index(key[0]), *key[1:]))
    return {key: pd.concat(tables[key].values()) for key in order}


def _kind(path: Path, origin: Mapping[str, Any]) -> str:
    """Of which set a backtest is; refused where it is of none."""
    options = origin["options"]
    odd = [name for name, value in USUAL.items() if options[name] != value]
    if options["trials_per_query"] not in (None, TRIALS):
        odd.append("trials_per_query")
    if odd:
        raise InvalidData(
            f"{path} has no place in this table: its {odd[0]} is {options[odd[0]]}. "
            "Leave it out."
        )
    if origin["counted"]:
        return "counts"
    if options["trials_per_query"] is not None:
        return "drawn"
    return "plain" if options["ignore_families"] else "families"


def _splits(folder: Path, key: Key, rows: pd.DataFrame) -> pd.DataFrame:
    """What the splits of a cell are like; refused where the rows are of others."""
    kind, seen, _ = key
    path = folder / "splits" / f"{kind}-{seen}.parquet"
    splits = pd.read_parquet(path)
    worst = _worst(rows)
    for method, own in worst.groupby("method"):
        both = own.merge(splits, on=["behaviour", "repeat"], how="outer")
        if not np.allclose(both.truth_x, both.truth_y, rtol=1e-9, atol=0.0):
            raise InvalidData(
                f"{method} was held against other queries than {path} tells of. Run "
                f"it again with the same table, repeats and seed, or delete {path}."
            )
    return splits


def _worst(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows.target == "worst_query_risk"]


def _best_simple(rows: pd.DataFrame) -> str:
    means = _worst(rows).groupby("method").crps.mean()
    return str(means[[name for name in SIMPLE if name in means]].idxmin())


def _data(splits: Mapping[Key, pd.DataFrame]) -> str:
    """A sentence for each kind of data."""
    said: dict[bool, str] = {}
    for (kind, *_), own in splits.items():
        behaviours, repeats = own.behaviour.nunique(), own.repeat.nunique()
        of = f"{behaviours} behaviours of {own.queries.min():,} queries"
        families = int(own.families.max())
        said[kind == "counts"] = (
            f"The counts are of {of}, {repeats} splits each."
            if kind == "counts"
            else f"The exact risks are of {of} in {families} families, {repeats} "
            "splits each."
        )
    return " ".join(said.values())


def _label(key: Key) -> str:
    _, seen, served = key
    return f"{seen:,} → {served:,}"


def _duel(key: Key, rows: pd.DataFrame, rival: str) -> dict[str, object]:
    """The default against the best simple method of a cell."""
    worst = _worst(rows)
    means = worst.groupby("method").crps.mean()
    made = br.compare(worst[worst.method.isin([OURS, rival])])
    pair = made.pairs.set_index("method").loc[OURS]
    return {
        "set": KINDS[key[0]],
        "sizes": _label(key),
        f"CRPS of `{OURS}`": number(means[OURS], 3),
        "best simple method": f"`{rival}`, {number(means[rival], 3)}",
        "ratio": number(means[OURS] / means[rival]),
        "difference": f"{_signed(pair.crps_difference)} ({_signed(pair.lower)} to "
        f"{_signed(pair.upper)})",
        "better on": f"{pair.behaviours_better} of {pair.behaviours}",
        "best of all": f"`{means.idxmin()}`, {number(means.min(), 3)}",
    }


def _signed(value: float) -> str:
    """A difference, and no minus before nothing."""
    return number(round(value, 3) + 0.0, 3)


def _of_cell(key: Key, rows: pd.DataFrame) -> Iterator[str]:
    """All targets of one set at one size."""
    covered = coverage_interval(rows).query("nominal == 0.9")
    exact = key[0] in ("families", "plain")
    yield f"### {_label(key)}: {KINDS[key[0]].lower()}"
    yield markdown(list(_worst_table(_worst(rows), covered, paper=exact)))
    yield "Behaviour frequency and aggregate risk:"
    yield markdown(list(_other_table(rows, covered, paper=exact and key[1] == 1_000)))


def _suited(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the methods that did not refuse each evaluation."""
    return rows[(rows.status != "refused").groupby(rows.method).transform("any")]


def _left_out(suited: set[str], run: set[str]) -> Iterator[str]:
    """Which methods have no row, and why."""
    for words, methods in (
        ("Not for such data", sorted(run - suited)),
        ("Not run", sorted({*names()} - run)),
    ):
        if methods:
            yield f"{words}: {', '.join(f'`{name}`' for name in methods)}."


def _worst_table(
    worst: pd.DataFrame, covered: pd.DataFrame, *, paper: bool
) -> Iterator[dict[str, object]]:
    """A row for each method, the lowest CRPS first, and the paper's beside its own."""
    shares = covered[covered.target == "worst_query_risk"].set_index("method")
    means = worst.groupby("method").crps.mean().sort_values(kind="stable")
    for place, name in enumerate(means.index):
        own = worst[worst.method == name]
        row: dict[str, object] = {
            "worst-query risk": f"`{name}`",
            "error": number(own.abs_log10_error.mean()),
            "under-estimated": number(own.underestimated.mean()),
            "CRPS": bold(number(means[name], 3), place == 0),
            "90 % covers": "",
            "refused": int((own.status == "refused").sum()),
            "not converged": int((own.status == "unconverged").sum()),
        }
        if name in shares.index:
            of = shares.loc[name]
            interval = f"({of.lower:.2f} to {of.upper:.2f})"
            row["90 % covers"] = f"{of.coverage:.2f} {interval}"
        yield row
        if paper and name in PAPER_WORST:
            label, error, under, _ = PAPER_WORST[str(name)]
            cells = (label, error, number(under), "", "", "", "")
            yield dict(zip(row, cells, strict=True))


def _other_table(
    rows: pd.DataFrame, covered: pd.DataFrame, *, paper: bool
) -> Iterator[dict[str, object]]:
    """Error, CRPS and coverage of the other targets, a row for each method."""
    words = {"behaviour_frequency": "frequency", "aggregate_risk": "aggregate"}
    means = rows.groupby(["target", "method"]).crps.mean()
    shares = covered.set_index(["target", "method"]).coverage
    order = means[SCORED[0]].sort_values(kind="stable").index
    for name in order:
        row: dict[str, object] = {"method": f"`{name}`"}
        for target, word in words.items():
            own = rows[(rows.method == name) & (rows.target == target)]
            score = number(means[target, name], 3)
            covers = shares.get((target, name))
            row |= {
                f"{word}: error": number(own.abs_log10_error.mean()),
                f"{word}: CRPS": bold(score, means[target].idxmin() == name),
                f"{word}: covers": "" if covers is None else number(covers),
            }
        yield row
        if paper and name in PAPER_OTHER:
            frequency, aggregate = PAPER_OTHER[str(name)]
            label = PAPER_WORST[str(name)][0]
            yield dict(
                zip(row, (label, frequency, "", "", aggregate, "", ""), strict=True)
            )
