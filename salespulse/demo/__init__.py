"""The demonstration: real sales through a real primary, standby and Dagster into tables that are exact."""

from salespulse.demo.check import DemoFigures, totals_that_differ
from salespulse.demo.fixtures import OTHER_TENANT_NAME, prepare_sales, prepare_schema, wait_until_drained

__all__ = [
    "OTHER_TENANT_NAME",
    "DemoFigures",
    "prepare_sales",
    "prepare_schema",
    "totals_that_differ",
    "wait_until_drained",
]
