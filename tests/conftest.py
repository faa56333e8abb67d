"""Hypothesis profiles: quick at the desk, thorough in CI (HYPOTHESIS_PROFILE chooses another)."""

import os

from hypothesis import HealthCheck, settings

# How long an example takes tells of the machine's load, not of the code.
steady = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", steady, max_examples=30)
settings.register_profile("ci", steady, max_examples=100, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))
