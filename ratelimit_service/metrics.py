"""Export a limiter's counters to prometheus_client. Labels are policies and outcomes, never a key."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ratelimit_service.counters import Counter, LatencyHistogram, PolicyCounters


class Metrics:
    """A prometheus_client collector: `REGISTRY.register(limiter.metrics)`.

    Args:
        open_circuits: returns the number of open circuit breakers.
    """

    def __init__(self, open_circuits: Callable[[], int]) -> None:
        self.redis_latency = LatencyHistogram()
        self.redis_failures = Counter()
        self.reload_failures = Counter()
        self._open_circuits = open_circuits
        self._policies: dict[str, PolicyCounters] = {}

    def policy(self, name: str) -> PolicyCounters:
        """Return the policy's counters, created at first use."""
        return self._policies.setdefault(name, PolicyCounters())

    def collect(self) -> Iterator[Metric]:
        """Yield the metric families."""
        decisions = CounterMetricFamily(
            "ratelimit_decisions", "Decisions by policy and outcome", labels=["policy", "outcome"]
        )
        by_policy = {
            field: CounterMetricFamily(f"ratelimit_{name}", text, labels=["policy"])
            for field, name, text in (
                ("would_deny", "would_deny", "Denials that a shadow policy withheld"),
                ("degraded", "degraded", "Decisions made without Redis"),
                ("cache_hits", "denial_cache_hits", "Denials answered from the process's memory"),
                ("lease_hits", "lease_hits", "Units spent from a lease, without Redis"),
            )
        }
        for name, counters in sorted(self._policies.items()):
            decisions.add_metric([name, "allowed"], counters.allowed.value)
            decisions.add_metric([name, "denied"], counters.denied.value + counters.cache_hits.value)
            for field, family in by_policy.items():
                family.add_metric([name], getattr(counters, field).value)
        yield decisions
        yield from by_policy.values()
        buckets, total_s = self.redis_latency.cumulative()
        latency = HistogramMetricFamily("ratelimit_redis_seconds", "Round trips to Redis that were answered")
        latency.add_metric([], buckets, total_s)
        yield latency
        yield CounterMetricFamily(
            "ratelimit_redis_failures", "Round trips to Redis that failed", self.redis_failures.value
        )
        yield CounterMetricFamily(
            "ratelimit_policy_reload_failures",
            "Policy documents that were refused or unreadable",
            self.reload_failures.value,
        )
        yield GaugeMetricFamily("ratelimit_circuits_open", "Circuit breakers that are open now", self._open_circuits())
