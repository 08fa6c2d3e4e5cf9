"""Single lifecycles that the reference store does not cover: outages, fences, retention, metrics, documents."""

import json

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from background_jobs.store import Deadlines, Job, JobCollector, JobState, JobStoreOptions, run_id_of
from tests.background_jobs.store.conftest import T0, running, states, submission

S = 1000
SHORT = Deadlines(queue_s=60, start_s=20, lease_s=10, run_s=100, cancel_s=15)


def test_a_lost_worker_is_retried_and_its_late_success_is_kept_apart(store):
    job = running(store, T0, max_attempts=2, retry_delay_s=5, deadlines=SHORT)
    assert store.sweep(now_ms=T0 + 9_999) == []
    [lost] = store.sweep(now_ms=T0 + 10_000)
    assert (lost.state, lost.code, lost.attempt) == ("retrying", "WORKER_LOST", 2)
    assert not store.report(job.id, 1, percent=90).is_current
    late = store.succeed(job.id, 1, now_ms=T0 + 11_000)
    assert (late.applied, late.job.state) == (False, "retrying")
    assert late.job.late_outcome == {"attempt": 1, "state": "succeeded", "code": None, "at_ms": T0 + 11_000}
    store.succeed(job.id, 1, now_ms=T0 + 12_000)
    assert store.claim(limit=1, now_ms=T0 + 14_999) == []
    [claim] = store.claim(limit=1, now_ms=T0 + 15_000)
    assert (claim.attempt, claim.run_id) == (2, run_id_of(job.id, 2))
    store.started(job.id, 2)
    assert store.fail(job.id, 2, "STEP_FAILURE", "no").job.state is JobState.FAILED
    assert store.stats().late_outcomes == {"export": 1}
    assert states(store, job.id) == [
        *("queued", "dispatched", "running", "retrying", "dispatched", "running", "failed")
    ]  # fmt: skip


def test_an_outage_is_not_held_against_the_workers(make_store):
    store = make_store(JobStoreOptions(timeout_s=30, sweep_gap_s=10))
    job = running(store, T0, deadlines=SHORT)
    store.sweep(now_ms=T0 + 5 * S)
    # Nobody could reach Redis for a minute, the sweeper included.
    assert store.sweep(now_ms=T0 + 65 * S) == []
    assert store.sweep(now_ms=T0 + 74_999) == []
    store.report(job.id, 1, now_ms=T0 + 74_999)
    assert store.sweep(now_ms=T0 + 84 * S) == []
    [lost] = store.sweep(now_ms=T0 + 85 * S)
    assert lost.code == "WORKER_LOST"


def test_a_run_that_never_reports_has_no_lease_but_a_deadline(store):
    job = running(store, T0, deadlines=Deadlines(lease_s=0, run_s=100))
    assert store.sweep(now_ms=T0 + 99_999) == []
    [late] = store.sweep(now_ms=T0 + 100_000)
    assert (late.id, late.state, late.code) == (job.id, "failed", "DEADLINE_EXCEEDED")
    # The bridge stops its run then, and Dagster says so: no contradiction.
    assert store.end_canceled(job.id, 1).job.late_outcome is None


@pytest.mark.parametrize(
    ("final_call", "state"), [("succeed", "succeeded"), ("fail", "failed"), ("end_canceled", "canceled")]
)
def test_a_canceling_run_ends_with_its_own_outcome(store, final_call, state):
    job = running(store, max_attempts=3)
    assert store.cancel(job.id).state is JobState.CANCELING
    assert store.cancel(job.id).seq == 4, "asking twice changes nothing"
    signal = store.report(job.id, 1)
    assert signal.is_current
    assert signal.is_cancel_requested
    more = ("STEP_FAILURE", "it broke") if final_call == "fail" else ()
    ended = getattr(store, final_call)(job.id, 1, *more)
    assert (ended.applied, ended.job.state) == (True, state)


