"""What behaviours borrow from each other, and what a few queries of a new kind add.

    python benchmarks/sharing.py new-behaviour TABLE [--repeats 2]
    python benchmarks/sharing.py new-kind TABLE [--repeats 2]
    python benchmarks/sharing.py together TABLE [--repeats 2]

``new-behaviour``: 50 queries of one behaviour, alone and beside 200 of each other one,
forecast the worst of 10,000. ``new-kind``: 300 queries of ten families and 0, 25, 100
or 500 of an eleventh, the new kind, forecast the worst of its other queries; beside it
the queries of the new kind alone. ``together``: 100, 300 or 1,000 queries of every
behaviour, with and without pooling, of models that know no families. Printed are CRPS
of the worst query's score, means over behaviours and repeats, and what share of truths
90 % intervals hold. TABLE has exact risks and families.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from study import study

import bayes_rare as br
from bayes_rare.backtesting.proper_scores import worst_score_crps
from bayes_rare.errors import NotApplicable
from bayes_rare.forecasting.family_mix import deployed
from bayes_rare.forecasting.outcomes import worst_score_quantile
from bayes_rare.inference import fit_many
from bayes_rare.inference.averaging import LEARNT_SHAPE
from bayes_rare.posterior import Posterior
from bayes_rare.scores import score_from_log_risk

NEW, OTHERS, SERVED = 50, 200, 10_000
SOURCE, FAMILIES, OF_NEW_KIND = 300, 10, (0, 25, 100, 500)
SAMPLING: dict[str, Any] = {"chains": 2, "warmup": 500, "draws": 500, "target_ess": 0.0}
SEVERAL = {100: 10_000, 300: 30_000, 1_000: 40_000}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpd_tail": ("gpd_tail", {}),
    "gpd_tail, learnt shape": ("gpd_tail", LEARNT_SHAPE),
    "log_normal": ("log_normal", {}),
}
AT_ONCE = 16
LEVELS = (np.arange(999) + 0.5) / 999


def evaluation_of(parts: Sequence[pd.DataFrame]) -> br.Evaluation:
    """An evaluation of rows of a table."""
    rows = pd.concat(parts)
    by = {str(name): part for name, part in rows.groupby("behaviour", observed=True)}
    return br.Evaluation.from_scores(
        {name: score_from_log_risk(part.log_risk) for name, part in by.items()},
        family={name: part.family.tolist() for name, part in by.items()},
    )


def judged(
    posterior: Posterior,
    behaviour: str,
    truth: pd.DataFrame,
    families: tuple[tuple[str, float], ...] | None = None,
    unseen: int = 0,
) -> dict[str, float]:
    """CRPS of the worst score of as many queries as the truth has, and coverage."""
    population = deployed(
        posterior.population(behaviour),
        posterior.evaluation,
        behaviour,
        families,
        float(unseen > 0),
        unseen or None,
    )
    draws = worst_score_quantile(population, len(truth), LEVELS)
    worst = score_from_log_risk(np.array(truth.log_risk.max()))
    low, high = np.quantile(draws, [0.05, 0.95])
    return {
        "crps": float(worst_score_crps(draws, worst)),
        "covers": float(low <= worst <= high),
    }


def fitted(
    evaluations: Sequence[br.Evaluation], model: str, **settings: Any
) -> Iterator[Posterior | NotApplicable]:
    """Posteriors one after the other, a few of them held at once."""
    for first in range(0, len(evaluations), AT_ONCE):
        few = evaluations[first : first + AT_ONCE]
        yield from fit_many(few, model, **SAMPLING, **settings)


def shuffled(table: pd.DataFrame, seed: Sequence[int]) -> dict[str, pd.DataFrame]:
    """The rows of each behaviour in a random order."""
    rng = np.random.default_rng(seed)
    return {
        str(name): part.iloc[rng.permutation(len(part))]
        for name, part in table.groupby("behaviour", observed=True)
    }


def new_behaviour(table: pd.DataFrame, repeats: int) -> pd.DataFrame:
    """A row for each behaviour, repeat, model and way of fitting."""
    names = sorted(table.behaviour.unique())
    tasks: list[tuple[str, str, br.Evaluation, pd.DataFrame]] = []
    for repeat in range(repeats):
        order = shuffled(table, [repeat, 1])
        for name in names:
            few, truth = order[name][:NEW], order[name][NEW : NEW + SERVED]
            others = [order[other][:OTHERS] for other in names if other != name]
            tasks.append(("alone", name, evaluation_of([few]), truth))
            tasks.append(("pooled", name, evaluation_of([few, *others]), truth))
    rows: list[dict[str, object]] = []
    for model in ("family_tail", "gpd_tail"):
        fits = fitted([task[2] for task in tasks], model)
        for (way, name, _, truth), fit in zip(tasks, fits, strict=True):
            if isinstance(fit, Posterior):
                rows.append(
                    {"model": model, "way": way, "behaviour": name}
                    | judged(fit, name, truth)
                )
    return pd.DataFrame(rows)


def new_kind(table: pd.DataFrame, repeats: int) -> pd.DataFrame:
    """A row for each behaviour, repeat, number of new queries and way of fitting."""
    families = sorted(table.family.unique())
    tasks: list[tuple[int, str, str, br.Evaluation, pd.DataFrame, str]] = []
    for repeat in range(repeats):
        for place, (name, part) in enumerate(table.groupby("behaviour", observed=True)):
            rng = np.random.default_rng([repeat, place, 2])
            kinds = rng.permutation(families)[: FAMILIES + 1]
            new = part[part.family == kinds[0]]
            new = new.iloc[rng.permutation(len(new))]
            source = part[part.family.isin(kinds[1:])]
            source = source.iloc[rng.permutation(len(source))[:SOURCE]]
            truth = new[max(OF_NEW_KIND) :]
            for few in OF_NEW_KIND:
                both = evaluation_of([source, new[:few]])
                tasks.append((few, "together", str(name), both, truth, str(kinds[0])))
                if few:
                    alone = evaluation_of([new[:few]])
                    tasks.append((few, "alone", str(name), alone, truth, str(kinds[0])))
    fits = fitted([task[3] for task in tasks], "family_tail")
    rows: list[dict[str, object]] = []
    for (few, way, name, _, truth, kind), fit in zip(tasks, fits, strict=True):
        if isinstance(fit, Posterior):
            mix = {"families": ((kind, 1.0),)} if few else {"unseen": 1}
            rows.append(
                {"queries": few, "way": way, "behaviour": name}
                | judged(fit, name, truth, **mix)
            )
    return pd.DataFrame(rows)


def together(table: pd.DataFrame, repeats: int) -> pd.DataFrame:
    """A row for each behaviour, repeat, number of queries, model and way of fitting."""
    rows: list[dict[str, object]] = []
    for queries, served in SEVERAL.items():
        evaluations: list[br.Evaluation] = []
        truths: list[dict[str, pd.DataFrame]] = []
        for repeat in range(repeats):
            order = shuffled(table, [repeat, 7, queries])
            few = [part[:queries] for part in order.values()]
            evaluations.append(evaluation_of(few))
            truths.append(
                {name: part[queries:][:served] for name, part in order.items()}
            )
        for label, (model, settings) in MODELS.items():
            for way, pool in (("one by one", False), ("pooled", True)):
                fits = fitted(evaluations, model, **settings, pool=pool)
                for truth, fit in zip(truths, fits, strict=True):
                    if isinstance(fit, Posterior):
                        rows += [
                            {"model": label, "queries": queries, "way": way}
                            | {"behaviour": name, **judged(fit, name, part)}
                            for name, part in truth.items()
                        ]
    return pd.DataFrame(rows)


def main() -> None:
    """Print a table of what is asked for."""
    parser = study(__doc__)
    parser.add_argument("what", choices=["new-behaviour", "new-kind", "together"])
    parser.add_argument("table", type=Path)
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    table = pd.read_parquet(given.table)
    made = {
        "new-behaviour": new_behaviour,
        "new-kind": new_kind,
        "together": together,
    }[given.what]
    rows = made(table, given.repeats)
    keys = [key for key in ("model", "queries", "way") if key in rows]
    print(rows.groupby(keys)[["crps", "covers"]].agg(["mean", "count"]).round(4))
    by = rows.pivot_table(index="behaviour", columns=keys, values="crps")
    print(by.round(3).to_string())


if __name__ == "__main__":
    main()
