"""Keep the rollups equal to the sales: the engine (plain functions), its Dagster face, and the command line."""
