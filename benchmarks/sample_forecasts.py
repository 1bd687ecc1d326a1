"""A model and the published methods on many random splits of the sample data.

Evaluations of some size, six behaviours each, forecast the riskiest of all queries held
out: mean absolute error in powers of ten, coverage of the 90 % interval, and fits that
did not converge. These are the figures of the README.

    python benchmarks/sample_forecasts.py [--splits 30] [--queries 300 1000]
        [--model gpd_tail]
"""

import numpy as np
import pandas as pd
from study import study

import bayes_rare as br
from bayes_rare.scores import risk_from_score


def rows_of(posterior: br.Posterior, held_out: br.Evaluation) -> pd.DataFrame:
    """Errors of each method, by behaviour."""
    size = min(held_out.sizes.values())
    deployment = br.Deployment(size)
    ours = br.forecast(posterior, deployment, targets=["worst_query_risk"])
    methods = [
        ours,
        br.gumbel_ols(posterior.evaluation, deployment),
        br.log_normal_moments(posterior.evaluation, deployment),
    ]
    truth = {
        name: float(risk_from_score(held_out.worst(name)))
        for name in held_out.behaviours
    }
    tables = []
    for made in methods:
        table = made.summary().query("target == 'worst_query_risk'").copy()
        real = table["behaviour"].map(truth)
        table["method"] = made.method
        table["error"] = np.abs(np.log10(table["median"]) - np.log10(real))
        table["inside"] = (table["lower"] <= real) & (real <= table["upper"])
        tables.append(table[["method", "behaviour", "queries", "error", "inside"]])
    return pd.concat(tables)


def main() -> None:
    """Print a row for each size and method, and coverage by behaviour."""
    parser = study(__doc__)
    parser.add_argument("--splits", type=int, default=30)
    parser.add_argument("--queries", type=int, nargs="+", default=[1_000, 300])
    parser.add_argument("--model", default="gpd_tail")
    given = parser.parse_args()
    for queries in given.queries:
        pairs = [br.sample_split(queries, seed=seed) for seed in range(given.splits)]
        fits = br.fit_many([seen for seen, _ in pairs], given.model)
        table = pd.concat(
            rows_of(fit, held_out)
            for fit, (_, held_out) in zip(fits, pairs, strict=True)
        )
        unconverged = sum(not fit.verdict.converged for fit in fits)
        print(
            f"{queries} queries, {given.splits} splits, {unconverged} unconverged fits"
        )
        print(table.groupby("method")[["error", "inside"]].mean().round(3))
        own = table[table["method"] == fits[0].model.name]
        print(
            own.groupby("behaviour")["inside"].mean().round(2).to_string(), flush=True
        )


if __name__ == "__main__":
    main()
