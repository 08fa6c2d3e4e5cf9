"""The bridge between the job store in Redis and Dagster: `salespulse bridge`.

Plain functions that take one step each, with the clock as a parameter, and threads around them only in `process`.
"""
