"""The endpoints for figures (`/api/dashboard/…`, `/api/me`) and for operators (`/healthz`, `/readyz`, `/metrics`)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader, HTTPBearer

from dashboard_api import reports, schemas
from dashboard_api.auth import Caller
from dashboard_api.filters import CustomerFilter, Filter, PageFilter, ProductFilter, TrendFilter
from dashboard_api.middleware.fast_path import DirectRoute, authorize_request
from dashboard_api.middleware.request_context import PROBLEM_MEDIA_TYPE
from dashboard_api.services import get_services

BEARER = HTTPBearer(
    auto_error=False,
    bearerFormat="JWT",
    description="An access token of the application: `sub`, `tenant`, `role`, `aud`, `exp`.",
)
API_KEY = APIKeyHeader(name="X-API-Key", auto_error=False, description="A machine's key (`salespulse api-key create`).")
Responses = dict[int | str, dict[str, Any]]


def problem_response(description: str) -> dict[str, Any]:
    """Return the OpenAPI description of a problem response."""
    return {
        "description": description,
        "content": {PROBLEM_MEDIA_TYPE: {"schema": schemas.Problem.model_json_schema()}},
    }


_PROBLEMS: Responses = {
    401: problem_response("The credential is missing or invalid."),
    403: problem_response("The credential may not read the dashboard."),
    422: problem_response("Invalid parameter; `errors` names it."),
    429: problem_response("Too many requests; retry after `Retry-After` seconds."),
    503: problem_response("No database server is available; retry after `Retry-After` seconds."),
}
_REPORT_RESPONSES: Responses = {
    200: {"description": "The figures.", "content": {"text/csv": {"schema": {"type": "string"}}}},
    304: {"description": "The figures are those of `If-None-Match`."},
    404: problem_response("The tenant has no such store."),
    **_PROBLEMS,
}

router = APIRouter()
dashboard = APIRouter(prefix="/api/dashboard", tags=["dashboard"], responses=_REPORT_RESPONSES, route_class=DirectRoute)


async def _require_caller(
    request: Request, _bearer: Annotated[object, Depends(BEARER)], _key: Annotated[object, Depends(API_KEY)]
) -> Caller:
    """Return the caller. The two schemes are there for the OpenAPI document: the authenticator reads the headers itself."""
    return await authorize_request(request)


CallerDependency = Annotated[Caller, Depends(_require_caller)]


@router.get(
    "/api/me", tags=["session"], summary="The credential's claims", response_model=schemas.Me, responses=_PROBLEMS
)
async def me(caller: CallerDependency) -> dict[str, Any]:
    """The verified claims of the credential, so that a page can show the tenant and the currency."""
    identity = caller.identity
    return {
        "subject": identity.subject,
        "tenant_id": identity.tenant_id,
        "role": identity.role,
        "currency": identity.currency,
        "expires_at": identity.expires_at,
    }


@dashboard.get(
    "/sales-summary", response_model=schemas.SalesSummary, summary="Totals, the previous period, a row per day"
)
async def sales_summary(request: Request, caller: CallerDependency, filters: Annotated[Filter, Query()]) -> Response:
    """Sales, units, gross, refunds, net, margin, average order value, return rate and unique customers."""
    return await get_services(request).respond(request, caller, reports.SALES_SUMMARY, filters)


@dashboard.get("/trend", response_model=schemas.Trend, summary="Net sales over time beside the previous period")
async def trend(request: Request, caller: CallerDependency, filters: Annotated[TrendFilter, Query()]) -> Response:
    """A point per hour, day, week or month; those without sales too."""
    return await get_services(request).respond(request, caller, reports.TREND, filters)


@dashboard.get("/top-products", response_model=schemas.TopProducts, summary="Products, ranked")
async def top_products(
    request: Request, caller: CallerDependency, filters: Annotated[ProductFilter, Query()]
) -> Response:
    """By net, gross, margin, units or refunds, with the previous period beside each."""
    return await get_services(request).respond(request, caller, reports.TOP_PRODUCTS, filters)


@dashboard.get("/top-customers", response_model=schemas.TopCustomers, summary="Named customers, ranked")
async def top_customers(
    request: Request, caller: CallerDependency, filters: Annotated[CustomerFilter, Query()]
) -> Response:
    """By net, sales, units or refunds; sales without a customer are left out."""
    return await get_services(request).respond(request, caller, reports.TOP_CUSTOMERS, filters)


@dashboard.get("/product-groups", response_model=schemas.ProductGroups, summary="Sales by product group")
async def product_groups(request: Request, caller: CallerDependency, filters: Annotated[Filter, Query()]) -> Response:
    """All groups, by net in descending order."""
    return await get_services(request).respond(request, caller, reports.PRODUCT_GROUPS, filters)


@dashboard.get("/payments", response_model=schemas.Payments, summary="Payments and refunds by method")
async def payments(request: Request, caller: CallerDependency, filters: Annotated[Filter, Query()]) -> Response:
    """What was paid and refunded by each method."""
    return await get_services(request).respond(request, caller, reports.PAYMENTS, filters)


@dashboard.get("/heatmap", response_model=schemas.Heatmap, summary="Sales by weekday and hour")
async def heatmap(request: Request, caller: CallerDependency, filters: Annotated[Filter, Query()]) -> Response:
    """Hours local to each store; hours without sales are left out."""
    return await get_services(request).respond(request, caller, reports.HEATMAP, filters)


@dashboard.get("/stores", response_model=schemas.Stores, summary="Sales by store")
async def stores(request: Request, caller: CallerDependency, filters: Annotated[PageFilter, Query()]) -> Response:
    """All stores, by net in descending order."""
    return await get_services(request).respond(request, caller, reports.STORES, filters)


@dashboard.get("/overview", response_model=schemas.Overview, summary="Everything that the page shows, in one response")
async def overview(request: Request, caller: CallerDependency, filters: Annotated[Filter, Query()]) -> Response:
    """From one snapshot, so that no two figures contradict each other. CSV gives the trend."""
    return await get_services(request).respond(request, caller, reports.OVERVIEW, filters)


router.include_router(dashboard)


@router.get("/healthz", tags=["operation"], summary="Whether the process lives")
async def healthz() -> dict[str, str]:
    """Checks nothing else."""
    return {"status": "alive"}


@router.get("/readyz", tags=["operation"], summary="Whether requests can be served, and each dependency's state")
async def readyz(request: Request) -> Response:
    """503 while figures can't be read. Without Redis the rate limiter decides locally, and jobs are unavailable: the API stays ready."""
    services = get_services(request)
    freshness = services.data_version.freshness
    is_ready = freshness is not None and services.data_version.is_current
    figures = {
        "is_ready": is_ready,
        "as_of": freshness.as_of.isoformat() if freshness else None,
        "staleness_s": freshness.staleness_s if freshness else None,
    }
    document = {"status": "ready" if is_ready else "not ready", "figures": figures, **services.dependencies()}
    return JSONResponse(document, status_code=200 if is_ready else 503, headers={"Cache-Control": "no-store"})


@router.get("/metrics", tags=["operation"], summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """In the text format, of every worker process, whichever is scraped."""
    services = get_services(request)
    await services.jobs.metrics.read()
    return Response(await services.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
