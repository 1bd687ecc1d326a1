"""Seeds, data and caches that all tests share.

Nothing here may import ``bayes_rare`` at the top: pytest reads this file before the
hook is in place that checks the package's array types at run time.
"""

import os
from collections.abc import Generator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SEED = int(os.environ.get("BAYES_RARE_SEED", "0"))

os.environ["MPLBACKEND"] = "agg"
# Programs that are slow to compile outlive a run, and stay inside the checkout.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

# What PyTensor itself runs here it runs a few times: to make it fast takes longer.
# Nor is a stack of calls kept for each node of its graphs: a fifth of the time.
os.environ.setdefault("PYTENSOR_FLAGS", "mode=FAST_COMPILE,traceback__limit=0")

# Hypothesis repeats the same examples, until somebody asks for others by the seed.
hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize="BAYES_RARE_SEED" not in os.environ
)
hypothesis.settings.load_profile("repeatable")


def pytest_configure(config: pytest.Config) -> None:
    """Move the examples of hypothesis together with the simulations."""
    if "BAYES_RARE_SEED" in os.environ:
        config.option.hypothesis_seed = str(SEED)


@pytest.fixture
def seed() -> int:
    """Seed of every simulation; ``BAYES_RARE_SEED`` moves them all at once."""
    return SEED


@pytest.fixture
def fast_pytensor() -> Generator[None]:
    """For a test in which PyTensor runs a model many times: not in its quick mode."""
    from pytensor.configdefaults import config

    with config.change_flags(mode="Mode"):
        yield


@pytest.fixture
def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="session")
def root() -> Path:
    """Root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Data that are not shipped: of ``BAYES_RARE_DATA``, or beside the checkout."""
    named = os.environ.get("BAYES_RARE_DATA")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if folder.is_dir():
        return folder
    if named:
        # Asked for by name: skipping would hide that the tests did not run.
        pytest.fail(f"BAYES_RARE_DATA names no folder: {named}")
    pytest.skip(
        "needs data sets that are not shipped: name their folder in BAYES_RARE_DATA"
    )
