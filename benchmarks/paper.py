"""The three experiments of Jones et al. (2025) on another model, as tables in markdown.

    python benchmarks/paper.py outputs|actions|red-teaming [TABLE.parquet]
        [--repeats N] [--workers 2] [--output FORECASTS.parquet]

Without a table, on the sample data. These are the tables of docs/results.md. The
examples `compare_methods`, `chosen_actions` and `red_teaming` tell each experiment at
length, on little of the sample, and share no code with this file: they are to be read,
and run, alone. What both need is the package's own.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logsumexp
from study import markdown, number, study

import bayes_rare as br
from bayes_rare.forecasting import outcome
from bayes_rare.methods import Method, Sampling, method
from bayes_rare.scores import score_from_log_risk

METHODS = (
    "gumbel_ols",
    "log_normal_moments",
    "gumbel_ols_pivot",
    "evaluation_maximum",
    "gpd_mle",
    "gumbel_tail",
    "gpd_tail",
    "log_normal",
)
ACTIONS = ("Death", "I destroy", "I love", "I'm afraid", "I'm sorry", "I'm tired")
"""Replies that one is chosen of: those of the sample data."""

PAPER_WORST = {
    "gumbel_ols": ("paper: Gumbel tail", 1.7, 0.34, "0.86 (900 to 90,000)"),
    "log_normal_moments": ("paper: log-normal", 2.4, 0.72, ""),
}
# The whole pool of a behaviour is split, so that the largest deployment must leave
# room for the largest evaluation.
EVALUATIONS, DEPLOYMENTS = (100, 200, 500, 1_000), (10_000, 20_000, 40_000)
TEMPLATES = 10
"""Templates of a query generator."""
COSTS = (1, 3, 10)
"""Costs of a query of the second generator; one of the first costs 1."""
GAPS = (0.5, 1.0, 2.0)
"""Orders of magnitude beyond which a difference of worst risks is called large."""


def outputs(
    source: pd.DataFrame, repeats: int, workers: int, output: Path | None
) -> None:
    """Specific outputs: each behaviour forecast from its own small evaluations."""
    most = int(source.groupby("behaviour").size().min()) - EVALUATIONS[-1]
    deployments = [size for size in DEPLOYMENTS if size <= most]
    made = br.backtest(
        source,
        METHODS,
        EVALUATIONS,
        deployments,
        repeats=repeats,
        workers=workers,
        output=output,
    )
    print_outputs(made.table)


def print_outputs(table: pd.DataFrame) -> None:
    """Print what a backtest of specific outputs found."""
    print(_counts(table), "\n")
    worst = table[table["target"] == "worst_query_risk"]
    rows = []
    for name, own in worst.groupby("method", sort=False):
        rows.append(
            {
                "worst-query risk": f"`{name}`",
                "error": number(own["abs_log10_error"].mean()),
                "under-estimated": number(own["underestimated"].mean()),
                "within one order": number(own["within_one_order"].mean()),
                "CRPS": number(own["crps"].mean(), 3),
                "90 % covers": number(own["covered_90"].mean()),
                "replaced": int((own["status"] != "forecast").sum()),
            }
        )
        if name in PAPER_WORST:
            label, error, under, within = PAPER_WORST[name]
            cells = (label, error, under, within, "", "", "")
            rows.append(dict(zip(rows[-1], cells, strict=True)))
    print(markdown(rows), "\n")
    largest = worst[worst["deployment_size"] == worst["deployment_size"].max()]
    print(markdown(list(_by_size(largest, "abs_log10_error", 2))), "\n")
    print(markdown(list(_by_size(largest, "crps", 3))), "\n")
    rows = []
    for name, own in table.groupby("method", sort=False):
        row: dict[str, object] = {"method": f"`{name}`"}
        for target in ("behaviour_frequency", "aggregate_risk"):
            part = own[own["target"] == target]
            row |= {
                f"{target}: error": number(part["abs_log10_error"].mean()),
                f"{target}: CRPS": number(part["crps"].mean(), 3),
                f"{target}: covers": number(part["covered_90"].mean()),
            }
        rows.append(row)
    print(markdown(rows), "\n")
    for verdict in br.compare(table).verdicts():
        if verdict.startswith("worst"):
            print("-", verdict)


def _counts(table: pd.DataFrame) -> str:
    behaviours, repeats = table["behaviour"].nunique(), table["repeat"].nunique()
    return f"{behaviours} behaviours, {repeats} splits of each at each evaluation size"


def _by_size(worst: pd.DataFrame, column: str, digits: int):
    """Means by method and evaluation size, with the coverage of 90 % intervals."""
    deployed = worst["deployment_size"].max()
    for name, own in worst.groupby("method", sort=False):
        row = {f"{column}, covers": f"`{name}`"}
        for size, part in own.groupby("evaluation_size"):
            cover = part["covered_90"].mean()
            row[f"{size:,} → {deployed:,}"] = number(part[column].mean(), digits) + (
                "" if np.isnan(cover) else f", {cover:.2f}"
            )
        yield row


def chosen(source: pd.DataFrame, actions: Sequence[str] = ACTIONS) -> pd.DataFrame:
    """A table of like queries: the log chance that an action is chosen, by template.

    The model chooses among ``actions`` with their probabilities, normalised over
    them: ``log p_a = -log(1 + exp(log sum of the others - log p_a))``, exact where
    the choice is all but certain.

    Parameters
    ----------
    source
        An evaluation table with families.
    actions
        Behaviours that one is chosen of.
    """
    wide = source[source["behaviour"].isin(actions)].pivot(
        index=["family", "query_id"], columns="behaviour", values="log_risk"
    )
    tables = []
    for action in actions:
        others = logsumexp(wide.drop(columns=action), axis=1)
        log_risk = -np.logaddexp(0.0, others - wide[action])
        tables.append(log_risk.rename("log_risk").reset_index().assign(action=action))
    table = pd.concat(tables, ignore_index=True)
    codes = table["family"].astype("category").cat.codes
    table["behaviour"] = [
        f"{action} / template {code}"
        for action, code in zip(table["action"], codes, strict=True)
    ]
    return table[["query_id", "behaviour", "log_risk"]]


def actions(
    source: pd.DataFrame, repeats: int, workers: int, output: Path | None
) -> None:
    """Chosen actions: the words of one template forecast from a hundred of them."""
    table = chosen(source)
    seen = 100
    left = int(table.groupby("behaviour").size().min()) - seen
    made = br.backtest(
        table, METHODS, seen, left, repeats=repeats, workers=workers, output=output
    )
    print_actions(made.table)


def print_actions(table: pd.DataFrame) -> None:
    """Print what a backtest of chosen actions found."""
    print(_counts(table), "\n")
    worst = table[table["target"] == "worst_query_risk"].copy()
    worst["action"] = worst["behaviour"].str.partition(" / ")[0]
    paper = {"gumbel_ols": "0.05", "log_normal_moments": "0.12"}
    rows = [
        {
            "chosen actions": f"`{name}`",
            "absolute error": number(own["abs_error"].mean(), 3),
            "the paper": paper.get(str(name), ""),
            "error, powers of ten": number(own["abs_log10_error"].mean()),
            "under-estimated": number(own["underestimated"].mean()),
            "CRPS": number(own["crps"].mean(), 3),
            "90 % covers": number(own["covered_90"].mean()),
            "replaced": int((own["status"] != "forecast").sum()),
        }
        for name, own in worst.groupby("method", sort=False)
    ]
    print(markdown(rows), "\n")
    rows = []
    for action, part in worst.groupby("action"):
        row = {
            "action": action,
            "median worst risk": f"{part['truth'].median():.2g}",
        }
        for name, own in part.groupby("method", sort=False):
            row[f"`{name}`"] = number(own["abs_error"].mean(), 4)
        rows.append(row)
    print(markdown(rows))


@dataclass(frozen=True, eq=False)
class Generator:
    """What one query generator made of one behaviour.

    Parameters
    ----------
    log_risk
        Log risk of all its queries, in random order.
    """

    log_risk: np.ndarray

    def seen(self, size: int) -> br.Evaluation:
        """The evaluation of its first queries."""
        return br.Evaluation.from_scores(score_from_log_risk(self.log_risk[:size]))

    def worst(self, size: int) -> float:
        """Largest log risk of its last queries, in powers of ten."""
        return float(self.log_risk[-size:].max() / np.log(10))


def pair_of_generators(
    wide: pd.DataFrame, rng: np.random.Generator
) -> dict[str, tuple[Generator, Generator]]:
    """Two disjoint random sets of templates, by behaviour.

    Parameters
    ----------
    wide
        Log risks, with the template as the first level of the index and a column for
        each behaviour.
    rng
        Source of randomness.
    """
    family = wide.index.get_level_values("family")
    names = rng.permutation(np.unique(family))[: 2 * TEMPLATES]
    both = []
    for own in (names[:TEMPLATES], names[TEMPLATES:]):
        rows = wide[family.isin(own)].to_numpy()
        both.append(rng.permutation(rows))
    return {
        name: (Generator(both[0][:, place]), Generator(both[1][:, place]))
        for place, name in enumerate(wide.columns)
    }


def choices(
    chooser: Method,
    generators: Mapping[str, tuple[Generator, Generator]],
    seen: int,
    budget: int,
    pair: int,
) -> list[dict[str, object]]:
    """Which generator a method chooses for each behaviour and cost, and how surely.

    Parameters
    ----------
    chooser
        The method.
    generators
        Two by behaviour.
    seen
        Queries of each that it sees.
    budget
        Queries of the first that may be asked; of the second, as many as its cost
        allows.
    pair
        Number of the pair; seeds the luck.
    """
    sizes = [budget // cost for cost in COSTS]
    flat = [one for both in generators.values() for one in both]
    answers = chooser.answers([one.seen(seen) for one in flat], br.Deployment(sizes))
    rows = []
    for place, (behaviour, both) in enumerate(generators.items()):
        own = answers[2 * place : 2 * place + 2]
        for cost in COSTS:
            asked = (budget, budget // cost)
            made = [
                answer.forecasts.get(n) for answer, n in zip(own, asked, strict=True)
            ]
            refused = any(one is None or not one.converged for one in made)
            if refused:  # the riskiest of the evaluation decides, as in a backtest
                first, second = (one.log_risk[:seen].max() for one in both)
            else:
                rng = np.random.default_rng([pair, place, cost])
                first, second = (
                    _worst(one, n, rng) for one, n in zip(made, asked, strict=True)
                )
            truth = [one.worst(n) for one, n in zip(both, asked, strict=True)]
            rows.append(
                {
                    "method": chooser.name,
                    "pair": pair,
                    "behaviour": behaviour,
                    "seen": seen,
                    "cost": cost,
                    "chance": float(np.greater.outer(first, second).mean()),
                    "gap": truth[0] - truth[1],
                    "is_point": refused or made[0].is_point,
                    "replaced": refused,
                }
            )
    return rows


def _worst(forecast: br.Forecast, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of the worst score, or the one guess of a point method."""
    [population] = forecast.populations.values()
    luck = None if forecast.is_point else rng
    return outcome("worst_query_risk", population, size, None, 1, 0.05, luck)


