"""The kinds of background job: one module and one decorator each. Nothing here imports Dagster.

    kind = KINDS["hello_world"]
    store.submit(kind.submission(tenant="t-1", subject="user:7", params={"steps": 3}))

The HTTP API, the command line and the bridge all read `KINDS`. To add a kind, add a module here and the Dagster job that it
names (docs/howto/add-a-job.md).
"""

import importlib
import pkgutil

from background_jobs.errors import JobParameterError, KindDefinitionError, KindError, ParameterProblem, UnknownKindError
from background_jobs.kinds.kind import (
    KINDS,
    OPERATOR,
    SYSTEM_TENANT,
    DateRangeParameters,
    JobKind,
    Parameters,
    get_kind,
    job_kind,
)

__all__ = [
    "KINDS",
    "OPERATOR",
    "SYSTEM_TENANT",
    "DateRangeParameters",
    "JobKind",
    "JobParameterError",
    "KindDefinitionError",
    "KindError",
    "ParameterProblem",
    "Parameters",
    "UnknownKindError",
    "get_kind",
    "job_kind",
]

# Each module registers its kind.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
