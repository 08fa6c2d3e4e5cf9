"""The HTTP face of the background jobs: ask, list, follow, cancel, fetch; and the door for other systems' hooks.

Jobs live in `background_jobs.store` and are done by Dagster; nothing here waits for either (docs/jobs-api.md).
"""
