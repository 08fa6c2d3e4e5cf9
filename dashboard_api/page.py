"""The pages at `/` and `/jobs`, their own scripts, and the libraries that come with installed packages; nothing from another host.

Charts are Apache ECharts as the package `nicegui` carries it; the API's documentation is Swagger UI as `fastapi-offline`
carries it. Neither package is imported: their files are read (docs/adr/0010-dashboard-server-and-charts.md).
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

_OWN = Path(__file__).parent / "static"
_LIBRARIES = {"echarts": ("nicegui", "elements/echart/dist"), "swagger": ("fastapi_offline", "static")}
_MEDIA = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True)
class Asset:
    """One file, as it is sent."""

    content: bytes
    compressed: bytes
    media_type: str
    etag: str

    def respond(self, request: Request) -> Response:
        """Give it, or 304 where the browser has it."""
        headers = {"ETag": self.etag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == self.etag:
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            return Response(
                self.compressed, headers={**headers, "Content-Encoding": "gzip"}, media_type=self.media_type
            )
        return Response(self.content, headers=headers, media_type=self.media_type)


def load_assets() -> dict[str, Asset]:
    """Read every file that may be sent, by its path below `/static/`.

    Raises:
        NotConfiguredError: a package that carries a library is not installed.
    """
    assets = {path.name: _asset(path) for path in sorted(_OWN.iterdir()) if path.suffix in _MEDIA}
    for name, (package, folder) in _LIBRARIES.items():
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise NotConfiguredError(f"the page needs the package {package}: install salespulse[dashboard]")
        for path in sorted((Path(spec.origin).parent / folder).iterdir()):
            if path.suffix in _MEDIA and not path.name.startswith("redoc"):
                assets[f"{name}/{path.name}"] = _asset(path)
    return assets


def mount(app: FastAPI) -> None:
    """Serve `/`, `/jobs`, `/docs` and `/static/…`."""
    assets = load_assets()

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return assets["index.html"].respond(request)

    @app.get("/jobs", include_in_schema=False)
    async def jobs(request: Request) -> Response:
        return assets["jobs.html"].respond(request)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> Response:
        return assets["docs.html"].respond(request)

    @app.get("/static/{path:path}", include_in_schema=False)
    async def static(request: Request, path: str) -> Response:
        asset = assets.get(path)
        if asset is None:
            raise HTTPException(404, "no such file")
        return asset.respond(request)


def _asset(path: Path) -> Asset:
    content = path.read_bytes()
    packer = zlib.compressobj(level=9, wbits=31)
    return Asset(
        content,
        packer.compress(content) + packer.flush(),
        _MEDIA[path.suffix],
        f'"{hashlib.blake2b(content, digest_size=12).hexdigest()}"',
    )
