"""A disk without room, for tests: files may not grow, and nothing is mocked."""

from collections.abc import Generator
from contextlib import contextmanager

import pytest


@contextmanager
def little_room(most: int) -> Generator[None]:
    """No file of this process may grow beyond so many bytes."""
    resource = pytest.importorskip("resource")  # not on Windows
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
