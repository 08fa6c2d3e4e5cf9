# ruff: noqa: INP001 - Celery imports it by its bare name
"""Celery's configuration for the stack's workers; `dagster_celery.app` finds it by this name on the Python path.

Everything that differs from machine to machine comes from the environment.
"""

import importlib
import os
from typing import Any

from celery.signals import worker_init
from dagster import DagsterInstance

broker_url = os.environ["SALESPULSE_CELERY_BROKER_URL"]
result_backend = broker_url
result_expires = 86400
broker_connection_retry_on_startup = True
worker_prefetch_multiplier = 1
# A process is replaced after so many runs, which bounds what leaks in one.
worker_max_tasks_per_child = 500
# On a busy machine a new process takes longer than the four seconds that Celery grants it.
worker_proc_alive_timeout = 120
worker_hijack_root_logger = False


@worker_init.connect  # type: ignore[untyped-decorator]  # Celery has no types
def _load_definitions(**_kwargs: Any) -> None:
    """Import, once and before the forks, what each process's first run would wait for. No connection outlives it."""
    importlib.import_module(os.environ["SALESPULSE_DEFINITIONS_MODULE"])
    with DagsterInstance.get() as instance:
        instance.get_run_ids(limit=1)
