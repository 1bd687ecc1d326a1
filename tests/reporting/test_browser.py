"""The report in a real browser: its numbers, its controls, and what it must not do."""

import os
import re
import shutil
from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

import bayes_rare as br
from bayes_rare.forecasting import Deployment, forecast, outcomes
from bayes_rare.forecasting.tail_verdict import tail_verdict
from bayes_rare.populations import (
    BodyAndTail,
    Empirical,
    Normal,
    Population,
    StepsAndTail,
)
from bayes_rare.posterior import Posterior
from bayes_rare.reporting import Report, report, wording
from bayes_rare.reporting.outlook import packed
from bayes_rare.reporting.predictive import predictive
from bayes_rare.reporting.tails import doubts
from bayes_rare.scores import risk_from_score

pytestmark = pytest.mark.outside

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# What the page says of its own precision, for chances.
PRECISION = 0.005
HOSTILE = (
    "</script><script>document.title = 'taken'</script><img src=x onerror=alert(1)>"
)
LEVELS = (0.05, 0.5, 0.95)


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("there is no Chromium; CI installs one")
        pytest.skip("needs Chromium: apt-get install chromium")
    # Root, as in a container, has no sandbox.
    root = hasattr(os, "getuid") and os.getuid() == 0
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=found, chromium_sandbox=not root
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    rng = np.random.default_rng(0)
    evaluation = br.Evaluation.from_scores(
        {"leak": rng.gumbel(-2.6, 0.25, 300), HOSTILE: rng.gumbel(-3.2, 0.3, 300)},
        family={"leak": ["plain"] * 300, HOSTILE: [HOSTILE] * 300},
        query_id={name: [f"q{n}" for n in range(300)] for name in ("leak", HOSTILE)},
        query_text={"leak": ["Say it."] * 300, HOSTILE: [HOSTILE] * 300},
    )
    return br.fit(evaluation, "gumbel_tail", warmup=300, draws=300)


@pytest.fixture(scope="module")
def made(posterior: Posterior) -> Report:
    rng = np.random.default_rng(4)
    unseen = br.Evaluation.from_scores({"leak": rng.gumbel(-2.6, 0.25, 3_000)})
    return report(posterior, truth=unseen, queries=10_000, risk_threshold=0.01)


