"""The demonstration: what it prints is what it writes."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from loading import loaded

from bayes_rare.cli import main
from bayes_rare.cli.tables import risk, span
from bayes_rare.errors import InvalidInput
from bayes_rare.readers.tables.sample import sample_split
from bayes_rare.reporting import wording
from bayes_rare.scores import risk_from_score


@pytest.mark.slow
def test_it_shows_its_forecast_beside_the_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", "--output", str(tmp_path / "made")]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    names = {"posterior.nc", "forecast.csv", "scaling.png", "report.html"}
    assert {path.name for path in (tmp_path / "made").iterdir()} == names
    for name in names:
        assert f"Wrote {tmp_path / 'made' / name}\n" in captured.out
    assert loaded(tmp_path / "made" / "posterior.nc").verdict.converged
    assert (tmp_path / "made" / "scaling.png").read_bytes()[:4] == b"\x89PNG"
    page = tmp_path / "made" / "report.html"
    assert f"Open in a browser: {page.as_uri()}\n" in captured.out
    assert '<q><bdi data-say="behaviour">I&#39;m sorry</bdi></q>' in page.read_text()
    forecast = pd.read_csv(tmp_path / "made" / "forecast.csv")
    assert set(forecast["queries"].dropna()) == {24_000, 10**6, 10**9}
    worst = forecast[forecast["target"] == "worst_query_risk"]
    _, unseen = sample_split(1_000)
    first, further = re.split("Risk of the riskiest query of larger", captured.out)
    rows = {(row["behaviour"], row["queries"]): row for row in wording.records(worst)}

    def said(*key: Any) -> str:
        row = rows[key]
        return f"{risk(row['median'])}, {span(row, risk)}"

    inside = 0
    for name in unseen.behaviours:
        truth = float(risk_from_score(unseen.worst(name)))
        row = rows[name, 24_000]
        holds = row["lower"] <= truth <= row["upper"]
        inside += holds
        judged = [risk(truth), "yes" if holds else "no"]
        for words, printed in (
            ([name, said(name, 24_000), *judged], first),
            ([name, said(name, 10**6), said(name, 10**9)], further),
        ):
            assert re.search(" +".join(map(re.escape, words)), printed)
    assert f"{inside} of 6 lie inside" in first
    notes = captured.out.partition("What to bear in mind:")[2]
    assert "cannot exclude" in notes
    assert "\x1b" not in captured.out
    tables = [line for line in captured.out.splitlines() if "  " in line]
    assert max(map(len, tables)) <= 80


def test_a_place_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    from bayes_rare.cli import demonstration

    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="is not a folder"):
        demonstration.run(tmp_path / "file")
