"""A slot in flight, held: what a request occupies while it runs, and what comes back when its holder is gone."""

from __future__ import annotations

from ratelimit_service.core import Call
from ratelimit_service.decision import Decision


class Slot:
    """A taken slot. Its limiter renews and releases it.

    Attributes:
        decision: the answer that took it.
        lease_s: seconds after which Redis gives it to others unless it is renewed.
        is_lost: it ended before it was renewed: another holder may have it now.
    """

    __slots__ = ("call", "decision", "is_lost", "is_released", "lease_s")

    def __init__(self, call: Call, decision: Decision) -> None:
        self.call = call
        self.decision = decision
        self.is_lost = False
        self.is_released = False
        self.lease_s = min(call.plan.limits[at].period_s for at in call.plan.in_flight)

    @property
    def id(self) -> str:
        """The lease's id, unique to this slot."""
        return self.call.slot_id.hex()
