"""The posterior as a value: its labels, its verdict, and its way through a file."""

import json
import pickle
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pymc as pm
import pytest
import xarray as xr
from loading import loaded
from room import little_room

import bayes_rare as br
from bayes_rare import catalog
from bayes_rare.catalog import Source
from bayes_rare.cli import main
from bayes_rare.errors import InvalidData, InvalidInput, NoSuchModel, NotConverged
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference import fit
from bayes_rare.posterior import Posterior, judge
from bayes_rare.posterior.average import Member

BEHAVIOURS = ("a", 'b\'s "second"', "ç 第三")
TEXTS = ('say "it\'s done"', "naïve — 你好 🙂", "two\nlines\tand a tab", "a,b;c\\d", "")
CHAINS, DRAWS = 4, 300


def evaluation_of(behaviours: tuple[str, ...] = BEHAVIOURS) -> Evaluation:
    rng = np.random.default_rng(1)
    scores = {
        name: np.append(rng.gumbel(-2, 0.4, 120), [-np.inf, np.inf])
        for name in behaviours
    }
    texts = [TEXTS[k % len(TEXTS)] for k in range(122)]
    return Evaluation.from_scores(
        scores,
        family={name: [f"f{k % 3}" for k in range(122)] for name in behaviours},
        query_id={name: [f"'{k}'" for k in range(122)] for name in behaviours},
        query_text=dict.fromkeys(behaviours, texts),
    )


@pytest.fixture(scope="module")
def posterior() -> Posterior:
    """Flat in the scale, behaviours apart, with the log likelihood."""
    return fit(
        evaluation_of(),
        "gumbel_tail",
        chains=CHAINS,
        warmup=300,
        draws=DRAWS,
        target_ess=0.0,
        log_likelihood=True,
        log_scale_sd=np.inf,
        pool=False,
    )


def test_tree_has_the_groups_names_and_dims_of_arviz(posterior: Posterior) -> None:
    tree = posterior.tree
    assert set(tree.children) == {
        "posterior",
        "sample_stats",
        "constant_data",
        "evaluation",
        "log_likelihood",
    }
    scale = tree["posterior"]["scale"]
    assert scale.dims == ("chain", "draw", "behaviour")
    assert scale["behaviour"].to_numpy().tolist() == list(posterior.behaviours)
    np.testing.assert_array_equal(scale, posterior.draws["scale"])
    assert {"lp", "energy", "n_steps", "acceptance_rate", "diverging"} <= set(
        tree["sample_stats"].data_vars
    )
    assert tree["constant_data"]["excess"].dims == ("behaviour", "exceedance")
    cells = tree["log_likelihood"]["score_excess"]
    assert cells.dims == ("chain", "draw", "score_excess_cell")
    # An exponential density, cell by cell, from the labelled arrays alone.
    data, draws = tree["constant_data"], tree["posterior"]
    depth = data["excess"] / draws["scale"]
    known = -np.log(draws["scale"]) - depth
    expected = data["multiplicity"] * xr.where(data["censored"] > 0, -depth, known)
    seen = data["multiplicity"].to_numpy() > 0  # the others pad, and are left out
    np.testing.assert_allclose(
        cells, expected.transpose("chain", "draw", ...).to_numpy()[..., seen]
    )


def test_arviz_reads_the_tree_and_the_file(
    posterior: Posterior, tmp_path: Path
) -> None:
    path = posterior.save(tmp_path / "posterior.nc")
    for tree in (posterior.tree, az.from_netcdf(path)):
        summary = az.summary(
            tree, var_names=["scale", "rate"], ci_prob=0.9, ci_kind="eti"
        )
        assert len(summary) == 2 * len(BEHAVIOURS)
        rhat = az.rhat(tree, var_names=["scale"])["scale"]
        assert 0.99 < float(rhat.max()) < 1.05
        plots = az.plot_trace_dist(tree, var_names=["scale"], backend="matplotlib")
        assert plots is not None
        plt.close("all")


