"""Risk and score: against 60 digits at both ends, and by the laws they obey."""

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_rare.errors import InvalidInput
from bayes_rare.scores import (
    log_risk_from_score,
    log_safe_from_score,
    risk_from_score,
    score_from_log_risk,
    score_from_risk,
)

mp: Any = mpmath.mp.clone()
mp.dps = 60

# From where the risk has long underflowed to where 1 - risk has.
LOG_RISKS = [
    *(-1e300, -1e4, -745.2, -700.0, -37.5, -2.0, -1.0000001, -0.9999999, -0.7),
    *(-0.6931471805599453, -0.5, -1e-3, -1e-16, -1e-30, -1e-300),
]
RISKS = [
    *(5e-324, 1e-300, 1e-16, 0.25, 0.4999999999999999, 0.5, 0.5000000000000001),
    *(0.9, 1 - 1e-9, 1 - 1e-15, 1 - 2**-53),
]
SCORES = [
    *(-709.0, -20.0, -9.3, -1.0, 0.0, 0.3665, 0.36651292058166435, 0.3666, 1.0),
    *(36.0, 37.0, 700.0, 1e4),
]

scores = st.floats(-600, 600)
log_risks = st.floats(-1e300, -1e-300)


@pytest.mark.parametrize("log_risk", LOG_RISKS)
def test_score_of_a_log_risk_is_exact(log_risk: float) -> None:
    exact = -mp.log(-mp.mpf(log_risk))
    assert float(score_from_log_risk(log_risk)) == pytest.approx(
        float(exact), rel=1e-14, abs=0
    )


@pytest.mark.parametrize("risk", RISKS)
def test_score_of_a_risk_is_exact(risk: float) -> None:
    exact = -mp.log(-mp.log(mp.mpf(risk)))
    assert float(score_from_risk(risk)) == pytest.approx(float(exact), rel=1e-14, abs=0)


@pytest.mark.parametrize("score", SCORES)
def test_log_risk_of_a_score_is_exact(score: float) -> None:
    exact = -mp.exp(-mp.mpf(score))
    assert float(log_risk_from_score(score)) == pytest.approx(
        float(exact), rel=1e-14, abs=0
    )


@pytest.mark.parametrize("score", [score for score in SCORES if score > -3])
def test_risk_of_a_score_is_exact(score: float) -> None:
    exact = mp.exp(-mp.exp(-mp.mpf(score)))
    assert float(risk_from_score(score)) == pytest.approx(float(exact), rel=1e-14)


@pytest.mark.parametrize("score", [score for score in SCORES if score > -3])
def test_log_safe_of_a_score_is_exact(score: float) -> None:
    exact = mp.log1p(-mp.exp(-mp.exp(-mp.mpf(score))))
    if score > 100:  # 60 digits hold no 1 - exp(-exp(-100)); the limit does
        exact = -mp.mpf(score)
    assert float(log_safe_from_score(score)) == pytest.approx(
        float(exact), rel=1e-14, abs=0
    )


def test_the_ends_are_infinite_scores_and_no_minus_zero_is_printed() -> None:
    np.testing.assert_array_equal(score_from_risk([0, 1]), [-np.inf, np.inf])
    np.testing.assert_array_equal(score_from_log_risk([-np.inf, 0]), [-np.inf, np.inf])
    np.testing.assert_array_equal(risk_from_score([-np.inf, np.inf]), [0, 1])
    np.testing.assert_array_equal(log_safe_from_score([-np.inf, np.inf]), [0, -np.inf])
    np.testing.assert_array_equal(log_risk_from_score([-np.inf, np.inf]), [-np.inf, 0])
    assert not np.signbit(score_from_log_risk(-1.0))


@given(log_risks)
def test_the_log_risk_of_the_score_is_the_log_risk(log_risk: float) -> None:
    back = float(log_risk_from_score(score_from_log_risk(log_risk)))
    # A score near 690 has an ulp of 1.1e-13, and so has the logarithm of the answer.
    assert back == pytest.approx(log_risk, rel=3e-13, abs=0)


@given(st.floats(5e-324, 1, exclude_max=True))
def test_the_two_ways_to_a_score_agree(risk: float) -> None:
    exact = score_from_log_risk(float(mp.log(mp.mpf(risk))))
    np.testing.assert_allclose(score_from_risk(risk), exact, rtol=1e-14, atol=1e-15)


@given(scores, scores)
def test_a_larger_score_is_a_larger_risk(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert log_risk_from_score(low) <= log_risk_from_score(high)
    assert risk_from_score(low) <= risk_from_score(high)
    assert log_safe_from_score(low) >= log_safe_from_score(high)


@given(st.floats(-1e4, -1e-4), st.floats(1e-3, 1e3))
def test_a_power_of_the_risk_shifts_the_score(log_risk: float, power: float) -> None:
    shifted = score_from_log_risk(power * log_risk)
    expected = score_from_log_risk(log_risk) - math.log(power)
    np.testing.assert_allclose(shifted, expected, rtol=1e-13, atol=1e-13)


@given(st.floats(-6, 30))
def test_risk_and_safety_are_all_there_is(score: float) -> None:
    total = risk_from_score(score) + np.exp(log_safe_from_score(score))
    assert float(total) == pytest.approx(1.0, abs=1e-15)


@given(st.lists(scores, min_size=1, max_size=6))
def test_one_at_a_time_or_all_at_once(values: list[float]) -> None:
    for function in (log_risk_from_score, risk_from_score, log_safe_from_score):
        together = function(np.array(values).reshape(1, -1))
        assert together.shape == (1, len(values))
        alone = np.array([float(function(value)) for value in values])
        np.testing.assert_allclose(together[0], alone, rtol=1e-15)


@pytest.mark.parametrize("log_risk", [1e-300, 2.0, np.inf, np.nan])
def test_a_log_risk_above_zero_is_refused(log_risk: float) -> None:
    with pytest.raises(InvalidInput, match=r"value 1 is .*use score_from_risk"):
        score_from_log_risk([-1.0, log_risk])


@pytest.mark.parametrize("risk", [-1e-300, 1 + 2**-52, np.nan])
def test_a_risk_outside_its_range_is_refused(risk: float) -> None:
    with pytest.raises(InvalidInput, match=r"value 2 is .*use score_from_log_risk"):
        score_from_risk([0.0, 1.0, risk])
