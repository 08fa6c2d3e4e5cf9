"""Exact verification and repair of facts and rollups, and rebuilding of one rollup. No Dagster."""

from pipelines.verification.report import DriftedRow, VerificationReport
from pipelines.verification.rollup_drift import rebuild_rollup
from pipelines.verification.verify import verify

__all__ = ["DriftedRow", "VerificationReport", "rebuild_rollup", "verify"]
