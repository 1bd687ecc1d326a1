"""Deployments of any kind: refused in our own words, or forecast without a riddle.

A number is finite, or its absence is explained; what cannot fall with the number of
queries does not.
"""

import math
from collections.abc import Callable
from typing import Any

import cheap
import numpy as np
import pandas as pd
import pytest
from fuzzing import fuzz, refusals
from hypothesis import given
from hypothesis import strategies as st

import bayes_rare as br
from bayes_rare.forecasting import family_mix, population_forecast
from bayes_rare.forecasting.outcomes import FOREVER
from bayes_rare.populations import FamilyMixture, Origin

FAMILIES = ("x", "y", "z")

sizes = st.one_of(
    st.integers(1, 10**12),
    st.sampled_from([1, 2, 10, 999, 10**6, 1e9, 1e12, np.int64(7), np.float64(1e4)]),
)
wrong = st.one_of(
    st.sampled_from(
        [None, True, 0, -1, 1.5, math.nan, math.inf, 1e13, 10**400, "10", b"1", [], {}]
    ),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
)
weights = st.one_of(
    st.floats(0, 1e3),
    st.sampled_from([0, 1, 1e-300, 5e-324, 1e300, 1e308, -1, math.nan, math.inf]),
    st.sampled_from([None, "1", True, 10**400, [1]]),
)
names = st.one_of(st.sampled_from([*FAMILIES, "new", ""]), st.text(max_size=3))
mappings = st.dictionaries(names, weights, max_size=4)


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    """A table of weights, in which a family may stand twice."""
    rows = draw(st.lists(st.tuples(names, st.floats(0, 10)), max_size=4))
    return pd.DataFrame(rows, columns=["family", "weight"])


@st.composite
def arguments(draw: st.DrawFn) -> dict[str, Any]:
    """Of a deployment: most are in order, and some are not."""
    given: dict[str, Any] = {
        "queries": draw(st.one_of(sizes, st.lists(sizes, min_size=1, max_size=3)))
    }
    if draw(st.booleans()):
        given["samples_per_query"] = draw(
            st.one_of(st.integers(1, 10**9), st.sampled_from([1, 1e6, 10**12]))
        )
    if draw(st.booleans()):
        given["families"] = draw(st.one_of(mappings, frames()))
    if draw(st.booleans()):
        given["unseen_share"] = draw(
            st.one_of(st.floats(0, 1), st.sampled_from([5e-324, 1e-12, 1.0]))
        )
        given["unseen_families"] = draw(st.sampled_from([1, 2, 50, 2000]))
    if draw(st.booleans()):
        pair = st.tuples(*[st.sampled_from([1e-3, 1.0, 3, 1e4])] * 2)
        given["missed_mode"] = draw(st.builds(br.MissedMode, pair, pair))
    if draw(st.integers(0, 2)) == 0:
        given[draw(st.sampled_from(sorted(_ARGUMENTS)))] = draw(wrong)
    return given


_ARGUMENTS = {
    "queries",
    "samples_per_query",
    "families",
    "unseen_share",
    "unseen_families",
    "missed_mode",
}


def by_families(deployment: br.Deployment) -> br.Forecast:
    """By populations that know families, in the mix that is asked for."""
    rng = np.random.default_rng(0)
    ones = np.ones(cheap.DRAWS)
    mixture = FamilyMixture(
        location=rng.normal(-3, 0.1, (3, cheap.DRAWS)),
        scale=rng.uniform(0.3, 0.4, (3, cheap.DRAWS)),
        weight=np.full((3, cheap.DRAWS), 1 / 3),
        shape=rng.normal(-0.1, 0.05, cheap.DRAWS),
        origin=Origin(-3 * ones, 0.3 * ones, -1 * ones, 0.2 * ones, 4.0),
        labels=FAMILIES,
    )
    populations = {
        name: family_mix.deployed(
            mixture,
            cheap.evaluation(),
            name,
            deployment.families,
            deployment.unseen_share,
            deployment.unseen_families,
        )
        for name in cheap.BEHAVIOURS
    }
    return population_forecast(
        "family_tail", cheap.evaluation(), populations, deployment
    )


METHODS: dict[str, Callable[[br.Deployment], br.Forecast]] = {
    "posterior": lambda deployment: br.forecast(cheap.posterior(), deployment),
    "average": lambda deployment: br.forecast(cheap.averaged(), deployment),
    "families": by_families,
    "line": lambda deployment: br.gumbel_ols(cheap.evaluation(), deployment),
    "maximum": lambda deployment: br.evaluation_maximum(cheap.evaluation(), deployment),
}


def check(made: br.Forecast) -> None:
    """Hold a forecast to what any forecast is."""
    table = made.summary()
    for target in ("worst_query_risk", "risk_quantile", "behaviour_frequency"):
        rows = table[table["target"] == target]
        assert rows["median"].between(0, 1).all(), target
    for target in ("exceedance_probability", "aggregate_risk"):
        rows = table[table["target"] == target]
        assert rows["mean"].between(0, 1).all(), target
    assert not table["median"].isna().any()
    assert not np.isinf(table.select_dtypes("number").astype(float)).any().any()
    waiting = table["target"] == "queries_to_first_failure"
    assert table.loc[~waiting, "mean"].notna().all()
    # Where a draw is only known to be as large, there is no mean.
    for row in table[waiting].to_dict("records"):
        draws = made.draws["queries_to_first_failure"].sel(behaviour=row["behaviour"])
        assert math.isnan(row["mean"]) == bool((draws >= FOREVER).any())
    if not made.is_point:
        assert table[["lower", "upper"]].notna().all().all()
        assert (table["lower"] <= table["median"]).all()
        assert (table["median"] <= table["upper"]).all()
    counted = table[table["target"] == "risky_queries"]
    assert (counted["upper"].fillna(0) <= counted["queries"].astype(float)).all()
    table = table.assign(risk_threshold=table["risk_threshold"].fillna(0.0))
    for target, column in (
        ("worst_query_risk", "median"),
        ("risk_quantile", "median"),
        ("exceedance_probability", "mean"),
    ):
        rows = table[table["target"] == target]
        for _, group in rows.groupby(["behaviour", "risk_threshold"]):
            ordered = group.sort_values("queries")[column]
            assert (ordered.diff().dropna() >= -1e-12).all(), target


@pytest.mark.parametrize("method", METHODS)
@fuzz(0.3)
@given(words=arguments())
def test_a_deployment_is_refused_or_forecast(
    method: str, words: dict[str, Any]
) -> None:
    with refusals():
        deployment = br.Deployment(**words)
        again = deployment.of_size(deployment.queries[0])
        assert again.families == deployment.families
        check(METHODS[method](deployment))


@fuzz()
@given(families=st.one_of(mappings, frames(), wrong))
def test_a_mix_of_families_sums_to_one_or_is_refused(families: Any) -> None:
    with refusals():
        mix = br.Deployment(1, families=families).families
        if mix is not None:
            shares = [share for _, share in mix]
            assert math.isclose(sum(shares), 1)
            assert len({name for name, _ in mix}) == len(mix)
            assert min(shares) >= 0
