"""Export a tenant's figures to files: plain functions, the dashboard role's connection in, counts out. No Dagster."""

from background_jobs.errors import ExportError
from background_jobs.exports.report import ExportResult, expire_exports, write_report

__all__ = ["ExportError", "ExportResult", "expire_exports", "write_report"]
