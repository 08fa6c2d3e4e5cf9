"""Wait for a condition with a deadline: the only place of the package that sleeps."""

import time
from collections.abc import Callable

from local_stack.errors import StackError


def wait_until(
    condition: Callable[[], object],
    *,
    timeout_s: float,
    what: str | Callable[[], str],
    every_s: float = 0.02,
    progress: Callable[[], object] | None = None,
) -> None:
    """Return as soon as `condition()` is true.

    Args:
        condition: polled every `every_s` seconds; it may raise to give up early.
        timeout_s: seconds until giving up; with `progress`, seconds without any.
        what: ends the error's message, "... for <what>"; a callable is evaluated only then.
        every_s: seconds between two polls.
        progress: any value that changes while the work goes on, such as a position or a count.

    Raises:
        StackError: the time is up.
    """
    last_progress = None
    deadline = time.monotonic() + timeout_s
    while not condition():
        if progress is not None and last_progress != (last_progress := progress()):
            deadline = time.monotonic() + timeout_s
        if time.monotonic() >= deadline:
            raise StackError(f"timed out after {timeout_s:g} s waiting for {what if isinstance(what, str) else what()}")
        time.sleep(every_s)
