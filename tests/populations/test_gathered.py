"""Draws of several populations as one: each draw answers as it does by itself."""

import numpy as np
import pytest

from bayes_rare.populations import BodyAndTail, Normal, Population
from bayes_rare.populations.gathered import Gathered
from bayes_rare.scores import risk_from_score

NORMAL = Normal(np.array([-2.0, -1.0, 0.0]), np.array([0.5, 1.0, 2.0]))
TAIL = BodyAndTail(
    threshold=-1.0,
    rate=np.array([0.01, 0.1]),
    scale=np.array([0.2, 0.4]),
    shape=np.array([-0.2, 0.1]),
    body_score=np.array([-1.0, -2.0, -3.0]),
    body_count=np.array([1.0, 5.0, 9.0]),
)
PARTS: tuple[Population, ...] = (NORMAL, TAIL)


@pytest.mark.parametrize(
    "numbers",
    [
        -1.5,
        np.array([[-3.0], [0.0], [2.0]]),
        np.linspace(-4, 3, 5),
        np.linspace(-4, 3, 10).reshape(2, 5),
    ],
)
def test_draws_answer_as_they_do_in_their_own_population(numbers: object) -> None:
    gathered = Gathered(PARTS)
    values = np.asarray(numbers)
    own = [values, values]
    if values.ndim and values.shape[-1] == gathered.draws:
        own = [values[..., :3], values[..., 3:]]
    parts = [p.log_survival(v) for p, v in zip(PARTS, own, strict=True)]
    np.testing.assert_array_equal(
        gathered.log_survival(values), np.concatenate(parts, axis=-1)
    )
    levels = [-np.abs(v) for v in own]
    parts = [p.quantile(v) for p, v in zip(PARTS, levels, strict=True)]
    np.testing.assert_array_equal(
        gathered.quantile(-np.abs(values)), np.concatenate(parts, axis=-1)
    )


def test_means_are_those_of_the_parts() -> None:
    gathered = Gathered(PARTS)
    level = -np.arange(1.0, 6.0)
    parts = [
        part.mean(risk_from_score, own)
        for part, own in zip(PARTS, (level[:3], level[3:]), strict=True)
    ]
    np.testing.assert_array_equal(
        gathered.mean(risk_from_score, level), np.concatenate(parts)
    )
    failures = np.concatenate([part.mean_failure(10) for part in PARTS])
    np.testing.assert_array_equal(gathered.mean_failure(10), failures)
