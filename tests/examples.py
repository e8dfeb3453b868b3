"""How many random examples are tried: few while typing, EXAMPLES times as many in CI."""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("EXAMPLES", "1"))


def examples(number: int) -> settings:
    """Settings for so many examples, or EXAMPLES times as many."""
    return settings(
        max_examples=number * EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck)
    )


# For the tests that say nothing of it.
settings.register_profile("few", examples(20))
settings.load_profile("few")
