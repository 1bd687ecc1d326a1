"""The scaling picture: what is on it, and that it would show."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib import image
from matplotlib.figure import Figure

from bayes_rare import plotting
from bayes_rare.baselines import gumbel_ols, log_normal_moments
from bayes_rare.evaluation import Evaluation
from bayes_rare.forecasting import Deployment

DEPLOYMENT = Deployment([1_000, 10**6])


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    rng = np.random.default_rng(0)
    return Evaluation.from_scores(
        {name: rng.gumbel(-2.5, 0.3, 300) for name in ("one", "two", "three", "four")}
    )


def test_every_part_is_drawn(evaluation: Evaluation) -> None:
    rng = np.random.default_rng(1)
    truth = Evaluation.from_scores({"one": rng.gumbel(-2.5, 0.3, 3_000)})
    forecast = gumbel_ols(evaluation, DEPLOYMENT)
    other = log_normal_moments(evaluation, DEPLOYMENT)
    figure = forecast.plot(truth=truth, others=[other])
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_title() for panel in panels] == list(evaluation.behaviours)
    [legend] = figure.legends
    labels = {text.get_text() for text in legend.get_texts()}
    assert "evaluation (300 queries)" in labels
    assert "log_normal_moments" in labels
    first = panels[list(evaluation.behaviours).index("one")]
    points = {str(line.get_label()): line for line in first.get_lines()}
    held_out = points["held out (3,000 queries)"]
    # The riskiest of m queries stands at m, at its score.
    assert np.asarray(held_out.get_xdata())[0] == 3_000
    assert np.asarray(held_out.get_ydata())[0] == pytest.approx(truth.worst("one"))
    seen = points["evaluation (300 queries)"]
    assert np.asarray(seen.get_ydata())[0] == pytest.approx(evaluation.worst("one"))


def test_any_name_heads_its_panel() -> None:
    rng = np.random.default_rng(2)
    names = ("costs $5 and $x_{1", "a very long name " * 9)
    evaluation = Evaluation.from_scores(
        {name: rng.gumbel(-2.5, 0.3, 100) for name in names}
    )
    figure = gumbel_ols(evaluation, DEPLOYMENT).plot()
    figure.canvas.draw()
    titles = {panel.get_title() for panel in figure.axes}
    assert names[0] in titles
    assert max(map(len, titles)) <= 40


def test_risks_label_the_axis_of_scores(evaluation: Evaluation) -> None:
    figure = gumbel_ols(evaluation, DEPLOYMENT).plot()
    for panel in figure.axes[:4]:
        low, high = panel.get_ylim()
        ticks = panel.get_yticks()
        assert len(ticks) >= 2
        assert ((ticks >= low) & (ticks <= high)).all()
        texts = [label.get_text() for label in panel.get_yticklabels()]
        assert len(set(texts)) == len(texts)


def test_a_written_picture_is_not_empty(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "scaling.png"
    gumbel_ols(evaluation, DEPLOYMENT).plot(path=path)
    pixels = image.imread(path)[..., :3]
    assert min(pixels.shape[:2]) > 400
    dark = (pixels.min(axis=-1) < 0.5).mean()
    assert 0.005 < dark < 0.5
    # An empty figure would not pass.
    blank = plotting.save(Figure(figsize=(4, 4)), tmp_path / "blank.png")
    assert (image.imread(blank)[..., :3].min(axis=-1) < 0.5).mean() < 0.005
