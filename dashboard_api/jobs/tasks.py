"""End tasks that talk to Redis."""

import asyncio
from collections.abc import Iterable
from typing import Any

_AGAIN_AFTER_S = 0.05


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, and return when they are over; what they raised is left in them.

    redis-py sends within `asyncio.wait_for`, which up to Python 3.11 loses a cancellation that comes just as the sending is
    done (python/cpython#86296): so it is asked again.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_AGAIN_AFTER_S)
