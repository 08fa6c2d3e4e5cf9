"""The incremental refresh: changes past the watermark, signed differences, one warehouse transaction. No Dagster."""
