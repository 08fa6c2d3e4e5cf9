"""What a limiter counted, for prometheus_client. Labels are policies and outcomes, never a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ratelimit_service.tally import LatencyTally, Tally


class PolicyTallies:
    """One policy's counts, one per outcome; they outlive reloads."""

    __slots__ = ("allowed", "cache_hits", "degraded", "denied", "lease_hits", "would_deny")

    def __init__(self) -> None:
        self.allowed = Tally()
        self.denied = Tally()
        self.would_deny = Tally()
        self.degraded = Tally()
        self.cache_hits = Tally()
        self.lease_hits = Tally()


class Metrics:
    """A prometheus_client collector: `REGISTRY.register(limiter.metrics)`.

    Args:
        open_circuits: says how many circuit breakers are open now.
    """

    def __init__(self, open_circuits: Callable[[], int]) -> None:
        self.redis_latency = LatencyTally()
        self.redis_failures = Tally()
        self.reload_failures = Tally()
        self._open_circuits = open_circuits
        self._policies: dict[str, PolicyTallies] = {}

    def policy(self, name: str) -> PolicyTallies:
        """The counts of a policy, begun at 0 when it is first named."""
        return self._policies.setdefault(name, PolicyTallies())

    def collect(self) -> Iterator[Metric]:
        """The metric families, as prometheus_client asks for them."""
        decisions = CounterMetricFamily(
            "ratelimit_decisions", "Decisions by policy and outcome", labels=["policy", "outcome"]
        )
        singles = {
            "would_deny": CounterMetricFamily(
                "ratelimit_would_deny", "Denials that a shadow policy withheld", labels=["policy"]
            ),
            "degraded": CounterMetricFamily("ratelimit_degraded", "Decisions made without Redis", labels=["policy"]),
            "cache_hits": CounterMetricFamily(
                "ratelimit_denial_cache_hits", "Denials answered from the process's memory", labels=["policy"]
            ),
            "lease_hits": CounterMetricFamily(
                "ratelimit_lease_hits", "Units spent from a lease, without Redis", labels=["policy"]
            ),
        }
        for name, tallies in sorted(self._policies.items()):
            decisions.add_metric([name, "allowed"], tallies.allowed.value)
            decisions.add_metric([name, "denied"], tallies.denied.value + tallies.cache_hits.value)
            for field, family in singles.items():
                family.add_metric([name], getattr(tallies, field).value)
        yield decisions
        yield from singles.values()
        buckets, total_s = self.redis_latency.cumulative()
        latency = HistogramMetricFamily("ratelimit_redis_seconds", "Round trips to Redis that were answered")
        latency.add_metric([], buckets, total_s)
        yield latency
        failures = CounterMetricFamily("ratelimit_redis_failures", "Round trips to Redis that failed")
        failures.add_metric([], self.redis_failures.value)
        yield failures
        reloads = CounterMetricFamily(
            "ratelimit_policy_reload_failures", "Policy documents that were refused or unreadable"
        )
        reloads.add_metric([], self.reload_failures.value)
        yield reloads
        yield GaugeMetricFamily("ratelimit_circuits_open", "Circuit breakers that are open now", self._open_circuits())
