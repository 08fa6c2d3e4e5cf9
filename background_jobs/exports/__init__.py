"""Write a tenant's figures as a file: plain functions, a connection of the dashboard's role in, counts out. No Dagster."""

from background_jobs.exports.errors import ExportError
from background_jobs.exports.report import Exported, export_report

__all__ = ["ExportError", "Exported", "export_report"]
