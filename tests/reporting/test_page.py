"""The report without a browser: what is on it, what it refuses, and its tables."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytest
from scipy import stats
from unfitted import as_if, unfitted

import bayes_rare as br
from bayes_rare import catalog, plotting
from bayes_rare.cli import main
from bayes_rare.diagnostics.tail_checks import TailCheck, exceedances, saturation
from bayes_rare.errors import InvalidData, InvalidInput, NotApplicable
from bayes_rare.evaluation.import_record import Dropped, Reason, Tally
from bayes_rare.forecasting import Deployment, forecast, outcomes
from bayes_rare.forecasting.tail_verdict import tail_verdict
from bayes_rare.populations import BodyAndTail, Normal
from bayes_rare.populations.gathered import Gathered
from bayes_rare.posterior import Average, Posterior
from bayes_rare.posterior.average import Member
from bayes_rare.reporting import outlook, report, sampling, sensitivity, tails, wording
from bayes_rare.reporting.predictive import SIZES, log_hazard, predictive
from bayes_rare.reporting.thresholds import moved_thresholds
from bayes_rare.scores import risk_from_score, score_from_risk

HOSTILE = '<script>alert("1")</script> & <b>bold</b>'


class Reader(HTMLParser):
    """Text of each element by its tag, attributes, and addresses that are loaded."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in {"script", "style"}:
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self.inside.pop()
        if tag in {"td", "th"}:
            self.text.append(" ")

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join("".join(self.text).split())

    def content(self, html: str) -> Any:
        [found] = re.findall(r'id="content">(.*?)</script>', html)
        return json.loads(found)


def scores(names: Sequence[str] = ("leak", "lie")) -> br.Evaluation:
    rng = np.random.default_rng(0)
    return br.Evaluation.from_scores(
        {name: rng.gumbel(-2.6, 0.25, 300) for name in names},
        query_text={name: [HOSTILE] * 300 for name in names},
        query_id={name: [f"q{n}" for n in range(300)] for name in names},
    )


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    return br.fit(scores(), "gumbel_tail", warmup=300, draws=300)


@pytest.fixture(scope="module")
def html(posterior: Posterior) -> str:
    return report(posterior, queries=10_000, risk_threshold=0.2).html


