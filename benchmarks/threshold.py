"""How many exceedances should a tail be fitted to? Scored on held-out queries.

Draws disjoint evaluation and deployment sets from the sample data, fits gpd_tail with
each choice of threshold, and scores the forecast of the deployment's worst score: CRPS
in score units, coverage of the 90 % interval, share of truths above the median.

    python benchmarks/threshold.py [TABLE.parquet ...] [--repeats 10]

Tables in the format of an evaluation; by default the sample data that ships.
"""

import zlib

import numpy as np
import pandas as pd
import scoringrules
from study import study

import bayes_rare as br
from bayes_rare.errors import NotApplicable
from bayes_rare.forecasting.outcomes import worst_score
from bayes_rare.scores import score_from_log_risk

SIZES = ((100, 10_000), (300, 20_000), (1_000, 20_000))
CHOICES = (
    {"exceedances": 5},
    {"exceedances": 10},
    {"exceedances": 15},
    {"exceedances": 20},
    {"exceedances": 30},
    {"exceedances": 50},
    {"fraction": 0.05},
    {"fraction": 0.1},
)


def splits(
    scores: np.ndarray, evaluation: int, deployment: int, repeats: int, seed: int
) -> list[tuple[br.Evaluation, float]]:
    """Evaluations, and the worst score of as many disjoint deployments."""
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(repeats):
        drawn = rng.permutation(scores)[: evaluation + deployment]
        seen, held_out = drawn[:evaluation], drawn[evaluation:]
        pairs.append((br.Evaluation.from_scores(seen), float(held_out.max())))
    return pairs


def main() -> None:
    """Print a row for each size and choice."""
    parser = study(__doc__)
    parser.add_argument("tables", nargs="*")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--prior", nargs="*", default=[])
    given = parser.parse_args()
    tables = [pd.read_parquet(path) for path in given.tables] or [br.sample_table()]
    priors = {k: float(v) for k, v in (p.split("=") for p in given.prior)}
    behaviours = {
        name: score_from_log_risk(rows["log_risk"].to_numpy(np.float64))
        for table in tables
        for name, rows in table.groupby("behaviour", observed=True)
    }
    for evaluation, deployment in SIZES:
        pairs = [
            pair
            for name, scores in behaviours.items()
            for pair in splits(
                scores, evaluation, deployment, given.repeats, zlib.crc32(name.encode())
            )
        ]
        for choice in CHOICES:
            results = br.fit_many(
                [seen for seen, _ in pairs],
                "gpd_tail",
                warmup=400,
                draws=400,
                **choice,
                **priors,
            )
            rows = []
            for result, (_, truth) in zip(results, pairs, strict=True):
                if isinstance(result, NotApplicable):
                    continue
                draws = worst_score(
                    result.population(), deployment, np.random.default_rng(0)
                )
                # The scale of the field's comparisons: risks from 1e-12 to 0.999.
                draws, truth = np.clip(draws, -3.32, 6.9), np.clip(truth, -3.32, 6.9)
                level = (draws < truth).mean()
                crps = scoringrules.crps_ensemble(truth, draws)
                rows.append((crps, abs(level - 0.5) < 0.45, level > 0.5))
            if rows:
                crps, covered, above = np.array(rows, dtype=float).mean(axis=0)
                (name, value), *_ = choice.items()
                print(
                    f"{evaluation:>5} -> {deployment}  {name} {value:<5}  CRPS "
                    f"{crps:.3f}  coverage {covered:.2f}  above median {above:.2f}  "
                    f"fits {len(rows)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
