"""NumPyro's NUTS for many chains: one compiled program for any number of fits.

A job is one chain of one data set. On CPUs each device runs its share of the jobs one
after the other, in a loop whose length is an argument of the program: so the draws of a
job are the same, bit for bit, alone and in any batch. On an accelerator the jobs of a
block run in step.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float
from numpyro.infer import NUTS

from bayes_rare.inference import devices
from bayes_rare.inference.density import Density

__all__ = ["MOST_DENSE", "STATISTICS", "Chain", "Job", "Sampler"]

type Array = Float[np.ndarray, "..."]
type Tree = Any

# JAX does not type what a loop carries.
lax: Any = jax.lax

STATISTICS = {
    "potential_energy": "lp",
    "energy": "energy",
    "num_steps": "n_steps",
    "accept_prob": "acceptance_rate",
    "diverging": "diverging",
}
"""NumPyro's fields that are kept, with ArviZ's names."""

MOST_DENSE = 64
"""Most unknowns that are scaled by a dense matrix: more would need a longer warm-up."""

# Slots of a compiled block on each CPU device; a call may fill fewer.
_SLOTS = 32
# Most jobs that an accelerator runs in step.
_STEP_SLOTS = 1024
# Aim for calls about this long, so that progress can be shown between them.
_CALL_SECONDS = 2.0
# Starting points tried, each jittered; the first with a finite density is taken.
_STARTS = 8
# NumPyro adds 1e-3 * 5 / (n + 5) to the variances that it learns from n steps. Where
# millions of queries know an unknown to 1e-3 that would be most of its variance, so a
# sampler that learns a dense matrix sees unknowns so many times larger.
_STRETCH = 30.0
# Doublings of a trajectory, while it warms up and after that. Until the matrix is
# learnt a narrow posterior takes all that are allowed, to no avail.
_DEPTHS: Any = (7, 10)  # its type says one number for both
# Where a dense matrix is learnt, chains first walk down to where the density is: a
# matrix learnt on the way there is narrow, long, and of no use.
_DESCENT = 300
_STRIDE = 0.1


@dataclass(frozen=True, eq=False)
class Job:
    """One chain to be run.

    Parameters
    ----------
    key
        Two words that seed the chain.
    data
        Arrays of the data set, in the order of the density's ``data``.
    target_accept
        Acceptance probability that the step size is adapted to, in (0, 1).
    initial
        Unconstrained values where a new chain starts, before jitter, in the order of
        the density's ``values``.
    state
        Sampler state to continue from; a new chain warms up first.
    """

    key: tuple[int, int]
    data: tuple[Array, ...]
    target_accept: float
    initial: tuple[Array, ...]
    state: Tree = None


@dataclass(frozen=True, eq=False)
class Chain:
    """Draws of one job: named quantities, statistics, and the state to go on from.

    Parameters
    ----------
    draws
        Free and derived quantities by name, with a leading axis (draw).
    pointwise
        Log likelihood of each observed cell, where it was asked for.
    statistics
        Sampler statistics under ArviZ's names, by draw.
    state
        Where the chain stands: what it goes on from.
    """

    draws: dict[str, Array]
    pointwise: dict[str, Array]
    statistics: dict[str, Array]
    state: Tree

    @property
    def length(self) -> int:
        """Number of draws."""
        return len(self.statistics["lp"])

    def followed_by(self, later: "Chain") -> "Chain":
        """The chain and its continuation, as one."""

        def joined(a: dict[str, Array], b: dict[str, Array]) -> dict[str, Array]:
            return {name: np.concatenate([a[name], b[name]]) for name in a}

        return Chain(
            draws=joined(self.draws, later.draws),
            pointwise=joined(self.pointwise, later.pointwise),
            statistics=joined(self.statistics, later.statistics),
            state=later.state,
        )


@dataclass(frozen=True, eq=False)
class Sampler:
    """NUTS for one density, compiled once for each shape of data.

    Parameters
    ----------
    density
        What to sample.
    warmup, draws
        Steps that adapt and are thrown away, and steps that are kept.
    pointwise
        Whether to compute the log likelihood of each observed cell.
    way
        ``"map"``: one job after the other on each device; ``"vmap"``: jobs in step.
    dense
        Whether to learn how all unknowns vary together, where they are few.
    """

    density: Density
    warmup: int
    draws: int
    pointwise: bool
    way: str
    dense: bool = False

    def run(
        self,
        jobs: Sequence[Job],
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> list[Chain]:
        """Run the jobs, all with data of one shape; results in their order."""
        chains: list[Chain] = []
        width = self._devices if self.way == "map" else 1
        size = 1
        while len(chains) < len(jobs):
            if self.way == "map":
                block = jobs[len(chains) : len(chains) + size * width]
            else:
                block = jobs[len(chains) : len(chains) + _STEP_SLOTS]
            start = time.monotonic()
            chains += self._run_block(block)
            seconds = max(time.monotonic() - start, 1e-3)
            size = int(np.clip(size * _CALL_SECONDS / seconds, 1, _SLOTS))
            progress(len(chains), len(jobs))
        return chains

    @property
    def _devices(self) -> int:
        return len(devices.local_devices())

    def _run_block(self, block: Sequence[Job]) -> list[Chain]:
        if self.way == "map":
            share = -(-len(block) // self._devices)
            slots = [
                min(device * share + slot, len(block) - 1) if slot < share else 0
                for device in range(self._devices)
                for slot in range(_SLOTS)
            ]
            counts = np.clip(
                len(block) - share * np.arange(self._devices), 0, share
            ).astype(np.int32)
            result = self._mapped(counts, self._inputs([block[slot] for slot in slots]))
            places = [
                (job // share) * _SLOTS + job % share for job in range(len(block))
            ]
        else:
            size = 1 << (len(block) - 1).bit_length()
            filled = [block[min(slot, len(block) - 1)] for slot in range(size)]
            result = self._stepped(self._inputs(filled))
            places = list(range(len(block)))
        host = jax.tree.map(np.asarray, result)
        return [Chain(*_row(host, place)) for place in places]

    def _inputs(self, jobs: Sequence[Job]) -> Tree:
        """The jobs as arrays with a leading axis."""
        blank = self._blank_state(jobs[0])
        states = [blank if job.state is None else job.state for job in jobs]
        return (
            np.array([job.key for job in jobs], dtype=np.uint32),
            np.array([job.state is None for job in jobs]),
            np.array([job.target_accept for job in jobs]),
            tuple(
                np.stack(column)
                for column in zip(*(job.data for job in jobs), strict=True)
            ),
            tuple(
                np.stack(column)
                for column in zip(*(job.initial for job in jobs), strict=True)
            ),
            jax.tree.map(lambda *leaves: np.stack(leaves), *states),
        )

    def _blank_state(self, job: Job) -> Tree:
        """A state of the right shape, for chains that have none yet."""
        shapes = tuple(array.shape for array in (*job.data, *job.initial))
        if shapes not in self._blanks:
            key = np.zeros(2, dtype=np.uint32)

            def state(key: Any, data: Any, initial: Any) -> Tree:
                return self._start(key, 0.8, data, initial)[1]

            def zeros(leaf: Any) -> np.ndarray:
                return np.zeros(leaf.shape, leaf.dtype)

            blank = jax.tree.map(
                zeros, jax.eval_shape(state, key, job.data, job.initial)
            )
            self._blanks[shapes] = blank
        return self._blanks[shapes]

    @cached_property
    def _blanks(self) -> dict[Any, Tree]:
        """Blank states by the shapes of the data."""
        return {}

    @property
    def _learns_all(self) -> bool:
        """Whether a dense matrix is learnt."""
        unknowns = sum(value.size for value in self.density.initial.values())
        return self.dense and unknowns <= MOST_DENSE

    @property
    def _stretch(self) -> float:
        """How many times larger than they are the sampler sees the unknowns."""
        return _STRETCH if self._learns_all else 1.0

    def _start(
        self,
        key: Any,
        target_accept: Any,
        data: tuple[Any, ...],
        initial: tuple[Any, ...],
    ) -> Any:
        """NUTS for one data set, and a state at a point of finite density."""
        names, stretch = self.density.values, self._stretch

        def potential(values: dict[str, Any]) -> Any:
            free = (values[name] / stretch for name in names)
            return -self.density.log_density(*free, *data)

        jitter_key, chain_key = jax.random.split(key)
        keys = jax.random.split(jitter_key, len(names))
        # The jitter shrinks from 1 to 0 over the candidates.
        radius = jnp.linspace(1.0, 0.0, _STARTS)
        candidates = {
            name: stretch
            * (
                value
                + jnp.reshape(radius, (-1, *[1] * value.ndim))
                * jax.random.uniform(
                    keys[index], (_STARTS, *value.shape), minval=-1.0, maxval=1.0
                )
            )
            for index, (name, value) in enumerate(zip(names, initial, strict=True))
        }
        finite = jnp.isfinite(jax.vmap(potential)(candidates))
        first = jnp.argmax(finite)
        position = {name: value[first] for name, value in candidates.items()}
        if self._learns_all:
            position = _descended(potential, position, _STRIDE * stretch)
        kernel = NUTS(
            potential_fn=potential,
            step_size=stretch,
            target_accept_prob=target_accept,
            dense_mass=self._learns_all,
            max_tree_depth=_DEPTHS if self._learns_all else _DEPTHS[1],
        )
        state = kernel.init(chain_key, self.warmup, position, (), {})
        return kernel, state

    def _chain(self, job: Tree) -> Tree:
        """Warm up (if new) and draw; the traced body of a job."""
        key, fresh, target_accept, data, initial, old = job
        kernel, new = self._start(key, target_accept, data, initial)
        state = jax.tree.map(partial(jnp.where, fresh), new, old)
        discard = jnp.where(fresh, self.warmup, 0)

        def step(index: Any, carry: Any) -> Any:
            state, buffer = carry
            state = kernel.sample(state, (), {})
            # Warm-up steps all land in the first row, which the first draw overwrites.
            row = jnp.maximum(index - discard, 0)
            return state, _with_row(buffer, row, _kept(state))

        start = (state, _zeros((self.draws,), _kept(state)))
        state, buffer = lax.fori_loop(0, discard + self.draws, step, start)
        values = [buffer["z"][name] / self._stretch for name in self.density.values]
        alike = (0,) * len(values) + (None,) * len(data)
        constrained = jax.vmap(self.density.constrain, alike)(*values, *data)
        pointwise = (
            jax.vmap(self.density.pointwise, alike)(*values, *data)
            if self.pointwise
            else {}
        )
        statistics = {STATISTICS[name]: buffer[name] for name in STATISTICS}
        statistics["lp"] = -statistics["lp"]
        step_size = state.adapt_state.step_size / self._stretch
        statistics["step_size"] = jnp.full(self.draws, step_size)
        return constrained, pointwise, statistics, state

    @cached_property
    def _stepped(self) -> Callable[..., Any]:
        return jax.jit(jax.vmap(self._chain))

    @cached_property
    def _mapped(self) -> Callable[..., Any]:
        def walk(count: Any, jobs: Tree) -> Tree:
            empty = _zeros((_SLOTS,), jax.eval_shape(self._chain, _row(jobs, 0)))

            def one(slot: Any, results: Tree) -> Tree:
                return _with_row(results, slot, self._chain(_row(jobs, slot)))

            return lax.fori_loop(0, count[0], one, empty)

        mesh = Mesh(np.array(devices.local_devices()), ("job",))
        spread = PartitionSpec("job")
        return jax.jit(
            jax.shard_map(
                walk, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False
            ),
            in_shardings=NamedSharding(mesh, spread),
        )


def _descended(potential: Callable[[Tree], Any], position: Tree, stride: Any) -> Tree:
    """The lowest of the points on a walk downhill, by Adam, with shrinking strides."""
    slope: Any = jax.value_and_grad(potential)

    def mean_of_slopes(mean: Any, gradient: Any) -> Any:
        return 0.9 * mean + 0.1 * gradient

    def mean_of_squares(mean: Any, gradient: Any) -> Any:
        return 0.99 * mean + 0.01 * gradient**2

    def step(index: Any, carry: Any) -> Any:
        here, first, second, lowest, best = carry
        value, gradient = slope(here)
        better = value < lowest
        best = jax.tree.map(partial(jnp.where, better), here, best)
        gradient = jax.tree.map(jnp.nan_to_num, gradient)
        first = jax.tree.map(mean_of_slopes, first, gradient)
        second = jax.tree.map(mean_of_squares, second, gradient)
        far = stride * (1 - index / _DESCENT) ** 2
        # Both means begin at zero, and are put right for that.
        moved = 1 - 0.9 ** (index + 1)
        seen = 1 - 0.99 ** (index + 1)

        def walked(place: Any, m: Any, v: Any) -> Any:
            return place - far * (m / moved) / (jnp.sqrt(v / seen) + 1e-30)

        here = jax.tree.map(walked, here, first, second)
        return here, first, second, jnp.where(better, value, lowest), best

    def zero(value: Any) -> Any:
        return 0.0 * value

    none = jax.tree.map(zero, position)
    start = (position, none, none, jnp.inf, position)
    return lax.fori_loop(0, _DESCENT, step, start)[-1]


def _kept(state: Any) -> Tree:
    """What is kept of a step: the values, and the statistics by NumPyro's names."""
    return {"z": state.z, **{name: getattr(state, name) for name in STATISTICS}}


def _row(tree: Tree, index: Any) -> Tree:
    """One row of every array of a tree."""

    def row(array: Any) -> Any:
        return array[index]

    return jax.tree.map(row, tree)


def _with_row(tree: Tree, index: Any, values: Tree) -> Tree:
    """A tree with one row of every array replaced."""

    def replaced(array: Any, value: Any) -> Any:
        return array.at[index].set(value)

    return jax.tree.map(replaced, tree, values)


def _zeros(leading: tuple[int, ...], like: Tree) -> Tree:
    """Zeros of the shapes and types of a tree, with further leading axes."""

    def zeros(leaf: Any) -> Any:
        return jnp.zeros((*leading, *leaf.shape), leaf.dtype)

    return jax.tree.map(zeros, like)
