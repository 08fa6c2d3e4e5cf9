"""Results of jobs, and signed links to exported files, which need no credential until they expire."""

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from background_jobs.store import Job, JobState
from dashboard_api.errors import DownloadLinkError, JobEndedError, JobNotEndedError, ResultExpiredError
from dashboard_api.jobs.schemas import PATH

LINK_VALID_S = 900
_FILE_NAME = re.compile(r"[0-9a-f-]{36}\.(?P<format>csv|xlsx|parquet)")
_MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
}


class LinkSigner:
    """Sign links with HMAC-SHA256 over the path and the expiry, so that nobody can forge or prolong one."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, path: str, expires_s: int) -> str:
        """Return the path with a signature that is valid until `expires_s` (seconds since the epoch)."""
        return f"{path}?{urlencode({'expires': expires_s, 'signature': self._signature(path, expires_s)})}"

    def check(self, path: str, expires: str, signature: str, *, now_s: float) -> None:
        """Verify a signed link.

        Args:
            path: the path requested.
            expires: the link's parameter.
            signature: the link's parameter.
            now_s: seconds since the epoch.

        Raises:
            DownloadLinkError: the signature is not this path's.
            ResultExpiredError: the link has expired.
        """
        is_number = expires.isascii() and expires.isdecimal() and len(expires) <= 12
        expires_s = int(expires) if is_number else 0
        # The signature first, and only then the expiry: probing reveals nothing.
        if not hmac.compare_digest(signature.encode(), self._signature(path, expires_s).encode()):
            raise DownloadLinkError("invalid signature; request the result for a new link")
        if now_s >= expires_s:
            raise ResultExpiredError("the link has expired; request the result for a new one")

    def _signature(self, path: str, expires_s: int) -> str:
        return hmac.new(self._key, f"{path}\n{expires_s}".encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class ExportedFile:
    """A file that a job has written.

    Attributes:
        path: its location.
        name: the file name for the browser.
        format: `csv`, `xlsx` or `parquet`.
        size_bytes: as the run reported.
        expires_at: when it is deleted.
    """

    path: Path
    name: str
    format: str
    size_bytes: int
    expires_at: datetime

    @property
    def media_type(self) -> str:
        """The content's media type."""
        return _MEDIA_TYPES[self.format]


def result_document(job: Job, directory: Path, links: LinkSigner, *, now: datetime) -> dict[str, Any]:
    """Return a job's result, with a new link to its file if it has one.

    Raises:
        JobNotEndedError: there is no result yet.
        JobEndedError: there will be none.
        ResultExpiredError: the file was deleted.
    """
    if not job.is_ended:
        raise JobNotEndedError(f"the job is {job.state}; follow its events, or retry later")
    if job.state is not JobState.SUCCEEDED:
        reason = f": {job.code}" if job.code else ""
        raise JobEndedError(f"the job has no result: it is {job.state}{reason}")
    file = _exported_file(job, directory)
    if file is None:
        return {"job_id": job.id, "result": job.result, "file": None}
    _check_exists(file, now)
    expires_s = min(int(now.timestamp()) + LINK_VALID_S, int(file.expires_at.timestamp()))
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
    """Return the path at which a job's file is served."""
    return f"{PATH}/{job_id}/file"


def file_to_send(job: Job | None, directory: Path, *, now: datetime) -> ExportedFile:
    """Return the file of a job whose link is valid.

    Raises:
        ResultExpiredError: it was deleted.
    """
    file = _exported_file(job, directory) if job is not None else None
    if file is None:
        raise ResultExpiredError("the file was deleted; start another export")
    _check_exists(file, now)
    return file


def _exported_file(job: Job, directory: Path) -> ExportedFile | None:
    result = job.result or {}
    match = _FILE_NAME.fullmatch(str(result.get("file", "")))
    if match is None or not match[0].startswith(job.id):
        return None
    dates = [str(job.params[name]) for name in ("from_date", "to_date") if job.params.get(name)]
    report = re.sub(r"[^a-z0-9-]+", "-", str(job.params.get("report", "report")).lower())
    return ExportedFile(
        path=directory / match[0],
        name=f"sales-{'-'.join([report, *dates])}.{match['format']}",
        format=match["format"],
        size_bytes=int(result.get("bytes", 0)),
        expires_at=datetime.fromisoformat(str(result["expires_at"])),
    )


def _check_exists(file: ExportedFile, now: datetime) -> None:
    if now >= file.expires_at or not file.path.is_file():
        raise ResultExpiredError("the file was deleted; start another export")
