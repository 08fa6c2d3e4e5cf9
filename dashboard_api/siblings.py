"""The worker processes of one port tell each other their metrics, so that whichever is scraped shows all of them.

Each listens on a Unix socket in a directory that only this user can enter, and answers whoever connects with its metrics as
JSON. Series carry the label `worker`: counters of a worker that was replaced begin anew in its own series, which is what
Prometheus expects, and sums over workers are the scraper's matter.
"""

import asyncio
import json
import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

# A worker that takes longer is busy or gone, and is said to be away rather than waited for.
_PATIENCE_S = 2.0
# What the jobs' store holds is the same whoever reads it, so that it is shown once; but for what is the process's own.
_SHARED, _OWN = "jobs_", "jobs_open_streams"

# Name, documentation, type, unit, samples: each a name, labels and a value.
_Family: TypeAlias = tuple[str, str, str, str, list[tuple[str, dict[str, str], float]]]

log = logging.getLogger(__name__)


class Siblings:
    """One worker's way to the others' metrics.

    Args:
        number: of this worker, from 0.
        listening: bound to `paths[number]` already.
        paths: of every worker's socket.
        registry: this worker's metrics.
    """

    def __init__(
        self, number: int, listening: socket.socket, paths: Sequence[Path], registry: CollectorRegistry
    ) -> None:
        self._number = number
        self._listening = listening
        self._paths = paths
        self._registry = registry
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        """Begin to answer the others."""
        self._server = await asyncio.start_unix_server(self._answer, sock=self._listening)

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()

    async def registry(self) -> CollectorRegistry:
        """Give every worker's metrics; those of one that does not answer are missing, and `salespulse_worker_up` says so."""
        others = [number for number in range(len(self._paths)) if number != self._number]
        answers = await asyncio.gather(*(self._ask(self._paths[number]) for number in others))
        found = dict(zip(others, answers, strict=True))
        found[self._number] = _families(self._registry)
        joined = CollectorRegistry()
        joined.register(_Joined(self._number, found))
        return joined

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        try:
            writer.write(json.dumps(_families(self._registry)).encode())
            await writer.drain()
        except ConnectionError:
            log.info("another worker did not wait for this one's metrics")
        finally:
            writer.close()

    @staticmethod
    async def _ask(path: Path) -> list[_Family] | None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                reader, writer = await asyncio.open_unix_connection(path)
                try:
                    answer: list[_Family] = json.loads(await reader.read())
                finally:
                    writer.close()
        except (OSError, TimeoutError, json.JSONDecodeError):
            return None
        return answer


class _Joined(Collector):
    def __init__(self, asked: int, found: Mapping[int, list[_Family] | None]) -> None:
        self._asked = asked
        self._found = found

    def collect(self) -> Iterable[Metric]:
        joined: dict[str, Metric] = {}
        up = GaugeMetricFamily("salespulse_worker_up", "Whether a worker process told its metrics.", labels=("worker",))
        for number, families in sorted(self._found.items()):
            worker = str(number)
            up.add_metric((worker,), float(families is not None))
            for name, documentation, kind, unit, samples in families or ():
                is_shared = name.startswith(_SHARED) and name != _OWN
                if is_shared and number != self._asked:
                    continue
                metric = joined.setdefault(name, Metric(name, documentation, kind, unit))
                own: dict[str, Any] = {} if is_shared else {"worker": worker}
                metric.samples += [Sample(sample, {**labels, **own}, value) for sample, labels, value in samples]
        return (up, *joined.values())


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
