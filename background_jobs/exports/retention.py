"""Exported reports are there for a while, not for ever."""

import time
from pathlib import Path


def expire_exports(directory: Path, *, keep_s: float, now_s: float | None = None) -> int:
    """Remove files that are older than this, and what a killed export left half-written; give how many.

    Args:
        directory: of the exported reports; need not be there.
        keep_s: how long a file is kept, in seconds since it was written.
        now_s: Unix time.
    """
    now_s = time.time() if now_s is None else now_s
    removed = 0
    for path in directory.glob("*") if directory.is_dir() else ():
        if path.is_file() and now_s - path.stat().st_mtime >= keep_s:
            path.unlink(missing_ok=True)
            removed += 1
    return removed
