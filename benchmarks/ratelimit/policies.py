"""The policies under test, all with the floor's limit, so that the work is the same."""

from benchmarks.ratelimit.floor import QUANTITY
from ratelimit_service import Limit, OnOutage, Options, Policy, PolicySet

_FREE = Limit.parse(f"{QUANTITY}/day")
# Of three limits that one decision checks: a second's, a minute's and a day's, none of which is ever exhausted here.
_THREE = tuple(Limit.parse(text) for text in (f"{QUANTITY}/day", f"{QUANTITY}/hour", f"{QUANTITY}/week"))

POLICIES = PolicySet(
    [
        Policy("one", (_FREE,)),
        Policy("three", _THREE),
        Policy("used_up", (Limit.parse("1/day"),)),
        Policy("leased", (_FREE,), lease=20),
        Policy("sliding", (Limit.parse("90000000/day sliding"),)),
        Policy("fixed", (Limit.parse("90000000/day fixed"),)),
        Policy("slots", (Limit.parse("100 in flight lease 1h"),)),
        Policy("open", (_FREE,), on_outage=OnOutage.OPEN),
        Policy("closed", (_FREE,), on_outage=OnOutage.CLOSED),
        Policy("local", (_FREE,), on_outage=OnOutage.LOCAL),
    ]
)

PATIENT = Options(deadline_s=5.0, breaker_open_s=5.0)
"""On a busy machine a late answer must not turn into an outage, whose decisions are cheap: it would flatter."""
