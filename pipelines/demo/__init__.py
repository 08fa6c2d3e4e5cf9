"""The demonstration: real sales through a real primary, standby and Dagster into tables that are exact."""

from pipelines.demo.check import DemoFigures, totals_that_differ
from pipelines.demo.scene import prepare_sales, wait_until_drained

__all__ = ["DemoFigures", "prepare_sales", "totals_that_differ", "wait_until_drained"]