def test_a_canceled_claim_is_shown_to_its_dispatcher_and_its_run(store):
    job = store.submit(submission()).job
    store.claim(limit=1)
    assert store.cancel(job.id).state is JobState.CANCELED
    change = store.dispatched(job.id, 1)
    assert (change.applied, change.job.state) == (False, JobState.CANCELED)
    signal = store.report(job.id, 1)
    assert not signal.is_current
    assert signal.is_cancel_requested


def test_calls_in_any_order_publish_every_state(store):
    job = store.submit(submission()).job
    store.claim(limit=1)
    assert store.succeed(job.id, 1, result={"rows": 3}).applied
    assert not store.started(job.id, 1).applied
    assert not store.dispatched(job.id, 1).applied
    assert states(store, job.id) == ["queued", "dispatched", "running", "succeeded"]
    done = store.get(job.id)
    assert (done.percent, done.result, done.late_outcome) == (100.0, {"rows": 3}, None)


def test_dagsters_own_retry_is_adopted_unless_ours_is_claimed(store):
    job = running(store, T0, max_attempts=3, retry_delay_s=0)
    store.fail(job.id, 1, "STEP_FAILURE", "it broke", now_ms=T0)
    [claim] = store.claim(limit=1, ttl_s=5, now_ms=T0)
    assert not store.adopt(job.id, 1, "dagsters-own", now_ms=T0 + 4_999).applied
    store.release(job.id, claim.attempt, waiting_for="Dagster retries it", delay_s=60, now_ms=T0 + 5_000)
    adopted = store.adopt(job.id, 1, "dagsters-own", now_ms=T0 + 5_000).job
    assert (adopted.state, adopted.attempt, adopted.run_id) == ("dispatched", 2, "dagsters-own")
    assert not store.adopt(job.id, 1, "dagsters-own").applied
    assert store.started(job.id, 2).job.run_id == "dagsters-own"
    assert store.claim(limit=1, now_ms=T0 + 600_000) == []


def test_a_submission_that_joins_brings_a_delayed_job_forward(store):
    later = store.submit(submission(coalesce_key="k", delay_s=60, priority=-1), now_ms=T0).job
    store.submit(submission(), now_ms=T0)
    joined = store.submit(submission(coalesce_key="k", priority=3), now_ms=T0 + 10 * S)
    assert (joined.outcome, joined.job.id, joined.job.priority) == ("joined", later.id, 3)
    assert store.claim(limit=1, now_ms=T0 + 12 * S)[0].job.id == later.id
    store.dispatched(later.id, 1, now_ms=T0 + 13 * S)
    assert store.stats().histograms["queue_wait", "export"].total_s == 3.0


def test_a_claimed_job_does_not_time_out_in_the_queue(store):
    job = store.submit(submission(deadlines=SHORT), now_ms=T0).job
    store.claim(limit=1, ttl_s=15, now_ms=T0 + 59 * S)
    assert store.sweep(now_ms=T0 + 73 * S) == []
    store.release(job.id, 1, waiting_for="Dagster's code server is unavailable", delay_s=0, now_ms=T0 + 73_500)
    assert store.claim(limit=1, now_ms=T0 + 73_500) == []
    failed = store.get(job.id)
    assert (failed.code, failed.message) == (
        "QUEUE_TIMEOUT",
        "not started within 60 s; it waited for: Dagster's code server is unavailable",
    )


def test_a_heartbeat_is_no_event(store):
    job = running(store)
    store.report(job.id, 1, percent=10, step="read")
    seq = store.get(job.id).seq
    for _ in range(3):
        store.report(job.id, 1)
        store.report(job.id, 1, percent=10, step="read")
    assert store.get(job.id).seq == seq


def test_waiting_jobs_show_what_all_jobs_wait_for(store):
    waiting, runs = store.submit(submission()).job, running(store)
    store.set_waiting("Dagster's code server is unavailable")
    assert store.get(waiting.id).waiting_for == store.waiting() == "Dagster's code server is unavailable"
    assert store.get(runs.id).waiting_for is None
    store.release(waiting.id, 1, waiting_for="its own reason", delay_s=0)
    assert store.get(waiting.id).waiting_for == "its own reason"
    store.set_waiting(None)
    assert store.waiting() is None


