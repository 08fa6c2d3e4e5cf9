"""When a failed delivery is tried again."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from background_jobs.webhooks import RetryPlan


def test_ten_attempts_over_half_a_day():
    plan = RetryPlan()
    waits = [plan.delay_s(attempt, draw=lambda: 0.5) for attempt in range(1, plan.attempts + 1)]
    assert plan.attempts == 10
    assert waits[0] == 5
    assert waits[-1] is None
    assert all(sooner < later for sooner, later in pairwise(waits[:-1]))
    assert 12 * 3600 <= sum(waits[:-1]) <= 13 * 3600


@given(st.integers(1, 9), st.floats(0, 0.999999))
def test_waits_are_spread_by_a_fifth(attempt, drawn):
    wait = RetryPlan().delay_s(attempt, draw=lambda: drawn)
    assert 0.8 * RetryPlan().delays_s[attempt - 1] <= wait <= 1.2 * RetryPlan().delays_s[attempt - 1]


@pytest.mark.parametrize(("asked", "waited"), [(None, 5), (0, 5), (3, 5), (60, 60), (1e9, 6 * 3600)])
def test_retry_after_lengthens_a_wait_within_bounds(asked, waited):
    assert RetryPlan().delay_s(1, retry_after_s=asked, draw=lambda: 0.5) == waited


def test_retry_after_adds_no_attempt():
    assert RetryPlan().delay_s(10, retry_after_s=60) is None


@pytest.mark.parametrize("fields", [{"delays_s": (5, 1)}, {"delays_s": (-1,)}, {"jitter": 1}, {"jitter": -0.1}])
def test_a_plan_that_cannot_be_meant_is_refused(fields):
    with pytest.raises(ValueError):  # noqa: PT011 (each message is its own)
        RetryPlan(**fields)
