"""The function `fit`: sample one model, or average those that suit the data."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Unpack, overload

from bayes_rare import catalog
from bayes_rare.arguments.checking import SAMPLING, Sampling, checked_call
from bayes_rare.arguments.near_words import nearby
from bayes_rare.diagnostics.convergence import ESS_LIMIT
from bayes_rare.errors import InvalidInput, listed
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference.averaging import average, blend_many
from bayes_rare.inference.batches import check_evaluations, fit_many, served
from bayes_rare.inference.stack import Stack, load_stack
from bayes_rare.posterior import Average, Posterior
from bayes_rare.posterior.average import NAME

__all__ = ["fit"]

type Progress = Callable[[int, int], None]
# A forecast by one model takes quantiles of about this many effective draws.
_TARGET_ESS = 2000.0

type Named = str | Path | catalog.Model


@overload
def fit(
    evaluation: Evaluation,
    model: Literal["average"] | Stack | None = None,
    *,
    behaviours: Sequence[str] | None = None,
    progress: Progress = ...,
    **sampling: Unpack[Sampling],
) -> Average: ...


@overload
def fit(
    evaluation: Evaluation,
    model: Named,
    *,
    behaviours: Sequence[str] | None = None,
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    seed: int = 0,
    target_ess: int | float | None = None,
    log_likelihood: bool = False,
    way: str | None = None,
    progress: Progress = ...,
    **priors: Any,
) -> Posterior: ...


@checked_call
def fit(
    evaluation: Evaluation,
    model: Named | Stack | None = None,
    *,
    behaviours: Sequence[str] | None = None,
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    seed: int = 0,
    target_ess: int | float | None = None,
    log_likelihood: bool = False,
    way: str | None = None,
    progress: Progress = lambda _done, _total: None,
    **priors: Any,
) -> Posterior | Average:
    """Sample the posterior of a model, or an average of models, given an evaluation.

    Sampling continues until the draws have converged and their smallest effective
    sample size reaches a target, or there are four times as many draws as asked for.
    Check ``posterior.verdict``, or call ``posterior.require_convergence()``, before you
    use the draws.

    Parameters
    ----------
    evaluation
        What was measured.
    model
        Name of a shipped model, path of a model file of yours, or a model already read.
        By default, and for "average", all models that suit the data are averaged,
        weighted by how well they forecast the riskiest queries: `bayes_rare.average`.
        A stack, or the path of one (ending in .json), has weights learnt in a backtest:
        `bayes_rare.stack`.
    behaviours
        Fit only these.
    chains, warmup, draws
        Number of chains, steps that adapt, and steps that are kept; draws at least 4.
    seed
        Random seed; the same seed, data and machine give the same draws.
    target_ess
        Effective draws to aim for; 0 takes the draws asked for and no more. By default
        2,000 of one model, and 400 of each that is averaged.
    log_likelihood
        Whether to keep the log likelihood of each observed cell, which LOO needs.
    way
        ``"map"`` or ``"vmap"``: chains one after the other on each device, or all at
        once; by default the faster one for the device.
    progress
        Called with how many chains are done, and how many there are.
    **priors
        Keyword arguments of the model's ``build``: priors, threshold, ``pool``. An
        average has none.

    Returns
    -------
    The posterior of the model, or an average of several. Both can be forecast from.

    Raises
    ------
    NotApplicable
        If the model cannot be fitted to this evaluation.
    InvalidInput
        If an argument is outside its range.

    Examples
    --------
    >>> import bayes_rare as br
    >>> import numpy as np
    >>> evaluation = br.Evaluation.from_scores(np.linspace(-3, -1, 200))
    >>> posterior = br.fit(evaluation, "gumbel_tail", warmup=200, draws=200)
    >>> posterior.verdict.converged
    True
    """
    check_evaluations([evaluation])
    if behaviours is not None:
        evaluation = evaluation.select(behaviours)
    sampling: dict[str, Any] = {
        "chains": chains,
        "warmup": warmup,
        "draws": draws,
        "seed": seed,
        "target_ess": ESS_LIMIT if target_ess is None else target_ess,
        "log_likelihood": log_likelihood,
        "way": way,
        "progress": progress,
    }
    if isinstance(model, str | Path) and str(model).endswith(".json"):
        model = load_stack(model)
    if model is None or model == NAME or isinstance(model, Stack):
        if priors:
            what = "a stack" if isinstance(model, Stack) else "an average"
            raise InvalidInput(
                f"{what} has no settings of its own, got {listed(priors)}. "
                f"{nearby(next(iter(priors)), SAMPLING)}Name "
                "one model to set its priors: fit(evaluation, 'gpd_tail', ...), or "
                "--model gpd_tail --prior ..."
            )
        if isinstance(model, Stack):
            [blended] = blend_many([evaluation], model, **sampling)
            return served(blended)
        return average(evaluation, **sampling)
    if target_ess is None:
        sampling["target_ess"] = _TARGET_ESS
    [result] = fit_many([evaluation], model, **sampling, **priors)
    return served(result)
