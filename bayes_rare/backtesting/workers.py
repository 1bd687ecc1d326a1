"""Worker processes of a backtest: what they share, and that none outlives the call."""

import os
import sys
import warnings
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from importlib import import_module
from itertools import batched
from typing import Any

from bayes_rare.backtesting.orphans import end_with, end_with_starter_of

__all__ = ["results", "settle"]

# Parts that are waited for together where results do not come one by one: enough for
# the workers of a cluster, few enough to lose little.
_AT_ONCE = 64
# Cores that a worker process may use; `bayes_rare.inference.devices` reads it.
_CORES = "BAYES_RARE_CORES"


@contextmanager
def results(
    tasks: Iterable[Any], asked: Mapping[str, Any]
) -> Generator[Generator[Any]]:
    """Results of tasks as they come; what still runs at the end of the block is ended.

    A notebook keeps what a failed call was doing, so its workers would go on if they
    were left to the garbage collector.
    """
    coming = _coming(tasks, asked)
    try:
        yield coming
    finally:
        with warnings.catch_warnings():
            # joblib's advice to ask for less: nobody knew that the run would end here.
            warnings.simplefilter("ignore", UserWarning)
            coming.close()


def _coming(tasks: Iterable[Any], asked: Mapping[str, Any]) -> Generator[Any]:
    """Results as they come, or a few at a time from a backend that cannot do that."""
    joblib: Any = import_module("joblib.parallel")  # not typed
    backend, _ = joblib.get_active_backend()
    options = dict(asked)
    own = getattr(backend, "backend_kwargs", {})  # what the user has set
    if isinstance(backend, joblib.LokyBackend) and "initializer" not in own:
        options |= {"initializer": end_with, "initargs": (os.getpid(),)}
    try:
        unordered = joblib.Parallel(return_as="generator_unordered", **options)
    except ValueError:  # Ray's and Spark's backends, as of joblib 1.5
        waiting = joblib.Parallel(**options)
        for some in batched(tasks, _AT_ONCE, strict=False):
            yield from waiting(some)
    else:
        yield from unordered(tasks)


def settle(parent: int, cores: int | None) -> None:
    """Make a worker process end with the call, and share the machine with others."""
    if os.getpid() == parent:
        return
    end_with_starter_of(parent)
    if cores is not None:
        _share_the_machine(cores)


def _share_the_machine(cores: int) -> None:
    """Keep a worker to its cores, and alive while its compiled programs add up.

    Workers would all take all cores. And joblib takes memory that grows by 300 MB for
    a leak and replaces the worker, which then compiles everything again: programs are
    larger than that, and are kept on purpose.
    """
    os.environ.setdefault(_CORES, str(cores))
    executor = sys.modules.get("joblib.externals.loky.process_executor")
    if executor is not None:
        executor._USE_PSUTIL = False  # pyright: ignore[reportAttributeAccessIssue]
