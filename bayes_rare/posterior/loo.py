"""Leave-one-out cross-validation of posteriors, weighted by multiplicity.

ArviZ counts every cell of a log likelihood once; here a cell may stand for many queries
of equal or similar scores, and each of them is left out in turn. Draws are assumed to
be independent (a relative efficiency of 1) when their weights are smoothed.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayes_rare.diagnostics.importance_weights import smoothed, trusted
from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.posterior.posterior import Posterior

if TYPE_CHECKING:
    import pandas

__all__ = ["Loo", "compare_loo", "loo"]

type Cells = Float[np.ndarray, " cell"]


@dataclass(frozen=True, eq=False)
class Loo:
    """Expected log predictive density of left-out queries.

    Parameters
    ----------
    model
        Name of the model.
    elpd
        Sum over queries of the log density of each, given the others.
    standard_error
        Its standard error, from the spread over queries.
    effective_parameters
        In-sample log density less ``elpd``.
    queries
        Number of queries left out, one at a time.
    pareto_k
        Diagnostic of each cell; above 0.7 its estimate cannot be trusted.
    cell_elpd, cell_count
        Log density of one query of each cell, and how many it stands for.
    scored
        What was scored: evaluation, variables and thresholds, so that only like is
        compared with like.
    """

    model: str
    elpd: float
    standard_error: float
    effective_parameters: float
    queries: int
    pareto_k: Cells
    cell_elpd: Cells
    cell_count: Cells
    scored: tuple[Any, ...]

    @property
    def reliable(self) -> bool:
        """Whether every Pareto k is at most 0.7 (Vehtari et al. 2024)."""
        return bool(trusted(self.pareto_k).all())

    def __repr__(self) -> str:
        doubt = (
            "" if self.reliable else f", UNRELIABLE: Pareto k {self.pareto_k.max():.2f}"
        )
        return (
            f"Loo of {self.model}: elpd {self.elpd:.2f} ± {self.standard_error:.2f} "
            f"over {self.queries} queries, {self.effective_parameters:.1f} effective "
            f"parameters{doubt}."
        )


def loo(posterior: Posterior) -> Loo:
    """Leave-one-out cross-validation by Pareto-smoothed importance sampling.

    With weights proportional to ``1 / p(y_i | draw)``, smoothed, the log density of a
    query given the others is ``log(sum of weight * p(y_i | draw))`` [1]_. Of a tail
    model the excesses over its threshold are left out, not whether a query is above it:
    models of one threshold agree on that.

    Parameters
    ----------
    posterior
        Fitted with ``log_likelihood=True``, to one log likelihood.

    Raises
    ------
    InvalidInput
        If the posterior keeps no log likelihood.

    References
    ----------
    .. [1] A. Vehtari, D. Simpson, A. Gelman, Y. Yao, J. Gabry (2024). Pareto smoothed
       importance sampling. Journal of Machine Learning Research 25(72).
    """
    if not posterior.pointwise:
        raise InvalidInput(
            "this posterior keeps no log likelihood of single cells. Fit with "
            "log_likelihood=True."
        )
    densities: list[Any] = []
    counts: list[Any] = []
    for name, values in posterior.pointwise.items():
        count = _multiplicity(posterior, name, values.shape[-1])
        densities.append(values.reshape(-1, values.shape[-1]).T / count[:, None])
        counts.append(count)
    density, count = np.concatenate(densities), np.concatenate(counts)
    log_weight, pareto_k = smoothed(density)
    cell_elpd = np.logaddexp.reduce(log_weight + density, axis=-1)
    in_sample = np.logaddexp.reduce(density, axis=-1) - np.log(density.shape[1])
    elpd, queries = float(count @ cell_elpd), int(count.sum())
    spread = float(count @ (cell_elpd - elpd / queries) ** 2) / max(queries - 1, 1)
    return Loo(
        model=posterior.model.name,
        elpd=elpd,
        standard_error=float(np.sqrt(queries * spread)),
        effective_parameters=float(count @ in_sample) - elpd,
        queries=queries,
        pareto_k=pareto_k,
        cell_elpd=cell_elpd,
        cell_count=count,
        scored=(
            posterior.evaluation.digest,
            *posterior.pointwise,
            *posterior.data.get("threshold", np.empty(0)).tolist(),
        ),
    )


def _multiplicity(posterior: Posterior, name: str, cells: int) -> Cells:
    """How many queries each cell of a log likelihood stands for."""
    weights = posterior.model.pointwise or {}
    if name not in weights:
        return np.ones(cells)
    count = posterior.data[weights[name]].ravel()
    return count[count > 0]


def compare_loo(*posteriors: Posterior) -> "pandas.DataFrame":
    """Posteriors of the same data by their leave-one-out score, the best first.

    Parameters
    ----------
    *posteriors
        At least two, fitted with ``log_likelihood=True``.

    Returns
    -------
    Columns ``model, elpd, difference, standard_error, reliable``; difference and its
    standard error are against the best, query by query.

    Raises
    ------
    InvalidInput
        If there are fewer than two.
    NotApplicable
        If they do not score the same data: other evaluations, or other thresholds.
    """
    import pandas as pd

    if len(posteriors) < 2:
        raise InvalidInput("a comparison takes two posteriors or more.")
    results = sorted(map(loo, posteriors), key=lambda result: -result.elpd)
    best = results[0]
    for other in results[1:]:
        if best.scored != other.scored:
            raise NotApplicable(
                f"{best.model} and {other.model} do not score the same data: their "
                "evaluations or their thresholds differ. Fit both to one evaluation "
                "with the same threshold (threshold= or exceedances=)."
            )
    rows: list[tuple[Any, ...]] = []
    for result in results:
        difference = result.cell_elpd - best.cell_elpd
        total = float(result.cell_count @ difference)
        spread = result.cell_count @ (difference - total / result.queries) ** 2
        error = np.sqrt(result.queries * spread / max(result.queries - 1, 1))
        rows.append((result.model, result.elpd, total, float(error), result.reliable))
    return pd.DataFrame(
        rows, columns=["model", "elpd", "difference", "standard_error", "reliable"]
    )
