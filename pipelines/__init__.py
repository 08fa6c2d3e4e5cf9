"""The Dagster project, and the engine under it (plain functions) that keeps the rollups equal to the sales."""
