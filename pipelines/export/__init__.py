"""Write a tenant's figures as a file: plain functions, a connection of the dashboard's role in, counts out. No Dagster."""

from pipelines.export.errors import ExportError
from pipelines.export.report import Exported, export_report

__all__ = ["ExportError", "Exported", "export_report"]
