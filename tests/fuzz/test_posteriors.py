"""Damaged files of posteriors and stacks: refused, or read as if they were whole."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from fuzzing import fuzz, refusals
from hypothesis import given
from hypothesis import strategies as st

from bayes_rare import catalog
from bayes_rare.errors import BayesRareError, InvalidData, NoSuchModel
from bayes_rare.evaluation import Evaluation
from bayes_rare.inference.stack import Stack, StackMember, load_stack
from bayes_rare.posterior import (
    Average,
    Posterior,
    Verdict,
    load,
    load_posterior,
    netcdf,
)
from bayes_rare.posterior.average import Member

CHAINS, DRAWS = 2, 20
GROUPS = ("posterior", "sample_stats", "constant_data", "log_likelihood", "evaluation")
LEVEL = math.log(1e-6)


def simulated(seed: int, behaviours: tuple[str, ...] = ("a", "b")) -> Posterior:
    """A posterior that nobody sampled: draws of the right shape around what is true."""
    rng = np.random.default_rng(seed)
    evaluation = Evaluation.from_scores(
        {name: rng.normal(-2, 0.4, 40) for name in behaviours},
        family={name: ["x", "y"] * 20 for name in behaviours},
    )
    model = catalog.load("log_normal")
    assert model.observe is not None
    data = model.observe(evaluation)
    shape = (CHAINS, DRAWS, len(behaviours))
    location, scale = rng.normal(-2, 0.1, shape), rng.uniform(0.3, 0.5, shape)
    draws = {"location": location, "scale": scale, "log_scale": np.log(scale)}
    statistics = {
        "energy": rng.normal(size=shape[:2]),
        "diverging": np.zeros(shape[:2], bool),
    }
    own = {name: ("behaviour",) for name in draws}
    lead = {n: ("behaviour", "cell")[: v.ndim] for n, v in data.items()}
    return Posterior(
        model=model,
        evaluation=evaluation,
        draws=draws,
        statistics=statistics,
        data=data,
        dims={**own, **lead, "y": ("y_cell",)},
        verdict=Verdict(1.001, 1.001, 900.0, 0, CHAINS * DRAWS, 0.9),
        provenance={
            "model": {"name": model.name, "digest": model.digest, "path": ""},
            "priors": catalog.plain(model.settings()),
            "data": evaluation.digest,
            "chains": CHAINS,
            "warmup": 20,
            "draws": DRAWS,
            "seed": 0,
            "draws_kept": DRAWS,
            "target_accept": 0.9,
            "device": "cpu",
            "versions": {"bayes-rare": "0.1.0"},
            "finished": "2026-01-01T00:00:00+00:00",
            "seconds": 1.0,
        },
        pointwise={"y": rng.normal(size=(CHAINS, DRAWS, 3))},
    )


def averaged(seed: int) -> Average:
    members = [simulated(seed), simulated(seed)]
    return Average(
        tuple(
            Member(label, one, {"a": share, "b": 1 - share}, {"a": 0.1, "b": 0.9})
            for label, one, share in zip(
                ("one", "two"), members, (0.25, 0.75), strict=True
            )
        ),
        notes=("a note",),
    )


def said(made: Posterior | Average) -> list[Any]:
    """All that a forecast rests on."""
    levels = [made.population(name).quantile(LEVEL) for name in ("a", "b")]
    parts = (
        [made] if isinstance(made, Posterior) else [m.posterior for m in made.members]
    )
    return [
        made.behaviours,
        made.evaluation.digest,
        made.verdict,
        [one.settings for one in parts],
        [one.provenance for one in parts],
        *([made.weights(), made.notes] if isinstance(made, Average) else []),
        np.concatenate(levels).tolist(),
    ]


class Saved:
    """A file, its bytes, its tree, and what it says."""

    def __init__(self, made: Posterior | Average, path: Path) -> None:
        made.save(path)
        self.path, self.content = path, path.read_bytes()
        with xr.open_datatree(io.BytesIO(self.content), engine="h5netcdf") as opened:
            self.tree = opened.load()
        self.said = said(load_posterior(path))

    def holds(self, path: Path, *, same: bool = True) -> None:
        """What is read of a damaged file is a refusal of ours, or what it was."""
        with refusals() as refused:
            found = said(load_posterior(path))
            assert np.isfinite(found[-1]).all()
            if same:
                assert found == self.said
        assert all(isinstance(one, InvalidData | NoSuchModel) for one in refused)


@pytest.fixture(scope="module", params=["one", "average"])
def saved(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Saved:
    folder = tmp_path_factory.mktemp("saved")
    made = simulated(0) if request.param == "one" else averaged(0)
    return Saved(made, folder / "posterior.nc")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged") / "posterior.nc"


@fuzz()
@given(data=st.data())
def test_bytes_that_changed_are_seen(
    saved: Saved, damaged: Path, data: st.DataObject
) -> None:
    content = bytearray(saved.content)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        what = data.draw(st.sampled_from(["flip", "cut", "insert", "blank"]))
        if what == "flip":
            content[place] ^= data.draw(st.integers(1, 255))
        elif what == "cut":
            # The last byte of all is not part of what HDF5 reads.
            del content[place : place + data.draw(st.integers(1, 5_000))]
        elif what == "insert":
            content[place:place] = data.draw(st.binary(min_size=1, max_size=9))
        else:
            content[place : place + 64] = bytes(len(content[place : place + 64]))
        if not content:
            break
    # Where the end is gone or spoilt too, the file is taken for one of another writer,
    # which is not to be tried at random: HDF5 itself may go round in circles.
    end, body = saved.content[-84:], saved.content[:-84]
    if not content.endswith(end) and not body.startswith(bytes(content[:-84])):
        content[-84:] = end
    damaged.write_bytes(content)
    saved.holds(damaged)


ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 3),
    st.just(10**400),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(
        ["../mine", "/etc/passwd", "mine.py", "../gpd_tail.py", "inf", "["]
    ),
    st.lists(st.integers(0, 2), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def places(value: Any, found: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in what JSON says."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [found, *(p for key, one in inner for p in places(one, (*found, key)))]


def changed(value: Any, data: st.DataObject) -> Any:
    """What JSON says, with one thing put in another's place, gone, or added."""
    whole = json.loads(json.dumps([value]))
    place = data.draw(st.sampled_from(places(whole)[1:]))
    holder = whole
    last: Any = place[len(place) - 1]
    for key in place[:-1]:
        holder = holder[key]
    what = data.draw(st.sampled_from(["put", "remove", "add"]))
    inside = holder[last]
    if what == "remove" and len(place) > 1:
        del holder[last]
    elif what == "add" and isinstance(inside, dict):
        inside[data.draw(st.text(max_size=4))] = data.draw(ODD)
    else:
        holder[last] = data.draw(ODD)
    return whole[0]


