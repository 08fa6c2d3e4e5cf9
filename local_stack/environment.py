"""How programs learn where the stack's servers are: `stack.env`, and the home and variables of Dagster's instance."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from dbconnect import Settings, load_settings
from dbconnect.settings_loader import STACK_FILE
from local_stack.credentials import Credentials
from local_stack.paths import StackPaths, write_private
from local_stack.ports import LOOPBACK

_HERE = Path(__file__).parent
CELERY_CONFIG = _HERE / "celery_config"


def explicit_settings(paths: StackPaths, credentials: Credentials) -> Settings:
    """Return the settings that the user made, without those of an earlier `up` (a shell may have sourced its file)."""
    generated = {credentials.superuser, credentials.redis, *credentials.roles.values()}
    settings = load_settings(data_dir=paths.root / "servers" / "none")
    urls = explicit_urls(settings).items()
    return settings.model_copy(
        update={name: None for name, url in urls if unquote(urlsplit(url).password or "") in generated}
    )


def explicit_urls(settings: Settings) -> dict[str, str]:
    """Return the `…_url` settings that have a value, unmasked."""
    values = {name: getattr(settings, name) for name in type(settings).model_fields if name.endswith("_url")}
    return {name: value.get_secret_value() for name, value in values.items() if isinstance(value, SecretStr)}


def write_stack_file(paths: StackPaths, entries: Mapping[str, str]) -> None:
    """Write `stack.env`, which `load_settings` reads with this data directory.

    Args:
        paths: of the stack.
        entries: values of settings by name.
    """
    lines = ["# Written by `salespulse up`; read by every command run with this data directory.\n"]
    lines += [f"SALESPULSE_{name.upper()}={_quoted(value)}\n" for name, value in sorted(entries.items())]
    write_private(paths.root / STACK_FILE, "".join(lines))


def dagster_environment(*, home: Path, storage_url: str, redis_url: str) -> Mapping[str, str]:
    """Return the variables that a process needs to open Dagster's instance.

    Args:
        home: the instance directory.
        storage_url: a libpq URL of Dagster's database.
        redis_url: Celery's broker.
    """
    return {
        "DAGSTER_HOME": str(home),
        # SQLAlchemy needs the driver's name: dagster-postgres is written for psycopg2.
        "DAGSTER_STORAGE_URL": f"postgresql+psycopg2://{storage_url.partition('://')[2]}",
        "SALESPULSE_CELERY_BROKER_URL": redis_url,
    }


def install_dagster_home(paths: StackPaths, *, code_server_port: int) -> None:
    """Write `dagster.yaml` and the workspace file that names the code server."""
    template = (_HERE / "templates" / "dagster.yaml").read_text(encoding="utf-8")
    write_private(paths.dagster_home / "dagster.yaml", template)
    server = {"host": LOOPBACK, "port": code_server_port, "location_name": "salespulse"}
    # JSON is YAML.
    write_private(paths.workspace, json.dumps({"load_from": [{"grpc_server": server}]}) + os.linesep)


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
