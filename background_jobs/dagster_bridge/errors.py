"""What keeps the bridge from handing a job to Dagster."""

from dbconnect.errors import SalespulseError, UnavailableError


class DagsterAwayError(UnavailableError):
    """Dagster's code server or storage does not answer; the job waits and says so."""


class RunRefusedError(SalespulseError):
    """Dagster will never take this run: no such job, or a configuration that does not fit."""
