"""How a model is found, and what it says of itself."""

import hashlib
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from operator import attrgetter
from pathlib import Path

import pytest

from bayes_rare import catalog
from bayes_rare.errors import InvalidInput, NoSuchModel

MINE = '''"""A model of mine.

More of its story.
"""
ACCEPTS = {"counts"}


def build(evaluation, *, threshold=None, exceedances=10, prior_sd=1.0):
    return evaluation, threshold, exceedances, prior_sd


def population(draws, data):
    return draws, data
'''


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MINE, encoding="utf-8")
    return path


def test_the_shipped_models_are_the_files_of_the_folder() -> None:
    names = catalog.names()
    assert names == sorted(names)
    assert {"gumbel_tail", "gpd_tail", "log_normal"} <= set(names)
    assert {path.stem for path in catalog.FOLDER.glob("*.py")} == set(names)
    assert list(catalog.summaries()) == names
    assert catalog.summaries()["gumbel_tail"].startswith("Exponential excesses")


def test_a_misspelt_name_is_answered_with_the_real_ones() -> None:
    with pytest.raises(NoSuchModel, match=r"Shipped: .*gpd_tail, graded"):
        catalog.load("gpd_tial")
    with pytest.raises(NoSuchModel, match=r"there is no file no/such/file\.py"):
        catalog.load("no/such/file.py")


def test_a_file_of_the_users_is_read_by_its_path(mine: Path) -> None:
    model = catalog.load(mine)
    assert model == catalog.load(str(mine))
    assert (model.name, model.summary) == ("mine", "A model of mine.")
    assert model.accepts == {"counts"}
    assert model.digest == hashlib.sha256(mine.read_bytes()).hexdigest()
    assert model.build("data", prior_sd=3.0) == ("data", None, 10, 3.0)
    with pytest.raises(NoSuchModel, match=r"population returned \(1, 2\).*no draws"):
        model.population(1, 2)
    assert model.observe is None


def test_a_changed_file_is_read_again_under_another_digest(mine: Path) -> None:
    before = catalog.load(mine)
    mine.write_text(MINE.replace("prior_sd=1.0", "prior_sd=2.0"), encoding="utf-8")
    after = catalog.load(mine)
    assert before.digest != after.digest
    assert before != after
    assert (before.defaults["prior_sd"], after.defaults["prior_sd"]) == (1.0, 2.0)


@pytest.mark.parametrize("missing", ["build", "population"])
def test_a_file_without_what_a_model_needs_is_refused(mine: Path, missing: str) -> None:
    mine.write_text(MINE.replace(f"def {missing}(", "def other("), encoding="utf-8")
    with pytest.raises(NoSuchModel, match=f"no function {missing}; .*gumbel_tail.py"):
        catalog.load(mine)


def test_a_file_without_simulate_says_where_to_look(mine: Path) -> None:
    model = catalog.load(mine)
    with pytest.raises(NoSuchModel, match=r"add one: see .*gumbel_tail\.py"):
        _ = model.simulate
    assert callable(catalog.load("gumbel_tail").simulate)


def test_settings_are_the_given_ones_and_the_defaults_of_others(mine: Path) -> None:
    model = catalog.load(mine)
    defaults = {"threshold": None, "exceedances": 10, "prior_sd": 1.0}
    assert model.settings() == model.defaults == defaults
    assert model.settings(prior_sd=2.0) == defaults | {"prior_sd": 2.0}
    assert model.defaults == defaults  # and are not changed by it


def test_one_choice_of_a_threshold_unsets_the_others(mine: Path) -> None:
    model = catalog.load(mine)
    assert model.settings(threshold=-1.0) == {
        "threshold": -1.0, "exceedances": None, "prior_sd": 1.0,
    }  # fmt: skip
    assert model.settings(exceedances=5)["threshold"] is None
    assert model.settings(threshold=None)["exceedances"] == 10
    both = model.settings(threshold=-1.0, exceedances=5)  # for the model to refuse
    assert (both["threshold"], both["exceedances"]) == (-1.0, 5)


def test_an_unknown_prior_is_answered_with_the_real_ones(mine: Path) -> None:
    model = catalog.load(mine)
    with pytest.raises(InvalidInput, match="It has: threshold, exceedances, prior_sd"):
        model.settings(prior_ds=2.0)
    with pytest.raises(InvalidInput, match=r"gpd_tail has no prior 'scale'.*log_scale"):
        catalog.load("gpd_tail").settings(scale=1.0)


@pytest.mark.parametrize("name", catalog.names())
def test_a_pickled_model_is_the_model(name: str) -> None:
    model = catalog.load(name)
    assert pickle.loads(pickle.dumps(model)) == model


def test_a_model_crosses_a_process_boundary(mine: Path) -> None:
    model = catalog.load(mine)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        assert pool.submit(attrgetter("digest"), model).result() == model.digest
        assert pool.submit(attrgetter("defaults"), model).result() == model.defaults