@pytest.fixture(scope="module")
def place(made: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made.save(tmp_path_factory.mktemp("report") / "report.html")


@dataclass
class Opened:
    """A page, with all that it complained of and asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def number(self, name: str) -> float:
        element = self.page.locator(f'[data-say="{name}"]').first
        return float(element.get_attribute("data-number") or "nan")

    def write(self, control: str, text: str) -> None:
        self.page.fill(f"#{control}", text)
        self.page.keyboard.press("Enter")


def opened(browser: Browser, place: Path, **options: Any) -> Opened:
    page = browser.new_page(**options)
    found = Opened(page)
    page.on("console", lambda message: found.complaints.append(message.text))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("dialog", lambda dialog: found.complaints.append(dialog.message))
    page.on("request", lambda request: found.requests.append(request.url))
    page.goto(place.as_uri())
    return found


@pytest.fixture
def window(browser: Browser, place: Path) -> Generator[Opened]:
    found = opened(browser, place)
    yield found
    assert found.complaints == []
    asked = [url for url in found.requests if not url.startswith("data:")]
    assert asked == [place.as_uri()]
    found.page.close()


def population_of(posterior: Posterior, name: str) -> Population:
    return posterior.thinned(4000).population(name)


def assert_as_python_says(
    window: Opened, population: Population, size: int, risk: float, samples: int
) -> None:
    """Numbers on the page are those of the forecast, within the stated precision."""
    for name, level in zip(("lower", "median", "upper"), LEVELS, strict=True):
        at = window.number(name)
        exact = outcomes.exceedance_probability(population, size, at).mean()
        assert exact == pytest.approx(1 - level, abs=PRECISION)
    exceeding = outcomes.exceedance_probability(population, size, risk).mean()
    assert window.number("exceedance") == pytest.approx(exceeding, abs=PRECISION)
    safe = int(window.number("safe"))
    if safe < outcomes.FOREVER:
        for one, side in ((safe, -1), (safe + 1, 1)):
            chance = outcomes.exceedance_probability(population, one, risk).mean()
            assert side * (chance - 0.05) > -1e-3
    fails = population.mean_failure(samples)
    shows = float(-np.expm1(size * np.log1p(-fails)).mean())
    assert window.number("failure") == pytest.approx(shows, abs=PRECISION)
    for name, level in zip(
        ("first_lower", "first_median", "first_upper"), LEVELS, strict=True
    ):
        waited = window.number(name)
        within = float(-np.expm1(waited * np.log1p(-fails)).mean())
        before = float(-np.expm1((waited - 1) * np.log1p(-fails)).mean())
        assert before - PRECISION <= level <= within + PRECISION


def test_it_opens_as_it_was_made(
    window: Opened, posterior: Posterior, made: Report
) -> None:
    table = forecast(posterior, Deployment(10_000), risk_thresholds=[0.01]).summary()
    own = table[table["behaviour"] == "leak"].set_index("target")
    worst = own.loc["worst_query_risk"]
    page = window.page
    # What was written without the script, and what it then reads off its tables.
    written = re.findall(r'data-say="(\w+)" data-number="([^"]+)"', made.html)
    before = {name: float(number) for name, number in written}
    for name in ("lower", "median", "upper"):
        assert before[name] == pytest.approx(worst[name])
        assert window.number(name) == pytest.approx(worst[name], rel=0.02)
    for name, number in before.items():
        assert window.number(name) == pytest.approx(number, rel=0.02, abs=PRECISION)
    said = page.inner_text(".headline")
    assert "the riskiest of 10,000 queries shows leak with a risk" in said
    assert wording.risk(window.number("upper")) in said
    assert page.title() == "Worst-case risk: forecast from 300 queries"
    assert_as_python_says(window, population_of(posterior, "leak"), 10_000, 0.01, 1)


def test_controls_move_every_number(window: Opened, posterior: Posterior) -> None:
    population = population_of(posterior, "leak")
    before = {name: window.number(name) for name in ("upper", "exceedance", "failure")}
    window.write("queries", "2,500,000")
    window.write("threshold", "90 %")
    window.write("samples", "30")
    assert_as_python_says(window, population, 2_500_000, 0.9, 30)
    for name, number in before.items():
        assert window.number(name) != number
    # By the keyboard, on the slider: one step up of 1, 2, 5.
    window.page.focus("#queries-slider")
    window.page.keyboard.press("ArrowRight")
    assert window.page.input_value("#queries") == "5\xa0million"
    assert_as_python_says(window, population, 5_000_000, 0.9, 30)
    window.page.select_option("#behaviour", "0")
    name = window.page.inner_text("#behaviour option:checked")
    assert name == posterior.behaviours[0] == HOSTILE
    assert_as_python_says(window, population_of(posterior, name), 5_000_000, 0.9, 30)
    row = window.page.locator("#behaviour-table tr.chosen")
    assert row.locator("[data-cell=median]").inner_text() == wording.risk(
        window.number("median")
    )


@pytest.mark.parametrize(
    ("control", "text"),
    [
        ("queries", "0"),
        ("queries", "2e12"),
        ("queries", "1.5"),
        ("queries", "many"),
        ("threshold", "1"),
        ("threshold", "-0.1"),
        ("threshold", "120 %"),
        ("samples", "1e7"),
    ],
)
def test_what_is_no_setting_is_refused_beside_it(
    window: Opened, control: str, text: str
) -> None:
    before = window.number("upper")
    window.write(control, text)
    box = window.page.locator(f"#{control}")
    assert box.get_attribute("aria-invalid") == "true"
    hint = window.page.inner_text(f"#{control}-hint")
    assert hint.startswith(("A whole number from 1 to 1", "A risk between 0 and 1"))
    assert window.number("upper") == before
    window.write(control, {"threshold": "1 in 2,000"}.get(control, "10^2"))
    assert box.get_attribute("aria-invalid") is None
    state = window.page.evaluate("report.state")
    assert state[control] == (1 / 2000 if control == "threshold" else 100)


def populations() -> dict[str, Population]:
    rng = np.random.default_rng(1)
    draws = 300
    score = np.sort(rng.normal(-3, 0.5, 400))
    shape = rng.normal(-0.05, 0.15, draws)
    scale = np.exp(rng.normal(-1.2, 0.2, draws))
    weight = rng.dirichlet(np.full(6, 2.0), draws).T
    return {
        "normal": Normal(
            rng.normal(-3, 0.1, draws), np.exp(rng.normal(-0.7, 0.1, draws))
        ),
        "body and tail": BodyAndTail(
            float(score[-21]),
            rng.beta(20, 380, draws),
            scale,
            shape,
            score[:-20],
            np.ones(380),
        ),
        # Many queries share a few scores, as where risks were rounded.
        "body of a few scores": BodyAndTail(
            -1.5,
            rng.beta(20, 380, draws),
            scale,
            shape,
            np.array([-4.0, -2.2, -1.9, -1.6]),
            np.array([200.0, 100.0, 60.0, 20.0]),
        ),
        "heavy tail": BodyAndTail(
            -1.0, np.full(draws, 0.1), scale, shape + 0.6, np.array([-2.0]), np.ones(1)
        ),
        "bounded tail": BodyAndTail(
            -1.0, np.full(draws, 0.1), scale, shape - 0.9, np.array([-2.0]), np.ones(1)
        ),
        "steps and tail": StepsAndTail(
            np.array([-6.0, -4.0, -3.0, -2.5, -2.0, -1.7]),
            weight[:5],
            weight[5] * 0.1 + 1e-3,
            scale,
            shape,
        ),
        "seen and no others": Empirical(score[::40], np.arange(1.0, 11.0)),
        "hardly ever": Normal(np.full(draws, -5.5), np.full(draws, 0.05)),
        "nearly always": Normal(np.full(draws, 3.0), scale),
    }


@pytest.mark.parametrize("kind", populations())
def test_the_page_agrees_with_python_for_every_kind_of_population(
    window: Opened, kind: str
) -> None:
    population = populations()[kind]
    if kind == "steps and tail":
        assert isinstance(population, StepsAndTail)
        total = population.weight.sum(axis=0) + population.rate
        population = StepsAndTail(
            population.edges,
            population.weight / total,
            population.rate / total,
            population.scale,
            population.shape,
        )
    content = packed(predictive(population)) | {"name": kind, "seen": []}
    rng = np.random.default_rng(2)
    risks = [*(10 ** rng.uniform(-8, -0.05, 12)), 0.5, 0.9, 0.999]
    sizes = [1, 3, 10, 128, 5_000, 10**6, 777_777_777, 10**12]
    answers = window.page.evaluate(
        """([one, sizes, risks, levels]) => {
            const table = report.unpacked(one);
            return sizes.map((n) => ({
                worst: levels.map((level) => report.worstScore(table, n, level)),
                exceedance: risks.map((risk) => report.exceedance(table, n, risk)),
                failure: [1, 7, 400, 1000000].map((samples) => report.outlook(table, {
                    queries: n, threshold: 0.5, samples }).failure),
            }));
        }""",
        [content, sizes, [float(risk) for risk in risks], list(LEVELS)],
    )
    for size, answer in zip(sizes, answers, strict=True):
        for risk, found in zip(risks, answer["exceedance"], strict=True):
            exact = outcomes.exceedance_probability(
                population, size, float(risk)
            ).mean()
            assert found == pytest.approx(exact, abs=PRECISION)
            assert found == pytest.approx(exact, rel=0.02, abs=1e-8)
        for samples, found in zip((1, 7, 400, 10**6), answer["failure"], strict=True):
            fails = np.clip(population.mean_failure(samples), 0, 1)
            with np.errstate(divide="ignore"):
                exact = float(-np.expm1(size * np.log1p(-fails)).mean())
            assert found == pytest.approx(exact, abs=PRECISION)
            assert found == pytest.approx(exact, rel=0.02, abs=1e-8)
        exact_scores = outcomes.worst_score_quantile(population, size, np.array(LEVELS))
        for level, found, score in zip(
            LEVELS, answer["worst"], exact_scores, strict=True
        ):
            # The score itself; or, where many queries share a score or few are near, a
            # level that is as near to the one that was asked for.
            found = float(found)
            near = abs(risk_from_score(found) - risk_from_score(score)) < 1e-9
            if abs(found - score) > 0.01 and not near:
                below, above = (
                    outcomes.exceedance_probability(
                        population, size, float(risk_from_score(found + step))
                    ).mean()
                    for step in (1e-3, -1e-3)
                )
                assert below - PRECISION <= 1 - level <= above + PRECISION


def test_that_agreement_can_fail(window: Opened) -> None:
    right = predictive(Normal(np.full(9, -3.0), np.ones(9)))
    wrong = Normal(np.full(9, -3.0), np.full(9, 1.05))
    content = packed(right) | {"name": "", "seen": []}
    found = window.page.evaluate(
        "one => report.exceedance(report.unpacked(one), 1000, 0.5)", content
    )
    exact = outcomes.exceedance_probability(wrong, 1000, 0.5).mean()
    assert found != pytest.approx(exact, abs=PRECISION)


def test_numbers_are_said_alike_by_page_and_python(window: Opened) -> None:
    rng = np.random.default_rng(3)
    risks = [0.0, 1.0, 0.5, 0.99, 0.999, 1e-3, 9.999e-4, 0.0095, 0.995, 1 - 1e-7]
    risks += [float(risk) for risk in 10 ** rng.uniform(-17, 0, 300)]
    risks += [float(1 - risk) for risk in 10 ** rng.uniform(-10, -1, 100)]
    counts = [0, 1, 9, 10, 999_499, 999_500, 10**6, 12_345_678, 10**9, 10**12, 2.5]
    counts += [float(np.floor(count)) for count in 10 ** rng.uniform(0, 12, 200)]
    for name, values in (
        ("risk", risks),
        ("chance", risks),
        ("count", counts),
        ("safely", counts),
    ):
        said = window.page.evaluate(f"values => values.map(report.{name})", values)
        assert said == [getattr(wording, name)(value) for value in values]


def test_numbers_are_read_as_people_write_them(window: Opened) -> None:
    texts = {
        "1e6": 1e6,
        "1,000,000": 1e6,
        "10^6": 1e6,
        "2 million": 2e6,
        "1.5 Billion": 1.5e9,
        "20k": 20_000,
        "5 %": 0.05,
        "0.3%": 0.003,
        "1 in 2,000": 1 / 2000,
        "1 in 3.3 billion": 1 / 3.3e9,
        ".5": 0.5,
    }
    read = window.page.evaluate("texts => texts.map(report.parsed)", list(texts))
    assert read == pytest.approx(list(texts.values()))
    for text in ("", "five", "1 in none", "--1", "1;alert(1)"):
        assert window.page.evaluate("text => Number.isNaN(report.parsed(text))", text)


def test_text_of_the_data_is_shown_and_never_run(window: Opened) -> None:
    page = window.page
    page.click("#all-queries")
    cells = page.locator("#query-table td.query").all_inner_texts()
    assert HOSTILE in cells
    assert HOSTILE in page.locator("#query-table td:nth-child(3)").all_inner_texts()
    page.select_option("#behaviour", "0")
    assert HOSTILE in page.inner_text(".headline")
    assert page.title().startswith("Worst-case risk")
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("script").count() == 2  # the tables, and the page's own


def test_pictures_are_read_and_set_by_the_keyboard(
    window: Opened, posterior: Posterior
) -> None:
    page = window.page
    page.focus("#scaling svg")
    page.keyboard.press("ArrowRight")
    reading = page.inner_text("#reading")
    # A tenth of a decade from 10,000, with two digits.
    assert "Riskiest of 13,000 queries" in reading
    score = outcomes.worst_score_quantile(
        population_of(posterior, "leak"), 13_000, np.array([0.5])
    )
    assert f"median {wording.risk(float(risk_from_score(score)[0]))}" in reading
    page.keyboard.press("Enter")
    assert page.evaluate("report.state.queries") == 13_000
    assert page.evaluate("document.activeElement.tagName") == "svg"
    page.keyboard.press("Escape")
    assert not page.is_visible("#reading")


def test_pointing_at_a_picture_reads_it(window: Opened) -> None:
    page = window.page
    page.locator("#exceeding svg").scroll_into_view_if_needed()
    box = page.locator("#exceeding svg").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.5 * box["height"])
    assert "chance of one riskier than 1\xa0%" in page.inner_text("#reading")
    page.mouse.move(0, 0)
    assert not page.is_visible("#reading")


def test_the_picture_has_its_bands_and_the_evaluation(window: Opened) -> None:
    count = window.page.evaluate(
        """() => ({
            bands: document.querySelectorAll("#scaling .band").length,
            dots: document.querySelectorAll("#scaling .dot").length,
            rings: document.querySelectorAll("#scaling .ring").length,
            line: document.querySelector("#scaling .line").getBBox().width,
        })"""
    )
    assert count["bands"] == 2
    assert count["dots"] == 200
    assert count["rings"] == 200
    assert count["line"] > 300


def test_tables_are_sorted_by_their_headings(window: Opened) -> None:
    page = window.page
    head = page.locator("#behaviour-table th", has_text="median")
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"

    def shown() -> list[float]:
        cells = page.locator("#behaviour-table [data-cell=median]")
        return [float(c.get_attribute("data-sort") or "nan") for c in cells.all()]

    assert shown() == sorted(shown(), reverse=True)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert shown() == sorted(shown())


def test_a_far_deployment_is_warned_of_as_it_is_chosen(window: Opened) -> None:
    banner = window.page.locator('[data-warning="far"]')
    assert not banner.is_visible()
    window.write("queries", "300001")
    assert banner.is_visible()
    assert "300,001 queries are more than 1,000 times" in banner.inner_text()
    window.write("queries", "300000")
    assert not banner.is_visible()


@pytest.mark.parametrize("width", [320, 400, 768, 1280])
def test_nothing_is_wider_than_the_screen(
    browser: Browser, place: Path, width: int
) -> None:
    window = opened(browser, place, viewport={"width": width, "height": 800})
    assert window.page.evaluate("document.documentElement.scrollWidth") <= width
    cut = window.page.evaluate(
        """() => [...document.querySelectorAll("svg[role=img] text")].filter((text) => {
            const own = text.getBoundingClientRect();
            const whole = text.closest("svg").getBoundingClientRect();
            return own.left < whole.left - 1 || own.right > whole.right + 1;
        }).map((text) => text.textContent)"""
    )
    assert cut == []
    window.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_it_serves_those_who_do_not_see_it(
    browser: Browser, place: Path, scheme: Any, width: int
) -> None:
    """Names, roles, order and contrast, by the rules of axe-core."""
    window = opened(
        browser, place, color_scheme=scheme, viewport={"width": width, "height": 800}
    )
    window.page.evaluate(
        "document.querySelectorAll('details').forEach((each) => { each.open = true; })"
    )
    found = Axe().run(window.page)
    assert found.violations_count == 0, found.generate_report()
    window.page.close()


def test_without_scripts_the_forecast_is_there(
    browser: Browser, place: Path, posterior: Posterior
) -> None:
    window = opened(browser, place, java_script_enabled=False)
    page = window.page
    table = forecast(posterior, Deployment(10_000)).summary()
    own = table[
        (table["behaviour"] == "leak") & (table["target"] == "worst_query_risk")
    ]
    assert wording.risk(float(own["upper"].iloc[0])) in page.inner_text(".headline")
    assert not page.is_visible("#controls")
    assert "Changing the settings needs JavaScript" in page.inner_text("main")
    page.close()


def test_it_prints_on_a4(browser: Browser, place: Path, tmp_path: Path) -> None:
    window = opened(browser, place)
    written = window.page.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    # A4 in points, 210 x 297 mm.
    sizes = re.findall(rb"/MediaBox\s*\[0 0 ([\d.]+) ([\d.]+)\]", written)
    assert len(sizes) > 3
    for width, height in sizes:
        assert float(width) == pytest.approx(595, abs=1)
        assert float(height) == pytest.approx(842, abs=1)
    # On paper the lists that were folded are open, and on the screen they are not.
    assert window.page.locator("details[open]").count() == 0
    window.page.close()


def test_an_unconverged_fit_carries_a_red_banner(
    browser: Browser, tmp_path: Path
) -> None:
    evaluation = br.Evaluation.from_scores(np.linspace(-3, 3, 200))
    short = br.fit(evaluation, "gumbel_tail", warmup=20, draws=10, target_ess=0.0)
    made = report(short, queries=10**9)
    window = opened(browser, made.save(tmp_path / "report.html"))
    banners = window.page.locator(".banner:visible")
    texts = banners.all_inner_texts()
    assert [text.split(".")[0] for text in texts] == ["Warning"] * 3
    assert "did not converge" in texts[0]
    assert "more than 1,000 times the 200 that were evaluated" in texts[1]
    assert "The tail is doubtful" in texts[2]
    # The banner says it in few words, and leads to the figures.
    [checks] = tail_verdict(evaluation, 10**9, short).values()
    against = doubts(checks)
    assert against
    assert window.page.locator(".banner a").get_attribute("href") == "#tail"
    section = window.page.locator("#tail").inner_text()
    for check in against:
        assert check.in_short in texts[2]
        assert check.sentence not in texts[2]
        assert check.sentence in section
    colour = banners.first.evaluate("each => getComputedStyle(each).backgroundColor")
    red, green, blue = map(int, re.findall(r"\d+", colour)[:3])
    assert red > 3 * max(green, blue)
    assert window.complaints == []
    window.page.close()