def test_it_is_one_whole_file(html: str) -> None:
    read = Reader(html)
    addresses = [
        value
        for _, attributes in read.tags
        for name, value in attributes.items()
        if name in {"src", "href", "action", "data", "srcset", "poster"}
    ]
    assert addresses
    for address in addresses:
        assert str(address).startswith(("#", "data:"))
    assert not re.search(r"@import|url\(", html)
    identifiers = [a["id"] for _, a in read.tags if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    assert len(html.encode()) < 2_000_000
    [policy] = [
        a["content"]
        for tag, a in read.tags
        if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert str(policy).startswith("default-src 'none'")
    assert "script-src 'sha256-" in str(policy)


def test_its_sentences_are_those_of_the_forecast(
    html: str, posterior: Posterior
) -> None:
    made = forecast(posterior, Deployment(10_000), risk_thresholds=[0.2])
    rows = made.summary().set_index(["behaviour", "target"])
    worst = rows.xs("worst_query_risk", level="target")
    shown = str(worst["median"].idxmax())
    words = Reader(html).words.replace("\xa0", " ")

    def said(target: str, column: str) -> float:
        found: Any = rows.loc[(shown, target), column]
        return float(found)

    low, high = (
        " ".join(wording.risk(said("worst_query_risk", end)).split())
        for end in ("lower", "upper")
    )
    assert (
        f"With 90 % probability, the riskiest of 10,000 queries shows {shown} with a "
        f"risk between {low} and {high}."
    ) in words
    chance = " ".join(wording.chance(said("exceedance_probability", "mean")).split())
    assert f"at least one query is riskier than 20 % is {chance}." in words
    safe = " ".join(wording.safely(said("largest_safe_deployment", "mean")).split())
    assert f"It stays below 5 % for up to {safe} queries." in words


def test_its_notes_are_those_of_the_forecast(html: str, posterior: Posterior) -> None:
    words = Reader(html).words
    for note in forecast(posterior, Deployment(10_000), targets=()).notes:
        assert note in words
    assert "cannot exclude" in words


def test_its_checks_are_those_of_the_forecast(html: str, posterior: Posterior) -> None:
    words = Reader(html).words
    made = forecast(posterior, Deployment(10_000), targets=())
    table = made.tail_verdict()
    assert set(table["behaviour"]) == {"leak", "lie"}
    for sentence in table["sentence"]:
        assert sentence in words
    assert "% of simulated evaluations" not in words
    assert "by design" in words


def test_text_of_the_data_is_text(html: str) -> None:
    read = Reader(html)
    assert HOSTILE in read.words
    assert "alert(" not in re.sub(r"&lt;script&gt;alert\(", "", html)
    assert not [a for tag, a in read.tags if tag == "b"]
    assert len([tag for tag, _ in read.tags if tag == "script"]) == 2


def test_names_do_not_end_the_tables_early() -> None:
    name = "</script><script>alert(1)</script>"
    hostile = br.fit(scores([name]), "gumbel_tail", warmup=100, draws=100)
    html = report(hostile).html
    assert name not in html
    assert Reader(html).content(html)["behaviours"][0]["name"] == name


def test_how_often_and_how_far_are_told_at_the_start(posterior: Posterior) -> None:
    # A thousand times 300 queries, as a power of ten.
    made = report(posterior)
    assert Reader(made.html).content(made.html)["state"]["queries"] == 100_000
    assert made.warnings == ()
    assert "with 0 warnings" in repr(made)
    far = report(posterior, queries=10**9).warnings
    assert len(far) == 1
    assert far[0].startswith("1\xa0billion queries are more than 1,000 times")


def test_an_unconverged_fit_is_said_first() -> None:
    short = br.fit(scores(), "gumbel_tail", warmup=20, draws=10, target_ess=0.0)
    made = report(short)
    assert made.warnings[0].startswith("The fit did not converge, so these numbers")
    [banner] = [a for _, a in Reader(made.html).tags if a.get("class") == "banner"][:1]
    assert banner["data-warning"] == "unconverged"
    assert "hidden" not in banner


def test_what_was_left_out_is_listed(posterior: Posterior) -> None:
    assert (
        "Rows that were left out before that are not recorded here"
        in report(posterior).html
    )
    tally = Tally("leak", 303, 300, 2, (("errored", 3),), 300, 1)
    record = Dropped(
        "inspect",
        ("a.eval", HOSTILE),
        "score 'leaks' is 'C'",
        (tally,),
        (Reason("errored", "timed out", 3),),
        (),
        ("One warning.",),
    )
    evaluation = replace(posterior.evaluation, record=record)
    words = Reader(report(replace(posterior, evaluation=evaluation)).html).words
    assert f"Read by inspect from a.eval, {HOSTILE}." in words
    assert "3 errored: timed out" in words
    assert "One warning." in words
    assert re.search(r"leak 303 300 3 0 2 0.99\s% 300", words)


def test_an_average_says_what_it_is_made_of(posterior: Posterior) -> None:
    other = br.fit(posterior.evaluation, "log_normal", warmup=200, draws=200)
    members = tuple(
        Member(
            each.model.name,
            each,
            dict.fromkeys(posterior.behaviours, weight),
            dict.fromkeys(posterior.behaviours, 0.1),
        )
        for each, weight in ((posterior, 0.75), (other, 0.25))
    )
    average = Average(members, size=800)
    made = report(average, queries=10_000)
    words = Reader(made.html).words
    assert "leak: 75 % gumbel_tail, 25 % log_normal" in words
    assert (
        "diagnostics below are for gumbel_tail, which has the largest weight" in words
    )
    table = forecast(average, Deployment(10_000)).summary()
    worst = table[table["target"] == "worst_query_risk"]["upper"].max()
    assert wording.risk(float(worst)) in made.html.replace("&nbsp;", "\xa0")


def test_a_backtest_is_a_track_record(posterior: Posterior) -> None:
    record = br.backtest(
        br.sample_table(),
        ["gumbel_ols", "gumbel_ols_pivot"],
        [300],
        [2_000],
        behaviours=["I love", "Death"],
        repeats=6,
        workers=1,
    )
    html = report(posterior, backtest=record).html
    words = Reader(html).words
    assert "gumbel_tail was not part of this backtest." in words
    assert "has the smallest CRPS" in words
    pictures = re.findall(r'alt="([^"]+)"', html)
    assert any("PIT histograms of each method" in text for text in pictures)
    assert any("Share of true values inside" in text for text in pictures)
    table = record.table.replace({"method": {"gumbel_ols_pivot": "gumbel_tail"}})
    own = Reader(report(posterior, backtest=replace(record, table=table)).html).words
    cell = table.query("method == 'gumbel_tail' and target == 'worst_query_risk'")
    share = round(100 * cell["covered_90"].mean())
    factor = 10 ** cell["abs_log10_error"].mean()
    assert (
        "Forecasting 2,000 queries from 300, gumbel_tail had the true value inside its "
        f"90 % interval in {share} % of 12 forecasts, and its median was off by a "
        f"factor of {factor:.2g} on average."
    ) in own


def test_counts_have_shrunken_risks_and_no_points() -> None:
    rng = np.random.default_rng(2)
    risk = risk_from_score(rng.gumbel(-2.0, 0.3, 120))
    evaluation = br.Evaluation.from_counts(
        rng.binomial(30, risk), np.full(120, 30), query_id=[f"q{n}" for n in range(120)]
    )
    fitted = br.fit(
        evaluation, "beta_binomial", warmup=200, draws=200, chains=2, target_ess=0.0
    )
    html = report(fitted).html
    [behaviour] = Reader(html).content(html)["behaviours"]
    assert behaviour["seen"] == []
    words = Reader(html).words
    rows = fitted.query_risks(top=20).summary()
    first = rows.iloc[0]
    low, high = wording.risk(first["lower"]), wording.risk(first["upper"])
    expected = (
        f"{first['successes']} of 30 {wording.risk(first['mean'])} {low} to {high}"
    )
    assert expected.replace("\xa0", " ") in words.replace("\xa0", " ")
    assert "risks were not measured exactly" in words


@pytest.mark.parametrize(
    ("settings", "way_out"),
    [
        ({"queries": 1.5}, "whole number from 1 to 1e12"),
        ({"risk_threshold": 1.0}, "a probability in"),
        ({"interval": 1.0}, "a probability in"),
        ({"level": 0.0}, "a probability in"),
        ({"samples_per_query": 10**7}, "use bayes_rare.forecast"),
    ],
)
def test_what_cannot_be_reported_is_refused(
    posterior: Posterior, settings: dict[str, Any], way_out: str
) -> None:
    with pytest.raises(InvalidInput, match=way_out):
        report(posterior, **settings)


def test_the_command_writes_what_python_does(
    posterior: Posterior, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted = posterior.save(tmp_path / "posterior.nc")
    page = tmp_path / "new" / "report.html"
    words = ["report", str(fitted), "--output", str(page), "--queries", "1e9"]
    assert main([*words, "--risk-threshold", "0.2", "--interval", "0.8"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"Wrote {page}\n"
    assert captured.err.startswith("bayes-rare: warning: 1\xa0billion queries are more")
    made = report(posterior, queries=10**9, risk_threshold=0.2, interval=0.8)
    assert page.read_text(encoding="utf-8") == made.html
    assert [path.name for path in page.parent.iterdir()] == ["report.html"]


def test_the_command_refuses_in_one_paragraph(
    posterior: Posterior, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted = posterior.save(tmp_path / "posterior.nc")
    before = fitted.read_bytes()
    for words, way_out in (
        ([str(fitted), "--output", str(fitted)], "Give another name"),
        ([str(fitted), "--output", "r.html", "--queries", "0"], "whole number from 1"),
        (
            [str(fitted), "--output", "r.html", "--backtest", str(fitted)],
            "bayes-rare backtest",
        ),
        ([str(tmp_path / "no.nc"), "--output", "r.html"], "bayes-rare fit"),
    ):
        assert main(["report", *words]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert way_out in error
    assert fitted.read_bytes() == before
    assert main(["report", str(fitted)]) == 2


def test_more_behaviours_than_a_page_holds_are_told(
    posterior: Posterior, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, outlooks = outlook.outlook(
        posterior, Deployment(1_000), 0.5, 0.05, 0.9, lambda _done, _total: None
    )
    whole, error = outlook.embedded(posterior.evaluation, outlooks)
    sizes = [len(each["worst"]) for each in whole["behaviours"]]
    assert error < 0.005
    monkeypatch.setattr(outlook, "_ROOM", sum(sizes) // 2)
    half, blunter = outlook.embedded(posterior.evaluation, outlooks)
    assert sum(len(each["worst"]) for each in half["behaviours"]) <= sum(sizes) // 2
    assert blunter > error
    monkeypatch.setattr(outlook, "_ROOM", 100)
    with pytest.raises(InvalidInput, match="report them in parts"):
        outlook.embedded(posterior.evaluation, outlooks)


def test_coarser_tables_keep_to_their_error() -> None:
    rng = np.random.default_rng(3)
    fine = predictive(Normal(rng.normal(-3, 0.1, 200), np.full(200, 0.5)))
    coarse = fine.coarser(0.05)
    assert coarse.score.size < fine.score.size
    for row, kept in zip(fine.worst, coarse.worst, strict=True):
        again = np.interp(fine.score, coarse.score, kept)
        off = np.abs(np.exp(-np.exp(again)) - np.exp(-np.exp(row)))
        assert off.max() <= 0.05 / np.e + 1e-9


def test_an_average_has_the_steps_of_its_parts() -> None:
    draws = 50
    parts = [
        BodyAndTail(
            -1.0,
            np.full(draws, 0.1),
            np.full(draws, 0.3),
            np.zeros(draws),
            np.array([-3.0 - at, -2.0 + at]),
            np.array([30.0, 60.0]),
        )
        for at in (0.0, 0.3)
    ]
    mixed = Gathered((parts[0], parts[1]))
    tables = predictive(mixed)
    for risk in risk_from_score(np.array([-3.1, -2.999, -2.5, -1.9, -1.5])):
        exact = outcomes.exceedance_probability(mixed, 10, float(risk)).mean()
        place = int(np.flatnonzero(np.isclose(SIZES, 10.0))[0])
        at = np.interp(float(score_from_risk(risk)), tables.score, tables.worst[place])
        assert -np.expm1(-np.exp(at)) == pytest.approx(exact, abs=0.005)


def test_a_mean_chance_has_the_hazard_of_its_own_logarithm(
    rng: np.random.Generator,
) -> None:
    hazards = np.exp(rng.normal(-2, 3, (20, 50)))
    expected = np.log(-np.log(np.exp(-hazards).mean(axis=1)))
    np.testing.assert_allclose(log_hazard(hazards), expected, rtol=1e-9)
    # Far too small and far too large for a chance in float64.
    assert log_hazard(np.full((1, 3), 1e-200)) == pytest.approx(np.log(1e-200))
    assert log_hazard(np.full((1, 3), 1e5)) == pytest.approx(np.log(1e5))


def test_what_makes_a_tail_doubtful() -> None:
    rng = np.random.default_rng(4)
    calm = br.Evaluation.from_scores(rng.gumbel(-3, 0.2, 300))
    saturated = br.Evaluation.from_scores(
        np.append(rng.gumbel(-3, 0.2, 300), [4.0, 4.5])
    )
    found: dict[str, list[TailCheck]] = {}
    settings: dict[str, Any]
    for name, evaluation, settings in (
        ("calm", calm, {}),
        ("saturated", saturated, {}),
        ("few", calm, {"exceedances": 5}),
    ):
        fitted = br.fit(
            evaluation, "gumbel_tail", warmup=200, draws=200, target_ess=0.0, **settings
        )
        [checks] = tail_verdict(evaluation, 10**9, fitted).values()
        found[name] = tails.doubts(checks)
    assert found["calm"] == []
    assert (
        "risk of 0.989. Near a risk of 1, scores differ"
        in found["saturated"][0].sentence
    )
    assert "rests on 5 queries above its threshold" in found["few"][0].sentence


def test_a_doubt_that_many_behaviours_share_is_said_once() -> None:
    few = {f"b{place}": [exceedances(place)] for place in range(60)}
    said = tails.together(few | {"b0": [exceedances(0), saturation(0.99, 100)]})
    first, second = said.split(". ")
    assert first.startswith("b0, b1, b2, b3, ")
    assert " more: few queries are above" in first
    assert second.startswith("b0: some risks are close to 1")


def test_the_model_is_fitted_again_at_other_thresholds() -> None:
    rng = np.random.default_rng(6)
    evaluation = br.Evaluation.from_scores(rng.gumbel(-3, 0.2, 120))
    fitted = br.fit(evaluation, "gumbel_tail", warmup=200, draws=200, target_ess=0.0)
    _, outlooks = outlook.outlook(
        fitted, Deployment(1_000), 0.5, 0.05, 0.9, lambda _done, _total: None
    )
    again, _ = moved_thresholds(fitted, outlooks, 1_000, 0.9, refit=True, seed=0)
    counts = again.groupby("method")["exceedances"].apply(list).to_dict()
    assert counts == {
        "gumbel_tail": [10],
        "gumbel_tail, refitted": [20],
        "maximum likelihood": [10, 20],
    }
    own = br.fit(
        evaluation,
        "gumbel_tail",
        warmup=200,
        draws=200,
        target_ess=0.0,
        exceedances=20,
    )
    levels = np.array([0.05, 0.5, 0.95])
    expected = outcomes.worst_score_quantile(own.population(), 1_000, levels)
    row = again[again["method"].str.endswith("refitted")].iloc[0]
    np.testing.assert_allclose(
        [row["lower"], row["median"], row["upper"]], expected, atol=1e-9
    )
    words = Reader(report(fitted, refit=True).html).words
    assert "--refit" not in words


def test_the_prior_beside_the_posterior(posterior: Posterior) -> None:
    prior = sampling.prior_draws(posterior)
    table = sampling.prior_and_posterior(posterior, prior).set_index(
        ["parameter", "of"]
    )
    scale: Any = table.loc[("scale", "leak")]
    # As the model's file says: 0.3 score units, 0.06 to 1.6 with 90 % probability.
    assert scale["prior_median"] == pytest.approx(0.3, rel=0.25)
    assert scale["prior_lower"] == pytest.approx(0.06, rel=0.6)
    assert scale["prior_upper"] == pytest.approx(1.6, rel=0.6)
    median = np.median(posterior.draws["scale"][..., 0])
    assert scale["median"] == pytest.approx(median)
    assert 0.3 < scale["learnt"] < 1
    levels = np.array([0.05, 0.95])
    before = sampling.expected_before(posterior, prior, 10_000, levels)["leak"]
    after = outcomes.worst_score_quantile(posterior.population("leak"), 10_000, levels)
    assert np.diff(before) > np.diff(after)


def test_chains_that_disagree_have_ranks_that_are_not_flat(
    posterior: Posterior,
) -> None:
    frame = sampling.ranks(posterior, sampling.parameters(posterior), most=2)
    assert (
        frame.groupby(["parameter", "of", "chain"])["share"].mean().round(9).eq(1).all()
    )
    apart = {name: values.copy() for name, values in posterior.draws.items()}
    apart["rate"][0] += 1.0
    moved = replace(posterior, draws=apart)
    frame = sampling.ranks(moved, sampling.parameters(moved), most=1)
    first = frame[frame["chain"] == 0].set_index("bin")["share"]
    assert first.iloc[-1] > 3 > 0.1 > first.iloc[0]


def test_parameters_have_the_numbers_of_arviz(posterior: Posterior) -> None:
    arviz_stats: Any = import_module("arviz_stats")
    table = sampling.parameters(posterior).set_index(["parameter", "of"])
    tree = posterior.tree
    rhat: Any = arviz_stats.rhat(tree, var_names=["scale"])
    ess: Any = arviz_stats.ess(tree, var_names=["scale"], method="bulk")
    for place, name in enumerate(posterior.behaviours):
        own: Any = table.loc[("scale", name)]
        assert own["rhat"] == pytest.approx(float(rhat["scale"][place]))
        assert own["ess_bulk"] == pytest.approx(float(ess["scale"][place]))


def test_the_prior_density_is_that_of_what_tables_show() -> None:
    one = scores(["leak"])
    model = catalog.load("gpd_tail")
    built = model.build(one, **model.settings(shape_sd=0.2))
    variables = [*built.free_RVs, *built.deterministics]
    drawn = pm.draw(variables, draws=50, random_seed=0, mode="FAST_COMPILE")
    draws = {
        variable.name: values[None]
        for variable, values in zip(variables, drawn, strict=True)
    }
    data = {variable.name: variable.get_value() for variable in built.data_vars}
    prior, likelihood = sensitivity.log_densities(built, draws, data, "gpd_tail")
    # Whatever the sampler moved: normal in the shape, as the model's file says.
    expected = stats.norm.logpdf(draws["shape"][..., 0], -0.05, 0.2)
    expected = expected + stats.norm.logpdf(draws["log_scale"][..., 0], -1.2, 1.0)
    np.testing.assert_allclose(prior, expected, atol=1e-9)
    below: Any = stats.binom.logpmf(
        data["exceeding"], data["others"], draws["rate"][..., 0]
    )
    excess = data["excess"][0][data["multiplicity"][0] > 0]
    above = [
        stats.genpareto.logpdf(excess, c, scale=s).sum()
        for c, s in zip(draws["shape"][0, :, 0], draws["scale"][0, :, 0], strict=True)
    ]
    np.testing.assert_allclose(likelihood[0], below[0] + above, rtol=1e-9)
    moved = data | {"excess": data["excess"] + 1}
    with pytest.raises(InvalidData, match="Fit again with this version"):
        sensitivity.log_densities(built, draws, moved, "gpd_tail")


def test_families_that_are_not_there_have_no_prior() -> None:
    rng = np.random.default_rng(6)
    evaluation = br.Evaluation.from_scores(
        rng.normal(-3, 0.4, 60), family=[f"f{n % 3}" for n in range(60)]
    )
    model = catalog.load("family_tail")
    built = model.build(evaluation, **model.settings())
    variables = [*built.free_RVs, *built.deterministics]
    drawn = pm.draw(variables, draws=20, random_seed=0, mode="FAST_COMPILE")
    draws = {
        variable.name: values[None]
        for variable, values in zip(variables, drawn, strict=True)
    }
    data = {variable.name: variable.get_value() for variable in built.data_vars}
    prior, _ = sensitivity.log_densities(built, draws, data, "family_tail")
    default = model.settings()
    expected: Any = 0.0
    for name in ("location_centre", "log_location_width", "log_scale_centre"):
        own = draws[name][..., 0]
        expected += stats.norm.logpdf(own, default[name], default[f"{name}_sd"])
    for name in ("log_scale_width", "shape"):
        own = draws[name][..., 0]
        expected += stats.norm.logpdf(own, default[name], default[f"{name}_sd"])
    families = slice(0, 3)
    for name, law in (("log_scale", stats.norm), ("location", stats.t(4))):
        width = draws["scale_width" if name == "log_scale" else "location_width"]
        centre = draws[f"{name}_centre"]
        standard = (draws[name][..., 0, families] - centre) / width
        expected += (law.logpdf(standard) - np.log(width)).sum(axis=-1)
    np.testing.assert_allclose(prior, expected, atol=1e-6)


def test_what_was_held_out_is_in_the_picture(posterior: Posterior) -> None:
    rng = np.random.default_rng(7)
    unseen = br.Evaluation.from_scores({"leak": rng.gumbel(-2.6, 0.25, 5_000)})
    made = report(posterior, truth=unseen)
    read = Reader(made.html)
    leak, lie = read.content(made.html)["behaviours"]
    assert leak["held_out"][0] == [5_000, pytest.approx(unseen.worst("leak"), abs=1e-6)]
    assert lie["held_out"] == []
    assert "Rings: 5,000 queries that were held out" in read.words


def test_sensitivity_says_whether_prior_or_data_rule(posterior: Posterior) -> None:
    table = sensitivity.sensitivity(posterior).set_index(["parameter", "of"])
    known: Any = table.loc[("rate", "leak")]
    assert known["likelihood"] > 0.05 > known["prior"]
    assert known["diagnosis"] == "the data dominate"
    # Two behaviours say next to nothing of how far apart behaviours are.
    unknown: Any = table.loc[("log_scale_spread", "")]
    assert unknown["prior"] > 0.05 > unknown["likelihood"]
    assert unknown["diagnosis"] == "the prior dominates"
    words = Reader(report(posterior).html).words
    assert f"rate leak {known['prior']:.2f} {known['likelihood']:.2f} the data" in words
    elsewhere = replace(
        posterior, data={**posterior.data, "others": posterior.data["others"] + 1.0}
    )
    words = Reader(report(elsewhere).html).words
    assert "The sensitivity could not be computed. gumbel_tail, rebuilt from" in words


INF = float("inf")
UNIFORM = '''
"""Normal scores, with uniform priors."""
import numpy as np
import pymc as pm
from bayes_rare.populations import Normal


def build(evaluation):
    scores = evaluation.scores(evaluation.behaviours[0]).score
    with pm.Model(coords={"behaviour": list(evaluation.behaviours)}) as model:
        location = pm.Uniform("location", -9, 9, initval=[0.0], dims="behaviour")
        width = pm.Uniform("width", 0.1, 3, dims="behaviour")
        pm.Normal("y", location[0], width[0], observed=scores)
    return model


def population(draws, data):
    return Normal(draws["location"], draws["width"])
'''


@pytest.mark.parametrize(
    ("model", "flat", "all_flat"),
    [
        pytest.param("gumbel_tail", {"log_scale_sd": INF}, True, id="gumbel_tail"),
        pytest.param(
            "log_normal",
            {"location_sd": INF, "log_scale_sd": INF},
            True,
            id="log_normal",
        ),
        pytest.param("log_normal", {"location_sd": INF}, False, id="one of two"),
        pytest.param(
            "beta_binomial", {"risk_logit_sd": INF}, False, id="beta_binomial"
        ),
        pytest.param("mine", {}, True, id="uniform priors of a user's model"),
    ],
)
def test_a_flat_prior_has_no_sensitivity(
    model: str, flat: dict[str, float], *, all_flat: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    seen = br.Evaluation.from_scores(rng.normal(-2, 0.4, 60))
    if model == "beta_binomial":
        seen = br.Evaluation.from_counts(rng.binomial(20, 0.1, 60), np.full(60, 20))
    if model == "mine":
        path = tmp_path / "mine.py"
        path.write_text(UNIFORM, encoding="utf-8")
        model = str(path)
    table = sensitivity.sensitivity(as_if(unfitted(model, seen), **flat))
    assert (table["diagnosis"] == sensitivity.FLAT).all() == all_flat
    assert (table["prior"] == 0).all() == all_flat
    assert (table["likelihood"] > 0).any()
    assert np.isfinite(table[["prior", "likelihood"]]).all(axis=None)


def test_a_report_of_flat_priors_says_so(posterior: Posterior) -> None:
    flat = as_if(posterior, log_scale_sd=INF, pool=False)
    words = Reader(report(flat, queries=10_000, refit=False).html).words
    assert "density is the same for all draws, because the prior is flat" in words
    assert "The prior cannot be shown. gumbel_tail has an improper prior" in words


def test_too_few_draws_have_no_sensitivity(posterior: Posterior) -> None:
    with pytest.raises(NotApplicable, match=r"at least 25 draws.*--draws 1000"):
        sensitivity.sensitivity(posterior.thinned(20))


def ink(path: Path) -> float:
    from matplotlib import image

    return float((image.imread(path)[..., :3].min(axis=-1) < 0.5).mean())


def test_its_pictures_show_what_they_are_given(
    posterior: Posterior, tmp_path: Path
) -> None:
    populations = {name: posterior.population(name) for name in posterior.behaviours}
    frame = tails.quantiles(posterior.evaluation, populations)
    figure = plotting.quantiles(frame)
    [panel, *_] = figure.axes
    points = {str(line.get_label()): line for line in panel.get_lines()}
    seen = np.sort(np.asarray(points["observed"].get_ydata()))
    top = np.sort(posterior.evaluation.scores("leak").score)[-seen.size :]
    np.testing.assert_allclose(seen, top)
    moved = pd.DataFrame(
        {
            "behaviour": "leak",
            "method": ["one", "one", "other"],
            "exceedances": [10, 20, 10],
            "lower": [-2.0, -2.2, -2.4],
            "median": [-1.5, -1.6, -1.7],
            "upper": [-1.0, -1.1, 900.0],
        }
    )
    ranked = sampling.ranks(posterior, sampling.parameters(posterior))
    for name, made in (
        ("quantiles", figure),
        ("thresholds", plotting.thresholds(moved)),
        ("ranks", plotting.ranks(ranked)),
    ):
        assert 0.003 < ink(plotting.save(made, tmp_path / f"{name}.png")) < 0.6
        for panel in made.axes:
            assert all(text for text in panel.get_title().splitlines())


@pytest.mark.parametrize("picture", ["quantiles", "thresholds", "ranks"])
def test_an_empty_picture_is_refused(picture: str) -> None:
    columns = ["behaviour", "method", "parameter", "of", "chain", "bin", "draws"]
    with pytest.raises(InvalidInput, match="Give"):
        getattr(plotting, picture)(pd.DataFrame(columns=columns))
