"""Splits of a larger evaluation: disjoint, even-handed, and the same from any table."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayes_rare.errors import InvalidData, InvalidInput
from bayes_rare.evaluation import Evaluation, QueryPool
from bayes_rare.evaluation.pool import Split, Splitting
from bayes_rare.readers.tables.read_pool import read_pool
from bayes_rare.scores import log_risk_from_score

QUERIES, FAMILIES = 400, 8


def table_of(seed: int = 0, behaviours: Sequence[str] = ("a", "b")) -> pd.DataFrame:
    """Queries of several families, the same ones under each behaviour."""
    rng = np.random.default_rng(seed)
    family = np.arange(QUERIES) % FAMILIES
    return pd.concat(
        pd.DataFrame(
            {
                "query_id": [f"q{number}" for number in range(QUERIES)],
                "family": [f"f{number}" for number in family],
                "behaviour": name,
                "log_risk": log_risk_from_score(rng.normal(-2 + family / 10, 0.3)),
            }
        )
        for name in behaviours
    )


@pytest.fixture(scope="module")
def pool() -> QueryPool:
    return read_pool(table_of())


def queries_of(pool: QueryPool, rows: np.ndarray) -> set[int]:
    return set(pool.rows["query"][rows].tolist())


def drawn(pool: QueryPool, split: Split) -> dict[str, dict[str, set[int]]]:
    """Queries of the largest sets, by kind and behaviour."""
    return {
        kind: {name: queries_of(pool, rows) for name, rows in sets[max(sets)].items()}
        for kind, sets in (("seen", split.evaluation), ("served", split.deployment))
    }


SPLITTINGS = {
    "at random": Splitting((20, 100), (50, 300)),
    "families held out": Splitting((20, 100), (50, 200), held_out_families=3),
}


@pytest.mark.parametrize("splitting", SPLITTINGS.values(), ids=SPLITTINGS)
@pytest.mark.parametrize("unit", [("a",), ("b",), ("a", "b")])
def test_no_query_is_seen_and_served(
    pool: QueryPool, splitting: Splitting, unit: tuple[str, ...]
) -> None:
    for repeat in range(5):
        split = pool.split(unit, repeat, splitting)
        sets = drawn(pool, split)
        for name in unit:
            assert not sets["seen"][name] & sets["served"][name]
        for kind, sizes in (
            (split.evaluation, splitting.evaluation_sizes),
            (split.deployment, splitting.deployment_sizes),
        ):
            assert tuple(kind) == sizes
            for size, rows in kind.items():
                assert all(len(set(own.tolist())) == size for own in rows.values())
            small, large = (kind[size] for size in sizes)
            assert all(set(small[n].tolist()) <= set(large[n].tolist()) for n in unit)


def test_behaviours_of_one_unit_share_their_queries(pool: QueryPool) -> None:
    sets = drawn(pool, pool.split(("a", "b"), 0, SPLITTINGS["at random"]))
    assert sets["seen"]["a"] == sets["seen"]["b"]
    assert sets["served"]["a"] == sets["served"]["b"]
    alone = [drawn(pool, pool.split((n,), 0, SPLITTINGS["at random"])) for n in "ab"]
    assert alone[0]["seen"]["a"] != alone[1]["seen"]["b"]


def test_families_held_out_are_served_and_not_seen(pool: QueryPool) -> None:
    met: set[tuple[int, ...]] = set()
    for repeat in range(10):
        split = pool.split(("a",), repeat, SPLITTINGS["families held out"])
        seen = set(pool.rows["family"][split.evaluation[100]["a"]].tolist())
        served = set(pool.rows["family"][split.deployment[200]["a"]].tolist())
        assert len(seen) == FAMILIES - 3
        assert served == set(range(FAMILIES))
        met.add(tuple(sorted(seen)))
    assert len(met) > 1


def test_every_query_is_as_likely_seen_as_any_other(seed: int) -> None:
    splitting = Splitting((20,), (40,), seed=seed)
    pool = read_pool(table_of(behaviours=["a"]))
    times = np.zeros((2, QUERIES))
    repeats = 2_000
    for repeat in range(repeats):
        split = pool.split(("a",), repeat, splitting)
        times[0, split.evaluation[20]["a"]] += 1
        times[1, split.deployment[40]["a"]] += 1
    for drawn_times, size in zip(times, (20, 40), strict=True):
        share = size / QUERIES
        # Of a draw without replacement the counts vary a little less than Poisson's.
        expected = repeats * share
        statistic = ((drawn_times - expected) ** 2).sum() / (expected * (1 - share))
        law = stats.chi2(QUERIES - 1)
        assert min(law.sf(statistic), law.cdf(statistic)) > 1e-6
        assert law.sf(statistic + 400) < 1e-6


def test_the_order_of_the_table_is_no_matter(pool: QueryPool) -> None:
    mixed = read_pool(table_of().sample(frac=1, random_state=1))
    assert mixed.digest == pool.digest
    again = mixed.split(("a",), 3, SPLITTINGS["at random"])
    split = pool.split(("a",), 3, SPLITTINGS["at random"])
    np.testing.assert_array_equal(
        again.evaluation[100]["a"], split.evaluation[100]["a"]
    )


def test_seeds_and_repeats_draw_anew(pool: QueryPool) -> None:
    first = pool.split(("a",), 0, Splitting((20,), (50,), seed=0))
    for other in (
        pool.split(("a",), 1, Splitting((20,), (50,), seed=0)),
        pool.split(("a",), 0, Splitting((20,), (50,), seed=1)),
    ):
        assert set(other.evaluation[20]["a"]) != set(first.evaluation[20]["a"])


def test_rows_without_identity_are_queries_of_their_own() -> None:
    table = table_of().drop(columns="query_id")
    pool = read_pool(table)
    split = pool.split(("a",), 0, SPLITTINGS["at random"])
    assert len(queries_of(pool, split.evaluation[100]["a"])) == 100


def test_an_evaluation_set_is_what_its_queries_were(pool: QueryPool) -> None:
    split = pool.split(("a", "b"), 0, SPLITTINGS["at random"])
    made = pool.evaluation(split, 100)
    table = table_of().set_index(["behaviour", "query_id"])
    assert made.sizes == {"a": 100, "b": 100}
    assert len(made.families) == FAMILIES
    for name in "ab":
        seen = np.sort(pool.rows["score"][split.evaluation[100][name]])[::-1]
        np.testing.assert_array_equal(made.scores(name).score, seen)
        known = -np.log(-table.loc[name]["log_risk"].to_numpy())
        assert np.isin(seen.round(9), known.round(9)).all()
    blind = pool.evaluation(split, 100, families=False)
    assert blind.families == ()


def test_the_threshold_is_exceeded_by_the_share_that_is_asked_for(
    pool: QueryPool,
) -> None:
    scores = pool.rows["score"][pool.members["a"]]
    for fraction in (0.01, 0.1, 0.5):
        threshold = pool.exceeded_by("a", fraction)
        assert (scores > threshold).sum() == round(fraction * QUERIES)
    assert (scores > pool.exceeded_by("a", 1e-9)).sum() == 1
    assert pool.exceeded_by("a", 1.0) == scores.min()


def test_counts_are_drawn_from_the_risks(pool: QueryPool, seed: int) -> None:
    splitting = Splitting((200,), (100,), seed=seed)
    trials = 500
    p_values = []
    split = pool.split(("a",), 0, splitting)
    made = pool.evaluation(split, 200, trials_per_query=trials)
    for repeat in range(20):
        split = pool.split(("a",), repeat, splitting)
        rows = split.evaluation[200]["a"]
        risk = np.exp(-np.exp(-pool.rows["score"][rows]))
        made = pool.evaluation(split, 200, trials_per_query=trials)
        assert made.kind("a") == "counts"
        counts = made.counts
        assert (counts["trials"] == trials).all()
        total = int((counts["successes"] * counts["count"]).sum())
        spread = np.sqrt((trials * risk * (1 - risk)).sum())
        p_values.append(stats.norm.sf((total - trials * risk.sum()) / spread))
    assert stats.kstest(p_values, "uniform").pvalue > 1e-6
    again = pool.evaluation(split, 200, trials_per_query=trials)
    assert again.digest == made.digest


def counted_table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "query_id": np.repeat(np.arange(60), 2),
            "successes": rng.binomial(50, 0.3, 120),
            "trials": 50,
        }
    )


def test_counts_of_one_query_are_added_up_and_thinned_without_replacement() -> None:
    pool = read_pool(counted_table())
    assert len(pool.rows["query"]) == 60
    assert (pool.rows["trials"] == 100).all()
    assert pool.rows["successes"].sum() == counted_table()["successes"].sum()
    split = pool.split(("behaviour",), 0, Splitting((30,), (30,)))
    whole = pool.evaluation(split, 30)
    assert whole.kind("behaviour") == "counts"
    all_taken = pool.evaluation(split, 30, trials_per_query=100)
    assert all_taken.digest == whole.digest
    some = pool.evaluation(split, 30, trials_per_query=10)
    assert (some.counts["trials"] == 10).all()
    with pytest.raises(InvalidInput, match="Give --trials-per-query 100 or fewer"):
        pool.evaluation(split, 30, trials_per_query=101)


def marked(**parts: int) -> pd.DataFrame:
    table = table_of(behaviours=["a"])
    words: list[Any] = [word for word, times in parts.items() for _ in range(times)]
    return table.assign(part=words + [None] * (len(table) - len(words)))


def test_a_column_says_which_queries_are_for_what() -> None:
    table = marked(evaluation=50, deployment=120)
    pool = read_pool(table, split="part")
    splitting = Splitting((50,), (120,), by_part=True)
    pool.refuse_too_small(splitting)
    split = pool.split(("a",), 0, splitting)
    made = pool.evaluation(split, 50)
    seen = Evaluation.from_scores(-np.log(-table["log_risk"].to_numpy()[:50]))
    np.testing.assert_allclose(made.scores("a").score, seen.scores("behaviour").score)
    served = pool.rows["score"][split.deployment[120]["a"]]
    known = -np.log(-table["log_risk"].to_numpy()[50:170])
    np.testing.assert_allclose(np.sort(served), np.sort(known))


@pytest.mark.parametrize(
    ("given", "splitting", "message"),
    [
        ({}, Splitting((200,), (201,)), "400 queries, .*deployment of at most 200"),
        ({}, Splitting((10,), (10,), 8), "has 8 families.*Hold out fewer"),
        ({}, Splitting((300,), (10,), 4), "200 queries left for an evaluation of 300"),
        (
            {"split": "part"},
            Splitting((60,), (10,), by_part=True),
            "50 queries marked as 'evaluation'.*at most 50",
        ),
    ],
)
def test_too_few_queries_are_refused(
    given: dict[str, Any], splitting: Splitting, message: str
) -> None:
    table = marked(evaluation=50, deployment=120)
    with pytest.raises((InvalidInput, InvalidData), match=message):
        read_pool(table, **given).refuse_too_small(splitting)


def test_other_words_in_the_column_are_refused() -> None:
    with pytest.raises(InvalidData, match="is 'train' in 50 rows"):
        read_pool(marked(train=50, deployment=120), split="part")
    with pytest.raises(InvalidInput, match=r"no column 'parts'.*part"):
        read_pool(marked(evaluation=50), split="parts")


def test_a_query_marked_both_ways_is_refused() -> None:
    table = pd.DataFrame(
        {
            "query_id": ["a", "a", "b"],
            "successes": [1, 5, 2],
            "trials": 10,
            "part": ["evaluation", "deployment", "evaluation"],
        }
    )
    with pytest.raises(InvalidData, match=r"query_id 'a' .* both sides of the"):
        read_pool(table, split="part")


def test_a_pool_needs_risks_that_are_known_and_queries_that_count_alike() -> None:
    estimated = table_of(behaviours=["a"]).assign(log_risk_se=0.1)
    with pytest.raises(InvalidData, match=r"drop the column log_risk_se"):
        read_pool(estimated)
    assert (
        read_pool(estimated.assign(log_risk_se=0.0)).digest
        == read_pool(table_of(behaviours=["a"])).digest
    )
    weighted = counted_table().assign(weight=np.arange(120) % 2 + 1.0)
    with pytest.raises(InvalidData, match=r"weights from 1 to 2.*Drop the column"):
        read_pool(weighted.drop(columns="query_id"))
    assert (
        read_pool(counted_table().assign(weight=2.0)).digest
        == read_pool(counted_table()).digest
    )


def test_deployments_are_from_all_families_in_their_shares(seed: int) -> None:
    """Also where the evaluation takes nearly all that is left of its families."""
    pool = read_pool(table_of(behaviours=["a"]))
    splitting = Splitting((70,), (200,), held_out_families=4, seed=seed)
    shares: list[float] = []
    for repeat in range(200):
        split = pool.split(("a",), repeat, splitting)
        seen = set(pool.rows["family"][split.evaluation[70]["a"]].tolist())
        served = pool.rows["family"][split.deployment[200]["a"]]
        shares.append(float(np.isin(served, list(seen)).mean()))
    assert stats.ttest_1samp(shares, 0.5).pvalue > 1e-6
    with pytest.raises(InvalidInput, match="Ask for smaller sets"):
        pool.split(("a",), 0, Splitting((150,), (200,), 4, seed=seed))


def test_exact_risks_and_counts_are_not_fitted_together() -> None:
    exact = table_of(behaviours=["a"])
    counted = counted_table().assign(behaviour="b")
    counted["query_id"] = counted["query_id"].astype(str)
    pool = read_pool(pd.concat([exact, counted]))
    assert pool.counted == ("b",)
    split = pool.split(("a", "b"), 0, Splitting((20,), (20,)))
    with pytest.raises(InvalidInput, match="cannot be fitted together"):
        pool.evaluation(split, 20)
    both = pool.evaluation(split, 20, trials_per_query=5)
    assert {both.kind("a"), both.kind("b")} == {"counts"}
