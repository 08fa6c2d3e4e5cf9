"""Whether the process lives, whether it can answer, and its metrics. Neither throttled nor behind a credential."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from dashboard_api.services import services_of

router = APIRouter(tags=["operation"])


@router.get("/healthz", summary="Whether the process lives")
async def healthz() -> dict[str, str]:
    """Says so as long as it can; asks nobody else."""
    return {"status": "alive"}


@router.get("/readyz", summary="Whether requests can be answered, and each dependency's state")
async def readyz(request: Request) -> Response:
    """503 while figures can't be read. A limiter without Redis is degraded, not down: it decides locally."""
    services = services_of(request)
    watch = services.watch
    figures: dict[str, Any] = {
        "is_ready": watch.freshness is not None and watch.is_current,
        "as_of": watch.freshness.as_of.isoformat() if watch.freshness else None,
        "staleness_s": watch.freshness.staleness_s if watch.freshness else None,
    }
    is_ready = figures["is_ready"]
    document = {"status": "ready" if is_ready else "not ready", "figures": figures, **services.dependencies()}
    return JSONResponse(document, status_code=200 if is_ready else 503, headers={"Cache-Control": "no-store"})


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """In the text format; of every worker process, whichever is asked."""
    await services_of(request).jobs.metrics.read()
    return Response(await services_of(request).metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
