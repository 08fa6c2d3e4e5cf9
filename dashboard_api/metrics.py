"""What operators see of the API, as Prometheus metrics. No label carries a tenant, a user or a store."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

from dashboard_api.siblings import Siblings

_LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0)


class Metrics:
    """The metrics of one process, in a registry of their own, so that several apps can live in one test.

    Attributes:
        registry: of this process.
        siblings: the other workers of the same port, where there are any.
    """

    def __init__(self) -> None:
        self.siblings: Siblings | None = None
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Histogram(
            "salespulse_http_request_seconds",
            "Time to answer, by route and status.",
            ("route", "method", "status"),
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._observers: dict[tuple[str, str, int], Histogram] = {}
        self.cache_lookups = Counter(
            "salespulse_answer_cache_lookups", "Answers by where they came from.", ("outcome",), registry=self.registry
        )
        self.report_reads = Counter(
            "salespulse_report_reads",
            "Reports for which the database was asked; the others were made of what was read for one over the same dates.",
            ("report",),
            registry=self.registry,
        )
        self.query_seconds = Histogram(
            "salespulse_report_seconds",
            "Time to make one report that was not in the cache.",
            ("report",),
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )

    def observe_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        labels = (route, method, status)
        observer = self._observers.get(labels)
        if observer is None:
            # Finding the labelled one costs more than counting by it.
            observer = self._observers[labels] = self._requests.labels(*labels)
        observer.observe(seconds)

    async def text(self) -> bytes:
        """Everything, of every worker, in the text format."""
        return generate_latest(self.registry if self.siblings is None else await self.siblings.registry())
