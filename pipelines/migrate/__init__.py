"""Forward migrations: checksummed, under a lock. No Dagster."""
