"""Tags that this project puts on Dagster runs; those of background jobs stand in `pipelines.bridge.tags`."""

# Such a run applies everything that is pending, so that none beside it is needed.
DRAINS = "salespulse/drains"
DRAINS_TAGS = {DRAINS: "true"}

# Seconds until Dagster's run monitoring ends a run: without it, one whose worker died stays STARTED for ever.
MAX_RUNTIME = "dagster/max_runtime"
