"""The pages at `/`, `/jobs` and `/docs`, their scripts, and libraries from installed packages; nothing from another host.

Charts are Apache ECharts as the package `nicegui` ships it; the API's documentation is Swagger UI as `fastapi-offline` ships it.
Neither package is imported: their files are read (docs/adr/0010-dashboard-server-and-charts.md).
"""

import hashlib
import zlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dashboard_api.errors import NotConfiguredError

_DIRECTORY = Path(__file__).parent / "static"
_LIBRARIES = {"echarts": ("nicegui", "elements/echart/dist"), "swagger": ("fastapi_offline", "static")}
_PAGES = {"/": "index.html", "/jobs": "jobs.html", "/docs": "docs.html"}
_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True)
class StaticFile:
    """One file as it is sent, plain and with gzip."""

    content: bytes
    compressed: bytes
    media_type: str
    etag: str

    def respond(self, request: Request) -> Response:
        """Return the file, or 304 where the browser has it."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                self.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=self.media_type
            )
        return Response(self.content, headers=headers, media_type=self.media_type)


def mount(app: FastAPI) -> None:
    """Serve the pages and `/static/…`.

    Raises:
        NotConfiguredError: a package that ships a library is not installed.
    """
    files = _load_files()

    async def page(request: Request) -> Response:
        return files[_PAGES[request.url.path]].respond(request)

    for path in _PAGES:
        app.get(path, include_in_schema=False)(page)

    @app.get("/static/{path:path}", include_in_schema=False)
    async def static(request: Request, path: str) -> Response:
        file = files.get(path)
        if file is None:
            raise HTTPException(404, "no such file")
        return file.respond(request)


def _load_files() -> dict[str, StaticFile]:
    # By path below `/static/`.
    files = {path.name: _load(path) for path in sorted(_DIRECTORY.iterdir()) if path.suffix in _MEDIA_TYPES}
    for name, (package, folder) in _LIBRARIES.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise NotConfiguredError(f"the page needs the package {package}: install salespulse[dashboard]")
        for path in sorted((Path(spec.origin).parent / folder).iterdir()):
            if path.suffix in _MEDIA_TYPES and not path.name.startswith("redoc"):
                files[f"{name}/{path.name}"] = _load(path)
    return files


def _load(path: Path) -> StaticFile:
    content = path.read_bytes()
    compressor = zlib.compressobj(level=9, wbits=31)
    return StaticFile(
        content,
        compressor.compress(content) + compressor.flush(),
        _MEDIA_TYPES[path.suffix],
        f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"',
    )
