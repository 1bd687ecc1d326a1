"""Model files of a user's own: whatever way they bring their data in."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bayes_rare.errors import NoSuchModel
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import fit, fit_many
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


BROKEN = {
    "discrete": (
        PLAIN.replace(
            "        pm.Normal(", '        pm.Poisson("k", 3)\n        pm.Normal('
        ),
        "Sum them out",
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