def test_save_and_load_give_back_the_same(posterior: Posterior, tmp_path: Path) -> None:
    again = loaded(posterior.save(tmp_path / "posterior.nc"))
    for part in ("draws", "statistics", "data", "pointwise"):
        arrays, others = getattr(posterior, part), getattr(again, part)
        assert arrays.keys() == others.keys()
        for name, values in arrays.items():
            np.testing.assert_array_equal(values, others[name], err_msg=name)
            assert posterior.dims.get(name, ()) == again.dims[name], name
    assert again.model == posterior.model
    assert again.verdict == posterior.verdict
    assert again.provenance == posterior.provenance
    assert again.settings == posterior.settings
    assert again.settings["log_scale_sd"] == np.inf
    assert again.settings["pool"] is False
    assert again.evaluation.digest == posterior.evaluation.digest
    texts = again.evaluation.riskiest["query_text"]
    assert set(TEXTS) == set(texts)
    assert texts.equals(posterior.evaluation.riskiest["query_text"])
    assert again.behaviours == BEHAVIOURS
    for behaviour in BEHAVIOURS:
        one, other = (p.population(behaviour) for p in (posterior, again))
        for level in (-0.1, -3.0, -20.0):
            np.testing.assert_array_equal(one.quantile(level), other.quantile(level))
    # A copy of a copy, over the file that was there.
    once_more = loaded(again.save(tmp_path / "posterior.nc"))
    assert once_more.provenance == posterior.provenance


def test_the_tree_says_in_json_where_it_comes_from(posterior: Posterior) -> None:
    provenance = json.loads(posterior.tree.attrs["provenance"])
    assert provenance["model"]["digest"] == catalog.load("gumbel_tail").digest
    assert provenance["data"] == posterior.evaluation.digest
    assert provenance["priors"]["log_scale_sd"] == "inf"
    assert (provenance["chains"], provenance["draws"]) == (CHAINS, DRAWS)
    assert {"pymc", "numpyro", "jax", "bayes-rare"} <= set(provenance["versions"])


def test_a_save_that_finds_no_room_leaves_what_was_there(
    posterior: Posterior, tmp_path: Path
) -> None:
    """The process goes on, and the fit is still there to be saved elsewhere."""
    path = tmp_path / "posterior.nc"
    path.write_text("what was there")
    with little_room(20_000), pytest.raises(InvalidInput, match=r"cannot write .*nc: "):
        posterior.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["posterior.nc"]
    assert path.read_text() == "what was there"
    assert loaded(posterior.save(path)).verdict == posterior.verdict


def test_files_that_are_no_posteriors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="there is no file"):
        loaded(tmp_path / "absent.nc")
    text = tmp_path / "text.nc"
    text.write_text("query_id,log_risk\n1,-3.2\n")
    with pytest.raises(InvalidData, match=r"is not a NetCDF file.*bayes-rare fit"):
        loaded(text)
    other = tmp_path / "other.nc"
    xr.Dataset({"x": ("y", np.arange(3.0))}).to_netcdf(other, engine="h5netcdf")
    with pytest.raises(InvalidData, match="`provenance` is missing"):
        loaded(other)


MARKED = """
from pathlib import Path
Path({marker!r}).touch()
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A posterior of a model file of a user's own, that file, and what it leaves."""
    folder = tmp_path_factory.mktemp("own")
    mine, marker = folder / "mine.py", folder / "it ran"
    source = (catalog.FOLDER / "gumbel_tail.py").read_text("utf-8")
    mine.write_text(source + MARKED.format(marker=str(marker)), "utf-8")
    path = fit(
        evaluation_of(("a",)), mine, chains=2, warmup=100, draws=100, target_ess=0.0
    ).save(folder / "posterior.nc")
    return path, mine, marker


