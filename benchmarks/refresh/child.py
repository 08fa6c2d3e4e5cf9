"""A refresh in a process of its own, which says afterwards how much memory that took at most.

Reads `{"replica": url, "warehouse": url, "batch_documents": n}` from standard input.
"""

import json
import resource
import sys
import time

from pipelines.refresh import Connections, RefreshOptions, connect_route, refresh
from pipelines.source import load_mapping


def main() -> None:
    wanted = json.load(sys.stdin)
    options = RefreshOptions(load_mapping("retail"), batch_documents=wanted["batch_documents"])
    with (
        connect_route(wanted["replica"], "replica") as replica,
        connect_route(wanted["warehouse"], "warehouse") as warehouse,
    ):
        before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        result = refresh(Connections(replica=replica, warehouse=warehouse), options)
        seconds = time.perf_counter() - started
    found = {
        "before_mib": before_kib / 1024,
        "most_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "seconds": seconds,
        "lines": result.applied.lines,
        "documents": result.applied.documents,
        "transactions": result.transactions,
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
