"""The API's Prometheus metrics: of this process, and of all worker processes on a port. No label names a tenant, a user or a store."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from dashboard_api.rendered_report import Freshness
from dbconnect import RouterState

_LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 10.0)
# A worker that takes longer is busy or gone, and is reported as down.
_WORKER_TIMEOUT_S = 2.0
# The job store's metrics are the same in every worker, so that they are shown once; all but the process's own.
_SHARED, _OWN = "jobs_", "jobs_open_streams"

# Name, documentation, type, unit, samples: each a name, labels and a value.
_Family: TypeAlias = tuple[str, str, str, str, list[tuple[str, dict[str, str], float]]]

_logger = logging.getLogger(__name__)


class ApiMetrics:
    """The metrics of one process, in a registry of its own, so that several apps can exist in one test.

    Attributes:
        registry: of this process.
        workers: the metrics of all workers on the port, where there are several.
    """

    def __init__(self) -> None:
        self.workers: WorkerMetrics | None = None
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Histogram(
            "salespulse_http_request_seconds",
            "Time to respond, by route and status.",
            ("route", "method", "status"),
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._observers: dict[tuple[str, str, int], Histogram] = {}
        self.cache_lookups = Counter(
            "salespulse_answer_cache_lookups", "Report cache look-ups by outcome.", ("outcome",), registry=self.registry
        )
        self.report_reads = Counter(
            "salespulse_report_reads",
            "Reports built with a read from the database; the others were built of cached figures.",
            ("report",),
            registry=self.registry,
        )
        self.report_seconds = Histogram(
            "salespulse_report_seconds",
            "Time to build a report that was not in the cache.",
            ("report",),
            buckets=_LATENCY_BUCKETS_S,
            registry=self.registry,
        )

    def observe_request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        labels = (route, method, status)
        observer = self._observers.get(labels)
        if observer is None:
            # Finding the labelled child costs more than counting with it.
            observer = self._observers[labels] = self._requests.labels(*labels)
        observer.observe(seconds)

    async def text(self) -> bytes:
        """Return the metrics of every worker in the text format."""
        return generate_latest(self.registry if self.workers is None else await self.workers.merged())


@dataclass(frozen=True)
class StateSnapshot:
    """The values of the gauges at one moment."""

    freshness: Freshness | None
    cache_bytes: int
    cache_entries: int
    requests_waiting: int
    router: RouterState


class StateCollector(Collector):
    """Gauges that are read on each scrape. Servers are labelled as the settings name them, such as `replica`."""

    def __init__(self, read: Callable[[], StateSnapshot]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        """Yield every metric family."""
        state = self._read()
        yield GaugeMetricFamily(
            "salespulse_dashboard_staleness_seconds",
            "Seconds since the moment that the figures reflect; -1 before the first refresh.",
            state.freshness.staleness_s if state.freshness else -1.0,
        )
        yield GaugeMetricFamily("salespulse_answer_cache_bytes", "Memory of the cached reports.", state.cache_bytes)
        yield GaugeMetricFamily("salespulse_answer_cache_entries", "Cached reports.", state.cache_entries)
        yield GaugeMetricFamily(
            "salespulse_questions_waiting",
            "Requests that are not in the cache and wait for a slot to read.",
            state.requests_waiting,
        )
        yield GaugeMetricFamily(
            "salespulse_fallback_budget", "Reads that may go to the primary now.", state.router.fallback_budget
        )
        reads = CounterMetricFamily("salespulse_reads", "Reads by outcome.", labels=("outcome",))
        for outcome, count in state.router.reads.items():
            reads.add_metric((outcome,), count)
        yield reads
        yield from _server_families(state.router)
        yield from _pool_families(state.router)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: checking names against other collectors would read the state on registration."""
        return ()


def _server_families(state: RouterState) -> Iterable[Metric]:
    usable = GaugeMetricFamily("salespulse_server_usable", "Whether reads are sent there.", labels=("server",))
    lag_s = GaugeMetricFamily("salespulse_replica_lag_seconds", "Age of what the server shows.", labels=("server",))
    lag_bytes = GaugeMetricFamily("salespulse_replica_lag_bytes", "Log not replayed yet.", labels=("server",))
    for server in state.servers:
        usable.add_metric((server.name,), float(server.is_usable))
        if server.lag_s is not None:
            lag_s.add_metric((server.name,), server.lag_s)
        if server.lag_bytes is not None:
            lag_bytes.add_metric((server.name,), server.lag_bytes)
    return usable, lag_s, lag_bytes


