"""Dagster assets: thin functions that call the engine and report metadata."""
