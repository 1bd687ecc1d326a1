"""Reading a saved posterior of one model, as several files of tests do."""

from pathlib import Path
from typing import Any

from bayes_rare.posterior import Posterior, load_posterior


def loaded(path: Path, **more: Any) -> Posterior:
    """What was saved, which is no average."""
    made = load_posterior(path, **more)
    assert isinstance(made, Posterior)
    return made
