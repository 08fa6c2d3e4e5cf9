"""Fixtures of every suite: real servers, started on first use."""

pytest_plugins = ["tests.servers", "tests.warehouse"]
