"""Measure the dashboards under a thousand users: `make bench-api`."""