def test_the_queue_has_a_bound_per_tenant_and_in_all(make_store):
    from background_jobs.store import QueueFullError

    store = make_store(JobStoreOptions(timeout_s=30, queued_per_tenant=2, queued=3, full_retry_s=7))
    first = store.submit(submission(coalesce_key="k"))
    store.submit(submission())
    with pytest.raises(QueueFullError, match=r"the tenant's job queue is full \(2 waiting\)") as full:
        store.submit(submission())
    assert (full.value.scope, full.value.retry_after_s) == ("tenant", 7)
    assert store.submit(submission(coalesce_key="k")).outcome == "joined", "joining needs no room"
    assert store.submit(first.job and submission(id=first.job.id)).outcome == "replayed"
    store.submit(submission(tenant="other"))
    with pytest.raises(QueueFullError) as full:
        store.submit(submission(tenant="third"))
    assert full.value.scope == "all"
    store.dispatched(first.job.id, 1)
    assert store.submit(submission(tenant="third")).outcome == "created"


def test_streams_and_documents_expire_and_the_lists_are_pruned(make_store, client):
    options = JobStoreOptions(timeout_s=30, events_s=60, documents_s=600)
    store = make_store(options)
    job, live = running(store, T0), running(store, T0)
    store.succeed(job.id, 1, now_ms=T0 + 5 * S)
    assert 55 < client.ttl(f"{options.prefix}events:{job.id}") <= 60
    assert 595 < client.ttl(f"{options.prefix}job:{job.id}") <= 600
    store.fail(job.id, 1, "STEP_FAILURE", "late")
    assert 595 < client.ttl(f"{options.prefix}job:{job.id}") <= 600, "late news does not keep it for ever"
    assert store.prune(T0 + 604_999) == 0
    assert store.prune(T0 + 605_000) == 1
    assert store.get(job.id) is None
    assert store.events(job.id) == []
    assert [each.id for each in store.list().jobs] == [each.id for each in store.list("acme").jobs] == [live.id]
    left = {key.decode() for key in client.scan_iter("*")}
    assert not any(job.id in key for key in left)
    assert client.ttl(f"{options.prefix}job:{live.id}") == -1
    assert not store.restore(Job.from_document({**live.as_document(), "id": job.id, "state": "failed", "ended_at": "2026-09-21T00:00:00.000Z"}))  # fmt: skip


