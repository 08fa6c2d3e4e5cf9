"""A reference implementation of the job store in plain Python: one dict of jobs, and each query scans all of them."""

from collections import Counter

from background_jobs.store import Caps, JobState, Submission, run_id_of
from tests.background_jobs.store.reference_job import ReferenceJob

WAITS = {"queued", "retrying"}
FORCED = {"WORKER_LOST", "START_TIMEOUT", "QUEUE_TIMEOUT", "DEADLINE_EXCEEDED"}


class ReferenceStore:
    """All jobs, with the operations of the store."""

    def __init__(self) -> None:
        self.jobs: dict[str, ReferenceJob] = {}
        self.keys: dict[tuple, tuple] = {}
        self.slots: dict[tuple, str] = {}
        self.turns: dict[str, int] = {}
        self.counts: Counter = Counter()
        self.observed: Counter = Counter()
        self.numbers = 0
        self.turn = 0
        self.resumed_ms = 0
        self.swept_ms: int | None = None

    # --- the queue

    def waiting(self, tenant: str | None = None) -> list[ReferenceJob]:
        return [job for job in self.jobs.values() if job.state in WAITS and tenant in {None, job.submission.tenant}]

    def flying(self, *, tenant: str | None = None, kind: str | None = None) -> int:
        return sum(
            job.is_flying and tenant in {None, job.submission.tenant} and kind in {None, job.submission.kind}
            for job in self.jobs.values()
        )

    def _ready(self, job: ReferenceJob) -> None:
        job.is_ready = True
        if job.submission.tenant not in self.turns:
            self.turn += 1
            self.turns[job.submission.tenant] = self.turn

    def _enqueue(self, job: ReferenceJob, now: int) -> None:
        if job.available_ms <= now:
            self._ready(job)

    def _dequeue(self, job: ReferenceJob) -> None:
        job.is_ready = False
        tenant = job.submission.tenant
        if not any(other.is_ready for other in self.waiting(tenant)):
            self.turns.pop(tenant, None)

    def _wake(self, now: int) -> None:
        delayed = [job for job in self.waiting() if not job.is_ready and job.claimed_until_ms is None]
        for job in sorted(delayed, key=lambda job: (job.available_ms, job.id)):
            if job.available_ms <= now:
                self._ready(job)
        claimed = [job for job in self.waiting() if job.claimed_until_ms is not None]
        for job in sorted(claimed, key=lambda job: (job.claimed_until_ms, job.id)):
            if job.claimed_until_ms <= now:
                job.claimed_until_ms = None
                self._ready(job)

    def _drop_slot(self, job: ReferenceJob) -> None:
        if self.slots.get(job.slot) == job.id:
            del self.slots[job.slot]

    # --- steps

    def _emit(self, job: ReferenceJob, what: str) -> None:
        job.seq += 1
        job.events.append((job.seq, what, job.state, job.attempt))

    def _enter(self, job: ReferenceJob, state: str) -> None:
        job.state = state
        self._emit(job, "state")

    def _begin_waiting(self, job: ReferenceJob, available: int, now: int) -> None:
        job.available_ms = job.queued_ms = available
        job.deadline_ms = available + round(job.submission.deadlines.queue_s * 1000)
        self._enqueue(job, now)

    def _end_waiting(self, job: ReferenceJob) -> None:
        self._dequeue(job)
        self._drop_slot(job)
        job.claimed_until_ms = job.waiting_for = None

    def _observe(self, name: str, job: ReferenceJob, ms: int) -> None:
        self.observed[name, job.submission.kind, "count"] += 1
        self.observed[name, job.submission.kind, "sum"] += max(ms, 0)

    def _dispatch(self, job: ReferenceJob, run_id: str, now: int) -> None:
        self._end_waiting(job)
        self.counts["attempts", job.submission.kind] += 1
        if job.attempt == 1:
            self._observe("queue_wait", job, now - job.queued_ms)
        job.started_ms = job.heartbeat_ms = job.code = job.message = job.step = job.percent = job.result = None
        job.dispatched_ms, job.run_id = now, run_id
        self._enter(job, "dispatched")
        job.deadline_ms = now + round(job.submission.deadlines.start_s * 1000)

    def _running_until(self, job: ReferenceJob) -> int:
        spans = job.submission.deadlines
        stop = job.started_ms + round(spans.run_s * 1000)
        return min(stop, job.heartbeat_ms + round(spans.lease_s * 1000)) if spans.lease_s else stop

    def _advance(self, job: ReferenceJob, now: int) -> None:
        if job.state in WAITS:
            self._dispatch(job, run_id_of(job.id, job.attempt), now)
        if job.state == "dispatched":
            job.started_ms = job.heartbeat_ms = now
            self._enter(job, "running")
            job.deadline_ms = self._running_until(job)

    def _end(self, job: ReferenceJob, state: str, now: int, **more) -> None:
        if job.state in WAITS:
            self._end_waiting(job)
        for name, value in more.items():
            setattr(job, name, value)
        job.ended_ms, job.deadline_ms = now, None
        self._enter(job, state)
        self.counts["finished", job.submission.kind, state, job.code or ""] += 1
        self._observe("e2e", job, now - job.created_ms)
        if job.started_ms is not None:
            self._observe("run", job, now - job.started_ms)

    def _fail(self, job: ReferenceJob, code: str, message: str, now: int, *, may_retry: bool) -> None:
        if job.state in WAITS and code not in {"QUEUE_TIMEOUT", "DISPATCH_FAILED"}:
            self._dispatch(job, run_id_of(job.id, job.attempt), now)
        has_more = job.attempt < job.submission.max_attempts
        if may_retry and has_more and job.state in {"dispatched", "running"}:
            job.attempt += 1
            job.code, job.message, job.heartbeat_ms = code, message, None
            self._enter(job, "retrying")
            self._begin_waiting(job, now + round(job.submission.retry_delay_s * 1000), now)
        else:
            self._end(job, "failed", now, code=code, message=message)

    def _late(self, job: ReferenceJob, attempt: int, state: str, now: int, code: str | None = None) -> None:
        if job.attempt == attempt:
            if job.state == state or (state == "canceled" and job.code in FORCED):
                return
        elif state != "succeeded":
            return
        if job.late is None or job.late[:3] != (attempt, state, code):
            job.late = (attempt, state, code, now)
            self.counts["late", job.submission.kind] += 1

    # --- operations; each says whether it changed the job

    def submit(self, of: Submission, now: int) -> tuple[str, str]:
        """The outcome (or "conflict") and the job's id."""
        key = (of.tenant, of.idempotency_key)
        if of.idempotency_key is not None and key in self.keys:
            job_id, fingerprint = self.keys[key]
            return ("replayed" if fingerprint == of.fingerprint else "conflict"), job_id
        available = now + round(of.delay_s * 1000)
        slot = (of.tenant, of.kind, of.coalesce_key)
        if of.coalesce_key is not None and slot in self.slots:
            job = self.jobs[self.slots[slot]]
            job.joined += 1
            if of.priority > job.priority or available < job.available_ms:
                self._dequeue(job)
                job.priority = max(job.priority, of.priority)
                job.available_ms, job.queued_ms = min(job.available_ms, available), min(job.queued_ms, available)
                self._enqueue(job, now)
            outcome = "joined"
        else:
            self.numbers += 1
            job = ReferenceJob(of.id, of, self.numbers, of.priority, now, available)
            self.jobs[job.id] = job
            self._enter(job, "queued")
            self._begin_waiting(job, available, now)
            if of.coalesce_key is not None:
                self.slots[slot] = job.id
            outcome = "created"
        if of.idempotency_key is not None:
            self.keys[key] = (job.id, of.fingerprint)
        return outcome, job.id

    def claim(self, limit: int, caps: Caps, lease_ms: int, now: int) -> list[str]:
        self._wake(now)
        claimed: list[str] = []
        tenants = sorted(self.turns, key=self.turns.__getitem__)
        while tenants and len(claimed) < limit:
            served = []
            for tenant in tenants:
                job = None if len(claimed) == limit else self._claim_one(tenant, caps, now)
                if job is not None:
                    job.claimed_until_ms = now + lease_ms
                    self._dequeue(job)
                    self._drop_slot(job)
                    self.turn += 1
                    if tenant in self.turns:
                        self.turns[tenant] = self.turn
                    claimed.append(job.id)
                    served.append(tenant)
            tenants = served
        return claimed

    def _claim_one(self, tenant: str, caps: Caps, now: int) -> ReferenceJob | None:
        if self.flying(tenant=tenant) >= caps.per_tenant:
            return None
        full = {kind for kind, cap in caps.per_kind.items() if self.flying(kind=kind) >= cap}
        ready = [job for job in self.waiting(tenant) if job.is_ready and job.submission.kind not in full]
        for job in sorted(ready, key=lambda job: (-job.priority, job.number)):
            if job.deadline_ms > now:
                return job
            self._enforce(job, now)
        return None

    def _is_current(self, job: ReferenceJob, attempt: int) -> bool:
        return job.is_live and job.attempt == attempt

    def release(self, job_id: str, attempt: int, reason: str, delay_ms: int, now: int) -> bool:
        job = self.jobs[job_id]
        if not self._is_current(job, attempt) or job.state not in WAITS:
            return False
        self._dequeue(job)
        job.claimed_until_ms, job.waiting_for, job.available_ms = None, reason, now + delay_ms
        self._enqueue(job, now)
        if job.state == "queued" and job.slot is not None:
            self.slots.setdefault(job.slot, job.id)
        return True

    def dispatched(self, job_id: str, attempt: int, now: int) -> bool:
        job = self.jobs[job_id]
        if not self._is_current(job, attempt) or job.state not in WAITS:
            return False
        self._dispatch(job, run_id_of(job_id, attempt), now)
        return True

    def started(self, job_id: str, attempt: int, now: int) -> bool:
        job = self.jobs[job_id]
        if not self._is_current(job, attempt) or job.state == "running":
            return False
        if job.state == "canceling":
            if job.started_ms is None:
                job.started_ms = job.heartbeat_ms = now
            return False
        self._advance(job, now)
        return True

    def report(self, job_id: str, attempt: int, now: int, **new) -> tuple[bool, bool]:
        job = self.jobs[job_id]
        if not self._is_current(job, attempt):
            return False, job.attempt == attempt and job.state == "canceled"
        if job.state != "canceling":
            self._advance(job, now)
        job.heartbeat_ms = now
        if job.state == "running":
            job.deadline_ms = self._running_until(job)
        if any(getattr(job, name) != value for name, value in new.items()):
            for name, value in new.items():
                setattr(job, name, value)
            self._emit(job, "progress")
        return True, job.state == "canceling"

    def succeed(self, job_id: str, attempt: int, result: dict | None, now: int) -> bool:
        job = self.jobs[job_id]
        if not self._is_current(job, attempt):
            self._late(job, attempt, "succeeded", now)
            return False
        if job.state != "canceling":
            self._advance(job, now)
        self._end(job, "succeeded", now, percent=100.0, code=None, result=job.result if result is None else result)
        return True

    def fail(self, job_id: str, attempt: int, code: str, now: int, *, may_retry: bool) -> bool:
        job = self.jobs[job_id]
        if not self._is_current(job, attempt):
            self._late(job, attempt, "failed", now, code)
            return False
        self._fail(job, code, "it broke", now, may_retry=may_retry)
        return True

    def end_canceled(self, job_id: str, attempt: int, now: int) -> bool:
        job = self.jobs[job_id]
        if not self._is_current(job, attempt):
            self._late(job, attempt, "canceled", now)
            return False
        self._end(job, "canceled", now, code=None)
        return True

    def adopt(self, job_id: str, attempt: int, run_id: str, now: int) -> bool:
        job = self.jobs[job_id]
        is_free = job.claimed_until_ms is None or job.claimed_until_ms <= now
        if job.state != "retrying" or job.attempt != attempt + 1 or not is_free:
            return False
        self._dispatch(job, run_id, now)
        return True

    def cancel(self, job_id: str, now: int) -> None:
        job = self.jobs[job_id]
        if job.state == "queued":
            self._end(job, "canceled", now)
        elif job.is_live and job.state != "canceling":
            if job.state in WAITS:
                self._end_waiting(job)
            job.canceling_ms = now
            self._enter(job, "canceling")
            job.deadline_ms = now + round(job.submission.deadlines.cancel_s * 1000)

    # --- deadlines

    def time_limit(self, job: ReferenceJob) -> tuple[int, str]:
        spans = job.submission.deadlines
        if job.state in WAITS:
            return max(job.deadline_ms, job.claimed_until_ms or 0), "QUEUE_TIMEOUT"
        if job.state == "dispatched":
            return max(job.dispatched_ms, self.resumed_ms) + round(spans.start_s * 1000), "START_TIMEOUT"
        if job.state == "canceling":
            return max(job.canceling_ms, self.resumed_ms) + round(spans.cancel_s * 1000), "CANCEL"
        stop = job.started_ms + round(spans.run_s * 1000)
        lease = max(job.heartbeat_ms, self.resumed_ms) + round(spans.lease_s * 1000)
        if not spans.lease_s or stop <= lease:
            return stop, "DEADLINE_EXCEEDED"
        return lease, "WORKER_LOST"

    def _enforce(self, job: ReferenceJob, now: int) -> None:
        _, code = self.time_limit(job)
        spans = job.submission.deadlines
        message = {
            "QUEUE_TIMEOUT": f"not started within {spans.queue_s:g} s"
            + (f"; it waited for: {job.waiting_for}" if job.waiting_for else ""),
            "START_TIMEOUT": f"its run did not start within {spans.start_s:g} s",
            "WORKER_LOST": f"no sign of life from its run for {spans.lease_s:g} s",
            "DEADLINE_EXCEEDED": f"not done within {spans.run_s:g} s",
            "CANCEL": f"canceled; its run did not confirm it within {spans.cancel_s:g} s",
        }[code]
        self.counts["forced", code] += 1
        if code == "CANCEL":
            self._end(job, "canceled", now, message=message)
        else:
            self._fail(job, code, message, now, may_retry=code in {"WORKER_LOST", "START_TIMEOUT"})

    def sweep(self, gap_ms: int, now: int) -> set[str]:
        if self.swept_ms is not None and now - self.swept_ms > gap_ms:
            self.resumed_ms = now
        self.swept_ms = now
        self._wake(now)
        due = [job for job in self.jobs.values() if job.is_live and self.time_limit(job)[0] <= now]
        for job in sorted(due, key=lambda job: (job.deadline_ms, job.id)):
            self._enforce(job, now)
        return {job.id for job in due}

    # --- Redis lost and rebuilt from the documents

    def lose_and_restore(self, now: int) -> None:
        """As the store after all its data was lost and every job restored, oldest first."""
        self.keys, self.slots, self.turns, self.counts, self.observed = {}, {}, {}, Counter(), Counter()
        self.numbers = self.turn = self.resumed_ms = 0
        self.swept_ms = None
        for job in self.jobs.values():
            job.events, job.is_ready, job.claimed_until_ms, job.waiting_for = [], False, None, None
        for job in sorted(self.jobs.values(), key=lambda job: (job.created_ms, job.id)):
            self.numbers += 1
            job.number = self.numbers
            if job.state in WAITS:
                self._begin_waiting(job, max(job.available_ms, now), now)
                if job.state == "queued" and job.slot is not None:
                    self.slots.setdefault(job.slot, job.id)
            elif job.state == "dispatched":
                job.dispatched_ms = now
                job.deadline_ms = now + round(job.submission.deadlines.start_s * 1000)
            elif job.state == "running":
                job.heartbeat_ms = now
                job.deadline_ms = self._running_until(job)
            elif job.state == "canceling":
                job.canceling_ms = now
                job.deadline_ms = now + round(job.submission.deadlines.cancel_s * 1000)

    def depth(self) -> Counter:
        return Counter((job.submission.kind, JobState(job.state)) for job in self.jobs.values() if job.is_live)

    def oldest_age_ms(self, now: int) -> int:
        unclaimed = [job for job in self.waiting() if job.claimed_until_ms is None]
        ages = [now - (job.queued_ms if job.is_ready else job.available_ms) for job in unclaimed]
        return max([age for age in ages if age > 0], default=0)
