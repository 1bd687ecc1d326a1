"""What all fuzz tests share: how many examples, and what counts as a defect.

``make check`` runs some hundreds of examples of each kind, ``make fuzz`` 20,000;
``BAYES_RARE_FUZZ`` is their number, and ``BAYES_RARE_SEED`` picks others.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager

import hypothesis

from bayes_rare.errors import BayesRareError

EXAMPLES = int(os.environ.get("BAYES_RARE_FUZZ", "200"))

LONGEST_REFUSAL = 600
"""Characters of a refusal, whatever its input was."""


def fuzz(share: float = 1.0) -> hypothesis.settings:
    """Settings of a fuzz test, whose examples cost 1/``share`` of a usual one."""
    return hypothesis.settings(
        max_examples=max(int(EXAMPLES * share), 10),
        suppress_health_check=[
            hypothesis.HealthCheck.too_slow,
            hypothesis.HealthCheck.filter_too_much,
            hypothesis.HealthCheck.function_scoped_fixture,
            hypothesis.HealthCheck.data_too_large,
        ],
    )


@contextmanager
def refusals() -> Generator[list[BayesRareError]]:
    """Errors of ours, collected and held to be short; any other error is a defect."""
    seen: list[BayesRareError] = []
    try:
        yield seen
    except BayesRareError as error:
        text = str(error)
        assert text.strip(), "a refusal says something"
        assert len(text) <= LONGEST_REFUSAL, f"{len(text)} characters: {text}"
        seen.append(error)
