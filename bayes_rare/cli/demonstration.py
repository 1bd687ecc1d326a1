"""The demonstration: a forecast from real data, checked against held-out queries."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from bayes_rare import files, forecasting, inference, reporting
from bayes_rare.cli import tables
from bayes_rare.diagnostics.convergence import ESS_LIMIT
from bayes_rare.evaluation import Evaluation, observed_shares
from bayes_rare.forecasting import Deployment, Forecast
from bayes_rare.methods.baselines import BASELINES, PUBLISHED
from bayes_rare.readers.tables.sample import sample_split
from bayes_rare.readers.tables.spreadsheets import write_csv
from bayes_rare.reporting import wording
from bayes_rare.scores import risk_from_score

__all__ = ["run", "sampled"]

_WRITTEN = ("posterior.nc", "forecast.csv", "scaling.png", "report.html")
_SEEN = 1_000
_FURTHER = (10**6, 10**9)
_INTERVAL = 0.9
# Behaviours frequent enough to be seen in this many responses to a query.
_COUNTED, _TRIALS = ("I love", "I'm sorry"), 100
# Broken names, so that the table fits into 80 columns.
_HEADINGS = {
    "gumbel_ols": "gumbel\n_ols",
    "log_normal_moments": "log_normal\n_moments",
}

_INTRODUCTION = """\
SmolLM2-135M-Instruct was given 25,000 queries. The risk of a query is the
probability that the response begins with certain words, which is known exactly. For
each of six such behaviours, {seen:,} queries are analysed, and {unseen:,} are held out.
"""
_FIRST_TABLE = """\
Risk of the riskiest of the {unseen:,} queries held out, forecast from {seen:,}.
Two published methods, gumbel_ols and log_normal_moments, give point forecasts.\
"""
_OUTCOME = """\
{inside} of {total} lie inside. The behaviours share their queries, so these are not
independent tests, and one split says little about the coverage of the intervals.
"""
_COUNTED_TABLE = """\
Most evaluations do not know the risks: they sample responses and count successes. Here
{trials} responses were drawn for each of the {seen:,} queries, and the risk of the
riskiest of the {unseen:,} held out is forecast from the counts. If shares of successes
are treated as exact risks, a line through the ten largest is misled by their noise.\
"""
_SECOND_TABLE = """\
Risk of the riskiest query of larger deployments (median and {interval} interval),
which these data cannot check.\
"""


def run(output: Path) -> Forecast:
    """Forecast from a sample of real data, and print and write it beside the truth."""
    out = tables.console()
    places = {name: output / name for name in _WRITTEN}
    for place in places.values():
        files.refuse_unwritable(place)
    seen, unseen = sample_split(_SEEN)
    held_out = min(unseen.sizes.values())
    out.print(_INTRODUCTION.format(seen=_SEEN, unseen=held_out), soft_wrap=True)
    with tables.progress_bar("Sampling") as progress:
        # Six behaviours with families take minutes; a first look is to take one.
        posterior = inference.fit(
            seen, "gpd_tail", progress=progress
        ).require_convergence()
    out.print(f"Model {posterior.model.name}. {tables.verdict(posterior)}\n")
    deployment = Deployment([held_out, *_FURTHER])
    forecast = forecasting.forecast(posterior, deployment)
    others = [BASELINES[name](seen, deployment) for name in PUBLISHED]
    summary = forecast.summary(_INTERVAL)
    _print_held_out(out, forecast, others, unseen, held_out)
    _print_further(out, forecast)
    _print_counted(out, seen, unseen, held_out)
    out.print("What to bear in mind:")
    out.print(tables.bullets(forecast.notes))
    posterior.save(places["posterior.nc"])
    with files.replacing(places["forecast.csv"]) as written:
        write_csv(summary, written)
    forecast.plot(truth=unseen, others=others, path=places["scaling.png"])
    with tables.progress_bar("Report") as progress:
        page = reporting.report(posterior, truth=unseen, progress=progress)
    page.save(places["report.html"])
    out.print()
    for place in places.values():
        out.print(f"Wrote {place}", soft_wrap=True)
    address = places["report.html"].resolve().as_uri()
    out.print(f"\nOpen in a browser: {address}", soft_wrap=True)
    return forecast


def _worst(forecast: Forecast) -> dict[tuple[str, int], dict[str, Any]]:
    """Rows on the worst query, by behaviour and size."""
    return {
        (row["behaviour"], row["queries"]): row
        for row in wording.records(forecast.summary(_INTERVAL))
        if row["target"] == "worst_query_risk"
    }


def _print_held_out(
    out: Console,
    forecast: Forecast,
    others: list[Forecast],
    unseen: Evaluation,
    size: int,
) -> None:
    """Forecasts of the held-out queries, beside the truth."""
    ours, theirs = _worst(forecast), [_worst(other) for other in others]
    made = tables.table(
        "behaviour",
        f"median and {tables.percent(_INTERVAL)}\ninterval of the forecast",
        "held\nout",
        "inside",
        *(_HEADINGS.get(other.method, other.method) for other in others),
    )
    inside = 0
    for behaviour in forecast.behaviours:
        row = ours[behaviour, size]
        truth = float(risk_from_score(unseen.worst(behaviour)))
        holds = row["lower"] <= truth <= row["upper"]
        inside += holds
        made.add_row(
            behaviour,
            f"{tables.risk(row['median'])}, {tables.span(row, tables.risk)}",
            tables.risk(truth),
            "yes" if holds else "no",
            *(tables.risk(rows[behaviour, size]["median"]) for rows in theirs),
        )
    out.print(_FIRST_TABLE.format(seen=_SEEN, unseen=size), soft_wrap=True)
    out.print()
    out.print(made)
    out.print()
    total = len(forecast.behaviours)
    out.print(_OUTCOME.format(inside=inside, total=total), soft_wrap=True)


def _print_counted(
    out: Console, seen: Evaluation, unseen: Evaluation, size: int
) -> None:
    """Forecasts from sampled responses, beside the truth."""
    counts = sampled(seen.select(_COUNTED), _TRIALS)
    with tables.progress_bar("Sampling") as progress:
        posterior = inference.fit(
            counts, warmup=500, draws=500, target_ess=ESS_LIMIT, progress=progress
        ).require_convergence()
    ours = _worst(forecasting.forecast(posterior, Deployment([size])))
    line = observed_shares.observed_shares(counts)
    theirs = _worst(BASELINES["gumbel_ols"](line, Deployment([size])))
    made = tables.table(
        "behaviour",
        f"median and {tables.percent(_INTERVAL)}\ninterval from counts",
        "held\nout",
        _HEADINGS["gumbel_ols"],
    )
    for behaviour in counts.behaviours:
        row = ours[behaviour, size]
        made.add_row(
            behaviour,
            f"{tables.risk(row['median'])}, {tables.span(row, tables.risk)}",
            tables.risk(float(risk_from_score(unseen.worst(behaviour)))),
            tables.risk(theirs[behaviour, size]["median"]),
        )
    sizes = {"trials": _TRIALS, "seen": _SEEN, "unseen": size}
    out.print(_COUNTED_TABLE.format(**sizes), soft_wrap=True)
    out.print()
    out.print(made)
    out.print()


def sampled(evaluation: Evaluation, trials: int, seed: int = 0) -> Evaluation:
    """Counts of successes among responses drawn from exact risks.

    Examples
    --------
    >>> exact = Evaluation.from_scores([5.0, 5.0, -5.0])
    >>> sampled(exact, 1000).sizes
    {'behaviour': 3}
    """
    rng = np.random.default_rng(seed)
    parts: list[Evaluation] = []
    for behaviour in evaluation.behaviours:
        cells = evaluation.scores(behaviour)
        known = np.repeat(cells.score, cells.count.astype(np.int64))
        ends = [-np.inf] * cells.censored_below + [np.inf] * cells.censored_above
        score = np.concatenate([known, ends])
        successes = rng.binomial(trials, risk_from_score(score))
        parts.append(
            Evaluation.from_counts(
                successes, np.full(len(score), trials), behaviour=behaviour
            )
        )
    return Evaluation.joined(parts)


def _print_further(out: Console, forecast: Forecast) -> None:
    """Forecasts of larger deployments."""
    rows = _worst(forecast)
    made = tables.table(
        "behaviour", *(f"{tables.count(size)} queries" for size in _FURTHER)
    )
    for behaviour in forecast.behaviours:
        cells = [rows[behaviour, size] for size in _FURTHER]
        made.add_row(
            behaviour,
            *(
                f"{tables.risk(row['median'])}, {tables.span(row, tables.risk)}"
                for row in cells
            ),
        )
    interval = tables.percent(_INTERVAL)
    out.print(_SECOND_TABLE.format(interval=interval), soft_wrap=True)
    out.print()
    out.print(made)
    out.print()
