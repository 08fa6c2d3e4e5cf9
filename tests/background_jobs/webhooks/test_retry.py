"""When a failed delivery is retried."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from background_jobs.webhooks import RetrySchedule


def test_ten_attempts_over_half_a_day():
    plan = RetrySchedule()
    delays = [plan.delay_s(attempt, draw=lambda: 0.5) for attempt in range(1, plan.attempts + 1)]
    assert plan.attempts == 10
    assert delays[0] == 5
    assert delays[-1] is None
    assert all(sooner < later for sooner, later in pairwise(delays[:-1]))
    assert 12 * 3600 <= sum(delays[:-1]) <= 13 * 3600


@given(st.integers(1, 9), st.floats(0, 0.999999))
def test_delays_vary_by_a_fifth(attempt, sample):
    delay = RetrySchedule().delay_s(attempt, draw=lambda: sample)
    assert 0.8 * RetrySchedule().delays_s[attempt - 1] <= delay <= 1.2 * RetrySchedule().delays_s[attempt - 1]


@pytest.mark.parametrize(("retry_after_s", "delay_s"), [(None, 5), (0, 5), (3, 5), (60, 60), (1e9, 6 * 3600)])
def test_retry_after_lengthens_a_delay_within_bounds(retry_after_s, delay_s):
    assert RetrySchedule().delay_s(1, retry_after_s=retry_after_s, draw=lambda: 0.5) == delay_s


def test_retry_after_adds_no_attempt():
    assert RetrySchedule().delay_s(10, retry_after_s=60) is None


@pytest.mark.parametrize("fields", [{"delays_s": (5, 1)}, {"delays_s": (-1,)}, {"jitter": 1}, {"jitter": -0.1}])
def test_an_invalid_schedule_is_refused(fields):
    with pytest.raises(ValueError):  # noqa: PT011 (each message is its own)
        RetrySchedule(**fields)