def _pool_families(state: RouterState) -> Iterable[Metric]:
    families = [
        GaugeMetricFamily(f"salespulse_pool_{name}", documentation, labels=("server",))
        for name, documentation in (
            ("size", "Connections open."),
            ("limit", "Connections at most."),
            ("in_use", "Connections that a read holds."),
            ("waiting", "Reads that wait for a connection."),
        )
    ]
    for server, pool in state.pools.items():
        for family, value in zip(families, (pool.size, pool.limit, pool.in_use, pool.waiting), strict=True):
            family.add_metric((server,), value)
    return families


class WorkerMetrics:
    """Exchange metrics between the worker processes of one port, so that whichever is scraped shows all of them.

    Each worker listens on a Unix socket in a directory that only this user can enter, and sends its metrics as JSON to whoever connects.
    Series carry the label `worker`: counters of a replaced worker restart in its own series, as Prometheus expects, and the scraper sums
    over workers.

    Args:
        number: of this worker, from 0.
        listener: bound to `paths[number]` already.
        paths: of every worker's socket.
        registry: this worker's metrics.
    """

    def __init__(
        self, number: int, listener: socket.socket, paths: Sequence[Path], registry: CollectorRegistry
    ) -> None:
        self._number = number
        self._listener = listener
        self._paths = paths
        self._registry = registry
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Start serving this worker's metrics."""
        self._server = await asyncio.start_unix_server(self._send, sock=self._listener)

    def close(self) -> None:
        """Stop serving."""
        if self._server is not None:
            self._server.close()

    async def merged(self) -> CollectorRegistry:
        """Return the metrics of every worker; `salespulse_worker_up` is 0 for one that did not respond."""
        others = [number for number in range(len(self._paths)) if number != self._number]
        responses = await asyncio.gather(*(_fetch(self._paths[number]) for number in others))
        families = dict(zip(others, responses, strict=True))
        families[self._number] = _families(self._registry)
        registry = CollectorRegistry()
        registry.register(_MergedCollector(self._number, families))
        return registry

    async def _send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        try:
            writer.write(json.dumps(_families(self._registry)).encode())
            await writer.drain()
        except ConnectionError:
            _logger.info("another worker did not wait for this one's metrics")
        finally:
            writer.close()


class _MergedCollector(Collector):
    def __init__(self, own_number: int, families: Mapping[int, list[_Family] | None]) -> None:
        self._own_number = own_number
        self._families = families

    def collect(self) -> Iterable[Metric]:
        merged: dict[str, Metric] = {}
        up = GaugeMetricFamily("salespulse_worker_up", "Whether a worker process sent its metrics.", labels=("worker",))
        for number, families in sorted(self._families.items()):
            worker = str(number)
            up.add_metric((worker,), float(families is not None))
            for name, documentation, kind, unit, samples in families or ():
                is_shared = name.startswith(_SHARED) and name != _OWN
                if is_shared and number != self._own_number:
                    continue
                metric = merged.setdefault(name, Metric(name, documentation, kind, unit))
                label: dict[str, Any] = {} if is_shared else {"worker": worker}
                metric.samples += [Sample(sample, {**labels, **label}, value) for sample, labels, value in samples]
        return (up, *merged.values())


async def _fetch(path: Path) -> list[_Family] | None:
    try:
        async with asyncio.timeout(_WORKER_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                families: list[_Family] = json.loads(await reader.read())
            finally:
                writer.close()
    except (OSError, TimeoutError, json.JSONDecodeError):
        return None
    return families


def _families(registry: CollectorRegistry) -> list[_Family]:
    return [
        (
            metric.name,
            metric.documentation,
            metric.type,
            metric.unit,
            [(sample.name, dict(sample.labels), sample.value) for sample in metric.samples],
        )
        for metric in registry.collect()
    ]
