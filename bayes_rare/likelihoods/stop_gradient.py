"""A symbolic value that gradients take for a constant, in PyTensor and in JAX.

PyTensor has such a mark of its own, but its rewrites drop it before a graph becomes
JAX, where the gradient is taken.
"""

from typing import Any, override

import pytensor.gradient
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

__all__ = ["detached"]

# PyTensor types its graphs loosely.
_disconnected: Any = pytensor.gradient.DisconnectedType


class Detached(Op):
    """The identity, with no gradient."""

    __props__ = ()

    @override
    def make_node(self, *inputs: Any) -> Any:
        [value] = inputs
        return Apply(self, [value], [value.type()])

    @override
    def perform(self, node: Any, inputs: Any, output_storage: Any) -> None:
        output_storage[0][0] = inputs[0].copy()

    def infer_shape(self, _node: Any, shapes: Any) -> Any:
        """Shape of the output: that of the input."""
        return shapes

    def connection_pattern(self, _node: Any) -> list[list[bool]]:
        """No output depends on an input, as far as gradients go."""
        return [[False]]

    @override
    def pullback(self, inputs: Any, outputs: Any, cotangents: Any) -> Any:
        return [_disconnected()()]


_detached: Any = Detached()


def detached(value: Any) -> Any:
    """The value itself, which gradients take for a constant.

    Parameters
    ----------
    value
        A symbolic tensor.
    """
    _teach_jax()
    return _detached(value)


def _teach_jax() -> None:
    """Say once what the mark is in JAX; late, as importing JAX takes long."""
    global _taught
    if _taught:
        return
    import jax
    from pytensor.link.jax.dispatch.basic import jax_funcify

    register: Any = jax_funcify.register

    @register(Detached)
    def _as_jax(_op: Detached, **_: Any) -> Any:
        return jax.lax.stop_gradient

    _taught = True


_taught = False
