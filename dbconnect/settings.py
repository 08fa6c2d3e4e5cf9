"""Every `SALESPULSE_…` setting, its default and its meaning, in one class for each concern. `settings.py` loads them."""

from datetime import date
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from dbconnect.masking import check_url


def _check_postgres_url(value: SecretStr) -> SecretStr:
    check_url(value.get_secret_value(), ["postgresql", "postgres"])
    return value


def _check_redis_url(value: SecretStr) -> SecretStr:
    check_url(value.get_secret_value(), ["redis", "rediss", "unix"])
    return value


PostgresUrl: TypeAlias = Annotated[SecretStr, AfterValidator(_check_postgres_url)]
RedisUrl: TypeAlias = Annotated[SecretStr, AfterValidator(_check_redis_url)]


class ReplicaSetting(BaseModel):
    """A further replica of the dashboards: an element of `SALESPULSE_DASHBOARD_REPLICAS` (a JSON list)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str = Field(min_length=1, pattern=r"^[a-z][a-z0-9_-]*$")
    url: PostgresUrl
    direct_url: PostgresUrl | None = None
    weight: int = Field(1, ge=1, le=1000)


class SettingGroup(BaseModel):
    """The settings of one concern."""

    model_config = ConfigDict(frozen=True)


class ServerSettings(SettingGroup):
    """Servers."""

    data_dir: Path = Field(Path(".salespulse"), description="where the local stack keeps its servers, logs and secrets")
    admin_url: PostgresUrl | None = Field(
        None, description="primary, as a role that may create schemas and roles; direct (5432), used for DDL only"
    )
    primary_url: PostgresUrl | None = Field(
        None, description="primary, as salespulse_pipeline: prunes the change log, writes the heartbeat"
    )
    replica_url: PostgresUrl | None = Field(
        None, description="read replica, as salespulse_reader: everything the refresh reads of the application"
    )
    replica_direct_url: PostgresUrl | None = Field(
        None, description="read replica as salespulse_reader, bypassing any pooler: lag is measured over it"
    )
    warehouse_url: PostgresUrl | None = Field(
        None, description="database of facts and rollups, as salespulse_pipeline [primary_url]"
    )
    warehouse_admin_url: PostgresUrl | None = Field(
        None, description="the warehouse, as a role that may create schemas and roles [admin_url]"
    )
    application_url: PostgresUrl | None = Field(
        None, description="primary, as the application's own role; only the demonstration and its traffic use it"
    )
    redis_url: RedisUrl | None = Field(None, description="Redis: the limiter, the jobs, and Celery's broker")
    dagster_url: PostgresUrl | None = Field(None, description="PostgreSQL database of Dagster's own storage")
    dagster_direct_url: PostgresUrl | None = Field(
        None, description="as dagster_url, bypassing the pooler: the bridge LISTENs over it; without it, it only polls"
    )
    dagster_home: Path | None = Field(None, description="Dagster's instance directory")
    dagster_webserver_url: str | None = Field(None, description="URL of Dagster's UI")
    pipeline_connections: int = Field(
        8, ge=1, le=500, description="maximum connections of all pipeline runs together to one server, for each route"
    )
    dagster_connections: int = Field(35, ge=1, le=500, description="maximum connections to Dagster's storage")
    pooler_pool_size: int | None = Field(
        None, ge=1, description="maximum server connections that the pooler opens for one route; bounds pooled routes"
    )

    @property
    def reads_primary(self) -> bool:
        """Whether no replica is configured, so that the refresh would read the primary."""
        return self.replica_url is None


class RefreshSettings(SettingGroup):
    """Refresh."""

    source: str = Field("retail", description="name of the mapping under dbsql/source/, or a path to such a folder")
    allow_primary_reads: bool = Field(
        default=False, description="let the refresh read the primary when there is no replica; never done silently"
    )
    refresh_batch_documents: int = Field(
        10_000, ge=1, le=1_000_000, description="maximum sales and returns applied in one warehouse transaction"
    )
    drain_seconds: float = Field(
        5.0,
        ge=0,
        le=3000,
        description="how long a refresh run of Dagster looks for new changes before it ends; bridges the 5 s between "
        "sensor ticks",
    )
    lock_wait_seconds: float = Field(
        30.0, ge=0, description="how long a refresh waits for another one to finish before it gives up"
    )
    statement_timeout_seconds: float = Field(600.0, gt=0, description="limit of one pipeline statement")
    change_log_keep_hours: float = Field(
        1.0, ge=0, description="applied change-log rows are kept this long before they are pruned"
    )
    backfill_from: date = Field(
        date(2010, 12, 1), description="first month that can be backfilled by partition, as a date within it"
    )
    event_keep_days: float = Field(
        1.0, gt=0, description="Dagster's log rows other than asset events go this long after their run has ended"
    )
    run_keep_days: float = Field(
        3.0, gt=0, description="Dagster's runs without a partition, and the refresh log, go after this long"
    )


class DashboardSettings(SettingGroup):
    """Dashboards."""

    api_host: str = Field("127.0.0.1", description="address that the dashboard API listens on")
    api_port: int = Field(8400, ge=1, le=65535, description="port that the dashboard API listens on")
    ratelimit_policies: Path | None = Field(
        None, description="policy file of the limiter (TOML, YAML or JSON) [the bundled 100 requests a minute]"
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="addresses or networks whose X-Forwarded-For is trusted (JSON list)"
    )
    dashboard_url: PostgresUrl | None = Field(
        None, description="replica of the warehouse, as salespulse_dashboard: every dashboard read"
    )
    dashboard_direct_url: PostgresUrl | None = Field(
        None, description="as dashboard_url, bypassing the pooler (5432): the replica's health is checked over it"
    )
    dashboard_fallback_url: PostgresUrl | None = Field(
        None, description="the warehouse itself, as salespulse_dashboard: reads within a budget when no replica will do"
    )
    dashboard_fallback_direct_url: PostgresUrl | None = Field(
        None, description="as dashboard_fallback_url, bypassing the pooler: the primary's health is checked over it"
    )
    dashboard_replicas: tuple[ReplicaSetting, ...] = Field(
        (), description='further replicas: [{"name": …, "url": …, "direct_url": …, "weight": 1}, …]'
    )
    dashboard_weight: int = Field(
        1, ge=1, le=1000, description="dashboard_url's share of the reads beside further replicas"
    )
    dashboard_max_staleness_seconds: float = Field(
        2.0, gt=0, description="older data are marked stale; needs a heartbeat every second"
    )
    dashboard_max_lag_bytes: int = Field(
        64 * 1024 * 1024, ge=0, description="a replica further behind the primary than this is not read"
    )
    dashboard_processes: int = Field(
        1, ge=1, le=256, description="worker processes that serve dashboards on the one port, each with its own pools"
    )
    dashboard_prepare_statements: bool = Field(
        default=False,
        description="prepare dashboard statements on the server, where a probe at start-up shows that it is safe",
    )
    dashboard_pool_size: int = Field(10, ge=1, le=500, description="connections to each replica, for each process")
    dashboard_fallback_pool_size: int = Field(
        4, ge=1, le=500, description="connections to the primary, for each process"
    )
    dashboard_pool_wait_seconds: float = Field(2.0, gt=0, description="how long a read waits for a free connection")
    dashboard_queue_seconds: float = Field(
        10.0, gt=0, description="how long a request that is not in the cache waits for its turn; 503 afterwards"
    )
    dashboard_statement_timeout_seconds: float = Field(2.0, gt=0, description="limit of one dashboard statement")
    dashboard_fallback_reads_per_second: float = Field(
        20.0, ge=0, description="dashboard reads that one process may send to the primary, sustained; 0 forbids them"
    )
    dashboard_fallback_burst: int = Field(40, ge=1, description="dashboard reads on the primary at once")
    dashboard_cache_mb: float = Field(64.0, ge=0, description="memory for cached answers, per process; 0 keeps none")
    token_wait_seconds: float = Field(
        0.25, ge=0, description="how long a read with a commit token waits for the replica before it tries the primary"
    )


class JobSettings(SettingGroup):
    """Background jobs."""

    jobs_per_tenant: int = Field(
        5, ge=1, le=10_000, description="concurrent background jobs of one tenant; the others are queued"
    )
    jobs_per_kind: str = Field(
        "",
        pattern=r"^\s*(\w+\s*=\s*[1-9]\d*(\s*,\s*\w+\s*=\s*[1-9]\d*)*)?\s*$",
        description="concurrent background jobs of a kind over all tenants, where it differs from the kind's own limit: "
        "export_sales_report=4, hello_world=20",
    )
    jobs_archive_days: float = Field(
        30.0, gt=0, description="ended background jobs are kept in the warehouse's archive this long"
    )

    @property
    def most_jobs_per_kind(self) -> dict[str, int]:
        """`jobs_per_kind` as a mapping."""
        pairs = (pair.partition("=") for pair in self.jobs_per_kind.split(",") if pair.strip())
        return {name.strip(): int(limit) for name, _, limit in pairs}


class ExportSettings(SettingGroup):
    """Exports."""

    export_dir: Path | None = Field(
        None, description="where exported reports are written, and served from [<data_dir>/exports]"
    )
    export_link_secret: SecretStr | None = Field(
        None, min_length=32, description="signs the links to exported reports [derived from jwt_secret]"
    )
    export_keep_hours: float = Field(24.0, gt=0, description="exported reports and their links expire after this long")


class WebhookSettings(SettingGroup):
    """Webhooks."""

    webhook_private_networks: tuple[str, ...] = Field(
        (), description="private networks that webhooks may be sent to, such as 127.0.0.0/8 (JSON list)"
    )
    webhook_timeout_seconds: float = Field(
        10.0, gt=0, le=60, description="limit of one attempt to deliver a webhook, its answer included"
    )


class TokenSettings(SettingGroup):
    """Tokens."""

    jwt_secret: SecretStr | None = Field(
        None, min_length=32, description="HS256 secret of the tokens that the application issues, 32 characters or more"
    )
    jwks_url: str | None = Field(
        None, description="URL of the tokens' public keys (RS256, ES256, …), instead of jwt_secret"
    )
    jwt_audience: str = Field("salespulse", min_length=1, description="audience that every token must name")
    jwt_issuer: str | None = Field(None, description="issuer that every token must name, if set")
    dashboard_roles: tuple[str, ...] = Field(
        ("owner", "manager", "viewer", "operator"),
        description="roles that may read the dashboard (JSON list); what an operator may do: docs/dashboard-api.md",
    )


GROUPS: tuple[type[SettingGroup], ...] = (
    ServerSettings,
    RefreshSettings,
    DashboardSettings,
    JobSettings,
    ExportSettings,
    WebhookSettings,
    TokenSettings,
)
