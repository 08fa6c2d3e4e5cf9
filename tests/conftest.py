"""Fixtures of every suite: real servers, started on first use."""

from hypothesis import settings

# An example on a loaded machine is slow, not wrong.
settings.register_profile("salespulse", deadline=None)
settings.load_profile("salespulse")

pytest_plugins = ["tests.servers", "tests.warehouse"]
