"""Wait on a condition with a deadline: the only place of the package that sleeps."""

import time
from collections.abc import Callable

from local_stack.errors import StackError


def wait_until(
    condition: Callable[[], object],
    *,
    timeout_s: float,
    what: str | Callable[[], str],
    every_s: float = 0.02,
) -> None:
    """Return as soon as `condition()` is true.

    Args:
        condition: asked every `every_s` seconds; it may raise to give up early.
        timeout_s: how long to go on asking.
        what: ends the error's message, "... for <what>"; a callable is asked only when time is up.
        every_s: seconds between two questions.

    Raises:
        StackError: the time is up.
    """
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            raise StackError(f"waited {timeout_s:g} s in vain for {what if isinstance(what, str) else what()}")
        time.sleep(every_s)
