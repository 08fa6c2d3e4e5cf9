"""Refresh in a process of its own, and print its peak memory as JSON.

Reads `{"replica": url, "warehouse": url, "batch_documents": n}` from standard input.
"""

import json
import sys
import time
from pathlib import Path

from pipelines.refresh import Connections, RefreshOptions, connect_route, refresh
from pipelines.source import load_mapping


def main() -> None:
    request = json.load(sys.stdin)
    options = RefreshOptions(load_mapping("retail"), batch_documents=request["batch_documents"])
    with (
        connect_route(request["replica"], "replica") as replica,
        connect_route(request["warehouse"], "warehouse") as warehouse,
    ):
        before_mib = _most_mib()
        started = time.perf_counter()
        result = refresh(Connections(replica=replica, warehouse=warehouse), options)
        seconds = time.perf_counter() - started
    usage = {
        "before_mib": before_mib,
        "most_mib": _most_mib(),
        "seconds": seconds,
        "lines": result.applied.lines,
        "documents": result.applied.documents,
        "transactions": result.transactions,
    }
    json.dump(usage, sys.stdout)


def _most_mib() -> float:
    # Not getrusage: its figure outlives exec, so a child starts with its parent's.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024


if __name__ == "__main__":
    main()
