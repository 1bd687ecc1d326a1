"""Posteriors and averages from the files that they were saved to."""

import math
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float

from bayes_rare import catalog
from bayes_rare.arguments.checking import checked_call
from bayes_rare.catalog import ModelFiles, Source, named_files, refuse_unused
from bayes_rare.diagnostics.convergence import (
    BFMI_LIMIT,
    DIVERGENCE_LIMIT,
    ESS_LIMIT,
    MEMBER_RHAT_LIMIT,
    NOT_FINITE,
    RHAT_LIMIT,
    Verdict,
)
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.posterior.average import NAME, NOTES, Average, Member
from bayes_rare.posterior.netcdf import read_tree
from bayes_rare.posterior.posterior import RARE, Posterior
from bayes_rare.posterior.restored import (
    Damaged,
    arrays_of,
    checked_provenance,
    json_of,
    numbers_of,
)

if TYPE_CHECKING:
    import xarray


__all__ = [
    "load_posterior",
    "posterior_of",
]

type Array = Float[np.ndarray, "..."]

type Numbers = Mapping[str, np.ndarray]  # whole ones among them

# Draws that are tried when a posterior is read.
_TRIED = 20


def posterior_of(
    tree: "xarray.DataTree", path: Path, files: Mapping[str, Source]
) -> Posterior:
    """The posterior that a tree of `Posterior.tree` holds."""
    if "provenance" not in tree.attrs or "posterior" not in tree:
        raise InvalidData(
            f"{path} holds no posterior of this package: its attribute `provenance` is "
            "missing. Give a file that `bayes-rare fit` wrote."
        )
    try:
        return _posterior_of(tree, path, files)
    except Damaged as error:
        raise InvalidData(
            f"{path} is damaged: {error}. Use an undamaged copy, or fit again."
        ) from error


def _posterior_of(
    tree: "xarray.DataTree", path: Path, files: Mapping[str, Source]
) -> Posterior:
    provenance = checked_provenance(tree.attrs)
    verdict = _verdict_of(json_of(tree.attrs, "verdict", dict))
    evaluation = _evaluation_of(tree, provenance)
    names = evaluation.behaviours
    # What did not converge is marked, and may hold draws that are not finite.
    finite = NOT_FINITE not in verdict.reasons
    draws = {"sampled": True, "whole": False}
    groups = {
        "posterior": arrays_of(tree, "posterior", names, finite=finite, **draws),
        "sample_stats": arrays_of(tree, "sample_stats", names, sampled=True),
        "constant_data": arrays_of(tree, "constant_data", names, sampled=False),
        "log_likelihood": arrays_of(tree, "log_likelihood", names, **draws)
        if "log_likelihood" in tree.children
        else {},
    }
    recorded = provenance["model"]
    model = catalog.recalled(
        recorded["path"] or recorded["name"],
        recorded["digest"],
        files,
        what=str(path),
        changed=f"{path} was fitted with another version of {{model}}",
        again="Fit again",
        call=f"load_posterior({path.name!r}, model_file={{model}})",
        version=provenance["versions"]["bayes-rare"],
    )
    made = Posterior(
        model=model,
        evaluation=evaluation,
        draws={name: values for name, (_, values) in groups["posterior"].items()},
        statistics={n: values for n, (_, values) in groups["sample_stats"].items()},
        data={name: values for name, (_, values) in groups["constant_data"].items()},
        dims={
            name: dims for found in groups.values() for name, (dims, _) in found.items()
        },
        verdict=verdict,
        provenance=provenance,
        pointwise={n: values for n, (_, values) in groups["log_likelihood"].items()},
    )
    _refuse_useless(made, finite)
    return made


def _verdict_of(recorded: Mapping[str, Any]) -> Verdict:
    """The verdict in a file, checked for numbers and reasons that agree."""
    reasons = recorded.get("reasons")
    if not isinstance(reasons, list):
        raise Damaged("its verdict has no reasons")
    texts = [reason for reason in cast("list[Any]", reasons) if isinstance(reason, str)]
    if len(texts) < len(cast("list[Any]", reasons)):
        raise Damaged("its verdict has reasons that are not text")
    kinds = {
        one.name: int if one.name in ("divergences", "transitions") else float
        for one in fields(Verdict)
        if one.name != "reasons"
    }
    verdict = Verdict(**numbers_of(recorded, kinds), reasons=tuple(texts))
    if not 0 <= verdict.divergences <= verdict.transitions or not verdict.transitions:
        raise Damaged("its verdict has impossible counts of transitions")
    sound = (
        verdict.max_rhat <= RHAT_LIMIT
        and verdict.max_member_rhat <= MEMBER_RHAT_LIMIT
        and verdict.min_ess >= ESS_LIMIT
        and verdict.divergence_share <= DIVERGENCE_LIMIT
        and verdict.min_bfmi > BFMI_LIMIT
    )
    if verdict.converged and not sound:
        raise Damaged("its verdict gives no reason, but its numbers did not converge")
    return verdict


