"""Background jobs: their kinds, the job store, the bridge to Dagster, webhooks and exports."""
