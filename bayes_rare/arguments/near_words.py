"""What was meant: a value shown in short, a word nearby, a file with a name like it."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from reprlib import Repr
from typing import Any

from bayes_rare.errors import shortened

__all__ = ["nearby", "no_file", "shown"]

# What other samplers call it. None stands for what there is no word for here.
_ELSEWHERE: dict[str, str | None] = {
    "tune": "warmup",
    "num_warmup": "warmup",
    "n_tune": "warmup",
    "burn_in": "warmup",
    "num_samples": "draws",
    "samples": "draws",
    "n_samples": "draws",
    "iter": "draws",
    "num_chains": "chains",
    "n_chains": "chains",
    "random_seed": "seed",
    "random_state": "seed",
    "rng": "seed",
    "rng_key": "seed",
    "chain_method": "way",
    "callback": "progress",
    "hdi_prob": "interval",
    "ci_prob": "interval",
    "credible_interval": "interval",
    "n_queries": "queries",
    "size": "queries",
    "threshold": "risk_threshold",
    "thresholds": "risk_thresholds",
    "quantiles": "levels",
}
_NOT_NEEDED = {
    "progressbar": "progress=function is told how many chains are done, if wanted",
    "progress_bar": "progress=function is told how many chains are done, if wanted",
    "target_accept": "it is 0.9, and 0.99 where steps diverge, without being asked for",
    "max_treedepth": "the sampler has its own limit",
    "cores": "chains share the cores there are",
    "blas_cores": "chains share the cores there are",
    "n_jobs": "chains share the cores there are",
    "nuts_sampler": "NumPyro samples every model",
    "step": "NUTS samples every model",
    "init": "chains start where the model does",
    "initvals": "chains start where the model does",
    "return_inferencedata": "posterior.tree is what ArviZ reads",
    "idata_kwargs": "log_likelihood=True keeps what LOO needs",
    "compute_convergence_checks": "posterior.verdict has them",
    "discard_tuned_samples": "warm-up is always thrown away",
    "model_kwargs": "give settings of the model as they are: shape_sd=0.2",
    "priors": "give settings of the model as they are: shape_sd=0.2",
}

_REPR = Repr(maxstring=60, maxother=60, maxlong=40, maxlist=4, maxtuple=4, maxdict=3)


def shown(value: Any) -> str:
    """A value in at most about eighty characters, whatever it is."""
    if isinstance(value, int) and value.bit_length() > 200:
        return f"a whole number of {round(value.bit_length() * 0.30103):,} digits"
    try:
        text = _REPR.repr(value)
    except Exception:  # a value whose own repr fails; it is refused all the same
        text = f"a value of type {type(value).__name__}"
    text = " ".join(text.split()).encode("utf-8", "replace").decode()
    return text if len(text) <= 90 else f"{text[:60]}...{text[-20:]}"


def nearby(word: str, known: Iterable[str]) -> str:
    """A sentence that names the known word that was meant, if one is near.

    Examples
    --------
    >>> nearby("tune", ["chains", "warmup"])
    "What others call 'tune' is 'warmup' here. "
    >>> nearby("sed", ["seed"])
    "Did you mean 'seed'? "
    """
    names = [*known]
    meant = _ELSEWHERE.get(word)
    if meant in names:
        return f"What others call {word!r} is {meant!r} here. "
    if word in _NOT_NEEDED:
        return f"Leave {word!r} out: {_NOT_NEEDED[word]}. "
    close = difflib.get_close_matches(word[:60], names, 1)
    return f"Did you mean {close[0]!r}? " if close else ""


def no_file(path: str | Path) -> str:
    """Says that a file is not there, and which names in its folder are close."""
    place = Path(path)
    said = f"there is no file {shortened(place, 200)}."
    try:
        there = [each.name for each in place.parent.iterdir()]
    except (OSError, ValueError):
        return f"{said} There is no folder {shortened(place.parent, 100)} either."
    close = difflib.get_close_matches(place.name, there, 3)
    like = " or ".join(shortened(name, 60) for name in close)
    return f"{said} Alike is {like}." if like else said
