"""The report of a posterior: one self-contained HTML page."""

import base64
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_rare.arguments.checking import checked_call
from bayes_rare.diagnostics.tail_checks import FAR, TailCheck
from bayes_rare.errors import BayesRareError, InvalidInput
from bayes_rare.evaluation import Evaluation
from bayes_rare.files import replacing
from bayes_rare.forecasting import (
    TARGETS,
    Deployment,
    Forecast,
    checked_risks,
    family_mix,
)
from bayes_rare.forecasting.notes import on_tail_checks
from bayes_rare.posterior import Average, Fitted, Posterior, average
from bayes_rare.reporting import sampling, sensitivity, tails, wording
from bayes_rare.reporting.outlook import Outlook, default_queries, embedded, outlook
from bayes_rare.reporting.pictures import Picture, picture
from bayes_rare.reporting.record import track_record
from bayes_rare.reporting.thresholds import moved_thresholds
from bayes_rare.scores import risk_from_score

if TYPE_CHECKING:
    import jinja2
    import pandas

    from bayes_rare.backtesting import Backtest

__all__ = ["Report", "report"]

_LIMIT = 5_000_000
# Riskiest queries of each behaviour that are listed, of all behaviours together.
_LISTED, _LISTED_IN_ALL = 20, 1_000
# Draws that are used to check the fit of a tail.
_CHECKED = 1000
# Families of each behaviour that are named.
_FAMILIES = 12
# Letters of a query that are shown.
_LETTERS = 600
# Parameters whose chains are shown, and rows of their table.
_SHOWN, _ROWS = 8, 200
# A parameter whose interval the data shortened by less than this follows the prior.
_LITTLE = 0.25
# As `bayes_rare.forecasting.notes` says it; the banner is loud enough.
_UNCONVERGED = "THE FIT DID NOT CONVERGE"
# Behaviours that a picture has room for.
_PANELS = 12


@checked_call
@dataclass(frozen=True, eq=False, repr=False)
class Report:
    """An HTML page that explains what a posterior means for a deployment.

    Parameters
    ----------
    html
        The page, self-contained: it loads no other file.
    warnings
        Texts of its red banners.
    """

    html: str
    warnings: tuple[str, ...]

    def save(self, path: str | Path) -> Path:
        """Write the page atomically; replaces an existing file.

        Parameters
        ----------
        path
            File to write.

        Raises
        ------
        InvalidInput
            If it cannot be written there.
        """
        path = Path(path)
        with replacing(path) as written:
            written.write_text(self.html, encoding="utf-8")
        return path

    def __repr__(self) -> str:
        size = len(self.html.encode()) / 1e6
        warned = len(self.warnings)
        return (
            f"Report of {size:.1f} MB with {warned} warning{'s'[: warned != 1]}. Write "
            'it by save("report.html").'
        )


