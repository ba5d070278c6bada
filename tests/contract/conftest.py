"""Every operator of the registry under every check of `pyg_setops.testing`."""

import os

from hypothesis import HealthCheck, settings

# A compiled or twice differentiated operator takes as long as it takes; and what CI
# draws is what a developer draws.
settings.register_profile(
    "contract",
    deadline=None,
    max_examples=int(os.environ.get("CONTRACT_EXAMPLES", "25")),
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("contract")
