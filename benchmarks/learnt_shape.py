"""What many behaviours say of the shape of a tail, and what each adds to the others.

    python benchmarks/learnt_shape.py TABLE [TABLE ...] [--fractions 0.01 0.03 0.1]

A generalized Pareto tail is fitted to the scores above the quantile that a fraction of
all queries exceeds, its shape partially pooled over the behaviours of all tables; the
prior of their mean is weak. Printed are the mean shape, the spread between behaviours,
and the same with each behaviour left out in turn: what a prior would be that has not
seen the behaviour it is used for. Tables have exact risks.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import bayes_rare as br

WEAK = {"shape": 0.0, "shape_sd": 0.5}
SAMPLING = {"chains": 4, "warmup": 500, "draws": 500}


def evaluation_of(tables: list[Path]) -> br.Evaluation:
    """All behaviours of all tables; of several, each named by its table too."""
    read = {table.stem: br.read_table(table) for table in tables}
    if len(read) == 1:
        return next(iter(read.values()))
    return br.Evaluation.joined(
        [
            br.Evaluation.from_scores(
                {f"{stem}: {name}": repeated(one, name) for name in one.behaviours}
            )
            for stem, one in read.items()
        ]
    )


def repeated(evaluation: br.Evaluation, behaviour: str) -> np.ndarray:
    """The scores of a behaviour, each as often as it was seen."""
    cells = evaluation.scores(behaviour)
    return np.repeat(cells.score, cells.count.astype(int))


def population_of_shapes(
    evaluation: br.Evaluation, fraction: float
) -> tuple[float, float, float]:
    """Posterior mean of the mean shape, its standard deviation, and the spread."""
    posterior = br.fit(
        evaluation, "gpd_tail", fraction=fraction, **WEAK, **SAMPLING
    ).require_convergence()
    mean = posterior.draws["shape_mean"]
    return (
        float(mean.mean()),
        float(mean.std()),
        float(posterior.draws["shape_spread"].mean()),
    )


def main() -> None:
    """Print a table for each fraction."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tables", type=Path, nargs="+")
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.01, 0.03, 0.1])
    parser.add_argument("--leave-out", action="store_true")
    given = parser.parse_args()
    evaluation = evaluation_of(given.tables)
    print(evaluation)
    for fraction in given.fractions:
        rows = {"all": population_of_shapes(evaluation, fraction)}
        for left_out in evaluation.behaviours if given.leave_out else ():
            others = [name for name in evaluation.behaviours if name != left_out]
            rows[f"without {left_out}"] = population_of_shapes(
                evaluation.select(others), fraction
            )
        columns = ["mean shape", "its sd", "spread between behaviours"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        print(f"\nabove the quantile that {fraction:g} of the queries exceed")
        print(table.round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
