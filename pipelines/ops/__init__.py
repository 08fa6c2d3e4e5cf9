"""Dagster ops: work that is asked for by name and makes no asset of its own. Thin; the plain functions do the work."""
