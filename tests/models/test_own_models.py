"""Model files of a user's own: whatever way they bring their data in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayes_rare import catalog
from bayes_rare.errors import NoSuchModel
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import fit, fit_many, programs, trial
from bayes_rare.posterior import Posterior

# Scores of unit variance, observed as they are: no pm.Data at all.
PLAIN = '''
"""Normal scores of unit variance."""
import numpy as np
import pymc as pm
from bayes_rare.populations import Normal


def build(evaluation, *, location_sd=5.0):
    scores = evaluation.scores(evaluation.behaviours[0]).score
    with pm.Model(coords={"behaviour": list(evaluation.behaviours)}) as model:
        location = pm.Normal("location", 0, location_sd, dims="behaviour")
        pm.Normal("y", location[0], 1, observed=scores)
    return model


def population(draws, data):
    return Normal(draws["location"], np.ones_like(draws["location"]))
'''
WITH_DATA = PLAIN.replace("observed=scores", 'observed=pm.Data("scores", scores)')
# It promises that all data are pm.Data, and they are not.
DISHONEST = PLAIN + "\n\ndef observe(evaluation):\n    return {}\n"
# Its prior is centred on the data, and so is the start.
CENTRED = WITH_DATA.replace(
    '"location", 0,', '"location", pm.Data("centre", scores.mean()),'
)
# It derives a quantity by a number of the data that the density does not have.
DERIVING = WITH_DATA.replace(
    "    return model\n",
    '        pm.Deterministic("moved", location - scores.mean())\n    return model\n',
    1,
)
SIZES: dict[str, Any] = {"chains": 2, "warmup": 200, "draws": 200, "target_ess": 0.0}
QUERIES = 50


def data_sets(seed: int) -> list[Evaluation]:
    rng = np.random.default_rng(seed)
    return [
        Evaluation.from_scores(rng.normal(mean, 1.0, QUERIES)) for mean in (-3.0, 3.0)
    ]


def written(tmp_path: Path, source: str) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(source.lstrip(), encoding="utf-8")
    return path


def deviation(posterior: Posterior, evaluation: Evaluation) -> float:
    """Posterior mean less the exact one, in posterior standard deviations."""
    cells = evaluation.scores("behaviour")
    precision = QUERIES + 1 / 5.0**2
    exact = float(cells.score @ cells.count) / precision
    return (posterior.draws["location"].mean() - exact) * np.sqrt(precision)


@pytest.mark.parametrize("source", [PLAIN, WITH_DATA], ids=["constants", "pm.Data"])
def test_each_data_set_gets_its_own_posterior(
    source: str, seed: int, tmp_path: Path
) -> None:
    mine, sets = written(tmp_path, source), data_sets(seed)
    alone = [fit(data, mine, **SIZES) for data in sets]
    together = fit_many(sets, mine, **SIZES)
    for data, one, other in zip(sets, alone, together, strict=True):
        assert isinstance(other, Posterior)
        # 400 draws: the mean is known to about a tenth of a standard deviation.
        assert abs(deviation(one, data)) < 0.5
        np.testing.assert_array_equal(one.draws["location"], other.draws["location"])
    # The other data set's posterior would be far off.
    assert abs(deviation(alone[0], sets[1])) > 10


def test_sampling_starts_where_it_would_start_alone(seed: int, tmp_path: Path) -> None:
    """Whatever data set the program was compiled for."""
    mine = catalog.load(written(tmp_path, CENTRED))
    settings, sets = mine.settings(), data_sets(seed)
    found = [programs.density_and_data(mine, settings, data) for data in sets]
    assert found[0][0] is found[1][0]
    for data, (_, _, initial) in zip(sets, found, strict=True):
        centre = data.scores("behaviour").score.mean()
        np.testing.assert_allclose(initial["location"], [centre])


def test_derived_quantities_are_of_their_own_data_set(
    seed: int, tmp_path: Path
) -> None:
    mine = catalog.load(written(tmp_path, DERIVING))
    for data in data_sets(seed):
        density, arrays, _ = programs.density_and_data(mine, mine.settings(), data)
        given = [arrays[name] for name in density.data]
        moved = density.constrain(np.zeros(1), *given)["moved"]
        np.testing.assert_allclose(moved, -data.scores("behaviour").score.mean())


def test_a_start_of_the_first_data_set_does_not_serve_all(
    seed: int, tmp_path: Path
) -> None:
    """As observe() promises of a model that is built once."""
    source = WITH_DATA.replace("dims=", "initval=[scores.mean()], dims=", 1)
    source += """

def observe(evaluation):
    return {"scores": evaluation.scores(evaluation.behaviours[0]).score}
