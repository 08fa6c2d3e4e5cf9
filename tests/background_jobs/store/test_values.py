"""Which values may be submitted and reported, however odd; and which are refused, with a helpful message."""

import pytest

from background_jobs.store import (
    Caps,
    Deadlines,
    JobStoreOptions,
    JobUsageError,
    new_job_id,
)
from tests.background_jobs.store.conftest import running, submission

ODD = ["", "{braces}", "a:b", "ünïcødé 🛒", "nul\0inside", "new\nline", "x" * 255, "|,-", "*", "'\"\\"]


@pytest.mark.parametrize("text", ODD)
def test_odd_texts_come_back_as_they_were(store, text):
    more = {"tenant": text, "subject": text, "coalesce_key": text, "idempotency_key": text, "fingerprint": text}
    result = store.submit(submission(params={text: [text, 1.5, None, {"deep": True}]}, **more))
    job = store.get(result.job.id)
    assert (job.tenant, job.subject, job.coalesce_key) == (text, text, text)
    assert job.params == {text: [text, 1.5, None, {"deep": True}]}
    assert store.submit(submission(**more)).outcome == "replayed"
    assert store.submit(submission(**{**more, "idempotency_key": None})).outcome == "joined"
    assert store.list(text).jobs == [store.get(job.id)]
    [claim] = store.claim(limit=1)
    store.report(job.id, 1, step=text, message=text, counts={text: 1}, result={text: text})
    [event] = store.events(job.id, after_seq=3)
    assert (event.tenant, event.step, event.message, event.counts) == (
        text,
        text[:199] + "…" if len(text) > 200 else text,
        text,
        {text: 1},
    )
    assert store.succeed(job.id, claim.attempt).job.result == {text: text}


def test_tenants_with_like_names_are_apart(store):
    a = store.submit(submission(tenant="a", coalesce_key="b:c", idempotency_key="1:x"))
    b = store.submit(submission(tenant="a:b", coalesce_key="c", idempotency_key="x"))
    assert (a.outcome, b.outcome) == ("created", "created")
    assert [job.id for job in store.list("a").jobs] == [a.job.id]


def test_a_job_id_is_a_uuid_of_version_7_that_sorts_by_age():
    ids = [new_job_id() for _ in range(50)]
    assert len(set(ids)) == 50
    assert {(job_id[14], job_id[19] in "89ab") for job_id in ids} == {("7", True)}
    assert [job_id[:18] for job_id in ids] == sorted(job_id[:18] for job_id in ids)


def test_params_up_to_the_bound_are_kept_and_larger_ones_refused(store):
    text = "é" * ((1 << 19) - 10)
    job = store.submit(submission(params={"text": text})).job
    assert store.get(job.id).params == {"text": text}
    with pytest.raises(JobUsageError, match=r"params takes 10485.. bytes as JSON; at most 1048576 are kept"):
        store.submit(submission(params={"text": "é" * (1 << 19)}))
    running_one = running(store)
    with pytest.raises(JobUsageError, match="result takes"):
        store.succeed(running_one.id, 1, result={"text": "x" * (1 << 20)})
    assert not store.get(running_one.id).is_ended


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ({"kind": "no spaces"}, "a kind is 1 to 100 letters"),
        ({"kind": ""}, "a kind is"),
        ({"tenant": "x" * 256}, "tenant is text of at most 255"),
        ({"tenant": 7}, "tenant is text"),
        ({"subject": "\ud800"}, "subject holds half a character"),
        ({"id": "7"}, "a job id is a UUID"),
        ({"id": new_job_id().upper()}, "a job id is a UUID"),
        ({"priority": 11}, "priority is a whole number from -10 to 10, not 11"),
        ({"priority": True}, "priority"),
        ({"delay_s": -1}, "delay_s is a number of seconds from 0"),
        ({"delay_s": float("nan")}, "delay_s"),
        ({"retry_delay_s": float("inf")}, "retry_delay_s"),
        ({"max_attempts": 0}, "max_attempts is a whole number from 1"),
        ({"params": {"x": float("nan")}}, "params is an object of JSON"),
        ({"params": {"x": "\ud800"}}, "params is an object of JSON"),
        ({"params": {"x": object()}}, "params is an object of JSON"),
        ({"params": [1]}, "params is an object of JSON, not list"),
    ],
)
def test_an_invalid_submission_is_refused(store, named, says):
    with pytest.raises(JobUsageError, match=says):
        store.submit(submission(**named))
    assert store.list().jobs == []


@pytest.mark.parametrize("percent", [-0.1, 100.1, float("nan"), float("inf"), "50", True])
def test_a_percentage_is_from_0_to_100(store, percent):
    job = running(store)
    with pytest.raises(JobUsageError, match="percent is a number from 0 to 100"):
        store.report(job.id, 1, percent=percent)
    assert store.get(job.id).percent is None


def test_other_invalid_calls_are_refused(store):
    job = running(store)
    for call, says in [
        (lambda: store.report(job.id, 1, counts={"rows": float("nan")}), "counts is an object of JSON"),
        (lambda: store.report(job.id, 1, counts={"rows": "3"}), "counts are numbers by name"),
        (lambda: store.report(job.id, 1, counts={str(n): n for n in range(5000)}), "counts takes"),
        (lambda: store.fail(job.id, 1, "OOPS", "x"), "a failure's code is one of STEP_FAILURE"),
        (lambda: store.started(job.id, 0), "attempt is a whole number from 1"),
        (lambda: store.get("nonsense"), "a job id is a UUID"),
        (lambda: store.list(limit=0), "limit is a whole number"),
        (lambda: store.list(before="x"), "a cursor is what a page's `next` said"),
        (lambda: store.claim(limit=0), "limit is a whole number"),
        (lambda: store.events(job.id, after_seq=-1), "after_seq"),
        (lambda: store.set_gauge("Bad name", 1), "a metric's or label's name"),
        (lambda: Caps(per_tenant=-1), "per_tenant is a whole number"),
        (lambda: Deadlines(run_s=0), "run_s is a number of seconds"),
        (lambda: JobStoreOptions(prefix="jobs:"), "exactly one hash tag"),
        (lambda: JobStoreOptions(prefix="{a}{b}:"), "exactly one hash tag"),
        (lambda: JobStoreOptions(timeout_s=0), "timeout_s"),
        (lambda: JobStoreOptions(events_length=0), "events_length"),
    ]:
        with pytest.raises(JobUsageError, match=says):
            call()
    store.submit(submission(id=job.id)).outcome == "replayed"  # noqa: B015 - it must not raise
    with pytest.raises(JobUsageError, match="is of another kind or tenant"):
        store.submit(submission(id=job.id, tenant="other"))


def test_long_reports_are_shortened_and_unknown_jobs_are_nothing(store):
    job = running(store)
    store.report(job.id, 1, step="s" * 300, message="m" * 5_000 + "\ud800")
    seen = store.get(job.id)
    assert (len(seen.step), len(seen.message), seen.message[-1]) == (200, 4_000, "…")
    unknown = new_job_id()
    assert store.get(unknown) is store.cancel(unknown) is None
    assert store.events(unknown) == []
    for change in (store.started(unknown, 1), store.succeed(unknown, 1), store.fail(unknown, 1, "STEP_FAILURE", "x")):
        assert (change.job, change.applied) == (None, False)
    assert not store.report(unknown, 1).is_current
