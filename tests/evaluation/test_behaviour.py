"""One behaviour of an evaluation, against the tables of the whole."""

import numpy as np
import pytest

from bayes_rare.errors import InvalidInput, NotApplicable
from bayes_rare.evaluation import Evaluation

WHOLE = Evaluation.joined(
    [
        Evaluation.from_scores(
            [0.5, 1.5, 0.5], behaviour="exact", family=["g", "f", "g"]
        ),
        Evaluation.from_counts([0, 3, 0], [9, 9, 9], behaviour="counts"),
        Evaluation.from_counts([1, 2], [9, 9], behaviour="others", weight=[3, 1]),
        Evaluation.from_estimates([-9.0, -4.0], [0.5, 0.25], behaviour="estimates"),
    ]
)


@pytest.mark.parametrize("name", WHOLE.behaviours)
def test_a_behaviour_has_its_own_rows_alone(name: str) -> None:
    one = WHOLE.behaviour(name)
    assert one is WHOLE.behaviour(name)
    assert one.name == name
    assert one.size == WHOLE.sizes[name]
    assert one.effective_size == WHOLE.effective_sizes[name]
    assert one.families == WHOLE.families_of(name)
    np.testing.assert_array_equal(one.family_sizes, WHOLE.family_sizes(name))
    for columns, frame in (
        (one.tallies, WHOLE.counts),
        (one.estimates, WHOLE.estimates),
    ):
        own = frame[frame["behaviour"] == name]
        for column in {*map(str, own)} - {"behaviour", "family"}:
            np.testing.assert_array_equal(columns[column], own[column])


def test_only_exact_risks_have_scores() -> None:
    kinds = {name: WHOLE.behaviour(name).kind for name in WHOLE.behaviours}
    assert kinds["others"] == "counts"
    assert WHOLE.behaviour("exact").scores.score.tolist() == [1.5, 0.5]
    assert WHOLE.behaviour("exact").families == ("f", "g")
    for name in ("counts", "estimates"):
        assert kinds[name] == name
        with pytest.raises(NotApplicable, match=f"read them from `evaluation.{name}`"):
            _ = WHOLE.behaviour(name).scores
    with pytest.raises(InvalidInput, match="no behaviour 'other'"):
        WHOLE.behaviour("other")