@checked_call
def report(
    posterior: Fitted,
    *,
    backtest: "Backtest | None" = None,
    truth: Evaluation | None = None,
    queries: int | float | None = None,
    samples_per_query: int | float = 1,
    risk_threshold: int | float = 0.5,
    level: int | float = 0.05,
    interval: int | float = 0.9,
    refit: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Report:
    """A page with the forecast for decision makers and its checks for statisticians.

    It opens at one deployment and threshold; readers can change both, and the page
    updates the forecast. It needs no network, and no other file.

    Parameters
    ----------
    posterior
        Posterior of the evaluation. For an average of models, diagnostics of a model
        are those of the one with the largest weight.
    backtest
        Backtest of methods on held-out queries, if there is one.
    truth
        A larger, held-out evaluation, drawn into the scaling picture.
    queries
        Queries served, 1 to 1e12, at which the page opens; by default the largest power
        of ten that is at most a thousand times the size of the evaluation.
    samples_per_query
        Responses per query, 1 to 1e6.
    risk_threshold
        Risk, in (0, 1), above which a query counts as risky.
    level
        Largest chance of such a query at which a deployment counts as safe, in (0, 1).
    interval
        Probability of the intervals, in (0, 1).
    refit
        Whether to refit the model at other thresholds, which takes a while.
    seed
        Random seed of the risks of single queries, of the checks and of refits.
    progress
        Called with the number of behaviours done and their total.

    Raises
    ------
    InvalidInput
        If a number is out of its range, or there are more behaviours than a page holds.
    InvalidData
        If the backtest's methods were not scored on the same splits.

    Examples
    --------
    >>> import bayes_rare as br
    >>> evaluation = br.Evaluation.from_scores(np.linspace(-3, -1, 200))
    >>> posterior = br.fit(evaluation, "gumbel_tail", warmup=200, draws=200)
    >>> page = br.report(posterior, queries=10**6)
    >>> len(page.html) < 5_000_000, page.warnings[0].split()[:4]
    (True, ['1', 'million', 'queries', 'are'])
    """
    if not 0 < interval < 1:
        raise InvalidInput(f"interval is a probability in (0, 1), got {interval}.")
    if samples_per_query > 1e6:
        raise InvalidInput(
            f"samples_per_query is at most 1e6 in a report, got {samples_per_query}. "
            "For more, use bayes_rare.forecast."
        )
    evaluation, label, main = _main(posterior)
    [threshold] = checked_risks([risk_threshold])
    size = default_queries(evaluation) if queries is None else queries
    deployment = Deployment(size, samples_per_query)
    [served] = deployment.queries
    forecast, outlooks = outlook(
        posterior, deployment, threshold, level, interval, progress
    )
    riskiest = max(range(len(outlooks)), key=lambda place: outlooks[place].median)
    content, error = embedded(evaluation, outlooks, truth)
    thinned = posterior.thinned(_CHECKED)
    checked = {name: thinned.population(name) for name in forecast.behaviours}
    doubts = {name: tails.doubts(own) for name, own in forecast.tail_checks.items()}
    smallest = min(evaluation.sizes.values())
    warnings = _warnings(posterior, doubts, served, smallest)
    state = {
        "behaviour": riskiest,
        "queries": served,
        "samples": deployment.samples_per_query,
        "threshold": threshold,
        "interval": interval,
        "level": level,
        "far": FAR * smallest,
        "far_words": far("@", smallest).split("@"),
    }
    script, style = _part("report.js"), _part("report.css")
    thresholds, refused = moved_thresholds(
        main, outlooks, served, interval, refit=refit, seed=seed
    )
    record = None
    if backtest is not None:
        record = track_record(backtest, forecast.method)
    judged = sampling.parameters(main)
    page = _environment().get_template("report.html.j2")
    html = page.render(
        content=content | {"state": state},
        script=script,
        style=style,
        digest=_digest(script),
        method=forecast.method,
        label=label,
        weights=_weights(posterior),
        version=main.provenance["versions"]["bayes-rare"],
        evaluation=evaluation,
        state=state,
        shown=outlooks[riskiest],
        outlooks=outlooks,
        warnings=warnings,
        doubts=doubts,
        smallest=smallest,
        truth=None if truth is None else min(truth.sizes.values()),
        error=error,
        notes=_notes(forecast, doubts, warnings),
        queries=_queries(main, seed),
        query_notes=_query_notes(main),
        read=wording.records(evaluation.summary()),
        dropped=wording.records(evaluation.dropped),
        driving=_driving(forecast, seed),
        driving_picture=_driving_picture(forecast, seed),
        verdict=asdict(posterior.verdict),
        parameters=wording.records(judged),
        most_rows=_ROWS,
        ranks=_ranks(main, judged),
        prior=_prior(main, outlooks, served, interval, seed),
        sensitivity=_sensitivity(main),
        fit=_fit_of_tail(main, checked, seed),
        tail_checks=wording.records(forecast.tail_verdict()),
        thresholds=_thresholds(thresholds, served, forecast.tail_checks),
        thresholds_refused=refused,
        refit=refit,
        has_threshold="exceeding" in main.data,
        record=record,
        provenance=_provenance(main),
    )
    if len(html.encode()) > _LIMIT:
        raise InvalidInput(
            f"the report would take {len(html.encode()) / 1e6:.1f} MB, more than can "
            f"be mailed with ease ({_LIMIT / 1e6:.0f} MB). Report fewer behaviours, or "
            "a backtest of fewer methods and sizes."
        )
    return Report(html, tuple(text for _, text in warnings))


def _main(posterior: Fitted) -> tuple[Evaluation, str, Posterior]:
    """The evaluation, and the posterior whose diagnostics are shown with its label."""
    if isinstance(posterior, Posterior):
        return posterior.evaluation, posterior.name, posterior
    assert isinstance(posterior, Average)
    heaviest = max(posterior.members, key=lambda m: sum(m.weights.values()))
    return posterior.evaluation, heaviest.label, heaviest.posterior


def _weights(posterior: Fitted) -> list[tuple[str, str]]:
    """Weights of the averaged models by behaviour; empty for a single model."""
    if not isinstance(posterior, Average):
        return []
    return [
        (behaviour, average.written(shares))
        for behaviour, shares in posterior.weights().items()
    ]


@cache
def _environment() -> "jinja2.Environment":
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader("bayes_rare", "reporting"),
        # Whatever the ending: a text from the data is never markup.
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "risk": wording.risk,
        "chance": wording.chance,
        "count": wording.count,
        "queries": wording.queries,
        "safely": wording.safely,
        "percent": wording.percent,
        "printable": _printable,
    }
    return made


