"""Deadlines: what makes progress is waited for."""

import contextlib
import itertools
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from dbconnect import load_settings
from dbconnect.errors import UnavailableError
from local_stack.errors import StackError
from local_stack.waiting import wait_until
from salespulse.demo import wait_until_drained


def test_a_deadline_that_passes_tells_what_was_waited_for() -> None:
    with pytest.raises(StackError, match=r"timed out after 0\.01 s waiting for the moon"):
        wait_until(lambda: False, timeout_s=0.01, what="the moon", every_s=0.001)
    with pytest.raises(StackError, match="for a reason"):
        wait_until(lambda: False, timeout_s=0.01, what=lambda: "a reason", every_s=0.001, progress=lambda: 1)


def test_progress_moves_the_deadline() -> None:
    polls = itertools.count()
    wait_until(
        lambda: next(polls) == 50, timeout_s=0.01, what="fifty polls", every_s=0.002, progress=lambda: next(polls)
    )


@pytest.mark.parametrize("is_moving", [True, False])
def test_the_demo_waits_as_long_as_the_queue_moves(is_moving: bool, monkeypatch) -> None:
    clock, queue = itertools.count(step=50), iter(range(10, -1, -1))
    later = datetime.now(UTC) + timedelta(days=1)

    def observe(connections) -> SimpleNamespace:
        queued = next(queue) if is_moving else 10
        return SimpleNamespace(
            is_pending=queued > 0, queued_documents=queued, pending_changes=0, horizon=1, shown_at=later
        )

    monkeypatch.setattr("salespulse.demo.fixtures.observe_source", observe)
    monkeypatch.setattr("salespulse.demo.fixtures.open_connections", lambda settings: contextlib.nullcontext())
    with contextlib.nullcontext() if is_moving else pytest.raises(UnavailableError, match="no progress for 120 s"):
        wait_until_drained(
            load_settings(), watch=lambda seen: None, clock=lambda: next(clock), wait=lambda seconds: None
        )
