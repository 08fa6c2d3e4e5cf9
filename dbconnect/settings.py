"""The one settings module: every `SALESPULSE_…` variable, its default, and what it means.

Sources, strongest first: arguments, environment, `.env` in the working directory, the file that `salespulse up` wrote
(`<data_dir>/stack.env`), defaults.
"""

import os
from datetime import date
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from dbconnect.errors import SettingsError

DEFAULT_DATA_DIR = Path(".salespulse")
STACK_FILE = "stack.env"

ServerUrl = Annotated[SecretStr, NoDecode]


class ReplicaSetting(BaseModel):
    """One further replica of the dashboards, as an element of `SALESPULSE_DASHBOARD_REPLICAS` (a JSON list)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, pattern=r"^[a-z][a-z0-9_-]*$")
    url: SecretStr
    direct_url: SecretStr | None = None
    weight: int = Field(1, ge=1, le=1000)


class Settings(BaseSettings):
    """What is in force. URLs are secrets: they carry passwords, and print masked."""

    model_config = SettingsConfigDict(env_prefix="SALESPULSE_", env_file_encoding="utf-8", extra="ignore", frozen=True)

    data_dir: Path = Field(DEFAULT_DATA_DIR, description="where the local stack keeps its servers, logs and secrets")

    admin_url: ServerUrl | None = Field(
        None, description="primary, as a role that may create schemas and roles; direct (5432), used for DDL only"
    )
    primary_url: ServerUrl | None = Field(
        None, description="primary, as salespulse_pipeline: prunes the change log, writes the heartbeat"
    )
    replica_url: ServerUrl | None = Field(
        None, description="read replica, as salespulse_reader: everything the refresh reads of the application"
    )
    warehouse_url: ServerUrl | None = Field(
        None, description="where facts and rollups live, as salespulse_pipeline; the primary unless given"
    )
    warehouse_admin_url: ServerUrl | None = Field(
        None, description="the warehouse as a role that may create schemas and roles; admin_url unless given"
    )
    dashboard_url: ServerUrl | None = Field(
        None, description="replica of the warehouse, as salespulse_dashboard: every dashboard read"
    )
    dashboard_fallback_url: ServerUrl | None = Field(
        None, description="the warehouse itself, as salespulse_dashboard: reads within a budget when no replica will do"
    )
    dashboard_direct_url: ServerUrl | None = Field(
        None, description="as dashboard_url but past the pooler (5432): the replica's lag is watched over it"
    )
    dashboard_fallback_direct_url: ServerUrl | None = Field(
        None, description="as dashboard_fallback_url but past the pooler: the primary's position is watched over it"
    )
    dashboard_replicas: tuple[ReplicaSetting, ...] = Field(
        (), description='further replicas: [{"name": …, "url": …, "direct_url": …, "weight": 1}, …]'
    )
    application_url: ServerUrl | None = Field(
        None, description="primary, as the application's own role; only the demonstration and its traffic use it"
    )
    redis_url: ServerUrl | None = Field(None, description="Redis: the limiter, the jobs, and Celery's broker")
    dagster_url: ServerUrl | None = Field(None, description="PostgreSQL database of Dagster's own storage")

    dagster_direct_url: ServerUrl | None = Field(
        None, description="as dagster_url but past the pooler: the bridge LISTENs over it; without it, it only polls"
    )
    replica_direct_url: ServerUrl | None = Field(
        None, description="read replica as salespulse_reader, not through a pooler: lag is measured over it"
    )
    dagster_home: Path | None = Field(None, description="Dagster's instance directory")
    dagster_webserver_url: str | None = Field(None, description="where Dagster's UI answers")

    source: str = Field("retail", description="name of the mapping under dbsql/source/, or a path to such a folder")
    allow_primary_reads: bool = Field(
        default=False, description="let the refresh read the primary when there is no replica; never done silently"
    )
    refresh_batch_documents: int = Field(
        10_000, ge=1, le=1_000_000, description="sales and returns applied in one warehouse transaction at most"
    )
    drain_seconds: float = Field(
        5.0,
        ge=0,
        le=3000,
        description="how long a refresh run of Dagster keeps looking for new changes before it ends; sensor ticks are 5 s "
        "apart, so this long a run bridges them",
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

    jobs_per_tenant: int = Field(
        5, ge=1, le=10_000, description="background jobs of one tenant in flight at a time; the rest waits its turn"
    )
    jobs_per_kind: str = Field(
        "",
        pattern=r"^\s*(\w+\s*=\s*[1-9]\d*(\s*,\s*\w+\s*=\s*[1-9]\d*)*)?\s*$",
        description="background jobs of a kind in flight at a time, over all tenants, where it should be another number "
        "than the kind's own: export_sales_report=4, hello_world=20",
    )
    jobs_archive_days: float = Field(
        30.0, gt=0, description="ended background jobs are kept in the warehouse's archive this long"
    )
    export_dir: Path | None = Field(
        None, description="where exported reports are written, and served from; <data_dir>/exports unless given"
    )
    export_link_secret: SecretStr | None = Field(
        None, min_length=32, description="signs the links to exported reports; derived from jwt_secret unless given"
    )
    export_keep_hours: float = Field(
        24.0, gt=0, description="exported reports, and the links to them, expire after so long"
    )

    api_host: str = Field("127.0.0.1", description="address that the dashboard API listens on")
    api_port: int = Field(8400, ge=1, le=65535, description="port that the dashboard API listens on")
    jwt_secret: SecretStr | None = Field(
        None, min_length=32, description="HS256 secret of the tokens that the application issues, 32 characters or more"
    )
    jwks_url: str | None = Field(
        None, description="where the public keys of the tokens are (RS256, ES256, …), instead of jwt_secret"
    )
    jwt_audience: str = Field("salespulse", min_length=1, description="audience that every token must name")
    jwt_issuer: str | None = Field(None, description="issuer that every token must name, if given")
    dashboard_roles: tuple[str, ...] = Field(
        ("owner", "manager", "viewer", "operator"),
        description="roles of a token that may read the dashboard (JSON list); what an operator is: docs/dashboard-api.md",
    )
    dashboard_cache_mb: float = Field(64.0, ge=0, description="memory for finished answers, per process; 0 keeps none")
    ratelimit_policies: Path | None = Field(
        None, description="policy file of the limiter (TOML, YAML or JSON); the bundled 100 a minute unless given"
    )
    trusted_proxies: tuple[str, ...] = Field(
        (), description="addresses or networks whose X-Forwarded-For is believed (JSON list)"
    )

    webhook_private_networks: tuple[str, ...] = Field(
        (),
        description="networks that are not public and that webhooks may go to all the same, such as 127.0.0.0/8 (JSON list)",
    )
    webhook_timeout_seconds: float = Field(
        10.0, gt=0, le=60, description="limit of one attempt to deliver a webhook, its answer included"
    )

    dashboard_weight: int = Field(
        1, ge=1, le=1000, description="dashboard_url's share of the reads beside further replicas"
    )
    dashboard_max_staleness_seconds: float = Field(
        2.0,
        gt=0,
        description="a read is answered no staler than this without being marked stale; needs a heartbeat a second",
    )
    dashboard_max_lag_bytes: int = Field(
        64 * 1024 * 1024, ge=0, description="a replica further behind the primary than this is not read"
    )
    dashboard_processes: int = Field(
        1,
        ge=1,
        le=256,
        description="worker processes that serve dashboards on the one port, each with pools of its own",
    )
    dashboard_maker: bool = Field(
        default=True,
        description="make answers in a process of its own beside each that serves, which shares that one's pools; needs pools of two",
    )
    dashboard_prepare_statements: bool = Field(
        default=False,
        description="prepare dashboard statements on the server, where a probe at start-up shows that it is safe",
    )
    pipeline_connections: int = Field(
        8,
        ge=1,
        le=500,
        description="connections that all pipeline runs together open to one server, at most, per route",
    )
    dagster_connections: int = Field(35, ge=1, le=500, description="connections to Dagster's storage, at most")
    pooler_pool_size: int | None = Field(
        None,
        ge=1,
        description="server connections that the pooler opens for one route, at most; bounds each pooled route",
    )
    dashboard_pool_size: int = Field(10, ge=1, le=500, description="connections to each replica, of one process")
    dashboard_fallback_pool_size: int = Field(4, ge=1, le=500, description="connections to the primary, of one process")
    dashboard_pool_wait_seconds: float = Field(2.0, gt=0, description="how long a read waits for a free connection")
    dashboard_queue_seconds: float = Field(
        10.0, gt=0, description="how long a question that is not in the cache waits for its turn to be read, then 503"
    )
    dashboard_statement_timeout_seconds: float = Field(2.0, gt=0, description="limit of one dashboard statement")
    dashboard_fallback_reads_per_second: float = Field(
        20.0, ge=0, description="dashboard reads that one process may send to the primary, sustained; 0 forbids them"
    )
    dashboard_fallback_burst: int = Field(40, ge=1, description="… and at once")
    token_wait_seconds: float = Field(
        0.25, ge=0, description="how long a read with a token waits for the replica before it goes to the primary"
    )

    @model_validator(mode="after")
    def _postgres_urls_are_postgres(self) -> Self:
        for name in type(self).model_fields:
            value = getattr(self, name)
            if not isinstance(value, SecretStr) or not name.endswith("_url") or name == "redis_url":
                continue
            scheme = urlsplit(value.get_secret_value()).scheme
            if scheme not in {"postgresql", "postgres"}:
                message = f"SALESPULSE_{name.upper()} must begin with postgresql://, not {scheme or 'nothing'}://"
                raise ValueError(message)
        return self

    def url(self, name: str) -> str:
        """Give one server's URL in clear, following the documented defaults.

        Args:
            name: a field of this class whose name ends in `_url`.

        Raises:
            SettingsError: neither the setting nor what it defaults to is given.
        """
        for candidate in (name, *_FALLBACKS.get(name, ())):
            value = getattr(self, candidate)
            if value is not None:
                return str(value.get_secret_value())
        raise SettingsError(
            f"SALESPULSE_{name.upper()} is not set, and no local stack is running in {self.data_dir}. "
            "Start one with `salespulse up`, or give the URL."
        )

    @property
    def has_maker(self) -> bool:
        """Whether answers are made in a process of their own: it has to be given connections without taking the last ones."""
        pools = [self.dashboard_pool_size]
        if self.dashboard_fallback_url is not None:
            pools.append(self.dashboard_fallback_pool_size)
        return self.dashboard_maker and min(pools) > 1

    @property
    def exports(self) -> Path:
        """The directory of exported reports, which may not be there yet."""
        return (self.export_dir or self.data_dir / "exports").absolute()

    @property
    def most_jobs_per_kind(self) -> dict[str, int]:
        """`jobs_per_kind` as a mapping."""
        pairs = (pair.partition("=") for pair in self.jobs_per_kind.split(",") if pair.strip())
        return {name.strip(): int(most) for name, _, most in pairs}

    @property
    def reads_primary(self) -> bool:
        """Whether no replica is given, so that reads would go to the primary."""
        return self.replica_url is None

    def masked(self) -> dict[str, str]:
        """Every setting as text, passwords replaced by `***`: what `salespulse settings` prints."""
        return {name: _masked(getattr(self, name)) for name in type(self).model_fields}


_FALLBACKS = {
    "warehouse_url": ("primary_url",),
    "warehouse_admin_url": ("admin_url",),
    "replica_direct_url": ("replica_url",),
    "dashboard_direct_url": ("dashboard_url",),
    "dashboard_fallback_direct_url": ("dashboard_fallback_url",),
}


def load_settings(**overrides: object) -> Settings:
    """Read the settings from every source.

    Raises:
        SettingsError: a value can't be used; the message names the variable.
    """
    data_dir = Path(str(overrides.get("data_dir") or os.environ.get("SALESPULSE_DATA_DIR") or DEFAULT_DATA_DIR))
    try:
        return Settings(_env_file=(data_dir / STACK_FILE, Path(".env")), **overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(_problem(item["loc"], item["msg"]) for item in error.errors())
        raise SettingsError(f"settings: {problems}") from None


def _problem(location: tuple[int | str, ...], message: str) -> str:
    name = f"SALESPULSE_{str(location[0]).upper()}: " if location else ""
    return f"{name}{message.removeprefix('Value error, ')}"


def _masked(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(_masked(item) for item in value)
    if isinstance(value, ReplicaSetting):
        return f"{value.name} (weight {value.weight}) {_masked(value.url)}"
    if isinstance(value, SecretStr):
        return _masked_secret(value.get_secret_value())
    return "" if value is None else str(value)


def _masked_secret(text: str) -> str:
    parts = urlsplit(text)
    if not parts.scheme:
        return "***"
    if parts.password is None:
        return urlunsplit(parts)
    user, host = parts.username or "", parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{user}:***@{host}"))
