"""Exact verification and repair of facts and rollups. No Dagster."""