def _attribute(node: Any, data: st.DataObject) -> None:
    ours = [name for name in node.attrs if isinstance(node.attrs[name], str)]
    if not ours:
        return
    name = data.draw(st.sampled_from(sorted(ours)))
    what = data.draw(st.sampled_from(["json", "text", "remove", "rename", "number"]))
    if what == "json":
        try:
            node.attrs[name] = json.dumps(changed(json.loads(node.attrs[name]), data))
        except ValueError:
            node.attrs[name] = "x"
    elif what == "text":
        node.attrs[name] = data.draw(st.text(st.characters(codec="ascii"), max_size=9))
    elif what == "number":
        node.attrs[name] = data.draw(st.sampled_from([1, 1.5]))
    else:
        value = node.attrs.pop(name)
        if what == "rename":
            node.attrs[name + "_"] = value


def _variable(node: Any, data: st.DataObject) -> None:
    names = sorted(map(str, node.dataset.variables))
    if not names:
        return
    dataset = node.to_dataset()
    name = data.draw(st.sampled_from(names))
    values = dataset[name]
    if name in dataset.coords:
        node.dataset = dataset.drop_vars(name)
        return
    what = data.draw(
        st.sampled_from(["drop", "name", "type", "shape", "value", "units"])
    )
    if what == "drop":
        dataset = dataset.drop_vars(name)
    elif what == "name":
        dataset = dataset.rename_vars({name: name + "_"})
    elif what == "type" and values.dtype.kind in "biuf":
        kind = data.draw(st.sampled_from(["f4", "i8", "U9"]))
        with np.errstate(all="ignore"):
            dataset[name] = values.astype(kind)
    elif what == "shape":
        dim = str(data.draw(st.sampled_from(sorted(map(str, values.dims)) or ["new"])))
        dataset[name] = (
            values.isel({dim: 0}, drop=True)
            if dim in values.dims and data.draw(st.booleans())
            else values.expand_dims("new")
        )
    elif what == "units":
        dataset[name].attrs["units"] = "days since 2000-01-01"
    elif values.dtype.kind == "f" and values.size:
        array = values.to_numpy().copy()
        place = data.draw(st.integers(0, array.size - 1))
        array.flat[place] = data.draw(st.sampled_from([np.nan, np.inf, -1.0, 1e300]))
        dataset[name] = (values.dims, array)
    else:
        dataset[name] = (values.dims, np.roll(values.to_numpy(), 1))
    node.dataset = dataset


