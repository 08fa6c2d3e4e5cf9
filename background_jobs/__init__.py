"""Background jobs: the kinds that may be requested, their record, their way through Dagster, webhooks and exports."""
