"""The kinds of job that may be asked for: one file each, one decorator. Imports nothing of Dagster.

    kind = KINDS["hello_world"]
    store.submit(kind.submission(tenant="t-1", subject="user:7", params={"steps": 3}))

The HTTP face, the command line and the bridge all read `KINDS`; adding a kind is adding a file here and the Dagster job that
it names (docs/howto/add-a-job.md).
"""

from background_jobs.kinds.errors import (
    KindDefinitionError,
    KindError,
    ParameterError,
    ParameterProblem,
    UnknownKindError,
)
from background_jobs.kinds.kind import OPERATOR, JobKind, Parameters
from background_jobs.kinds.registry import KINDS, job_kind, kind_named

__all__ = [
    "KINDS",
    "OPERATOR",
    "JobKind",
    "KindDefinitionError",
    "KindError",
    "ParameterError",
    "ParameterProblem",
    "Parameters",
    "UnknownKindError",
    "job_kind",
    "kind_named",
]
