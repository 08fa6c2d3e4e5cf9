"""Build reports (read, compute, render, compress) in a process of their own, so that cached responses don't wait for it."""

from dashboard_api.report_process.builder import (
    BuilderState,
    BuiltReport,
    LocalReportBuilder,
    ReportRequest,
    figures_cache_bytes,
    max_concurrent_reads,
    report_cache_bytes,
)
from dashboard_api.report_process.remote import RemoteReportBuilder

__all__ = [
    "BuilderState",
    "BuiltReport",
    "LocalReportBuilder",
    "RemoteReportBuilder",
    "ReportRequest",
    "figures_cache_bytes",
    "max_concurrent_reads",
    "report_cache_bytes",
]