def _group(tree: Any, other: Any, data: st.DataObject) -> None:
    places = [node.path for node in tree.subtree if node.path != "/"]
    path = data.draw(st.sampled_from(sorted(places)))
    what = data.draw(st.sampled_from(["drop", "name", "swap"]))
    parent, _, name = path.rpartition("/")
    holder = tree[parent] if parent else tree
    child = holder.children[name].copy(deep=True)
    rest = {n: c.copy(deep=True) for n, c in holder.children.items() if n != name}
    if what == "name":
        rest[name + "_"] = child
    elif what == "swap":
        rest[name] = other[path].copy(deep=True)
    holder.children = rest


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Any]:
    """Trees of other posteriors, by how many groups they have."""
    folder = tmp_path_factory.mktemp("others")
    made = [Saved(one, folder / "other.nc").tree for one in (simulated(1), averaged(1))]
    return {len(tree.children): tree for tree in made}


@fuzz(0.5)
@given(data=st.data())
def test_content_that_changed_is_seen(
    saved: Saved, damaged: Path, others: dict[int, Any], data: st.DataObject
) -> None:
    tree = saved.tree.copy(deep=True)
    signed = data.draw(st.booleans())
    nodes = sorted(node.path for node in tree.subtree)
    what = data.draw(st.sampled_from(["attribute", "variable", "group"]))
    if what == "group":
        _group(tree, others[len(tree.children)], data)
    else:
        node = tree[data.draw(st.sampled_from(nodes))]
        change: Callable[[Any, st.DataObject], None] = (
            _attribute if what == "attribute" else _variable
        )
        change(node, data)
    if not signed:  # as an earlier version wrote it
        tree.attrs.pop("content_sha256", None)
    same = "content_sha256" in tree.attrs
    if data.draw(st.integers(0, 19)):  # to write and read takes most of the time
        asked: list[Path] = []

        def read(path: Path) -> xr.DataTree:
            asked.append(path)
            netcdf._refuse_changed(tree, path)
            return tree

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(load, "read_tree", read)
            saved.holds(damaged, same=same)
        assert asked == [damaged]
        return
    buffer = io.BytesIO()
    try:
        tree.to_netcdf(buffer, engine="h5netcdf")
    except (TypeError, ValueError):  # not to be written at all
        return
    damaged.write_bytes(buffer.getvalue())
    saved.holds(damaged, same=same)


def test_a_file_that_another_program_wrote_anew_is_read(
    saved: Saved, damaged: Path
) -> None:
    saved.tree.to_netcdf(damaged, engine="h5netcdf")
    assert said(load_posterior(damaged)) == saved.said


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_of_another_fit_is_refused(
    group: str, damaged: Path, tmp_path: Path
) -> None:
    tree = Saved(simulated(0), tmp_path / "one.nc").tree
    tree[group] = Saved(simulated(1), tmp_path / "other.nc").tree[group]
    tree.to_netcdf(damaged, engine="h5netcdf")
    with pytest.raises(InvalidData, match=rf"its group '/{group}' is not the one"):
        load_posterior(damaged)


@pytest.mark.parametrize(
    ("group", "what"),
    [
        *((group, "gone") for group in GROUPS if group != "log_likelihood"),
        *((group, "foreign") for group in ("posterior", "constant_data", "evaluation")),
    ],
)
def test_a_file_of_an_earlier_version_is_looked_at_part_by_part(
    group: str, what: str, damaged: Path, tmp_path: Path
) -> None:
    tree = Saved(simulated(0), tmp_path / "one.nc").tree
    del tree.attrs["content_sha256"]
    if what == "gone":
        del tree[group]
    else:
        other = simulated(1, ("a", "b", "c"))
        tree[group] = Saved(other, tmp_path / "other.nc").tree[group]
    tree.to_netcdf(damaged, engine="h5netcdf")
    with pytest.raises(InvalidData, match=r"posterior\.nc (is damaged|holds no)"):
        load_posterior(damaged)


@pytest.fixture(scope="module")
def members() -> tuple[StackMember, ...]:
    """Members of a stack, whose models have run: to import PyMC takes long."""
    names = ("gpd_tail", "log_normal")
    return tuple(StackMember(n, n, catalog.load(n).digest) for n in names)


@fuzz()
@given(data=st.data())
def test_a_stack_that_changed_is_seen(
    members: tuple[StackMember, ...], damaged: Path, data: st.DataObject
) -> None:
    names = [member.label for member in members]
    weights = {size: dict.fromkeys(names, 0.5) for size in (100, 1_000)}
    one = Stack(members, weights, {100: {"stack": 0.1}}, {100: 0.1}, ("a note",), "1f")
    text = json.dumps(changed(one.json(), data))
    if data.draw(st.booleans()):
        text = text[: data.draw(st.integers(0, len(text)))]
    damaged.write_text(text, "utf-8")
    with refusals():
        found = load_stack(damaged)
        for size in (1, 500, 10**9):
            shares = found.weights[found.nearest(size)]
            assert math.isclose(sum(shares.values()), 1, abs_tol=1e-5)
        json.dumps(found.json())
        for member in found.members:
            with refusals() as refused:
                model = member.load()
                model.settings(**catalog.from_plain(member.settings))
            assert all(isinstance(error, BayesRareError) for error in refused)
