"""The commands that forecast: ``forecast``, ``families`` and ``queries``."""

from itertools import chain
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from bayes_rare.cli.speech import (
    import_slowly,
    print_answer,
    warn_if_unconverged,
    write_table,
)
from bayes_rare.cli.words import (
    AsJson,
    BetaPrior,
    Count,
    Counts,
    ModelFile,
    Names,
    PosteriorFile,
    Probability,
    Risks,
    Share,
    Text,
    WeightsFile,
    optional,
    whole,
)

__all__ = ["families", "forecast", "queries"]


def forecast(
    posterior: PosteriorFile,
    /,
    *,
    queries: Counts,
    risk_thresholds: Risks = None,
    samples_per_query: Count = 1,
    families: WeightsFile = None,
    text: Text | None = None,
    unseen_share: Share = 0.0,
    unseen_families: Count | None = None,
    missed_share: BetaPrior = None,
    missed_risk: BetaPrior = None,
    interval: Probability = 0.9,
    seed: Count = 0,
    model_file: ModelFile = None,
    output: Annotated[Path | None, Parameter(metavar="FORECAST.csv")] = None,
    as_json: AsJson = False,
):
    """Forecast what a deployment may show."""
    import_slowly("pandas", "xarray", "h5netcdf", "pymc")
    from bayes_rare import files, forecasting
    from bayes_rare.cli import tables
    from bayes_rare.posterior import load
    from bayes_rare.reporting import wording

    if output is not None:
        files.refuse_unwritable(output, *_read(posterior, families, model_file))
    deployment = _deployment(
        queries,
        samples_per_query,
        families,
        text,
        unseen_share,
        unseen_families,
        _missed_mode(missed_share, missed_risk),
    )
    loaded = load.load_posterior(posterior, model_file)
    made = forecasting.forecast(
        loaded,
        deployment,
        risk_thresholds=risk_thresholds or forecasting.RISK_THRESHOLDS,
        seed=whole("--seed", seed),
    )
    summary = made.summary(interval)
    rows = wording.records(summary)
    write_table(summary, output)
    parts = tables.forecast_report(made, rows, interval)
    parts = chain(parts, ["What to bear in mind:"])
    print_answer(
        made,
        made.method,
        rows,
        parts,
        [output],
        as_json=as_json,
        more={"tail_checks": wording.records(made.tail_verdict())},
    )
    warn_if_unconverged(loaded)


def families(
    posterior: PosteriorFile,
    /,
    *,
    queries: Counts,
    families: WeightsFile = None,
    text: Text | None = None,
    unseen_share: Share = 0.0,
    unseen_families: Count | None = None,
    top: Count = 5,
    seed: Count = 0,
    model_file: ModelFile = None,
    output: Annotated[Path | None, Parameter(metavar="FAMILIES.csv")] = None,
    picture: Annotated[Path | None, Parameter(metavar="FAMILIES.png")] = None,
    as_json: AsJson = False,
):
    """List which families are likely to hold the riskiest query."""
    import_slowly("pandas", "xarray", "h5netcdf", "pymc")
    from bayes_rare import files, forecasting
    from bayes_rare.cli import tables
    from bayes_rare.posterior import load
    from bayes_rare.reporting import wording

    for place in (output, picture):
        if place is not None:
            files.refuse_unwritable(place, *_read(posterior, families, model_file))
    deployment = _deployment(queries, 1, families, text, unseen_share, unseen_families)
    most, start = whole("--top", top), whole("--seed", seed)
    loaded = load.load_posterior(posterior, model_file)
    made = forecasting.forecast(loaded, deployment, targets=(), seed=start)
    table = made.family_contributions(seed=start)
    write_table(table, output)
    if picture is not None:
        made.plot_families(picture, seed=start)
    rows = wording.records(table)
    parts = tables.families_report(rows, most)
    print_answer(made, made.method, rows, parts, [output, picture], as_json=as_json)
    warn_if_unconverged(loaded)


def queries(
    posterior: PosteriorFile,
    /,
    *,
    top: Count = 20,
    samples: Count = 1,
    interval: Probability = 0.9,
    behaviours: Names = None,
    seed: Count = 0,
    allow_unconverged: bool = False,
    model_file: ModelFile = None,
    output: Annotated[Path | None, Parameter(metavar="QUERIES.csv")] = None,
    as_json: AsJson = False,
):
    """List the riskiest queries, each with its risk given what was seen of it."""
    import_slowly("pandas", "xarray", "h5netcdf", "pymc")
    from bayes_rare import files
    from bayes_rare.cli import tables
    from bayes_rare.posterior import load
    from bayes_rare.reporting import wording

    if output is not None:
        files.refuse_unwritable(output, *_read(posterior, None, model_file))
    most, start = whole("--top", top), whole("--seed", seed)
    responses = whole("--samples", samples)
    loaded = load.load_posterior(posterior, model_file)
    if not allow_unconverged:
        loaded.require_convergence(
            "Nothing was drawn; --allow-unconverged draws from it all the same."
        )
    made = loaded.query_risks(behaviour=behaviours, top=most, seed=start)
    summary = made.summary(responses, interval)
    rows = wording.records(summary)
    write_table(summary, output)
    parts = tables.queries_report(made, rows, responses, interval)
    print_answer(made, made.model, rows, parts, [output], as_json=as_json)
    warn_if_unconverged(loaded)


def _read(
    posterior: Path, families: Path | None, model_file: list[Path] | None
) -> list[Path]:
    """What a command reads, and must not replace."""
    return [posterior, *([] if families is None else [families]), *(model_file or [])]


def _deployment(
    queries: list[int | float],
    samples_per_query: int | float,
    families: Path | None,
    text: Text | None,
    unseen_share: float,
    unseen_families: int | float | None,
    missed_mode: Any = None,
) -> Any:
    """The deployment that flags describe."""
    from bayes_rare.forecasting import Deployment
    from bayes_rare.forecasting.family_mix import read_mix
    from bayes_rare.readers.tables.texts import TextFormat

    written = TextFormat(**vars(text or Text()))

    return Deployment(
        queries,
        whole("--samples-per-query", samples_per_query),
        None if families is None else read_mix(families, written),
        unseen_share,
        optional("--unseen-families", unseen_families),
        missed_mode,
    )


def _missed_mode(
    share: tuple[float, float] | None, risk: tuple[float, float] | None
) -> Any:
    """What is supposed of a mode that the evaluation missed, if anything is."""
    from bayes_rare.errors import InvalidInput
    from bayes_rare.populations.missed_mode import MissedMode

    if share is None:
        if risk is not None:
            raise InvalidInput(
                "--missed-risk says how risky a missed mode is, and none is supposed. "
                "Give --missed-share 1 1 too."
            )
        return None
    return MissedMode(share, risk or (1.0, 1.0))
