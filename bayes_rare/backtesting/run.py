"""A backtest, run in this process, in several, or on a cluster."""

import json
import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rare.arguments.checking import checked_call
from bayes_rare.backtesting.options import (
    Options,
    checked_count,
    checked_sizes,
    with_sizes,
)
from bayes_rare.backtesting.plan import Case, Part, Plan
from bayes_rare.backtesting.scoring import score
from bayes_rare.backtesting.store import Store, parts_folder
from bayes_rare.backtesting.table import COLUMNS, Backtest, finished
from bayes_rare.backtesting.workers import results, settle
from bayes_rare.catalog import ModelFiles
from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation import QueryPool
from bayes_rare.files import refuse_unwritable
from bayes_rare.forecasting import Deployment, checked_risks
from bayes_rare.methods import Answer, Sampling, evaluation_maximum, observed_shares
from bayes_rare.methods import methods as named_methods
from bayes_rare.readers.tables.read_pool import read_pool
from bayes_rare.readers.tables.texts import TextFormat

if TYPE_CHECKING:
    import pandas

__all__ = ["backtest"]

type Progress = Callable[[int, int], None]

_PACKAGES = ("bayes-rare", "pymc", "numpyro", "jax", "numpy", "scipy", "scoringrules")


@checked_call
def backtest(
    source: Any,
    methods: Any,
    evaluation_sizes: Iterable[int | float] | int | float = (),
    deployment_sizes: Iterable[int | float] | int | float = (),
    *,
    repeats: int | None = None,
    behaviours: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    encoding: str | None = None,
    delimiter: str | None = None,
    decimal: str = ".",
    hold_out_families: int = 0,
    ignore_families: bool = False,
    split: str | None = None,
    pool: bool = False,
    trials_per_query: int | None = None,
    risk_thresholds: Sequence[float] | float = (),
    samples_per_query: int = 1,
    unseen_share: float = 0.0,
    unseen_families: int | None = None,
    chains: int = 4,
    warmup: int = 500,
    draws: int = 500,
    seed: int = 0,
    workers: int | None = None,
    model_file: ModelFiles = None,
    output: str | Path | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Backtest:
    """Backtest forecasting methods on held-out queries.

    For each behaviour and repeat, queries of a larger evaluation are put in random
    order; methods see the first m of them and forecast the last n. All methods are
    scored on the same splits. Scored are the risk of the riskiest query, how many
    queries exceed a threshold, and the aggregate risk; the threshold is the risk that
    a share 10/n of the *larger evaluation* exceeds, whatever the split.

    Parameters
    ----------
    source
        Table of the larger evaluation: a file, several, or a frame, as of
        `bayes_rare.read_table`; or a `QueryPool` already read.
    methods
        What to compare: names of baselines and models, paths of model files,
        functions, or a mapping from names to these; see
        `bayes_rare.methods.by_name.method`.
    evaluation_sizes, deployment_sizes
        Numbers of queries m and n, each with each. With ``split`` they may be left
        out: then all queries that the column marks are taken.
    repeats
        Splits of each behaviour; 10, or 1 if all marked queries are taken.
    behaviours, columns, encoding, delimiter, decimal
        As of `bayes_rare.read_table`.
    hold_out_families, ignore_families, split, pool, trials_per_query
        See `Options`.
    risk_thresholds, samples_per_query, unseen_share, unseen_families
        See `Options`.
    chains, warmup, draws, seed
        See `Options`.
    workers
        Parallel processes; by default joblib's configuration, or else one.
        Under ``joblib.parallel_config("dask")`` and the like, a cluster's.
    model_file
        Path, or paths, of your own model files that a stack among the methods uses:
        a stack does not run model files unless they are given here.
    output
        Parquet file to write. While it is not done, finished parts lie in a folder
        beside it, ``OUTPUT.parts``; the same call continues from there. A file that
        exists and was made from the same inputs is returned as it is.
    progress
        Called with the number of parts done and their total.

    Raises
    ------
    InvalidInput
        If an option is outside its range or the table has too few queries.
    InvalidData
        If the table has impossible values, or the folder of parts is of another
        backtest.
    NoSuchModel
        If a method is neither shipped nor a file that defines one.

    Examples
    --------
    >>> import bayes_rare as br
    >>> made = br.backtest(
    ...     br.sample_table(), ["evaluation_maximum"], 100, 1000, repeats=1
    ... )
    >>> worst = made.table.query("target == 'worst_query_risk'")
    >>> bool(((worst["median"] < worst["truth"]) == worst["underestimated"]).all())
    True
    """
    # A deployment checks what it is told, whatever its size.
    told = Deployment(
        1,
        samples_per_query,
        unseen_share=unseen_share,
        unseen_families=unseen_families,
    )
    risks: list[float] = np.ravel(np.asarray(risk_thresholds, np.float64)).tolist()
    options = Options(
        evaluation_sizes=checked_sizes("evaluation_sizes", evaluation_sizes),
        deployment_sizes=checked_sizes("deployment_sizes", deployment_sizes),
        repeats=checked_count("repeats", 10 if repeats is None else repeats, 1),
        hold_out_families=checked_count("hold_out_families", hold_out_families, 0),
        ignore_families=bool(ignore_families),
        split=split,
        pool=bool(pool),
        trials_per_query=None
        if trials_per_query is None
        else checked_count("trials_per_query", trials_per_query, 1),
        risk_thresholds=tuple(checked_risks(risks)) if len(risks) else (),
        samples_per_query=told.samples_per_query,
        unseen_share=told.unseen_share,
        unseen_families=told.unseen_families,
        chains=checked_count("chains", chains, 1),
        warmup=checked_count("warmup", warmup, 20),
        draws=checked_count("draws", draws, 4),
        seed=checked_count("seed", seed, 0, None),
    )
    sampling = Sampling(options.chains, options.warmup, options.draws, options.seed)
    chosen = named_methods(methods, sampling, model_file)
    if workers is not None:
        workers = checked_count("workers", workers, 1)
    target = None if output is None else Path(output)
    if target is not None:
        sources = [Path(source)] if isinstance(source, str | Path) else []
        refuse_unwritable(target, *sources)
    queries = (
        source
        if isinstance(source, QueryPool)
        else read_pool(
            source,
            columns=columns,
            behaviours=behaviours,
            split=split,
            text=TextFormat(encoding, delimiter, decimal),
        )
    )
    options = with_sizes(options, queries, whole=repeats is None)
    queries.refuse_too_small(options.splitting)
    if options.trials_per_query is not None:
        queries.refuse_too_few_trials(options.trials_per_query)
    origin = {
        "data": queries.digest,
        "counted": list(queries.counted),
        "options": json.loads(json.dumps(asdict(options))),
        "methods": [method.identity for method in chosen],
        "versions": {package: version(package) for package in _PACKAGES},
    }
    plan = Plan(queries, options, chosen)
    if target is not None and (done := finished(target, origin)) is not None:
        Store.clear_leftovers(parts_folder(target), origin)
        return done
    folder = None if target is None else parts_folder(target)
    with Store.opened(folder, origin) as store:
        # Another process may have ended it between the question above and the lock.
        if target is not None and (done := finished(target, origin)) is not None:
            store.clear()
            return done
        _run(plan, store, workers, progress)
        made = Backtest(store.joined(plan.size), origin)
        if target is not None:
            made.save(target)
            store.clear()
    return made


def _run(plan: Plan, store: Store, workers: int | None, progress: Progress) -> None:
    """Run the parts that are not done, and store each as it finishes."""
    joblib: Any = import_module("joblib")  # not typed
    done = store.done()
    left, total = plan.size - len(done), plan.size
    progress(total - left, total)
    if not left:
        return
    cores = None
    if workers is not None and workers > 1:
        cores = max(joblib.cpu_count() // workers, 1)
    asked: dict[str, Any] = {} if workers is None else {"n_jobs": workers}
    deployment, seed = plan.options.deployment, plan.options.seed
    parent = os.getpid()
    task = joblib.delayed(_finished)
    tasks = (
        task(part, cases, deployment, seed, parent, cores)
        for part, cases in plan.parts(done)
    )
    try:
        with results(tasks, asked) as coming:
            for number, table in coming:
                store.keep(number, table)
                left -= 1
                progress(total - left, total)
    except BrokenExecutor as error:
        raise InvalidInput(
            "a worker process ended without an answer: it was killed, or memory ran "
            "out. With an output, the same call continues from the finished parts. "
            "Give fewer processes, such as workers=1."
        ) from error


def _finished(
    part: Part,
    cases: list[Case],
    deployment: Deployment,
    seed: int,
    parent: int,
    cores: int | None,
) -> tuple[int, "pandas.DataFrame"]:
    """The number of a part, and its table; run by a worker."""
    import pandas as pd

    settle(parent, cores)
    if part.method.identity != part.identity:
        raise InvalidData(
            f"the file of method {part.method.name} changed while the backtest ran. "
            "Run it again: the finished parts were made by the file as it was."
        )
    evaluations = [case.evaluation for case in cases]
    answers = part.method.answers(evaluations, deployment)
    rows = [
        row
        for case, answer in zip(cases, answers, strict=True)
        for row in _rows(part, case, answer, deployment, seed)
    ]
    return part.number, pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(
    part: Part, case: Case, answer: Answer, deployment: Deployment, seed: int
) -> Generator[dict[str, Any]]:
    """Rows of one split: the method's, or those of the evaluation maximum."""
    substitute = None
    for size, realised in case.realised.items():
        made = answer.forecasts.get(size)
        status, reason = "forecast", ""
        if made is None:
            status, reason = "refused", answer.refusal
        elif not made.converged:
            status, reason = "unconverged", made.notes[0]
        if made is None or status != "forecast":
            substitute = substitute or evaluation_maximum.evaluation_maximum(
                observed_shares(case.evaluation), deployment, targets=()
            )
            made = substitute
        for behaviour, seen in realised.items():
            for row in score(made, seen, seed=(seed, case.repeat)):
                yield {
                    "method": part.method.name,
                    "behaviour": behaviour,
                    "repeat": case.repeat,
                    "evaluation_size": part.size,
                    "deployment_size": size,
                    "samples_per_query": deployment.samples_per_query,
                    "status": status,
                    "reason": reason,
                    "is_point": made.is_point,
                    "seconds": answer.seconds,
                    **row,
                }