def _part(name: str) -> str:
    return (files("bayes_rare") / "reporting" / name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    """The script's digest, by which the page allows it and no other to run."""
    found = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(found).decode('ascii')}"


def _printable(text: str) -> str:
    """A text of the data without control characters, shortened if it is long."""
    shown = "".join(c if c.isprintable() or c == "\n" else " " for c in text).strip()
    return shown if len(shown) <= _LETTERS else f"{shown[: _LETTERS - 1]}…"


def _warnings(
    posterior: Fitted,
    doubts: Mapping[str, Sequence[TailCheck]],
    served: int,
    smallest: int,
) -> list[tuple[str, str]]:
    """Texts of the red banners, each with the name by which the page finds it."""
    found = [
        (
            "unconverged",
            text.replace(_UNCONVERGED, _UNCONVERGED.capitalize()),
        )
        for text in posterior.verdict.notes
    ]
    if served > FAR * smallest:
        found.append(("far", far(wording.count(served), smallest)))
    if any(doubts.values()):
        found.append(("doubtful", f"The tail is doubtful. {tails.together(doubts)}."))
    return found


def far(served: str, smallest: int) -> str:
    """The warning about a deployment that is much larger than the evaluation."""
    return (
        f"{served} queries are more than {FAR:,} times the {wording.count(smallest)} "
        "that were evaluated. This far beyond the data, the interval depends on the "
        "prior of the tail as much as on the data."
    )


def _notes(
    forecast: Forecast,
    doubts: Mapping[str, Sequence[TailCheck]],
    warnings: Sequence[tuple[str, str]],
) -> list[str]:
    """Notes of the forecast, each once, without what banners and sections tell."""
    names = {name for name, _ in warnings}
    told = {
        "unconverged": _UNCONVERGED,
        "far": "Extrapolation:",
        "doubtful": tuple(on_tail_checks(doubts)),
    }
    return [
        note
        for note in dict.fromkeys(forecast.notes)
        # The page says "1 trillion or more" where it is so.
        if not note.startswith(TARGETS)
        and not any(name in names and note.startswith(told[name]) for name in told)
    ]


