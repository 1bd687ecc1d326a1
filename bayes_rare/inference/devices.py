"""JAX as this package uses it: float64, one CPU device a core, programs kept on disk.

Importing this module sets JAX up; it must come before JAX first computes something in
this process. What the user has set (a cache directory, a number of devices) is kept.
"""

import contextlib
import os
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import jax

__all__ = ["cores", "jaxified_graph", "local_devices", "way_of_device"]

# A program that compiles faster than this is not worth a file.
_WORTH_KEEPING_SECONDS = 0.3


def cores() -> int:
    """Number of CPU cores that this process may use.

    ``BAYES_RARE_CORES`` in the environment limits them: several processes on one
    machine share its cores so.
    """
    limit = os.environ.get("BAYES_RARE_CORES", "")
    if limit.isdecimal() and int(limit) > 0:
        return int(limit)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _set_up() -> None:
    jax.config.update("jax_enable_x64", True)
    if "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        # JAX refuses once it has its devices: then chains share those that there are.
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", cores())
    if jax.config.jax_compilation_cache_dir is None:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        folder = Path(base) / "bayes_rare" / "jax"
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update(
            "jax_persistent_cache_min_compile_time_secs",
            _WORTH_KEEPING_SECONDS,
        )


@cache
def jaxified_graph() -> Callable[..., Any]:
    """PyMC's conversion of a graph to JAX.

    Importing it asks for a hundred CPU devices through the environment; that request is
    taken back, for this process and for its children.
    """
    flags = os.environ.get("XLA_FLAGS")
    try:
        conversion = import_module("pymc.sampling.jax")
    finally:
        if flags is None:
            os.environ.pop("XLA_FLAGS", None)
        else:
            os.environ["XLA_FLAGS"] = flags
    return conversion.get_jaxified_graph


def local_devices() -> list[Any]:
    """The devices that chains run on: those of JAX's default backend, one a core."""
    devices: list[Any] = [*jax.local_devices()]
    return devices[: cores()] if devices[0].platform == "cpu" else devices


def way_of_device() -> str:
    """How chains run side by side: ``"map"`` on CPUs, ``"vmap"`` on an accelerator."""
    return "map" if local_devices()[0].platform == "cpu" else "vmap"


_set_up()
