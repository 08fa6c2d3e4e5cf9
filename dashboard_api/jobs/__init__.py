"""Background jobs over HTTP: submit, list, follow, cancel, fetch results; and the endpoint for other systems' webhooks.

Jobs are stored in `background_jobs.store` and run by Dagster; nothing here blocks on either (docs/jobs-api.md).
"""