def test_a_file_that_a_posterior_names_runs_only_if_the_user_names_it(
    own: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    path, mine, marker = own
    catalog._run.cache_clear()
    marker.unlink(missing_ok=True)
    with pytest.raises(NoSuchModel, match=r"--model-file mine\.py, or load_posterior"):
        loaded(path)
    changed = tmp_path / "mine.py"
    changed.write_bytes(mine.read_bytes() + b"# another\n")
    with pytest.raises(NoSuchModel, match=r"another version of mine\.py.*Fit again"):
        loaded(path, model_file=changed)
    with pytest.raises(NoSuchModel, match="there is no file"):
        loaded(path, model_file=tmp_path / "absent.py")
    assert not marker.exists()
    # Wherever it lies now, for it is known by its content.
    moved = tmp_path / "moved.py"
    shutil.copy(mine, moved)
    for given in (str(moved), [changed, moved]):
        if isinstance(given, str):
            assert loaded(path, model_file=given).model.path == moved
        else:
            with pytest.raises(InvalidInput, match="Leave it out of model_file"):
                loaded(path, model_file=given)
    assert marker.exists()


@pytest.mark.parametrize("command", ["forecast", "families", "queries", "report"])
def test_commands_take_the_file_of_a_model_of_yours(
    command: str,
    own: tuple[Path, Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, mine, marker = own
    catalog._run.cache_clear()
    marker.unlink(missing_ok=True)
    words = [command, str(path)]
    words += ["--queries", "1e4"] if command in ("forecast", "families") else []
    words += ["--output", str(tmp_path / "r.html")] if command == "report" else []
    words += ["--allow-unconverged"] if command == "queries" else []
    assert main(words) == 1
    said = capsys.readouterr().err
    assert "--model-file mine.py" in said
    assert said.count("\n") == 1
    assert not marker.exists()
    if command in ("forecast", "queries"):  # the others take longer
        assert main([*words, "--model-file", str(mine)]) == 0
        assert marker.exists()


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (
            {"name": "../mine", "path": ""},
            r"'\.\./mine', and no shipped model has",
        ),
        ({"name": "/etc/passwd", "path": ""}, "no shipped model has that name"),
        ({"name": "log_normal", "path": ""}, "another version of log_normal"),
        ({"name": "gpd_tail", "path": "../gumbel_tail.py"}, "--model-file"),
        ({"name": "mine", "path": "C:\\models\\mine.py"}, "--model-file mine.py"),
    ],
)
def test_names_of_models_that_come_from_a_file_leave_no_folder(
    named: dict[str, str],
    reason: str,
    posterior: Posterior,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Source, "run", lambda _: pytest.fail("it ran"))
    catalog._run.cache_clear()
    recorded = {**posterior.provenance["model"], **named}
    forged = replace(posterior, provenance={**posterior.provenance, "model": recorded})
    with pytest.raises(NoSuchModel, match=reason):
        loaded(forged.save(tmp_path / "forged.nc"))


def test_a_shipped_model_that_changed_names_the_version_that_knows_it(
    posterior: Posterior, tmp_path: Path
) -> None:
    recorded = {**posterior.provenance["model"], "digest": "0" * 64}
    versions = {**posterior.provenance["versions"], "bayes-rare": "0.0.7"}
    older = {**posterior.provenance, "model": recorded, "versions": versions}
    path = replace(posterior, provenance=older).save(tmp_path / "older.nc")
    with pytest.raises(
        NoSuchModel, match=r"Fit again.*pip install bayes-rare==0\.0\.7"
    ):
        loaded(path)


def test_a_file_of_a_model_that_nobody_asks_for_is_refused(
    posterior: Posterior, tmp_path: Path
) -> None:
    path = posterior.save(tmp_path / "posterior.nc")
    mine = tmp_path / "mine.py"
    mine.write_text("raise SystemExit\n", "utf-8")
    with pytest.raises(InvalidInput, match="Leave it out of model_file"):
        loaded(path, model_file=mine)
    with pytest.raises(InvalidInput, match=r"ending in \.py"):
        loaded(path, model_file=tmp_path / "mine.txt")


def test_a_worker_runs_the_model_that_was_read(
    own: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """Whatever has become of the file since."""
    path = tmp_path / "mine.py"
    shutil.copy(own[1], path)
    model = catalog.load(path)
    sent = pickle.dumps(model)
    path.write_text("raise SystemExit\n", "utf-8")
    assert pickle.loads(sent).digest == model.digest


def good_draws(seed: int) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Independent draws of all that a verdict looks at: nothing is wrong with them."""
    rng = np.random.default_rng(seed)
    shape = (4, 1000)
    draws = {
        "scale": rng.normal(size=(*shape, 2)),
        "level": rng.normal(size=(*shape, 20)),
        "log_scale_mean": rng.normal(size=shape),
        "known": np.ones((*shape, 2)),  # does not move, so there is nothing to judge
        "scale_offset": np.cumsum(rng.normal(size=(*shape, 2)), axis=1),
    }
    statistics = {
        "energy": rng.normal(size=shape),
        "diverging": np.zeros(shape, dtype=bool),
    }
    dims = {"scale": ("behaviour",), "level": ("family",), "known": ("behaviour",)}
    return draws, statistics, dims


def shift(draws: dict[str, Any], name: str, by: float) -> None:
    draws[name][0] += by


def walk(draws: dict[str, Any], name: str) -> None:
    """Make each value depend on the one before: an AR(1) of about 1 in 20 effective."""
    values = draws[name]
    for step in range(1, values.shape[1]):
        values[:, step] = 0.95 * values[:, step - 1] + 0.31 * values[:, step]


def spoil(draws: dict[str, Any], statistics: dict[str, Any], what: str) -> None:
    match what:
        case "chain apart":
            shift(draws, "scale", 0.53)
        case "few effective draws":
            walk(draws, "log_scale_mean")
        case "family apart":
            shift(draws, "level", 1.5)
        case "divergences":
            statistics["diverging"][1, :5] = True
        case "energy":
            statistics["energy"] = np.cumsum(statistics["energy"], axis=1)
        case "not a number":
            draws["scale"][2, 7, 0] = np.nan
        case "infinite":
            draws["scale"][2, 7, 0] = np.inf
        case _:
            raise AssertionError(what)


def test_good_draws_pass(seed: int) -> None:
    verdict = judge(*good_draws(seed))
    assert verdict.converged
    assert verdict.reasons == ()
    assert 0.999 < verdict.max_rhat < 1.01
    assert verdict.min_ess > 2000
    assert (verdict.divergences, verdict.transitions) == (0, 4000)
    assert verdict.divergence_share == 0
    assert verdict.min_bfmi > 1.5


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("chain apart", "^R-hat is 1.0[1-9]"),
        ("few effective draws", "effective sample size is .* below 400"),
        ("family apart", "R-hat of a family or query is"),
        ("divergences", "5 of 4000 transitions diverged"),
        ("energy", "E-BFMI is 0.0"),
        ("not a number", "not finite"),
        ("infinite", "not finite"),
    ],
)
def test_a_verdict_names_what_is_wrong(what: str, reason: str, seed: int) -> None:
    draws, statistics, dims = good_draws(seed)
    spoil(draws, statistics, what)
    verdict = judge(draws, statistics, dims)
    assert not verdict.converged
    found = [said for said in verdict.reasons if re.search(reason, said)]
    assert len(found) == 1, verdict.reasons


def test_single_families_are_judged_less_strictly(seed: int) -> None:
    draws, statistics, dims = good_draws(seed)
    shift(draws, "level", 0.53)
    as_families = judge(draws, statistics, dims)
    assert 1.01 < as_families.max_member_rhat < 1.05
    assert as_families.converged
    as_behaviours = judge(draws, statistics, dims | {"level": ("behaviour",)})
    assert as_behaviours.max_rhat == as_families.max_member_rhat
    assert not as_behaviours.converged


def test_divergences_are_allowed_up_to_one_in_a_thousand(seed: int) -> None:
    draws, statistics, dims = good_draws(seed)
    statistics["diverging"][0, :4] = True
    assert judge(draws, statistics, dims).converged


def test_an_unconverged_posterior_can_be_required_not_to_be(
    posterior: Posterior,
) -> None:
    draws, statistics, dims = good_draws(0)
    good = replace(posterior, verdict=judge(draws, statistics, dims))
    assert good.require_convergence() is good
    spoil(draws, statistics, "divergences")
    spoil(draws, statistics, "not a number")
    bad = replace(posterior, verdict=judge(draws, statistics, dims))
    with pytest.raises(NotConverged) as caught:
        bad.require_convergence("Or give --allow-unconverged.")
    for part in ("gumbel_tail", "not finite", "5 of 4000", "--warmup", "--allow-unc"):
        assert part in str(caught.value)
    assert "NOT CONVERGED" in repr(bad)
    assert "NOT CONVERGED" not in repr(good)


def test_a_population_is_asked_for_by_behaviour(posterior: Posterior) -> None:
    assert posterior.population(BEHAVIOURS[1]).draws == CHAINS * DRAWS
    worst = [posterior.population(name).quantile(-20.0) for name in BEHAVIOURS]
    assert (worst[0] != worst[1]).all()
    for wrong in (None, "d"):
        with pytest.raises(InvalidInput, match="It has: a, "):
            posterior.population(wrong)


def served_by(name: str) -> Evaluation:
    """An evaluation of a kind that a model takes."""
    if "exact" in catalog.load(name).accepts:
        return evaluation_of(("a", "b"))
    rng = np.random.default_rng(0)
    return Evaluation.from_counts(
        rng.binomial(20, 0.05, 60), np.full(60, 20), behaviour=["a", "b"] * 30
    )


@pytest.mark.filterwarnings("ignore:The effect of Potentials", "ignore:Numba will use")
@pytest.mark.parametrize("name", catalog.names())
def test_the_pymc_model_draws_from_its_prior(name: str) -> None:
    model = catalog.load(name)
    with model.build(served_by(name), **model.settings()):
        prior = pm.sample_prior_predictive(draws=50, random_seed=0)
    for group in ("prior", "prior_predictive"):
        assert prior[group].data_vars
        for variable in prior[group].data_vars.values():
            assert np.isfinite(variable).all()
            assert variable.sizes["draw"] == 50


@pytest.mark.slow
@pytest.mark.usefixtures("fast_pytensor")
@pytest.mark.filterwarnings("ignore:The effect of Potentials", "ignore:Numba will use")
@pytest.mark.parametrize(
    "name", [n for n in catalog.names() if not catalog.load(n).reference_only]
)
def test_the_pymc_model_is_sampled_by_pymc(name: str) -> None:
    posterior = fit(
        served_by(name), name, chains=1, warmup=50, draws=50, target_ess=0.0
    )
    with posterior.pymc_model():
        sampled = pm.sample(
            50,
            tune=50,
            chains=1,
            cores=1,
            random_seed=0,
            progressbar=False,
            quiet=True,
            compute_convergence_checks=False,
        )
        predicted = pm.sample_posterior_predictive(
            sampled, random_seed=0, progressbar=False
        )
    assert set(posterior.draws) == set(sampled["posterior"].data_vars)
    for variable in predicted["posterior_predictive"].data_vars.values():
        assert np.isfinite(variable).all()


def test_a_fit_and_an_average_are_both_fitted_and_check_their_arguments(
    posterior: Posterior,
) -> None:
    average = br.Average(
        (Member("one", posterior, dict.fromkeys(posterior.behaviours, 1.0), {}),),
        size=40,
    )
    for one in (posterior, average):
        assert isinstance(one, br.Fitted)
        name = type(one).__name__
        with pytest.raises(InvalidInput, match=f"top of {name}.query_risks is a numb"):
            one.query_risks(top="many")  # pyright: ignore[reportArgumentType]
        with pytest.raises(InvalidInput, match=f"path of {name}.save is a "):
            one.save(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidInput, match="is a Posterior or an Average, got 3"):
        br.query_risks(3)  # pyright: ignore[reportArgumentType]
