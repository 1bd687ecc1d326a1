"""Whether forecasts depend on the threshold of the tail."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rare.diagnostics.threshold_scan import ladder
from bayes_rare.errors import NotApplicable
from bayes_rare.forecasting import Deployment
from bayes_rare.forecasting.outcomes import worst_score_quantile
from bayes_rare.methods.gpd_mle import gpd_mle
from bayes_rare.populations import Population
from bayes_rare.posterior import Posterior
from bayes_rare.reporting.outlook import Outlook
from bayes_rare.scores import score_from_risk

if TYPE_CHECKING:
    import pandas

__all__ = ["moved_thresholds"]

_MLE = "maximum likelihood"


def moved_thresholds(
    posterior: Posterior,
    outlooks: Sequence[Outlook],
    queries: int,
    interval: int | float,
    *,
    refit: bool,
    seed: int,
) -> tuple["pandas.DataFrame", list[str]]:
    """Forecasts of the riskiest query with lower and higher thresholds.

    By maximum likelihood, which takes no time; and by the model itself if asked.
    """
    import pandas as pd

    chances = np.array([0.5 - interval / 2, 0.5, 0.5 + interval / 2])
    rows: list[dict[str, Any]] = []
    refused: list[str] = []

    def add(behaviour: str, method: str, above: int, population: Population) -> None:
        ends = worst_score_quantile(population, queries, chances)
        low, middle, high = map(float, ends)
        rows.append(
            {
                "behaviour": behaviour,
                "method": method,
                "exceedances": above,
                "lower": low,
                "median": middle,
                "upper": high,
            }
        )

    evaluation = posterior.evaluation
    for place, each in enumerate(outlooks):
        behaviour = each.behaviour
        if evaluation.kind(behaviour) != "exact":
            continue
        if "exceeding" in posterior.data:
            low, middle, high = (
                float(score_from_risk(risk))
                for risk in (each.lower, each.median, each.upper)
            )
            rows.append(
                {
                    "behaviour": behaviour,
                    "method": posterior.model.name,
                    "exceedances": int(posterior.data["exceeding"][place]),
                    "lower": low,
                    "median": middle,
                    "upper": high,
                }
            )
        own = evaluation.select([behaviour])
        for above in ladder(own.sizes[behaviour]):
            try:
                made = gpd_mle(own, Deployment(queries), exceedances=above, targets=())
            except NotApplicable as refusal:
                refused.append(str(refusal))
                continue
            add(behaviour, _MLE, above, made.populations[behaviour])
    if refit and rows:
        for above in ladder(min(evaluation.sizes.values())):
            again, why = _fitted_again(posterior, above, seed)
            refused += why
            if again is None:
                continue
            for place, behaviour in enumerate(again.behaviours):
                name = f"{posterior.model.name}, refitted"
                count = int(again.data["exceeding"][place])
                add(behaviour, name, count, again.thinned(4000).population(behaviour))
    columns = ["behaviour", "method", "exceedances", "lower", "median", "upper"]
    return pd.DataFrame(rows, columns=columns), list(dict.fromkeys(refused))


def _fitted_again(
    posterior: Posterior, above: int, seed: int
) -> tuple[Posterior | None, list[str]]:
    """The model refitted with so many queries above its threshold, and what failed."""
    from bayes_rare import inference

    settings = posterior.settings
    name = posterior.model.name
    if "exceedances" not in settings:
        return None, [f"{name} has no threshold to change."]
    if settings["exceedances"] == above:
        return None, []
    sizes = {key: posterior.provenance[key] for key in ("chains", "warmup", "draws")}
    moved = {
        key: value
        for key, value in settings.items()
        if key not in ("exceedances", "fraction", "threshold")
    }
    try:
        made = inference.fit(
            posterior.evaluation,
            posterior.model,
            seed=seed,
            target_ess=0.0,
            exceedances=above,
            **sizes,
            **moved,
        )
    except NotApplicable as refusal:
        return None, [str(refusal)]
    if made.verdict.converged:
        return made, []
    reasons = "; ".join(made.verdict.reasons)
    return made, [
        f"{name} with {above} queries above its threshold did not converge: {reasons}."
    ]
