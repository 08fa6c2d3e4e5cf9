"""Send the deliveries that are due, and schedule retries. At least once: a killed worker's deliveries are sent again."""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Literal, get_args
from uuid import UUID

from background_jobs.errors import WebhookError
from background_jobs.webhooks.sender import AttemptResult, Sender
from background_jobs.webhooks.signing import sign
from dbconnect.routes import Connection
from dbsql import query

DeliveryOutcome = Literal["delivered", "retried", "failed", "gone"]
DELIVERY_OUTCOMES: tuple[DeliveryOutcome, ...] = get_args(DeliveryOutcome)

_POLL_S = 0.2
_MINUTE_S, _HOUR_S = 60.0, 3600.0
_HEADERS = {"Content-Type": "application/json", "User-Agent": "Salespulse-Webhooks"}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetrySchedule:
    """When a failed delivery is retried: delays that grow over hours, with jitter, so that retries do not come all at once.

    Attributes:
        delays_s: the delay after each failed attempt but the last: one fewer than there are attempts.
        jitter: the fraction by which a delay varies, either way.
        retry_after_max_s: a receiver's `Retry-After` is respected up to this; it never shortens a delay.
    """

    delays_s: tuple[float, ...] = (
        5, 30, 2 * _MINUTE_S, 10 * _MINUTE_S, 30 * _MINUTE_S, _HOUR_S, 2 * _HOUR_S, 3 * _HOUR_S, 6 * _HOUR_S,
    )  # fmt: skip
    jitter: float = 0.2
    retry_after_max_s: float = 6 * _HOUR_S

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: a delay is negative or shorter than the one before, or the jitter is outside 0 to 1.
        """
        if any(delay < 0 for delay in self.delays_s) or any(
            later < sooner for sooner, later in pairwise(self.delays_s)
        ):
            raise ValueError(f"delays must be 0 or more and never decrease: {self.delays_s}")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"the jitter must be from 0 to below 1, not {self.jitter}")

    @property
    def attempts(self) -> int:
        """How many attempts there are in all."""
        return len(self.delays_s) + 1

    def delay_s(
        self, attempt: int, *, retry_after_s: float | None = None, draw: Callable[[], float] = random.random
    ) -> float | None:
        """Return the delay after a failed attempt, in seconds; None after the last one.

        Args:
            attempt: the one that failed, from 1.
            retry_after_s: the receiver's `Retry-After`.
            draw: returns a number from 0 to below 1.
        """
        if attempt > len(self.delays_s):
            return None
        delay_s = self.delays_s[attempt - 1] * (1 + self.jitter * (2 * draw() - 1))
        return max(delay_s, min(retry_after_s or 0.0, self.retry_after_max_s))


def send_due(
    connection: Connection,
    sender: Sender,
    *,
    now: datetime | None = None,
    retries: RetrySchedule | None = None,
    claim_ttl_s: float = 120.0,
    concurrency: int = 32,
    endpoint_concurrency: int = 4,
    should_stop: Callable[[], bool] = lambda: False,
) -> Counter[DeliveryOutcome]:
    """Send all deliveries that are due, concurrently; the caller calls again every second or so.

    Args:
        connection: as the pipeline's role, autocommit; no transaction is open while anything is sent.
        sender: makes the attempts.
        now: a clock for tests; the server's unless given.
        retries: when a failed delivery is retried.
        claim_ttl_s: after this another worker may send the delivery; must be longer than an attempt takes.
        concurrency: attempts at a time.
        endpoint_concurrency: of these to one endpoint, by all workers (two that claim at the same moment may exceed it).
        should_stop: called several times a second; once true, attempts in progress are released, and this returns.

    Returns:
        The number of attempts by outcome: delivered, retried later, failed for good, or gone (answered 410, which
        disables the endpoint).
    """
    claim_options = {"lease_s": claim_ttl_s, "endpoint_limit": endpoint_concurrency}
    worker = _DeliveryWorker(connection, sender, now, retries or RetrySchedule(), claim_options)
    return asyncio.run(worker.run(concurrency, should_stop))


@dataclass(frozen=True)
class _Delivery:
    delivery_id: UUID
    lease_id: UUID
    attempts: int
    endpoint_id: int
    url: str = field(repr=False)
    body: str = field(repr=False)
    secret: str = field(repr=False)
    previous_secret: str | None = field(repr=False)


@dataclass
class _DeliveryWorker:
    connection: Connection
    sender: Sender
    now: datetime | None
    retries: RetrySchedule
    claim_options: dict[str, float]
    outcomes: Counter[DeliveryOutcome] = field(default_factory=Counter)

    async def run(self, concurrency: int, should_stop: Callable[[], bool]) -> Counter[DeliveryOutcome]:
        attempts: dict[asyncio.Task[AttemptResult], _Delivery] = {}
        while not should_stop():
            for delivery in self._claim(concurrency - len(attempts)):
                attempts[asyncio.create_task(self._attempt(delivery))] = delivery
            if not attempts:
                break
            done, _ = await asyncio.wait(attempts, timeout=_POLL_S, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                self._record(attempts.pop(task), task.result())
        for task in attempts:
            task.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
        for delivery in attempts.values():
            self._execute("webhooks.release", delivery)
        return self.outcomes

    def _claim(self, limit: int) -> list[_Delivery]:
        if limit <= 0:
            return []
        parameters = {**self.claim_options, "now": self.now, "row_limit": limit}
        rows = self.connection.execute(query("webhooks.claim"), parameters).fetchall()
        return [_Delivery(**row) for row in rows]

    async def _attempt(self, delivery: _Delivery) -> AttemptResult:
        now_s = self.now.timestamp() if self.now else time.time()
        secrets = [secret for secret in (delivery.secret, delivery.previous_secret) if secret]
        body = delivery.body.encode()
        try:
            signature = sign(secrets, f"msg_{delivery.delivery_id.hex}", int(now_s), body)
        except WebhookError as error:
            return AttemptResult(error=f"not sent: {error}")
        return await self.sender.send(delivery.url, {**_HEADERS, **signature}, body)

    def _record(self, delivery: _Delivery, result: AttemptResult) -> None:
        delay_s = self.retries.delay_s(delivery.attempts, retry_after_s=result.retry_after_s)
        outcome: DeliveryOutcome
        if result.is_success:
            outcome, state, delay_s = "delivered", "delivered", None
        elif result.is_gone:
            outcome, state, delay_s = "gone", "failed", None
        elif delay_s is None:
            outcome, state = "failed", "failed"
        else:
            outcome, state = "retried", "pending"
        parameters = {
            "state": state,
            "retry_after_s": delay_s,
            "seconds": result.seconds,
            "status": result.status,
            "error": result.error,
            "response": result.excerpt or None,
        }
        with self.connection.transaction():
            if not self._execute("webhooks.record_attempt", delivery, **parameters):
                _logger.warning("delivery %s: its claim expired, and another worker sent it", delivery.delivery_id)
                return
            if result.is_gone:
                self._execute("webhooks.disable_endpoint", delivery, reason="it answered 410 Gone")
        self.outcomes[outcome] += 1
        if outcome != "delivered":
            _logger.warning(
                "delivery %s to endpoint %d, attempt %d: %s (%s)",
                delivery.delivery_id,
                delivery.endpoint_id,
                delivery.attempts,
                result.error or f"answered {result.status}",
                outcome if delay_s is None else f"retry in {delay_s:.0f} s",
            )

    def _execute(self, name: str, delivery: _Delivery, **parameters: object) -> int:
        """Execute a statement about a delivery; return the number of changed rows."""
        keys = {
            "delivery_id": delivery.delivery_id,
            "lease_id": delivery.lease_id,
            "endpoint_id": delivery.endpoint_id,
            "now": self.now,
        }
        return self.connection.execute(query(name), {**keys, **parameters}).rowcount
