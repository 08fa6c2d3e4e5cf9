"""Dagster resources: the servers, and the reporter of a run's background job."""

from pipelines.resources.connections import Primary, Replica, Warehouse, open_routes
from pipelines.resources.job_reporter import JobReporter, RunReporter

__all__ = ["JobReporter", "Primary", "Replica", "RunReporter", "Warehouse", "open_routes"]
