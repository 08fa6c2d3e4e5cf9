"""`stack.env`: how every command learns where the stack's servers are; and what was given instead of them."""

from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr

from dbconnect import Settings, load_settings
from dbconnect.settings import STACK_FILE
from local_stack.credentials import Credentials
from local_stack.files import write_private
from local_stack.layout import Layout
from local_stack.ports import LOOPBACK


def given_settings(layout: Layout, credentials: Credentials) -> Settings:
    """The settings that somebody gave, without what an earlier `up` wrote (a shell may have sourced its file)."""
    ours = {credentials.superuser, credentials.redis, *credentials.roles.values()}
    given = load_settings(data_dir=layout.root / "servers" / "none")
    written = {name: None for name, url in given_urls(given).items() if unquote(urlsplit(url).password or "") in ours}
    return given.model_copy(update=written)


def given_urls(given: Settings) -> dict[str, str]:
    """The servers among the settings that have a value, in clear."""
    values = {name: getattr(given, name) for name in type(given).model_fields if name.endswith("_url")}
    return {name: value.get_secret_value() for name, value in values.items() if isinstance(value, SecretStr)}


def write_stack_file(layout: Layout, urls: Mapping[str, str], *, ui_port: int | None) -> None:
    """Write the file that `load_settings` reads with this data directory.

    Args:
        layout: of the stack.
        urls: the `…_url` settings, given or the stack's own, and what else the stack decides.
        ui_port: where Dagster's webserver answers; None without one.
    """
    entries = dict(urls) | {"dagster_home": str(layout.dagster_home)}
    if ui_port is not None:
        entries["dagster_webserver_url"] = f"http://{LOOPBACK}:{ui_port}"
    lines = ["# Written by `salespulse up`; read by every command run with this data directory.\n"]
    lines += [f"SALESPULSE_{name.upper()}={_quoted(value)}\n" for name, value in sorted(entries.items())]
    write_private(layout.root / STACK_FILE, "".join(lines))


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
