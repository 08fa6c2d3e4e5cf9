"""The responses' schemas, for the OpenAPI document and CSV columns. `serialization.render_json` writes responses, not these models."""

from datetime import date, datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Money = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", description="An exact decimal, in the tenant's currency.")]
Quantity = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", description="An exact decimal.")]
Ratio = Annotated[str, Field(pattern=r"^-?\d+\.\d+$", description="A ratio: 0.0421 is 4.21 %.")]


class ResponseModel(BaseModel):
    """The base of all schemas: no other fields."""

    model_config = ConfigDict(extra="forbid")


class PeriodModel(ResponseModel):
    """Business dates, both inclusive."""

    from_: date = Field(alias="from", examples=["2011-11-01"])
    to: date = Field(examples=["2011-11-30"])
    days: int = Field(examples=[30])


class ReportDocument(ResponseModel):
    """The members of every report: freshness and periods."""

    as_of: datetime = Field(description="Every sale up to this moment is in the figures.")
    staleness_s: float = Field(ge=0, description="Seconds since `as_of`, to within half a second.")
    is_stale: bool = Field(
        description="Whether no server that is fresh enough has responded lately, or the report lacks changes that were known seconds ago."
    )
    period: PeriodModel
    previous_period: PeriodModel


class Sums(ResponseModel):
    """Sums of one period or day."""

    sale_count: int
    return_count: int
    units: Quantity
    returned_units: Quantity
    gross_amount: Money
    discount_amount: Money
    tax_amount: Money
    refund_amount: Money
    cost_amount: Money
    net_amount: Money = Field(description="Gross less discount less refunds.")
    margin_amount: Money = Field(description="Net less cost.")


class Totals(Sums):
    """Sums and ratios; null where the divisor is zero."""

    average_order_value: Money | None = Field(description="(Gross less discount) per sale, to the cent.")
    return_rate: Ratio | None = Field(description="Refunds as a share of gross less discount.")
    margin_rate: Ratio | None = Field(description="Margin as a share of net.")
    unique_customers: int = Field(description="Named customers with at least one sale.")
    repeat_customers: int = Field(description="Those with at least two.")


class Changes(ResponseModel):
    """Relative change from the previous period: 0.25 is a quarter more; null from zero."""

    sale_count: Ratio | None
    units: Ratio | None
    gross_amount: Ratio | None
    refund_amount: Ratio | None
    net_amount: Ratio | None
    margin_amount: Ratio | None
    unique_customers: Ratio | None
    average_order_value: Ratio | None
    return_rate: Ratio | None
    margin_rate: Ratio | None


class Day(Sums):
    """One business date."""

    date: date


class TotalsDocument(ReportDocument):
    """Totals of both periods."""

    totals: Totals
    previous_totals: Totals
    change: Changes


class SalesSummary(TotalsDocument):
    """Totals, the previous period beside them, and a row per day."""

    days: list[Day]


class Point(ResponseModel):
    """One point of a trend; `start` is a date, or a local date and hour."""

    start: str = Field(examples=["2011-11-01"])
    sale_count: int
    return_count: int
    units: Quantity
    gross_amount: Money
    refund_amount: Money
    net_amount: Money
    margin_amount: Money
    previous_net_amount: Money
    previous_sale_count: int


class Trend(ReportDocument):
    """Points in order, those without sales too."""

    granularity: str
    points: list[Point]


class PageInfo(ResponseModel):
    """This page's position in the list."""

    limit: int
    offset: int
    total_rows: int = Field(description="Rows in all; 0 past the end.")
    next_offset: int | None = Field(description="The next page's offset; null on the last page.")


class Product(ResponseModel):
    """One product; every field of the catalogue is null for lines without a product."""

    product_id: str | None
    sku: str | None
    name: str | None
    product_group_name: str | None
    units: Quantity
    returned_units: Quantity
    gross_amount: Money
    refund_amount: Money
    net_amount: Money
    margin_amount: Money
    previous_units: Quantity
    previous_net_amount: Money


class TopProducts(ReportDocument):
    """A page of products, in descending order."""

    sort: str
    page: PageInfo
    products: list[Product]


class Customer(ResponseModel):
    """One named customer."""

    customer_id: str | None
    name: str | None
    sale_count: int
    units: Quantity
    refund_amount: Money
    net_amount: Money
    previous_net_amount: Money


class TopCustomers(ReportDocument):
    """A page of customers, in descending order."""

    sort: str
    page: PageInfo
    customers: list[Customer]


class Store(ResponseModel):
    """One store."""

    store_id: str
    name: str | None
    time_zone: str | None
    sale_count: int
    return_count: int
    units: Quantity
    gross_amount: Money
    refund_amount: Money
    net_amount: Money
    margin_amount: Money
    previous_net_amount: Money


class Stores(ReportDocument):
    """A page of stores, by net in descending order; those without sales too."""

    page: PageInfo
    stores: list[Store]


class ProductGroup(ResponseModel):
    """One product group; null for products without one."""

    product_group_id: str | None
    product_group_name: str | None
    product_count: int
    units: Quantity
    refund_amount: Money
    net_amount: Money
    margin_amount: Money
    previous_net_amount: Money


class ProductGroups(ReportDocument):
    """Product groups, by net in descending order."""

    product_groups: list[ProductGroup]


class Payment(ResponseModel):
    """One payment method; received is paid less refunded."""

    payment_method: str
    payment_count: int
    refund_count: int
    payment_amount: Money
    refund_amount: Money
    received_amount: Money
    previous_received_amount: Money


class Payments(ReportDocument):
    """Payment methods, by amount received in descending order."""

    payments: list[Payment]


class Cell(ResponseModel):
    """One hour of one weekday, local to each store."""

    weekday: int = Field(ge=1, le=7, description="1 is Monday.")
    hour: int = Field(ge=0, le=23)
    sale_count: int
    units: Quantity
    net_amount: Money


class Heatmap(ReportDocument):
    """Hours of the week with sales."""

    cells: list[Cell]


class StoreName(ResponseModel):
    """One store, for a selection list."""

    store_id: str
    name: str | None


class Overview(TotalsDocument):
    """Everything that the page shows, from one snapshot."""

    tenant: str | None
    first_date: date | None = Field(description="First business date with figures.")
    last_date: date | None
    store_names: list[StoreName] = Field(description="At most 500.")
    granularity: str
    points: list[Point]
    products: list[Product]
    returned_products: list[Product]
    product_groups: list[ProductGroup]
    payments: list[Payment]
    cells: list[Cell]
    stores: list[Store] = Field(description="The first 100 by net.")


class Me(ResponseModel):
    """The credential's claims."""

    subject: str
    tenant_id: str
    role: str
    currency: str | None
    expires_at: datetime


class FieldProblem(ResponseModel):
    """What is wrong with one parameter."""

    field: str
    detail: str


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(examples=["/problems/invalid-parameter"])
    title: str
    status: int
    detail: str
    request_id: str
    errors: list[FieldProblem] | None = None
