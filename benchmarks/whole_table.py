"""Every method on every set at every size, and the page of the documentation on it.

    python benchmarks/whole_table.py [TABLE] --folder FOLDER [--counts COUNTS]
        [--sets families|plain|drawn|counts ...] [--methods NAME ...] [--repeats 10]
        [--seed 0] [--workers 2] [--also BACKTEST ...] [--only forecasts|page]
        [--page docs/whole_table.md]

TABLE has exact risks and families: by default the sample data, with deployments cut to
what it leaves. It makes three sets: as it is, with the families ignored, and with 100
responses drawn for each query, of which only the number of successes is seen. COUNTS, a
table of successes of at least 100 trials a query, is a fourth: half of its queries are
seen, and the other half forecast.

Each set, size and method is a backtest of its own in FOLDER. Those that are finished
are not run again: ended early, the same command goes on from there, and a new method
costs no more than itself. A method that a backtest named by ``--also`` holds, on the
same splits, is taken from there. ``--only page`` needs FOLDER and these alone.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from study import study
from whole_page import KINDS, TRIALS, USUAL, page

import bayes_rare as br
from bayes_rare.backtesting.proper_scores import CLAMP
from bayes_rare.evaluation import QueryPool
from bayes_rare.evaluation.pool import Split, Splitting
from bayes_rare.files import replacing
from bayes_rare.methods import names
from bayes_rare.readers.tables.read_pool import read_pool
from bayes_rare.scores import risk_from_score

SIZES = {100: 10_000, 300: 30_000, 1_000: 40_000}
COSTLY = ("family_tail", "average")
"""Methods that run after all others."""
TOP = 10
"""Largest scores that an outlier among them is told by."""
PAGE = Path(__file__).parents[1] / "docs" / "whole_table.md"


@dataclass(frozen=True, eq=False)
class Cell:
    """One set at one size.

    Parameters
    ----------
    kind
        Which set.
    pool
        Its queries.
    seen, served
        Queries that methods see, and that they forecast.
    options
        How a backtest makes it of the pool.
    """

    kind: str
    pool: QueryPool
    seen: int
    served: int
    options: dict[str, Any]

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.kind}-{self.seen}"

    @cached_property
    def _families(self) -> pd.DataFrame:
        """Median and spread of the scores of each behaviour and family of the pool."""
        columns = ("behaviour", "family", "score")
        rows = pd.DataFrame({name: self.pool.rows[name] for name in columns})
        scores = rows.groupby(["behaviour", "family"]).score
        far = (rows.score - scores.transform("median")).abs()
        spread = far.groupby([rows.behaviour, rows.family]).median() / 0.6745
        return pd.DataFrame({"median": scores.median(), "spread": spread})

    def splits(self, repeats: int, seed: int) -> pd.DataFrame:
        """What each split is like: a row for each behaviour and repeat.

        Parameters
        ----------
        repeats, seed
            As of the backtests.
        """
        splitting = Splitting((self.seen,), (self.served,), seed=seed)
        return pd.DataFrame(
            self._split(name, self.pool.split([name], repeat, splitting), repeat)
            for repeat in range(repeats)
            for name in self.pool.behaviours
        )

    def _split(self, name: str, split: Split, repeat: int) -> dict[str, Any]:
        rows = self.pool.rows
        tops: list[np.ndarray] = []
        for drawn in (split.evaluation[self.seen], split.deployment[self.served]):
            own = drawn[name]
            tops.append(own[np.argsort(-rows["score"][own], kind="stable")[:TOP]])
        seen, served = (np.clip(rows["score"][top], *CLAMP) for top in tops)
        behaviour, family = rows["behaviour"][tops[1][0]], rows["family"][tops[1][0]]
        like = self._families.loc[(behaviour, family)]
        odd = (served[0] - like["median"]) / like["spread"] if self.pool.families else 0
        of_family = rows["family"][split.evaluation[self.seen][name]] == family
        trials = self.options.get("trials_per_query")
        evaluation = self.pool.evaluation(split, self.seen, trials_per_query=trials)
        positive = evaluation.tallied["successes"] > 0
        return {
            "behaviour": name,
            "repeat": repeat,
            "queries": self.pool.members[name].size,
            "families": len(self.pool.families),
            "truth": float(risk_from_score(rows["score"][tops[1][0]])),
            "largest": float(risk_from_score(rows["score"][tops[0][0]])),
            "gap": served[0] - served[1],
            "next": served[1] - served[-1],
            "gap_seen": seen[0] - seen[1],
            "next_seen": seen[1] - seen[-1],
            "same_family": bool(rows["family"][tops[0][0]] == family),
            "of_family": int(of_family.sum()),
            "odd": float(odd),
            "positive": int(evaluation.tallied["count"][positive].sum())
            if trials
            else self.seen,
        }


def cells(given: argparse.Namespace) -> Iterator[Cell]:
    """The sets that are asked for, at all sizes."""
    kinds = given.sets or list(KINDS)
    plain, drawn = {"ignore_families": True}, {"trials_per_query": TRIALS}
    if {"families", "plain", "drawn"} & {*kinds}:
        pool = read_pool(given.table if given.table else br.sample_table())
        fewest = min(rows.size for rows in pool.members.values())
        for kind, options, sizes in (
            ("families", {}, SIZES),
            ("plain", plain, SIZES),
            ("drawn", {**plain, **drawn}, [max(SIZES)]),
        ):
            for seen in sizes if kind in kinds else ():
                served = min(SIZES[seen], fewest - seen)
                yield Cell(kind, pool, seen, served, options)
    if given.counts and "counts" in kinds:
        pool = read_pool(given.counts)
        half = min(rows.size for rows in pool.members.values()) // 2
        yield Cell("counts", pool, half, half, drawn)


def held(cell: Cell, also: Sequence[br.Backtest], repeats: int, seed: int) -> set[str]:
    """Methods that other backtests hold on the same splits of the same data."""
    wanted = {
        "evaluation_sizes": [cell.seen],
        "deployment_sizes": [cell.served],
        "repeats": repeats,
        "seed": seed,
        "ignore_families": False,
        "trials_per_query": None,
        **USUAL,
        **cell.options,
    }
    return {
        str(name)
        for made in also
        if made.origin["data"] == cell.pool.digest
        and wanted.items() <= made.origin["options"].items()
        for name in made.table.method.unique()
    }


def forecasts(given: argparse.Namespace) -> None:
    """Run what is not finished, cheap methods first."""
    also = [br.load_backtest(path) for path in given.also]
    todo = list(cells(given))
    for cell in todo:
        path = given.folder / "splits" / f"{cell.name}.parquet"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as written:
                cell.splits(given.repeats, given.seed).to_parquet(written, index=False)
    for method in given.methods or sorted(names(), key=lambda name: name in COSTLY):
        for cell in todo:
            if method in held(cell, also, given.repeats, given.seed):
                continue
            print(f"{cell.name}: {method}", flush=True)
            br.backtest(
                cell.pool,
                [method],
                cell.seen,
                cell.served,
                repeats=given.repeats,
                chains=2,
                seed=given.seed,
                workers=given.workers,
                output=given.folder / f"{cell.name}-{method}.parquet",
                **cell.options,
            )


def main() -> None:
    """Forecast, and write the page."""
    parser = study(__doc__)
    parser.add_argument("table", nargs="?", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--counts", type=Path)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--methods", nargs="*")
    parser.add_argument("--sets", nargs="*", choices=KINDS)
    parser.add_argument("--also", nargs="*", type=Path, default=[])
    parser.add_argument("--only", choices=["forecasts", "page"])
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    if given.only != "page":
        forecasts(given)
    if given.only != "forecasts":
        given.page.write_text(page(given.folder, given.also), encoding="utf-8")


if __name__ == "__main__":
    main()