def _queries(posterior: Posterior, seed: int) -> list[dict[str, Any]]:
    """The riskiest queries of each behaviour, with their estimated risks."""
    top = min(_LISTED, max(_LISTED_IN_ALL // len(posterior.behaviours), 1))
    risks = posterior.query_risks(top=top, seed=seed)
    rows = wording.records(risks.summary())
    families = _families(posterior)
    places: dict[str, int] = {}
    for row in rows:
        behaviour = row["behaviour"]
        row["place"] = places[behaviour] = places.get(behaviour, 0) + 1
        row["family"] = families.get((behaviour, row["query_id"]), "")
        row["exact"] = row.get("trials") is None and row.get("log_risk_se") is None
    rows.sort(key=lambda row: posterior.behaviours.index(row["behaviour"]))
    return rows


def _driving(forecast: Forecast, seed: int) -> list[dict[str, Any]]:
    """The families most likely to hold the riskiest query, if the model knows families.

    The families beyond the first few of each behaviour are one row.
    """
    if not _knows_families(forecast):
        return []
    rows: list[dict[str, Any]] = []
    table = forecast.family_contributions(seed=seed)
    for behaviour in forecast.behaviours:
        own = wording.records(table[table["behaviour"] == behaviour])
        rows += own[:_FAMILIES]
        rest = own[_FAMILIES:]
        if rest:
            shares = ("share_of_queries", "chance_of_worst")
            left = {name: sum(row[name] for row in rest) for name in shares}
            name = f"{len(rest)} other families"
            rows.append({"behaviour": behaviour, "family": name, **left})
    return rows


def _driving_picture(forecast: Forecast, seed: int) -> Picture | None:
    if not _knows_families(forecast) or len(forecast.behaviours) > _PANELS:
        return None
    return picture(
        forecast.plot_families(seed=seed),
        "Chance of each family to hold the riskiest query, by the number of queries, "
        "with a panel for each behaviour.",
        "A colour that grows to the right is a family that matters more in larger "
        "deployments.",
    )


def _knows_families(forecast: Forecast) -> bool:
    return all(map(family_mix.knows_families, forecast.populations.values()))


def _families(posterior: Posterior) -> dict[tuple[str, str], str]:
    """The family of each query that was kept, by behaviour and identity."""
    kept = posterior.evaluation.riskiest
    return {
        (behaviour, query_id): family
        for behaviour, query_id, family in zip(
            kept["behaviour"], kept["query_id"], kept["family"], strict=True
        )
        if query_id
    }


def _query_notes(posterior: Posterior) -> list[str]:
    """Notes on the risks of single queries, without the one that a banner has."""
    found = posterior.query_risks(top=1).notes
    return [note for note in found if not note.startswith(_UNCONVERGED)]


def _ranks(posterior: Posterior, judged: "pandas.DataFrame") -> Picture:
    from bayes_rare import plotting

    return picture(
        plotting.ranks(sampling.ranks(posterior, judged, _SHOWN)),
        f"Rank plots of the chains, for the {_SHOWN} parameters with the largest "
        "R-hat.",
        "The chains agree if the lines stay near 1, mostly inside the band.",
    )


def _prior(
    posterior: Posterior,
    outlooks: Sequence[Outlook],
    served: int,
    interval: int | float,
    seed: int,
) -> dict[str, Any]:
    """The prior next to the posterior, or why it cannot be shown."""
    ends = np.array([0.5 - interval / 2, 0.5, 0.5 + interval / 2])
    try:
        drawn = sampling.prior_draws(posterior, seed)
        before = sampling.expected_before(posterior, drawn, served, ends)
    except BayesRareError as error:  # no simulation, or nothing that it could draw
        return {"rows": [], "why": str(error), "worst": [], "little": []}
    rows = wording.records(sampling.prior_and_posterior(posterior, drawn))
    worst = [
        (each, [float(risk) for risk in risk_from_score(before[each.behaviour])])
        for each in outlooks
        if each.behaviour in before
    ]
    learnt: dict[str, list[float]] = {}
    for row in rows:
        learnt.setdefault(row["parameter"], []).append(row["learnt"])
    little = [
        (name, min(shares), max(shares))
        for name, shares in learnt.items()
        if min(shares) < _LITTLE
    ]
    for row in rows:
        ends = [row["prior_lower"], row["prior_upper"], row["lower"], row["upper"]]
        low, high = min(ends), max(ends)
        width = (high - low) or 1.0
        row["strip"] = {
            name: round(100 * (row[name] - low) / width, 2)
            for name in ("prior_lower", "prior_median", "prior_upper")
        } | {
            f"found_{name}": round(100 * (row[name] - low) / width, 2)
            for name in ("lower", "median", "upper")
        }
    return {"rows": rows, "why": "", "worst": worst, "little": little}


def _sensitivity(posterior: Posterior) -> dict[str, Any]:
    """What moves if prior or data count more or less, or why that is not known."""
    try:
        found = sensitivity.sensitivity(posterior)
    except BayesRareError as error:  # the model cannot be built as it was
        return {"rows": [], "why": str(error)}
    rows = wording.records(found)
    # Behaviours whose extreme score, which decides forecasts, depends on the prior.
    ruled = [
        row["of"]
        for row in rows
        if row["parameter"] == sampling.EXTREME
        and row["prior"] is not None
        and row["prior"] >= sensitivity.SENSITIVE
    ]
    flat = any(row["diagnosis"] == sensitivity.FLAT for row in rows)
    unknown = any(row["prior"] is None for row in rows)
    return {"rows": rows, "ruled": ruled, "flat": flat, "unknown": unknown}


def _fit_of_tail(
    posterior: Posterior, populations: Mapping[str, Any], seed: int
) -> Picture | None:
    from bayes_rare import plotting

    shown = dict(list(populations.items())[:_PANELS])
    frame = tails.quantiles(posterior.evaluation, shown, seed)
    if frame.empty:
        return None
    return picture(
        plotting.quantiles(frame),
        "Risks of the riskiest evaluated queries against the risks that the model "
        "expects, with a panel for each behaviour.",
        "Points inside the band agree with the fitted tail. A point above it is a "
        "query riskier than the model expects.",
    )


def _thresholds(
    frame: Any, served: int, checks: Mapping[str, Sequence[TailCheck]]
) -> Picture | None:
    from bayes_rare import plotting

    if frame.empty:
        return None
    shown = list(dict.fromkeys(frame["behaviour"]))[:_PANELS]
    return picture(
        plotting.thresholds(frame[frame["behaviour"].isin(shown)], checks=checks),
        f"Risk of the riskiest of {wording.count(served)} queries by the number of "
        "queries above the threshold, with a panel for each behaviour.",
        "If the intervals contain each other's dots, the choice of threshold matters "
        "little.",
    )


def _provenance(posterior: Posterior) -> list[tuple[str, str]]:
    """How the posterior was made, as pairs of a name and a value."""
    found = posterior.provenance
    model = found["model"]
    seconds = found.get("seconds")
    pairs = [
        ("Model", model["name"]),
        ("Model file, SHA-256", model["digest"]),
        ("Evaluation, SHA-256", found["data"]),
        (
            "Sampling",
            f"{found['chains']} chains of {found['draws_kept']:,} draws after "
            f"{found['warmup']:,} warm-up steps, seed {found['seed']}",
        ),
        (
            "Settings",
            ", ".join(
                f"{name}={value}"
                for name, value in found["priors"].items()
                if value is not None
            ),
        ),
        (
            "Versions",
            ", ".join(f"{name} {value}" for name, value in found["versions"].items()),
        ),
        ("Computed on", found["device"]),
        ("Finished", found["finished"].replace("T", " ").replace("+00:00", " UTC")),
    ]
    if seconds is not None and math.isfinite(seconds):
        pairs.append(("Time of the fit", wording.duration(seconds)))
    return pairs
