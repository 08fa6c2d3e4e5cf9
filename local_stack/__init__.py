"""The embedded default: a PostgreSQL primary and standby, Redis, PgBouncer and Dagster, supervised on one machine."""
