"""Dagster definitions for the stack's own tests: as little as can run."""

import dagster as dg


@dg.op
def answer() -> int:
    return 42


@dg.job(executor_def=dg.in_process_executor)
def trivial():
    answer()


defs = dg.Definitions(jobs=[trivial])
