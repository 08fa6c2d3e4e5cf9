"""Dagster resources: the servers, and the reporter of a run's background job."""

from pipelines.resources.job_reporter import JobReporter, RunReporter
from pipelines.resources.servers import Primary, Replica, Warehouse, open_routes

__all__ = ["JobReporter", "Primary", "Replica", "RunReporter", "Warehouse", "open_routes"]
