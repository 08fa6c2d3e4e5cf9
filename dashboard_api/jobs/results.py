"""What a job gave: its result, and for a file a link that opens by itself until it expires."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from background_jobs.store import Job, JobState
from dashboard_api.jobs.documents import PATH
from dashboard_api.jobs.errors import JobEndedError, JobNotEndedError, ResultGoneError
from dashboard_api.jobs.links import LINK_S, LinkSigner

_FILE = re.compile(r"[0-9a-f-]{36}\.(?P<format>csv|xlsx|parquet)")
_MEDIA = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}


@dataclass(frozen=True)
class ExportedFile:
    """A file that a job has made.

    Attributes:
        path: where it is.
        name: what a browser is to save it as.
        format: `csv`, `xlsx` or `parquet`.
        size_bytes: as the run wrote it.
        expires_at: when it goes.
    """

    path: Path
    name: str
    format: str
    size_bytes: int
    expires_at: datetime

    @property
    def media_type(self) -> str:
        """Of its content."""
        return _MEDIA[self.format]


def result_document(job: Job, directory: Path, links: LinkSigner, *, now: datetime) -> dict[str, Any]:
    """Give a job's result, with a new link to its file if it has one.

    Raises:
        JobNotEndedError: there is none yet.
        JobEndedError: there will be none.
        ResultGoneError: the file has gone.
    """
    if not job.is_ended:
        raise JobNotEndedError(f"it is {job.state}; follow its events, or ask again")
    if job.state is not JobState.SUCCEEDED:
        why = f": {job.code}" if job.code else ""
        raise JobEndedError(f"it has no result: it is {job.state}{why}")
    file = exported_file(job, directory)
    if file is None:
        return {"job_id": job.id, "result": job.result, "file": None}
    _check_there(file, now)
    expires_s = min(int(now.timestamp()) + LINK_S, int(file.expires_at.timestamp()))
    result = {name: value for name, value in (job.result or {}).items() if name not in {"file", "expires_at"}}
    return {
        "job_id": job.id,
        "result": result,
        "file": {
            "name": file.name,
            "bytes": file.size_bytes,
            "format": file.format,
            "url": links.sign(file_path(job.id), expires_s),
            "url_expires_at": datetime.fromtimestamp(expires_s, UTC).isoformat().replace("+00:00", "Z"),
            "expires_at": file.expires_at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        },
    }


def file_path(job_id: str) -> str:
    """Where a job's file is served."""
    return f"{PATH}/{job_id}/file"


def file_to_send(job: Job | None, directory: Path, *, now: datetime) -> ExportedFile:
    """Give the file of a job whose link holds.

    Raises:
        ResultGoneError: it is not there any more.
    """
    file = exported_file(job, directory) if job is not None else None
    if file is None:
        raise ResultGoneError("the file is not kept any more; ask for another export")
    _check_there(file, now)
    return file


def exported_file(job: Job, directory: Path) -> ExportedFile | None:
    """Give the file that a job's result names; None where it names none."""
    result = job.result or {}
    found = _FILE.fullmatch(str(result.get("file", "")))
    if found is None or not found[0].startswith(job.id):
        return None
    dates = [str(job.params[name]) for name in ("from_date", "to_date") if job.params.get(name)]
    report = re.sub(r"[^a-z0-9-]+", "-", str(job.params.get("report", "report")).lower())
    return ExportedFile(
        path=directory / found[0],
        name=f"sales-{'-'.join([report, *dates])}.{found['format']}",
        format=found["format"],
        size_bytes=int(result.get("bytes", 0)),
        expires_at=datetime.fromisoformat(str(result["expires_at"])),
    )


def _check_there(file: ExportedFile, now: datetime) -> None:
    if now >= file.expires_at or not file.path.is_file():
        raise ResultGoneError("the file is not kept any more; ask for another export")
