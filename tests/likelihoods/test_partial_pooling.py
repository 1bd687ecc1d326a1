"""Priors that behaviours share: their densities by quadrature, their draws by tests."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy import stats
from scipy.special import ndtr

from bayes_rare.errors import InvalidInput
from bayes_rare.inference import devices
from bayes_rare.inference.density import density_of
from bayes_rare.likelihoods.partial_pooling import (
    _softplus,
    bounded_normal,
    draw_pooled,
    partially_pooled,
)


def bounded(bound: list[float], *, pool: bool = False, sd: float = 0.15) -> Any:
    """The log density and the parameter, as functions of what is sampled."""
    with pm.Model(coords={"behaviour": np.arange(len(bound))}) as model:
        bounded_normal(
            "shape", len(bound), pt.as_tensor(bound), mean=-0.05, sd=sd, spread=0.1,
            pool=pool,
        )  # fmt: skip
    return density_of(model)


GRID = np.linspace(-90.0, 30.0, 240_001)


def over_grid(density: Any) -> tuple[np.ndarray, np.ndarray, float]:
    """Density, parameter and step of a grid of the sampled offset of one behaviour."""
    offset = GRID[:, None]
    log_density = jax.vmap(density.log_density)(offset)
    shape = jax.vmap(density.constrain)(offset)["shape"]
    step = GRID[1] - GRID[0]
    return np.exp(np.asarray(log_density)), np.asarray(shape)[:, 0], step


@pytest.mark.parametrize("bound", [-5.0, -0.5, -0.1, 0.05, 0.3])
def test_a_bounded_normal_is_the_unnormalised_normal_above_its_bound(
    bound: float,
) -> None:
    density, shape, step = over_grid(bounded([bound]))
    assert (shape >= bound).all()
    prior = stats.norm(-0.05, 0.15)
    # Not 1: the mass below the bound is lost, as a likelihood of zero there loses it.
    assert density.sum() * step == pytest.approx(prior.sf(bound), rel=1e-8)
    for edge in np.linspace(bound, 0.6, 7):
        mass = density[shape > edge].sum() * step
        assert mass == pytest.approx(prior.sf(edge), rel=0, abs=2e-4)


def test_the_density_of_the_parameter_itself_by_a_change_of_variables() -> None:
    density, shape, _ = over_grid(bounded([-0.2]))
    jacobian = np.gradient(shape, GRID)
    inner = (shape > -0.2 + 1e-5) & (shape < 1.0)
    assert inner.sum() > 10_000
    np.testing.assert_allclose(
        density[inner] / jacobian[inner],
        stats.norm.pdf(shape[inner], -0.05, 0.15),
        rtol=1e-5,
    )


def test_a_flat_bounded_parameter_is_flat_above_its_bound() -> None:
    density, shape, _ = over_grid(bounded([-0.2], sd=np.inf))
    jacobian = np.gradient(shape, GRID)
    inner = (shape > -0.2 + 1e-5) & (shape < 20.0)
    np.testing.assert_allclose(density[inner] / jacobian[inner], 1.0, rtol=1e-5)


def test_pooled_behaviours_are_normal_about_a_mean_that_they_share() -> None:
    """Given mean and spread, each behaviour's mass is that above its own bound."""
    bound, centre, width = [-0.3, 0.1], 0.02, 0.08
    density = bounded(bound, pool=True)
    assert density.values == ("shape_mean", "shape_spread_log__", "shape_offset")
    grid = np.linspace(-60.0, 12.0, 1_801)
    pairs = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    log_density = jax.jit(
        jax.vmap(lambda w: density.log_density(centre, jnp.log(width), w))
    )(pairs)
    mass = np.exp(np.asarray(log_density)).sum() * (grid[1] - grid[0]) ** 2
    hyper = stats.norm.pdf(centre, -0.05, 0.15)
    # The width is sampled as its logarithm.
    hyper *= stats.lognorm.pdf(width, 0.5, scale=0.1) * width
    above = np.prod(ndtr((centre - np.array(bound)) / width))
    assert mass == pytest.approx(hyper * above, rel=1e-6)


def test_one_behaviour_is_as_unpooled() -> None:
    offset = np.array([[-3.0], [0.0], [2.0]])
    for one, other in (
        (bounded([0.1], pool=True), bounded([0.1], pool=False)),
        (pooled(1, pool=True), pooled(1, pool=False)),
    ):
        assert one.values == other.values
        assert len(one.values) == 1
        np.testing.assert_array_equal(
            jax.vmap(one.log_density)(offset), jax.vmap(other.log_density)(offset)
        )


