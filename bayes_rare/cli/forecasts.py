"""The commands that forecast: ``forecast``, ``families`` and ``queries``."""

from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bayes_rare.cli.options import (
    AnswerOptions,
    BetaPrior,
    Count,
    DeploymentOptions,
    Names,
    PosteriorFile,
    Probability,
    Risks,
    whole,
)
from bayes_rare.cli.speech import (
    import_slowly,
    print_answer,
    warn_if_unconverged,
    write_table,
)

__all__ = ["families", "forecast", "queries"]


def forecast(
    posterior: PosteriorFile,
    /,
    *,
    served: DeploymentOptions,
    risk_thresholds: Risks = None,
    samples_per_query: Count = 1,
    missed_share: BetaPrior = None,
    missed_risk: BetaPrior = None,
    interval: Probability = 0.9,
    answer: AnswerOptions | None = None,
):
    """Forecast the worst-case risk of a deployment.

    Parameters
    ----------
    posterior
        A file that `bayes-rare fit` wrote.
    served
        The queries that will be served.
    risk_thresholds
        Risks, between 0 and 1, above which queries are counted. By default 0.01 and
        0.5.
    samples_per_query
        Responses sampled for each query, at least 1.
    missed_share
        What if the evaluation missed a whole kind of query? Suppose one with a
        Beta(A, B) prior on its share of all queries, updated by its absence from the m
        queries of the evaluation to Beta(A, B + m); with 1 1 the mean is 1/(m + 2). By
        default none is supposed.
    missed_risk
        The risk of each query of that kind is Beta(A, B). By default 1 1, which is
        uniform.
    interval
        Probability of the credible intervals, between 0 and 1.
    answer
        Where the answer goes.
    """
    import_slowly("pandas", "xarray", "h5netcdf", "pymc")
    from bayes_rare import forecasting
    from bayes_rare.cli import tables
    from bayes_rare.posterior import load
    from bayes_rare.reporting import wording

    answer = answer or AnswerOptions()
    _refuse_unwritable([answer.output], posterior, answer, served.families)
    missed_mode = _missed_mode(missed_share, missed_risk)
    deployment = served.deployment(samples_per_query, missed_mode)
    loaded = load.load_posterior(posterior, answer.model_file)
    made = forecasting.forecast(
        loaded,
        deployment,
        risk_thresholds=risk_thresholds or forecasting.RISK_THRESHOLDS,
        seed=whole("--seed", answer.seed),
    )
    summary = made.summary(interval)
    rows = wording.records(summary)
    write_table(summary, answer.output)
    parts = tables.forecast_report(made, rows, interval)
    parts = chain(parts, ["What to bear in mind:"])
    print_answer(
        made,
        made.method,
        rows,
        parts,
        [answer.output],
        as_json=answer.as_json,
        more={"tail_checks": wording.records(made.tail_verdict())},
    )
    warn_if_unconverged(loaded)


def families(
    posterior: PosteriorFile,
    /,
    *,
    served: DeploymentOptions,
    top: Count = 5,
    picture: Annotated[Path | None, Parameter(metavar="FAMILIES.png")] = None,
    answer: AnswerOptions | None = None,
):
    """List the families that are most likely to contain the riskiest query.

    Parameters
    ----------
    posterior
        A file that `bayes-rare fit` wrote, of a model that uses families.
    served
        The queries that will be served.
    top
        Families to print for each behaviour and number of queries.
    picture
        Picture to write: .png, .svg or .pdf.
    answer
        Where the answer goes.
    """
    import_slowly("pandas", "xarray", "h5netcdf", "pymc")
    from bayes_rare import forecasting
    from bayes_rare.cli import tables
    from bayes_rare.posterior import load
    from bayes_rare.reporting import wording

    answer = answer or AnswerOptions()
    written = [answer.output, picture]
    _refuse_unwritable(written, posterior, answer, served.families)
    deployment = served.deployment()
    most, seed = whole("--top", top), whole("--seed", answer.seed)
    loaded = load.load_posterior(posterior, answer.model_file)
    made = forecasting.forecast(loaded, deployment, targets=(), seed=seed)
    table = made.family_contributions(seed=seed)
    write_table(table, answer.output)
    if picture is not None:
        made.plot_families(picture, seed=seed)
    rows = wording.records(table)
    parts = tables.families_report(rows, most)
    print_answer(made, made.method, rows, parts, written, as_json=answer.as_json)
    warn_if_unconverged(loaded)


def queries(
    posterior: PosteriorFile,
    /,
    *,
    top: Count = 20,
    samples: Count = 1,
    interval: Probability = 0.9,
    behaviours: Names = None,
    allow_unconverged: bool = False,
    answer: AnswerOptions | None = None,
):
    """List the riskiest queries, each with the posterior of its risk.

    Parameters
    ----------
    posterior
        A file that `bayes-rare fit` wrote.
    top
        Queries to list for each behaviour, those with the largest observed risk; an
        evaluation keeps at most a hundred.
    samples
        Responses to each query, at least 1. For more than one, the chances that at
        least one of them shows the behaviour, and that all do, are printed too.
    interval
        Probability of the credible intervals, between 0 and 1.
    behaviours
        Behaviours to list, one or more. By default all.
    allow_unconverged
        Continue, with a warning, even if the fit did not converge.
    answer
        Where the answer goes.
    """
    import_slowly("pandas", "xarray", "h5netcdf", "pymc")
    from bayes_rare.cli import tables
    from bayes_rare.posterior import load
    from bayes_rare.reporting import wording

    answer = answer or AnswerOptions()
    _refuse_unwritable([answer.output], posterior, answer, None)
    most, seed = whole("--top", top), whole("--seed", answer.seed)
    responses = whole("--samples", samples)
    loaded = load.load_posterior(posterior, answer.model_file)
    if not allow_unconverged:
        loaded.require_convergence(
            "Nothing was drawn; --allow-unconverged draws from it all the same."
        )
    made = loaded.query_risks(behaviour=behaviours, top=most, seed=seed)
    summary = made.summary(responses, interval)
    rows = wording.records(summary)
    write_table(summary, answer.output)
    parts = tables.queries_report(made, rows, responses, interval)
    written = [answer.output]
    print_answer(made, made.model, rows, parts, written, as_json=answer.as_json)
    warn_if_unconverged(loaded)


def _refuse_unwritable(
    written: list[Path | None],
    posterior: Path,
    answer: AnswerOptions,
    families: Path | None,
) -> None:
    """Refuse outputs that cannot be written, or that would replace an input."""
    from bayes_rare import files

    read = [posterior, *(answer.model_file or []), *([families] if families else [])]
    for place in written:
        if place is not None:
            files.refuse_unwritable(place, *read)


def _missed_mode(
    share: tuple[float, float] | None, risk: tuple[float, float] | None
) -> Any:
    """The kind of query that the evaluation is supposed to have missed, if any."""
    from bayes_rare.errors import InvalidInput
    from bayes_rare.populations.missed_mode import MissedMode

    if share is None:
        if risk is not None:
            raise InvalidInput(
                "--missed-risk is the risk of a missed kind of query, and needs "
                "--missed-share. Add --missed-share 1 1."
            )
        return None
    return MissedMode(share, risk or (1.0, 1.0))
