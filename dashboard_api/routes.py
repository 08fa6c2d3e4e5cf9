"""The endpoints under `/api/`: which report answers which path, for whom."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.security import APIKeyHeader, HTTPBearer

from dashboard_api import models
from dashboard_api.auth import Caller
from dashboard_api.filters import CustomerFilter, Filter, PageFilter, ProductFilter, TrendFilter
from dashboard_api.problems import MEDIA_TYPE
from dashboard_api.report_route import ReportRoute, find_caller
from dashboard_api.reports import (
    HEATMAP,
    OVERVIEW,
    PAYMENTS,
    PRODUCT_GROUPS,
    SALES_SUMMARY,
    STORES,
    TOP_CUSTOMERS,
    TOP_PRODUCTS,
    TREND,
)
from dashboard_api.services import services_of

BEARER = HTTPBearer(
    auto_error=False,
    bearerFormat="JWT",
    description="A token of the application: `sub`, `tenant`, `role`, `aud`, `exp`.",
)
API_KEY = APIKeyHeader(name="X-API-Key", auto_error=False, description="A machine's key (`salespulse api-key create`).")


def refusal(description: str) -> dict[str, Any]:
    """Describe a problem answer for the OpenAPI document."""
    return {"description": description, "content": {MEDIA_TYPE: {"schema": models.Problem.model_json_schema()}}}


REFUSALS: dict[int | str, dict[str, Any]] = {
    401: refusal("No credential, or one that does not hold."),
    403: refusal("The credential may not read the dashboard."),
    422: refusal("A parameter can't be used; `errors` names it."),
    429: refusal("Too many requests; `Retry-After` says when to come back."),
    503: refusal("No server can answer now; `Retry-After` says when to ask again."),
}
REPORT_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The figures.", "content": {"text/csv": {"schema": {"type": "string"}}}},
    304: {"description": "The figures are those of `If-None-Match`."},
    404: refusal("The tenant has no such store."),
    **REFUSALS,
}

router = APIRouter()


async def caller_of(
    request: Request, _bearer: Annotated[object, Depends(BEARER)], _key: Annotated[object, Depends(API_KEY)]
) -> Caller:
    """Who asks. The two schemes are there for the OpenAPI document: the authenticator reads the headers itself."""
    return await find_caller(request)


CallerOf = Annotated[Caller, Depends(caller_of)]


@router.get(
    "/api/me", tags=["session"], summary="Who the credential says you are", response_model=models.Me, responses=REFUSALS
)
async def me(caller: CallerOf) -> dict[str, Any]:
    """The verified claims of the credential, so that a page can show whose figures it shows and in what currency."""
    identity = caller.identity
    return {
        "subject": identity.subject,
        "tenant_id": identity.tenant_id,
        "role": identity.role,
        "currency": identity.currency,
        "expires_at": identity.expires_at,
    }


dashboard = APIRouter(prefix="/api/dashboard", tags=["dashboard"], responses=REPORT_ANSWERS, route_class=ReportRoute)


@dashboard.get(
    "/sales-summary", response_model=models.SalesSummary, summary="Totals, the previous period, a row per day"
)
async def sales_summary(request: Request, caller: CallerOf, asked: Annotated[Filter, Query()]) -> Response:
    """Sales, units, gross, refunds, net, margin, average order value, return rate and unique customers."""
    return await services_of(request).answer(request, caller, SALES_SUMMARY, asked)


@dashboard.get("/trend", response_model=models.Trend, summary="Net sales over time beside the previous period")
async def trend(request: Request, caller: CallerOf, asked: Annotated[TrendFilter, Query()]) -> Response:
    """A point per hour, day, week or month; those without sales too."""
    return await services_of(request).answer(request, caller, TREND, asked)


@dashboard.get("/top-products", response_model=models.TopProducts, summary="Products, ranked")
async def top_products(request: Request, caller: CallerOf, asked: Annotated[ProductFilter, Query()]) -> Response:
    """By net, gross, margin, units or refunds, with the previous period beside each."""
    return await services_of(request).answer(request, caller, TOP_PRODUCTS, asked)


@dashboard.get("/top-customers", response_model=models.TopCustomers, summary="Named customers, ranked")
async def top_customers(request: Request, caller: CallerOf, asked: Annotated[CustomerFilter, Query()]) -> Response:
    """By net, sales, units or refunds; sales without a customer are left out."""
    return await services_of(request).answer(request, caller, TOP_CUSTOMERS, asked)


@dashboard.get("/product-groups", response_model=models.ProductGroups, summary="Sales by product group")
async def product_groups(request: Request, caller: CallerOf, asked: Annotated[Filter, Query()]) -> Response:
    """Every group, the greatest net first."""
    return await services_of(request).answer(request, caller, PRODUCT_GROUPS, asked)


@dashboard.get("/payments", response_model=models.Payments, summary="Payments and refunds by method")
async def payments(request: Request, caller: CallerOf, asked: Annotated[Filter, Query()]) -> Response:
    """What was paid and given back."""
    return await services_of(request).answer(request, caller, PAYMENTS, asked)


@dashboard.get("/heatmap", response_model=models.Heatmap, summary="Sales by weekday and hour")
async def heatmap(request: Request, caller: CallerOf, asked: Annotated[Filter, Query()]) -> Response:
    """Hours local to each store; hours without sales are left out."""
    return await services_of(request).answer(request, caller, HEATMAP, asked)


@dashboard.get("/stores", response_model=models.Stores, summary="Sales by store")
async def stores(request: Request, caller: CallerOf, asked: Annotated[PageFilter, Query()]) -> Response:
    """Every store, the greatest net first."""
    return await services_of(request).answer(request, caller, STORES, asked)


@dashboard.get("/overview", response_model=models.Overview, summary="Everything that the page shows, in one answer")
async def overview(request: Request, caller: CallerOf, asked: Annotated[Filter, Query()]) -> Response:
    """From one snapshot, so that no two figures contradict each other. CSV gives the trend."""
    return await services_of(request).answer(request, caller, OVERVIEW, asked)


router.include_router(dashboard)