def _evaluation_of(
    tree: "xarray.DataTree", provenance: Mapping[str, Any]
) -> Evaluation:
    """The evaluation in a file, if it is the one that was fitted."""
    if "evaluation" not in tree.children:
        raise Damaged("its group evaluation is missing")
    try:
        evaluation = Evaluation.from_dataset(tree["evaluation"].to_dataset())
        digest = evaluation.digest
    except (InvalidData, InvalidInput) as error:
        raise Damaged(f"its evaluation cannot be read: {str(error)[:200]}") from error
    if digest != provenance["data"]:
        raise Damaged("its evaluation is not the one that was fitted")
    return evaluation


def _refuse_useless(made: Posterior, finite: bool) -> None:
    """Refuse draws that the model cannot use."""
    chains = {values.shape[:2] for values in made.draws.values()}
    if len(chains) > 1:
        raise Damaged("its draws differ in number")
    try:
        settings = made.model.settings(**made.settings)
        population = made.thinned(_TRIED).population(made.behaviours[0])
        level = np.asarray(population.quantile(math.log(RARE)), np.float64)
    except Exception as error:  # whatever a model raises for draws that are not its own
        reason = " ".join(str(error).split())
        raise Damaged(f"the model cannot use its draws ({reason[:150]})") from error
    if settings.keys() != made.settings.keys():
        raise Damaged("its provenance lacks settings of its model")
    if finite and np.isnan(level).any():
        raise Damaged("the model cannot make a forecast from its draws")


# Weights are a sum of rounded shares.
_ROUNDING = 1e-6


@checked_call
def load_posterior(
    path: str | Path, model_file: ModelFiles = None
) -> Posterior | Average:
    """Read what `Posterior.save` or `Average.save` wrote; no file that it names is run.

    Parameters
    ----------
    path
        The NetCDF file.
    model_file
        Path of the file of a model of yours, or several: each runs if it is what was
        fitted. Shipped models need none.

    Raises
    ------
    InvalidData
        If the file is not there, holds neither, or is damaged.
    NoSuchModel
        If a model's file is gone or not named, or is no longer the one that was fitted.
    InvalidInput
        If a file is named that is of no model of the posterior.
    """
    path, files = Path(path), named_files(model_file)
    tree = read_tree(path)
    if NAME not in tree.attrs:
        made = posterior_of(tree, path, files)
        used = [made.model.digest]
    else:
        try:
            made = _average_of(tree, path, files)
        except Damaged as error:
            raise InvalidData(
                f"{path} is damaged: {error}. Use an undamaged copy, or fit again."
            ) from error
        used = [member.posterior.model.digest for member in made.members]
    refuse_unused(files, used, path.name)
    return made


def _average_of(
    tree: "xarray.DataTree", path: Path, files: Mapping[str, Source]
) -> Average:
    """The average in a tree, if its parts belong together."""
    described: list[Any] = json_of(tree.attrs, NAME, list)
    notes: list[Any] = json_of({NOTES: "[]", **tree.attrs}, NOTES, list)
    names = [f"member_{number}" for number in range(len(described))]
    if not names or {*names} != {n for n in tree.children if n.startswith("member_")}:
        raise Damaged(
            f"its average should have {len(names)} models, and it holds others"
        )
    members: list[Member] = []
    for name, each in zip(names, described, strict=True):
        about = cast("dict[str, Any]", each if isinstance(each, dict) else {})
        label = about.get("label")
        if not isinstance(label, str):
            raise Damaged(f"its {name} has no label")
        posterior = posterior_of(_branch(tree, name), path, files)
        kinds = dict.fromkeys(posterior.behaviours, float)
        numbers: list[dict[str, float]] = []
        for what in ("weights", "pareto_k"):
            given: Any = about.get(what)
            if not isinstance(given, dict) or {*cast("Any", given)} != {*kinds}:
                raise Damaged(f"its {name} has no {what} of each behaviour")
            numbers.append(numbers_of(cast("Any", given), kinds))
        members.append(Member(label, posterior, *numbers))
    if len({one.posterior.evaluation.digest for one in members}) > 1:
        raise Damaged("its models were fitted to different evaluations")
    if len({one.label for one in members}) < len(members):
        raise Damaged("two of its models have the same label")
    for behaviour in members[0].posterior.behaviours:
        shares = np.array([one.weights[behaviour] for one in members])
        # A comparison with NaN is false: only sound weights pass.
        if not ((shares >= 0).all() and abs(shares.sum() - 1) < _ROUNDING):
            raise Damaged(f"its weights of {behaviour[:60]!r} do not sum to 1")
    return Average(tuple(members), notes=tuple(map(str, notes)))


def _branch(tree: "xarray.DataTree", name: str) -> "xarray.DataTree":
    """A branch as a tree of its own."""
    branch: Any = tree[name]
    return branch.copy(deep=False)
