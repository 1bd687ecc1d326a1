"""Families on the command line: the default model, mixes, and who holds the worst."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from loading import loaded

from bayes_rare import plotting
from bayes_rare.cli import main
from bayes_rare.forecasting import Deployment, Forecast, family_mix, forecast
from bayes_rare.populations import FamilyMixture
from bayes_rare.posterior import Posterior
from bayes_rare.readers.tables.read_table import read_table
from bayes_rare.reporting import wording

FAMILIES = ("code", "chat", "maths", "poems")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two behaviours; of the first, one family is riskier than all others."""
    rng = np.random.default_rng(0)
    family = rng.choice(FAMILIES, 240)
    risky = {"leak": (family == "maths") * 1.0, "lie": np.zeros(240)}
    frames = [
        pd.DataFrame(
            {
                "behaviour": behaviour,
                "family": family,
                "log_risk": -np.exp(2.2 - shift - rng.normal(0, 0.3, 240)),
            }
        )
        for behaviour, shift in risky.items()
    ]
    path = tmp_path_factory.mktemp("families") / "evaluation.csv"
    pd.concat(frames).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def fitted(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A posterior that the command line made."""
    output = tmp_path_factory.mktemp("fitted") / "posterior.nc"
    words = ["fit", str(table), "--output", str(output), "--model", "family_tail"]
    sizes = ["--chains", "2", "--warmup", "500", "--draws", "500"]
    assert main([*words, *sizes]) == 0
    return output


@pytest.fixture(scope="module")
def posterior(fitted: Path) -> Posterior:
    return loaded(fitted)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.csv"
    path.write_text("family,weight\nchat,9\ncode,1\n", encoding="utf-8")
    return path


def worst(made: Forecast) -> pd.Series:
    table = made.summary().query("target == 'worst_query_risk'")
    return table.set_index("behaviour")["median"]


@pytest.mark.slow
def test_the_default_averages_family_tail_with_others_and_says_so(
    table: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "posterior.nc"
    words = ["fit", str(table), "--output", str(output), "--allow-unconverged"]
    sizes = ["--chains", "1", "--warmup", "100", "--draws", "100"]
    assert main([*words, *sizes]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Average of the models that suit the data" in told
    for member in ("family_tail", "gpd_tail at 10 exceedances", "log_normal"):
        assert member in told
    words = ["forecast", str(output), "--queries", "1e6", "--families", str(weights)]
    assert main(words) == 0
    assert "family_tail" in capsys.readouterr().out


def test_the_mix_of_the_evaluation_is_the_default_and_uncertain(
    posterior: Posterior, table: Path
) -> None:
    made = forecast(posterior, Deployment(1e6), targets=())
    population = made.populations["leak"]
    assert isinstance(population, FamilyMixture)
    assert population.labels == tuple(sorted(FAMILIES))
    count = read_table(table).family_sizes("leak")
    share = count / count.sum()
    np.testing.assert_allclose(population.weight.mean(axis=1), share, atol=0.01)
    # The spread of a Dirichlet distribution.
    spread = np.sqrt(share * (1 - share) / (count.sum() + 1))
    np.testing.assert_allclose(population.weight.std(axis=1), spread, rtol=0.15)
    assert any("mix of families is that of the evaluation" in n for n in made.notes)


def test_a_mix_without_the_risky_family_is_safer(
    fitted: Path, posterior: Posterior, weights: Path, tmp_path: Path
) -> None:
    output = tmp_path / "forecast.csv"
    words = ["forecast", str(fitted), "--queries", "1e6", "--output", str(output)]
    assert main([*words, "--families", str(weights)]) == 0
    written = pd.read_csv(output).query("target == 'worst_query_risk'")
    moved = written.set_index("behaviour")["median"]
    usual = worst(forecast(posterior, Deployment(1e6)))
    assert moved["leak"] < usual["leak"] / 2
    same = worst(
        forecast(posterior, Deployment(1e6, families=family_mix.read_mix(weights)))
    )
    pd.testing.assert_series_equal(moved, same)


def test_families_not_met_widen_the_forecast(
    fitted: Path, posterior: Posterior, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["forecast", str(fitted), "--queries", "1e6", "--json"]
    assert main([*words, "--unseen-share", "0.5", "--unseen-families", "20"]) == 0
    answer = json.loads(capsys.readouterr().out)
    rows = [
        row
        for row in answer["rows"]
        if (row["target"], row["behaviour"]) == ("worst_query_risk", "lie")
    ]
    usual = forecast(posterior, Deployment(1e6)).summary()
    known = usual.query("target == 'worst_query_risk' and behaviour == 'lie'")
    assert rows[0]["upper"] > known["upper"].item()
    assert any("others come from unseen families" in n for n in answer["notes"])


def test_the_command_says_which_family_holds_the_worst(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, picture = tmp_path / "families.csv", tmp_path / "families.png"
    words = ["families", str(fitted), "--queries", "100", "1e9", "--top", "2"]
    places = ["--output", str(output), "--picture", str(picture)]
    assert main([*words, *places]) == 0
    told = capsys.readouterr().out
    assert "leak: families that contain the riskiest of 1e9" in told
    assert "2 others" in told
    assert picture.stat().st_size > 1_000
    table = pd.read_csv(output)
    totals = table.groupby(["behaviour", "queries"])[
        ["share_of_queries", "chance_of_worst"]
    ].sum()
    np.testing.assert_allclose(totals, 1.0)
    first = table.query("behaviour == 'leak' and queries == 100").iloc[0]
    assert first["family"] == "maths"
    assert first["chance_of_worst"] > 0.99


def test_the_command_prints_json(
    fitted: Path, posterior: Posterior, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["families", str(fitted), "--queries", "1e4", "--json"]
    mix = ["--unseen-share", "0.1", "--unseen-families", "3"]
    assert main([*words, *mix]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == ["rows", "converged", "model", "notes"]
    deployment = Deployment(1e4, unseen_share=0.1, unseen_families=3)
    made = forecast(posterior, deployment, targets=())
    assert answer["rows"] == wording.records(made.family_contributions())
    unmet = [row for row in answer["rows"] if row["family"] == family_mix.UNSEEN]
    assert len(unmet) == 2  # one a behaviour
    assert unmet[0]["share_of_queries"] == pytest.approx(0.1)


def test_a_model_without_families_refuses_with_a_way_out(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "posterior.nc"
    words = ["fit", str(table), "--output", str(output), "--model", "gpd_tail"]
    sizes = ["--chains", "1", "--warmup", "100", "--draws", "100"]
    assert main([*words, "--allow-unconverged", *sizes]) == 0
    assert main(["families", str(output), "--queries", "10"]) == 1
    assert "--model family_tail" in capsys.readouterr().err
    assert main(["forecast", str(output), "--queries", "10"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "leak: 20 of the 20 riskiest queries are from 1 family of 4 ('maths'" in told
    assert not re.search(r"lie: \d+ of the 20 riskiest queries", told)


def test_an_unknown_family_is_refused(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.csv"
    path.write_text("family,weight\nsonnets,1\n", encoding="utf-8")
    words = ["forecast", str(fitted), "--queries", "10", "--families", str(path)]
    assert main(words) == 1
    assert "no family 'sonnets'" in capsys.readouterr().err


def test_the_picture_has_a_panel_for_each_behaviour(posterior: Posterior) -> None:
    made = forecast(posterior, Deployment(1e6), targets=())
    figure = plotting.contributions(made.family_contributions([10, 1000]), most=2)
    shown = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_title() for panel in shown] == ["leak", "lie"]
    legend = shown[0].get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[0] == "maths"
    assert labels[-1] == "others"
    assert len(labels) == 3
