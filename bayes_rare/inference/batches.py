"""From evaluations to posteriors: one way for a single fit and for a batch."""

import hashlib
import json
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from bayes_rare import catalog
from bayes_rare.arguments.checking import checked_call
from bayes_rare.arguments.near_words import shown
from bayes_rare.diagnostics.convergence import DIVERGENCE_LIMIT, ESS_LIMIT
from bayes_rare.errors import InvalidInput, NotApplicable, listed
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import devices, programs, trial
from bayes_rare.inference.density import Density
from bayes_rare.inference.nuts import Chain, Job, Sampler
from bayes_rare.posterior import Posterior, Verdict, extreme_scores, judge

__all__ = ["check_evaluations", "fit_many", "served"]

type Array = Float[np.ndarray, "..."]
type Progress = Callable[[int, int], None]

_MODELS = {
    "exact": "gpd_tail",
    "counts": "binomial_tail",
    "estimates": "binomial_tail",
}
"""The one model for each kind of outcome, where `fit_many` is given none."""

_WITH_FAMILIES = {"exact": "family_tail"}
"""The same where queries come in families."""

_KINDS = {"exact": "exact risks", "counts": "counts", "estimates": "estimated risks"}

# Acceptance probability that the step size is adapted to, at first and if transitions
# diverged then.
_TARGETS = (0.9, 0.99)
# Sampling goes on at most until there are this many times the draws asked for.
_MOST_DRAWS = 4
# More would take days, or more memory than there is.
_MOST_CHAINS, _MOST_STEPS = 1_000, 1_000_000
_PACKAGES = ("bayes-rare", "pymc", "numpyro", "jax", "numpy")


@dataclass(eq=False)
class _Run:
    """An unfinished fit: its data, and its chains so far."""

    model: catalog.Model
    settings: Mapping[str, Any]
    evaluation: Evaluation
    density: Density
    data: Mapping[str, Array]
    initial: Mapping[str, Array]
    identity: str
    attempt: int = 0
    chains: list[Chain] = field(default_factory=list[Chain])
    verdict: Verdict | None = None
    done: bool = False

    def key(self, chain: int) -> tuple[int, int]:
        """Two numbers that seed a chain; they depend on this fit alone."""
        text = f"{self.identity} attempt {self.attempt} chain {chain}"
        words = np.frombuffer(hashlib.sha256(text.encode()).digest()[:8], np.uint32)
        return int(words[0]), int(words[1])


@dataclass(eq=False)
class _Tally:
    """Chains done and chains in all; those run again or longer add to both."""

    progress: Progress
    total: int
    done: int = 0

    def within_round(self) -> Progress:
        """Progress of one round of jobs, added to that of the rounds before."""
        before = self.done

        def count(done: int, _: int) -> None:
            self.done = before + done
            self.progress(self.done, self.total)

        return count


@checked_call
def fit_many(
    evaluations: Sequence[Evaluation],
    model: str | Path | catalog.Model | None = None,
    *,
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    seed: int = 0,
    target_ess: int | float = ESS_LIMIT,
    log_likelihood: bool = False,
    way: str | None = None,
    progress: Progress = lambda _done, _total: None,
    **priors: Any,
) -> list[Posterior | NotApplicable]:
    """Sample the posteriors of one model for many evaluations, as one batch.

    Parameters are those of `fit`; sampling stops at 400 effective draws. Where no model
    is named, each evaluation gets one model, by the kind of its data: family_tail where
    exact risks come with families, else gpd_tail, and binomial_tail for counts and
    estimates. Each evaluation gets the draws that it would get alone. The result for
    one that the model cannot be fitted to is the error that says why.

    Returns
    -------
    A posterior or a refusal for each evaluation, in their order.
    """
    check_evaluations(evaluations)
    _check_sizes(chains, warmup, draws)
    seed = operator.index(seed)
    chains, warmup, draws = int(chains), int(warmup), int(draws)
    if way not in (None, "map", "vmap"):
        raise InvalidInput(f"way is 'map' or 'vmap', got {way!r}. Leave it out.")
    if not target_ess >= 0:
        raise InvalidInput(f"target_ess is at least 0, got {target_ess}.")
    models = [_chosen(model, evaluation) for evaluation in evaluations]
    started = time.monotonic()
    results: list[Posterior | NotApplicable | _Run] = [
        _prepared(chosen, chosen.settings(**priors), evaluation, seed)
        for chosen, evaluation in zip(models, evaluations, strict=True)
    ]
    runs = [result for result in results if isinstance(result, _Run)]
    tally = _Tally(progress, len(runs) * chains)
    for group in _by_shape(runs):
        sampler = programs.sampler(
            group[0].density,
            warmup,
            draws,
            log_likelihood,
            way or devices.way_of_device(),
            group[0].model.dense_mass,
        )
        _sample(sampler, group, chains, target_ess, tally)
    seconds = (time.monotonic() - started) / max(len(runs), 1)
    sizes = {"chains": chains, "warmup": warmup, "draws": draws, "seed": seed}
    return [
        _posterior(result, sizes, seconds) if isinstance(result, _Run) else result
        for result in results
    ]