@pytest.mark.parametrize("value", [-1e6, -710.0, -30.0, 0.0, 29.9, 30.1, 710.0, 1e6])
def test_softplus_and_its_gradient_are_finite_and_right(value: float) -> None:
    x = pt.dscalar("x")
    function = devices.jaxified_graph()(inputs=[x], outputs=[_softplus(x)])
    found, slope = jax.value_and_grad(lambda v: function(v)[0])(value)
    assert float(found) == pytest.approx(np.logaddexp(0, value), rel=1e-12, abs=1e-300)
    # Beyond the ends the slope is 0 or 1 to within 1e-13.
    expected = 0.5 * (1 + np.tanh(value / 2))
    assert float(slope) == pytest.approx(expected, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("offset", [-1e6, 1e6])
@pytest.mark.parametrize("bound", [-1e6, -0.3, 1e3])
def test_a_bounded_normal_has_a_finite_gradient_far_out(
    offset: float, bound: float
) -> None:
    density = bounded([bound])
    value, slope = jax.value_and_grad(density.log_density)(jnp.array([offset]))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


def pooled(behaviours: int, **choice: Any) -> Any:
    with pm.Model(coords={"behaviour": np.arange(behaviours)}) as model:
        partially_pooled("a", behaviours, mean=1.0, sd=2.0, spread=0.5, **choice)
    return density_of(model)


def test_centred_and_offset_are_one_prior() -> None:
    """The densities differ by the Jacobian of the offsets, ``spread ** behaviours``."""
    mean, log_spread = jnp.array(0.7), jnp.log(0.3)
    values = jnp.array([0.1, 0.9, 2.0])
    centred = pooled(3, pool=True, centred=True)
    free = pooled(3, pool=True)
    offset = (values - mean) / 0.3
    np.testing.assert_allclose(
        free.constrain(mean, log_spread, offset)["a"], values, rtol=1e-12
    )
    np.testing.assert_allclose(
        centred.log_density(mean, log_spread, values),
        free.log_density(mean, log_spread, offset) - 3 * log_spread,
        rtol=1e-12,
    )


@pytest.mark.parametrize("centred", [False, True])
def test_severed_behaviours_have_the_prior_of_the_mean(centred: bool) -> None:
    density = pooled(3, pool=False, centred=centred)
    values = np.array([0.1, 0.9, 2.0])
    assert density.values == ("a",)
    np.testing.assert_allclose(
        density.log_density(values), stats.norm.logpdf(values, 1, 2).sum()
    )


def test_drawn_parameters_have_the_moments_of_the_prior(
    rng: np.random.Generator,
) -> None:
    prior = {"mean": 1.0, "sd": 2.0, "spread": 0.5}
    drawn = [draw_pooled(rng, "a", 2, **prior, pool=True) for _ in range(20_000)]
    mean, spread = (np.array([d[f"a_{part}"] for d in drawn]) for part in
                    ("mean", "spread"))  # fmt: skip
    value = np.array([d["a"] for d in drawn])
    assert stats.kstest(mean, stats.norm(1, 2).cdf).pvalue > 1e-6
    assert stats.kstest(spread, stats.lognorm(0.5, scale=0.5).cdf).pvalue > 1e-6
    deviate = (value - mean[:, None]) / spread[:, None]
    assert stats.kstest(deviate.ravel(), stats.norm.cdf).pvalue > 1e-6
    # Var = sd ** 2 + E[spread ** 2] for one behaviour; what two share is sd ** 2.
    apart = (value - 1.0) ** 2
    between = 0.5**2 * np.exp(2 * 0.5**2)
    assert stats.ttest_1samp(apart[:, 0], 4.0 + between).pvalue > 1e-6
    assert stats.ttest_1samp(apart[:, 0], 4.0 + 3 * between).pvalue < 1e-6
    shared = (value[:, 0] - 1.0) * (value[:, 1] - 1.0)
    assert stats.ttest_1samp(shared, 4.0).pvalue > 1e-6
    assert stats.ttest_1samp(shared, 0.0).pvalue < 1e-6


@pytest.mark.parametrize(("behaviours", "pool"), [(1, True), (4_000, False)])
def test_severed_parameters_are_drawn_from_the_prior_of_the_mean(
    behaviours: int, pool: bool, rng: np.random.Generator
) -> None:
    drawn = np.concatenate(
        [
            draw_pooled(rng, "a", behaviours, mean=1.0, sd=2.0, spread=9.0, pool=pool)[
                "a"
            ]
            for _ in range(4_000 // behaviours)
        ]
    )
    assert drawn.size == 4_000
    assert stats.kstest(drawn, stats.norm(1, 2).cdf).pvalue > 1e-6
    assert stats.kstest(drawn, stats.norm(1, 2.5).cdf).pvalue < 1e-6


def test_a_flat_prior_cannot_be_drawn_from(rng: np.random.Generator) -> None:
    with pytest.raises(InvalidInput, match="Give a finite a_sd to simulate"):
        draw_pooled(rng, "a", 2, mean=0.0, sd=np.inf, spread=1.0, pool=True)
