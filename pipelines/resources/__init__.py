"""Dagster resources: one file per external thing. They hold no URLs, so that none shows up in Dagster's UI."""

from pipelines.resources.job_reporter import JobReporter
from pipelines.resources.primary import Primary
from pipelines.resources.replica import Replica
from pipelines.resources.routes import open_routes
from pipelines.resources.warehouse import Warehouse

__all__ = ["JobReporter", "Primary", "Replica", "Warehouse", "open_routes"]