"""
    mine = catalog.load(written(tmp_path, source))
    one, other = data_sets(seed)
    programs.density_and_data(mine, mine.settings(), one)
    with pytest.raises(NoSuchModel, match="Leave out the initval, or remove observe"):
        programs.density_and_data(mine, mine.settings(), other)


BROKEN = {
    "discrete": (
        PLAIN.replace(
            "        pm.Normal(", '        pm.Poisson("k", 3)\n        pm.Normal('
        ),
        "Marginalise them",
    ),
    "raises": (PLAIN.replace("    scores =", "    {}['zap']\n    scores ="), "zap"),
    "nothing": (PLAIN.replace("return model", "return None"), "End it with `return"),
    "exits": (PLAIN + "\nraise SystemExit(0)\n", "Run it with Python"),
    "syntax": (PLAIN + "\ndef (\n", "Run it with Python"),
    "population": (PLAIN.replace("return Normal(", "return nobody("), "nobody"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_file_that_does_not_work_is_refused_by_name(
    fault: str, seed: int, tmp_path: Path
) -> None:
    source, way_out = BROKEN[fault]
    with pytest.raises(NoSuchModel, match=way_out):
        fit(data_sets(seed)[0], written(tmp_path, source), **SIZES)


def test_data_without_dims_are_kept_in_the_tree(seed: int, tmp_path: Path) -> None:
    posterior = fit(data_sets(seed)[0], written(tmp_path, WITH_DATA), **SIZES)
    assert posterior.tree["constant_data"]["scores"].sizes == {"scores_dim_0": QUERIES}
    posterior.save(tmp_path / "posterior.nc")


def test_a_file_that_hides_data_from_observe_is_refused(
    seed: int, tmp_path: Path
) -> None:
    mine, sets = written(tmp_path, DISHONEST), data_sets(seed)
    fit(sets[0], mine, **SIZES)
    with pytest.raises(NoSuchModel, match=r"in pm\.Data and return it from observe"):
        fit(sets[1], mine, **SIZES)


ALTERED = """

class Altered(Normal):
    def {word}(self, *arguments):
        return {body}
"""


def altered(word: str, body: str) -> str:
    """The plain model, whose population answers one question otherwise."""
    function = ALTERED.format(word=word, body=body).replace("super()", "Normal")
    return PLAIN.replace("return Normal(", "return Altered(") + function


OBSERVES = WITH_DATA + "\n\ndef observe(evaluation):\n    return {}\n"
NONSENSE = {
    "no population": (
        PLAIN.replace("return Normal(", "return 5 or ("),
        r"population returned 5 \(int\), which has no draws",
    ),
    "too few draws": (
        PLAIN.replace(
            'Normal(draws["location"]', 'Normal(draws["location"][:1]'
        ).replace('ones_like(draws["location"])', "ones(1)"),
        "population returned a population of 1 draws; it should be one with as many",
    ),
    "not a number": (
        PLAIN.replace('Normal(draws["location"]', 'Normal(np.nan * draws["location"]'),
        "log_survival returned NaN",
    ),
    "one survival for all draws": (
        altered("log_survival", "np.zeros((2, 1))"),
        r"log_survival returned shape \(2, 1\); it should be shape \(2, 3\)",
    ),
    "survival that rises": (
        altered("log_survival", "np.array([[-2.0] * 3, [-1.0] * 3])"),
        "at most 0 and falling",
    ),
    "quantile that falls": (
        altered("quantile", "-Normal.quantile(self, *arguments)"),
        "larger for a smaller fraction",
    ),
    "mean that raises": (
        altered("mean", "{}['zap']"),
        "population: mean failed with KeyError",
    ),
    "observe without what the density takes": (OBSERVES, "also 'scores'"),
    "observe that is no mapping": (
        OBSERVES.replace("return {}", "return [1]"),
        r"observe returned \[1\] \(list\); it should be a dict",
    ),
    "one rate": (
        PLAIN + "\n\ndef recorded(draws):\n    return 0.1\n",
        "recorded returned 0.1 .*false-positive rate and sensitivity",
    ),
    "no simulation": (
        PLAIN + "\n\ndef simulate(rng, design):\n    return None\n",
        "simulate returned None .*an Evaluation",
    ),
    "a kind that is none": (PLAIN + '\nACCEPTS = "exact"\n', "ACCEPTS = 'exact'"),
    "other behaviours": (
        PLAIN.replace(
            "list(evaluation.behaviours)}", "[*evaluation.behaviours, 'other']}"
        ),
        "build returned 'location' for 2 behaviours; it should be one for each of 1",
    ),
}


@pytest.mark.parametrize("fault", NONSENSE)
def test_a_function_that_returns_nonsense_is_refused_before_sampling(
    fault: str, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, said = NONSENSE[fault]
    mine = written(tmp_path, source)
    monkeypatch.delattr("bayes_rare.inference.batches._sample")
    with pytest.raises(NoSuchModel, match=said) as refusal:
        fit(data_sets(seed)[0], mine, **SIZES)
    assert str(mine) in str(refusal.value)


def test_a_file_is_tried_once_and_a_shipped_model_never(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []
    monkeypatch.setattr(trial, "_try_population", lambda *given: tried.append(given))
    mine = catalog.load(written(tmp_path, WITH_DATA.replace("5.0", "6.0")))
    for model in (mine, mine, catalog.load("log_normal")):
        for data in data_sets(seed):
            found = programs.density_and_data(model, model.settings(), data)
            trial.tried(model, data, *found)
    assert len(tried) == 1


def test_densities_that_hold_their_data_are_kept_up_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_DENSITIES_KEPT", 2)
    mine = catalog.load(written(tmp_path, PLAIN.replace("5.0", "7.0")))
    sets = [data for seed in range(2) for data in data_sets(seed)]
    found = [
        programs.density_and_data(mine, mine.settings(), data)[0]
        for data in [*sets, sets[-1], sets[0]]
    ]
    assert found[4] is found[3]
    assert found[5] is not found[0]  # it was thrown away
    kept = [
        compiled
        for (_, others), several in programs._DENSITIES.items()
        if others[0] == mine.digest
        for compiled in several
    ]
    assert len(kept) == 2
