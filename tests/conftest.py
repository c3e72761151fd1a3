"""Settings that every test shares: hypothesis profiles and an empty kernel cache."""

from __future__ import annotations

import os
import tempfile

import pytest
from hypothesis import HealthCheck, settings

COMPILING_IS_SLOW = [HealthCheck.too_slow]

settings.register_profile(
    "default",
    deadline=None,
    max_examples=25,
    print_blob=True,
    suppress_health_check=COMPILING_IS_SLOW,
)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=500)
settings.load_profile(os.environ.get("MGRAD_HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """One empty kernel cache for the run; workers inherit its place."""
    if "MGRAD_CACHE_DIR" not in os.environ:
        cache = tempfile.TemporaryDirectory(prefix="mgrad-tests-")
        config.add_cleanup(cache.cleanup)
        os.environ["MGRAD_CACHE_DIR"] = cache.name
