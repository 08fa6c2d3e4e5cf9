"""Errors as `dagster.Failure`: a message that says what to do, retried only where waiting can help."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from dbconnect.error_mapping import mapped_errors
from dbconnect.errors import LockTimeoutError, SalespulseError, UnavailableError
from pipelines.refresh import ForeignSourceError

# A server that restarts is back within a minute.
RETRIES = dg.RetryPolicy(max_retries=4, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


@contextmanager
def as_dagster_failure(what: str) -> Iterator[None]:
    """Turn the project's errors and those of the database into `dagster.Failure`, without their stack.

    Args:
        what: was under way, as in "refreshing".

    Raises:
        Failure: with the message as its description; retries are allowed if a server was away or busy. An
            unexpected error keeps its stack and is not retried.
    """
    try:
        with mapped_errors(what):
            yield
    except SalespulseError as error:
        may_pass = isinstance(error, UnavailableError | LockTimeoutError) and not isinstance(error, ForeignSourceError)
        raise dg.Failure(
            description=str(error), metadata={"error": type(error).__name__}, allow_retries=may_pass
        ) from None
    except dg.Failure:
        raise
    except Exception as error:
        raise dg.Failure(
            description=f"{what}: {type(error).__name__}: {error}",
            metadata={"error": type(error).__name__},
            allow_retries=False,
        ) from error