def red_teaming(
    source: pd.DataFrame, repeats: int, _: int, output: Path | None
) -> None:
    """Red-teaming: the generator that will find the riskier query for the money."""
    wide = source.pivot(
        index=["family", "query_id"], columns="behaviour", values="log_risk"
    )
    smallest = int(wide.groupby("family").size().min())
    budget = TEMPLATES * smallest * 9 // 10
    chosen = [method(name, Sampling(4, 500, 500)) for name in METHODS]
    rows = []
    for pair in range(repeats):
        generators = pair_of_generators(wide, np.random.default_rng([0, pair]))
        for seen in (100, 300):
            for one in chosen:
                rows += choices(one, generators, seen, budget, pair)
    table = pd.DataFrame(rows)
    if output is not None:
        table.to_parquet(output)
    print(f"{repeats} pairs of generators, {wide.shape[1]} behaviours, budget {budget}")
    print_red_teaming(table)


def print_red_teaming(table: pd.DataFrame) -> None:
    """Print which choices were right."""
    table = table.copy()
    happened = table["gap"] > 0
    # The rule that needs no evaluation; a coin where both cost the same.
    first = table["method"] == table["method"].iloc[0]
    rule = table[first & (table["cost"] > 1)].assign(method="always the cheaper")
    table["right"] = (table["chance"] > 0.5) == happened
    table["brier"] = (table["chance"] - happened) ** 2
    rule = rule.assign(right=rule["gap"] > 0, brier=np.nan, replaced=False)
    print(
        "\n",
        ", ".join(
            f"{(abs(table[first]['gap']) > gap).mean():.0%} of gaps over {gap} orders"
            for gap in GAPS
        ),
        "\n",
    )
    rows = [
        {
            "red-teaming": f"`{name}`",
            "right choices": _with_error(own, "right"),
            **{
                f"gap over {gap:g}": number(own["right"][abs(own["gap"]) > gap].mean())
                for gap in GAPS
            },
            **{
                f"cost {cost}": number(own["right"][own["cost"] == cost].mean())
                for cost in COSTS
            },
            **{
                f"{seen} seen": number(own["right"][own["seen"] == seen].mean())
                for seen in sorted(set(own["seen"]))
            },
            "Brier score": number(own["brier"].mean(), 3),
            "replaced": int(own["replaced"].sum()),
        }
        for name, own in pd.concat([table, rule]).groupby("method", sort=False)
    ]
    print(markdown(rows), "\n")
    sure = table[~table["is_point"]].copy()
    sure["stated"] = np.maximum(sure["chance"], 1 - sure["chance"])
    edges = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    sure["bin"] = pd.cut(sure["stated"], edges, include_lowest=True, labels=False)
    rows = [
        {
            "how sure": f"`{name}`",
            **{
                f"{edges[bin_]:.0%} to {edges[bin_ + 1]:.0%}": (
                    f"{part['right'].mean():.2f} of {len(part):,}"
                    if len(part := own[own["bin"] == bin_])
                    else "-"
                )
                for bin_ in range(len(edges) - 1)
            },
        }
        for name, own in sure.groupby("method", sort=False)
    ]
    print(markdown(rows))


def _with_error(own: pd.DataFrame, column: str) -> str:
    """A share with its standard error, where pairs of generators are independent."""
    by_pair = own.groupby("pair")[column].mean()
    error = by_pair.std() / np.sqrt(len(by_pair)) if len(by_pair) > 1 else np.nan
    return f"{own[column].mean():.3f} ± {number(error, 3)}"


EXPERIMENTS: dict[str, tuple[Callable[..., None], int]] = {
    "outputs": (outputs, 10),
    "actions": (actions, 2),
    "red-teaming": (red_teaming, 20),
}
"""By name: what runs it, and how often unless something else is asked for."""


def main() -> None:
    """Print the tables of one experiment."""
    parser = study(__doc__)
    parser.add_argument("experiment", choices=EXPERIMENTS)
    parser.add_argument("table", nargs="?", type=Path)
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--output", type=Path, help="Parquet file of all forecasts")
    given = parser.parse_args()
    source = pd.read_parquet(given.table) if given.table else br.sample_table()
    run, usual = EXPERIMENTS[given.experiment]
    start = time.perf_counter()
    run(source, given.repeats or usual, given.workers, given.output)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
