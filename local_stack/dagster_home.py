"""Dagster's instance directory, and the environment in which any process opens that instance."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from local_stack.files import write_private
from local_stack.layout import Layout
from local_stack.ports import LOOPBACK

_HERE = Path(__file__).parent
CELERY_CONFIG = _HERE / "celery_config"

STORAGE_VARIABLE = "DAGSTER_STORAGE_URL"
BROKER_VARIABLE = "SALESPULSE_CELERY_BROKER_URL"


def dagster_environment(*, home: Path, storage_url: str, redis_url: str) -> Mapping[str, str]:
    """The variables that `dagster.yaml` reads.

    Args:
        home: the instance directory.
        storage_url: a libpq URL of Dagster's database.
        redis_url: Celery's broker.
    """
    return {
        "DAGSTER_HOME": str(home),
        STORAGE_VARIABLE: sqlalchemy_url(storage_url),
        BROKER_VARIABLE: redis_url,
    }


def sqlalchemy_url(url: str) -> str:
    """A libpq URL as SQLAlchemy must be given it for dagster-postgres: with its driver, psycopg2."""
    return f"postgresql+psycopg2://{url.partition('://')[2]}"


def install_dagster_home(layout: Layout, *, code_server_port: int) -> None:
    """Write `dagster.yaml` and the workspace that names the code server."""
    template = (_HERE / "templates" / "dagster.yaml").read_text(encoding="utf-8")
    write_private(layout.dagster_home / "dagster.yaml", template)
    server = {"host": LOOPBACK, "port": code_server_port, "location_name": "salespulse"}
    # JSON is YAML.
    write_private(layout.workspace, json.dumps({"load_from": [{"grpc_server": server}]}) + os.linesep)
