"""Send the deliveries that are due. At least once: a sender that dies has its deliveries sent again, under the same id."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args
from uuid import UUID

from background_jobs.webhooks.endpoints import target_policy
from background_jobs.webhooks.errors import WebhookError
from background_jobs.webhooks.retry import RetryPlan
from background_jobs.webhooks.sender import Reply, Sender
from background_jobs.webhooks.signing import sign
from dbconnect import Settings
from dbconnect.routes import Connection
from dbsql import query

Outcome = Literal["delivered", "retried", "failed", "gone"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

_LOOK_AGAIN_S = 0.2
_CONTENT_TYPE = "application/json"
_USER_AGENT = "Salespulse-Webhooks"

_logger = logging.getLogger(__name__)


def _never() -> bool:
    return False


def sender_of(settings: Settings) -> Sender:
    """Make the sender.

    Raises:
        SettingsError: a network in the settings is none.
    """
    return Sender(target_policy(settings), timeout_s=settings.webhook_timeout_seconds)


def send_due(
    connection: Connection,
    sender: Sender,
    *,
    now: datetime | None = None,
    plan: RetryPlan | None = None,
    lease_s: float = 120.0,
    most_at_once: int = 32,
    most_per_endpoint: int = 4,
    should_stop: Callable[[], bool] = _never,
) -> Counter[Outcome]:
    """Send every delivery that is due, many at once, until none is; the caller calls again every second or so.

    Args:
        connection: as the pipeline's role, autocommit; no transaction is open while anything is sent.
        sender: makes the attempts.
        now: a clock for tests; the server's unless given.
        plan: when a failed delivery is tried again.
        lease_s: how long a delivery is this sender's; longer than an attempt may take.
        most_at_once: attempts under way.
        most_per_endpoint: of these to one endpoint, by all senders together (two that claim in the same moment may pass it).
        should_stop: asked several times a second; when it says yes, attempts under way are given back, and this returns.

    Returns:
        how many attempts ended in each way: delivered; failed and to be retried; failed for good; answered 410, by which
        the endpoint is disabled.
    """
    limits = {"lease_s": lease_s, "most_per_endpoint": most_per_endpoint}
    delivering = _Delivering(connection, sender, now, plan or RetryPlan(), limits)
    return asyncio.run(delivering.run(most_at_once, should_stop))


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
class _Delivering:
    connection: Connection
    sender: Sender
    now: datetime | None
    plan: RetryPlan
    limits: dict[str, float]
    outcomes: Counter[Outcome] = field(default_factory=Counter)

    async def run(self, most_at_once: int, should_stop: Callable[[], bool]) -> Counter[Outcome]:
        under_way: dict[asyncio.Task[Reply], _Delivery] = {}
        while not should_stop():
            for delivery in self._claim(most_at_once - len(under_way)):
                under_way[asyncio.create_task(self._attempt(delivery))] = delivery
            if not under_way:
                break
            ended, _ = await asyncio.wait(under_way, timeout=_LOOK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                self._record(under_way.pop(task), task.result())
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for delivery in under_way.values():
            self._execute("webhooks.release", delivery)
        return self.outcomes

    def _claim(self, most: int) -> list[_Delivery]:
        if most <= 0:
            return []
        parameters = {**self.limits, "now": self.now, "most": most}
        rows = self.connection.execute(query("webhooks.claim"), parameters).fetchall()
        return [_Delivery(**row) for row in rows]

    async def _attempt(self, delivery: _Delivery) -> Reply:
        now_s = self.now.timestamp() if self.now else time.time()
        secrets = [secret for secret in (delivery.secret, delivery.previous_secret) if secret]
        body = delivery.body.encode()
        try:
            signed = sign(secrets, f"msg_{delivery.delivery_id.hex}", int(now_s), body)
        except WebhookError as error:
            return Reply(error=f"not sent: {error}")
        headers = {"Content-Type": _CONTENT_TYPE, "User-Agent": _USER_AGENT, **signed}
        return await self.sender.send(delivery.url, headers, body)

    def _record(self, delivery: _Delivery, reply: Reply) -> None:
        delay_s = self.plan.delay_s(delivery.attempts, retry_after_s=reply.retry_after_s)
        outcome: Outcome
        if reply.is_success:
            outcome, state, delay_s = "delivered", "delivered", None
        elif reply.is_gone:
            outcome, state, delay_s = "gone", "failed", None
        elif delay_s is None:
            outcome, state = "failed", "failed"
        else:
            outcome, state = "retried", "pending"
        result = {
            "state": state,
            "retry_after_s": delay_s,
            "seconds": reply.seconds,
            "status": reply.status,
            "error": reply.error,
            "response": reply.excerpt or None,
        }
        with self.connection.transaction():
            if not self._execute("webhooks.record_attempt", delivery, **result):
                _logger.warning("delivery %s was taken up by another sender meanwhile", delivery.delivery_id)
                return
            if reply.is_gone:
                self._execute("webhooks.disable_endpoint", delivery, reason="it answered 410 Gone")
        self.outcomes[outcome] += 1
        if outcome != "delivered":
            _logger.warning(
                "delivery %s to endpoint %d, attempt %d: %s (%s)",
                delivery.delivery_id,
                delivery.endpoint_id,
                delivery.attempts,
                reply.error or f"answered {reply.status}",
                outcome if delay_s is None else f"again in {delay_s:.0f} s",
            )

    def _execute(self, name: str, delivery: _Delivery, **parameters: object) -> int:
        """Run a statement about a delivery, and say how many rows it changed."""
        keys = {
            "delivery_id": delivery.delivery_id,
            "lease_id": delivery.lease_id,
            "endpoint_id": delivery.endpoint_id,
            "now": self.now,
        }
        return self.connection.execute(query(name), {**keys, **parameters}).rowcount
