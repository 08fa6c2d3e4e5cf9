"""Dagster assets and asset checks: thin functions that call the engine and report metadata. Ops are in `pipelines.ops`."""