def served[T](result: T | NotApplicable) -> T:
    """The posterior of an evaluation that was fitted alone, or its error raised."""
    if isinstance(result, NotApplicable):
        raise result
    return result


def check_evaluations(given: Sequence[Any]) -> None:
    """Refuse what is no evaluation."""
    for one in given:
        if not isinstance(one, Evaluation):
            raise InvalidInput(
                f"a model is fitted to an Evaluation, got {type(one).__name__}. Read a "
                "table with bayes_rare.read_table(...)."
            )


def _check_sizes(chains: int, warmup: int, draws: int) -> None:
    limits = {
        "chains": (chains, 1, _MOST_CHAINS),
        "warmup": (warmup, 20, _MOST_STEPS),
        "draws": (draws, 4, _MOST_STEPS),
    }
    for name, (value, least, most) in limits.items():
        if value < least:
            raise InvalidInput(
                f"{name} is a whole number from {least} on, got {value}."
            )
        if value > most:
            raise InvalidInput(f"{name} is at most {most:,}, got {shown(value)}.")


def _chosen(
    model: str | Path | catalog.Model | None, evaluation: Evaluation
) -> catalog.Model:
    """The model that was named, or the one for the kind of data."""
    if isinstance(model, catalog.Model):
        return model
    if model is not None:
        return catalog.load(model)
    kinds = {evaluation.kind(behaviour) for behaviour in evaluation.behaviours}
    [kind, *_] = sorted(kinds & set(_MODELS)) or ["exact"]
    families = _WITH_FAMILIES if evaluation.families else {}
    return catalog.load(families.get(kind, _MODELS[kind]))


def _prepared(
    model: catalog.Model,
    settings: Mapping[str, Any],
    evaluation: Evaluation,
    seed: int,
) -> "_Run | NotApplicable":
    """The data of a fit, or the reason why the model cannot be fitted."""
    try:
        for behaviour in evaluation.behaviours:
            _check_kind(model, evaluation, behaviour)
        density, data, initial = programs.density_and_data(model, settings, evaluation)
        trial.tried(model, evaluation, density, data, initial)
        _check_exceedances(model, evaluation, data)
    except NotApplicable as refusal:
        return refusal
    identity = {
        "model": model.digest,
        "priors": catalog.plain(settings),
        "evaluation": evaluation.digest,
        "seed": seed,
    }
    return _Run(
        model=model,
        settings=settings,
        evaluation=evaluation,
        density=density,
        data=data,
        initial=initial,
        identity=json.dumps(identity, sort_keys=True),
    )


def _check_kind(model: catalog.Model, evaluation: Evaluation, behaviour: str) -> None:
    kind = evaluation.kind(behaviour)
    if kind in model.accepts:
        return
    models = map(catalog.load, catalog.names())
    others = [m.name for m in models if kind in m.accepts and not m.reference_only]
    alike = [n for n in evaluation.behaviours if evaluation.kind(n) == kind]
    apart = (
        f" Kinds differ between behaviours: fit {listed([*map(repr, alike)])} apart "
        "(--behaviours)."
        if len(alike) < len(evaluation.behaviours)
        else ""
    )
    raise NotApplicable(
        f"behaviour {behaviour!r} has {_KINDS[kind]}, and {model.name} takes "
        f"{' and '.join(_KINDS[each] for each in sorted(model.accepts))}. Models for "
        f"{_KINDS[kind]}: {', '.join(others)}.{apart}"
    )


def _check_exceedances(
    model: catalog.Model, evaluation: Evaluation, data: Mapping[str, Array]
) -> None:
    least = model.min_exceedances
    if not least or "exceeding" not in data:
        return
    for behaviour, exceeding in zip(
        evaluation.behaviours, data["exceeding"], strict=True
    ):
        if exceeding < least:
            raise NotApplicable(
                f"behaviour {behaviour!r} has {exceeding:g} scores above its "
                f"threshold; {model.name} needs at least {least}. "
                f"Lower the threshold (--prior exceedances={least}), evaluate more "
                "queries, or use log_normal."
            )


