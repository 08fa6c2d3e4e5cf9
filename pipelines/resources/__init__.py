"""Dagster resources: one file per external thing."""