def test_pages_go_through_everything_once_newest_first(store):
    jobs = []
    for number in range(25):
        tenant = "acme" if number % 5 else "other"
        jobs.append(store.submit(submission(tenant=tenant, kind="ab"[number % 2]), now_ms=T0 + number // 4).job)
    for job in jobs[::2]:
        store.cancel(job.id)

    def through(**filters) -> list[str]:
        seen, cursor = [], None
        while True:
            page = store.list(limit=3, before=cursor, **filters)
            assert page.jobs or page.next is None
            seen += [job.id for job in page.jobs]
            cursor = page.next
            if cursor is None:
                return seen

    newest_first = sorted(jobs, key=lambda job: (job.created_ms, job.id), reverse=True)
    assert through() == [job.id for job in newest_first]
    assert through(tenant="acme", kind="b") == [
        job.id for job in newest_first if job.tenant == "acme" and job.kind == "b"
    ]
    ended = {job.id for job in jobs[::2]}
    assert through(states=[JobState.CANCELED]) == [job.id for job in newest_first if job.id in ended]
    assert through(states=["queued"]) == [job.id for job in newest_first if job.id not in ended]
    assert through(tenant="nobody") == []


def test_the_feed_has_every_event_in_order(store):
    end = store.feed_bounds()[1]
    jobs = [running(store, tenant=tenant) for tenant in ("a", "b")]
    events = store.feed(end)
    assert [(event.tenant, event.state.value, event.seq) for event in events] == [
        (tenant, state, seq) for tenant in "ab" for seq, state in enumerate(("queued", "dispatched", "running"), 1)
    ]
    assert [event.feed_id for event in events] == sorted(event.feed_id for event in events)
    assert store.feed(events[-1].feed_id, block_ms=1) == []
    assert store.feed_bounds() == (events[0].feed_id, events[-1].feed_id)
    store.report(jobs[0].id, 1, percent=5, message="half", counts={"rows": 2**53})
    [event] = store.feed(events[-1].feed_id, block_ms=100)
    assert json.loads(json.dumps(event.as_document()))["counts"] == {"rows": 2**53}


def test_a_document_is_json_and_gives_the_job_back(store):
    job = running(store, T0, params={"from": "2026-01-01", "deep": [1, {"é": None}]}, coalesce_key="k", max_attempts=2)
    store.fail(job.id, 1, "STEP_FAILURE", "it broke", now_ms=T0 + 1)
    store.succeed(job.id, 2, result={"file": "x"}, now_ms=T0 + 2)
    store.fail(job.id, 2, "STEP_FAILURE", "late", now_ms=T0 + 3)
    ended = store.get(job.id)
    document = json.loads(json.dumps(ended.as_document(), allow_nan=False))
    assert (document["state"], document["created_at"], document["is_ended"]) == (
        "succeeded",
        "2026-09-21T14:13:20.000Z",
        True,
    )
    assert document["late_outcome"] == {
        "attempt": 2,
        "state": "failed",
        "code": "STEP_FAILURE",
        "at": "2026-09-21T14:13:20.003Z",
    }
    assert Job.from_document(document) == ended


def test_metrics_are_exported_to_prometheus(store):
    done = running(store, T0, kind="export", deadlines=SHORT)
    store.succeed(done.id, 1, event_ms=T0 + 900, now_ms=T0 + 1_000)
    running(store, T0, kind="export", deadlines=SHORT)
    store.submit(submission("refresh"), now_ms=T0)
    store.set_gauge("dagster_daemon_heartbeat_age_seconds", 1.5, now_ms=T0)
    store.count("webhook_deliveries", {"outcome": "delivered"}, 3)
    store.count("webhook_deliveries", {"outcome": "gone"})
    registry = CollectorRegistry()
    registry.register(JobCollector(lambda: store.stats(now_ms=T0 + 20 * S)))
    lines = set(generate_latest(registry).decode().splitlines())
    assert {
        "jobs_store_up 1.0",
        'jobs_queue_depth{kind="refresh"} 1.0',
        'jobs_queue_depth{kind="export"} 0.0',
        'jobs_live{kind="export",state="running"} 1.0',
        "jobs_oldest_queued_age_seconds 20.0",
        'jobs_finished_total{code="",kind="export",state="succeeded"} 1.0',
        'jobs_attempts_total{kind="export"} 2.0',
        'jobs_run_seconds_bucket{kind="export",le="0.5"} 0.0',
        'jobs_run_seconds_bucket{kind="export",le="1.0"} 1.0',
        'jobs_e2e_seconds_sum{kind="export"} 1.0',
        'jobs_queue_wait_seconds_count{kind="export"} 2.0',
        'jobs_status_lag_seconds_sum{kind="export"} 0.1',
        "jobs_stale 1.0",
        "dagster_daemon_heartbeat_age_seconds 1.5",
        'webhook_deliveries_total{outcome="delivered"} 3.0',
        'webhook_deliveries_total{outcome="gone"} 1.0',
    } <= lines
    assert [job.code for job in store.sweep(now_ms=T0 + 90 * S)] == ["WORKER_LOST"]
    assert store.stats(now_ms=T0 + 90 * S).forced == {"WORKER_LOST": 1}
    assert store.stats(now_ms=T0 + 90 * S).gauges == {}, "a gauge that nobody sets any more is not shown"


def test_an_epoch_begins_once(make_store):
    store = make_store()
    assert store.epoch() is None
    epoch = store.begin_epoch()
    assert make_store().begin_epoch() == store.epoch() == epoch
