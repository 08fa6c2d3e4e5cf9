"""The policies under test, all with the floor's limit, so that the work is the same."""

from benchmarks.ratelimit.floor import QUANTITY, RATE
from ratelimit_service import Limit, OnOutage, Options, Policy, PolicySet

_FREE = Limit.parse(f"{RATE}/day burst {QUANTITY}")
_THREE = tuple(Limit.parse(f"{rate} burst {QUANTITY}") for rate in ("60/hour", "1000/day", "6000/week"))

POLICIES = PolicySet(
    [
        Policy("one", (_FREE,)),
        Policy("three", _THREE),
        Policy("used_up", (Limit.parse("1/day"),)),
        # One unit of it is remembered for hours: longer than a million keys take.
        Policy("kept", (Limit.parse("10/day"),)),
        Policy("leased", (_FREE,), lease=20),
        Policy("sliding", (Limit.parse("10000000/day sliding"),)),
        Policy("fixed", (Limit.parse("10000000/day fixed"),)),
        Policy("slots", (Limit.parse("100 in flight lease 1h"),)),
        Policy("open", (_FREE,), on_outage=OnOutage.OPEN),
        Policy("closed", (_FREE,), on_outage=OnOutage.CLOSED),
        Policy("local", (_FREE,), on_outage=OnOutage.LOCAL),
    ]
)

PATIENT = Options(deadline_s=5.0, breaker_open_s=5.0)
"""On a busy machine a late answer must not turn into an outage, whose decisions are cheap: it would flatter."""