def _by_shape(runs: Sequence[_Run]) -> list[list[_Run]]:
    """The runs grouped by density and shapes of its data: one program a group."""
    groups: dict[Any, list[_Run]] = {}
    for run in runs:
        shapes = tuple(
            arrays[name].shape
            for arrays, names in (
                (run.data, run.density.data),
                (run.initial, run.density.values),
            )
            for name in names
        )
        groups.setdefault((id(run.density), shapes), []).append(run)
    return list(groups.values())


def _sample(
    sampler: Sampler,
    runs: Sequence[_Run],
    chains: int,
    target_ess: int | float,
    tally: "_Tally",
) -> None:
    """Run every chain; rerun fits that diverged with smaller steps, extend the others.

    What is run again or longer depends on the fit alone, so that a fit in a batch ends
    with the draws that it would have alone.
    """
    waiting = list(runs)
    while waiting:
        jobs = [
            Job(
                key=run.key(chain),
                data=tuple(run.data[name] for name in sampler.density.data),
                target_accept=_TARGETS[run.attempt],
                initial=tuple(run.initial[name] for name in sampler.density.values),
                state=run.chains[chain].state if run.chains else None,
            )
            for run in waiting
            for chain in range(chains)
        ]
        results = sampler.run(jobs, tally.within_round())
        for index, run in enumerate(waiting):
            _take(run, results[index * chains : (index + 1) * chains])
            _decide(run, target_ess, sampler.draws)
        waiting = [run for run in waiting if not run.done]
        tally.total += chains * len(waiting)


def _take(run: _Run, results: Sequence[Chain]) -> None:
    """Add draws to a run and judge it."""
    run.chains = (
        [old.followed_by(new) for old, new in zip(run.chains, results, strict=True)]
        if run.chains
        else list(results)
    )
    draws = _stacked(run.chains, "draws")
    statistics = _stacked(run.chains, "statistics")
    dims = run.density.dims
    tails = extreme_scores(run.model, draws, run.data, dims, run.evaluation.behaviours)
    run.verdict = judge({**draws, **tails}, statistics, dims)


def _decide(run: _Run, target_ess: int | float, draws: int) -> None:
    """Whether the run is done, goes on, or starts again with smaller steps."""
    verdict = run.verdict
    assert verdict is not None
    if verdict.divergence_share > DIVERGENCE_LIMIT and run.attempt + 1 < len(_TARGETS):
        run.attempt += 1
        run.chains = []
        return
    length = run.chains[0].length
    enough = verdict.min_ess >= target_ess and (verdict.converged or target_ess == 0)
    run.done = enough or length >= _MOST_DRAWS * draws


def _stacked(chains: Sequence[Chain], part: str) -> dict[str, Array]:
    trees = [getattr(chain, part) for chain in chains]
    return {name: np.stack([tree[name] for tree in trees]) for name in trees[0]}


def _posterior(run: _Run, sizes: Mapping[str, int], seconds: float) -> Posterior:
    """The finished run as a posterior."""
    assert run.verdict is not None
    model = run.model
    pointwise = _cells_seen(model, _stacked(run.chains, "pointwise"), run.data)
    provenance = {
        "model": {
            "name": model.name,
            "digest": model.digest,
            "path": "" if model.shipped else str(model.path),
        },
        "priors": catalog.plain(run.settings),
        "data": run.evaluation.digest,
        **sizes,
        "draws_kept": run.chains[0].length,
        "target_accept": _TARGETS[run.attempt],
        "device": devices.local_devices()[0].device_kind,
        "versions": dict(_versions()),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
    }
    return Posterior(
        model=model,
        evaluation=run.evaluation,
        draws=_stacked(run.chains, "draws"),
        statistics=_stacked(run.chains, "statistics"),
        data=run.data,
        dims={**run.density.dims, **{name: (f"{name}_cell",) for name in pointwise}},
        verdict=run.verdict,
        provenance=provenance,
        pointwise=pointwise,
    )


def _cells_seen(
    model: catalog.Model, pointwise: Mapping[str, Array], data: Mapping[str, Array]
) -> dict[str, Array]:
    """Log likelihoods by (chain, draw, cell), without the cells that only pad."""
    weights = model.pointwise or {}
    cells: dict[str, Array] = {}
    for name, values in pointwise.items():
        flat = values.reshape(*values.shape[:2], -1)
        seen = data[weights[name]].ravel() > 0 if name in weights else slice(None)
        cells[name] = flat[..., seen]
    return cells


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Versions of the packages that draws depend on; read once, since it is slow."""
    return tuple((package, version(package)) for package in _PACKAGES)
