"""Load the settings; each is declared, with its default and meaning, in `settings.py`.

Sources, strongest first: arguments, environment, `.env` in the working directory, the file that `salespulse up` wrote
(`<data_dir>/stack.env`), defaults.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from dbconnect.errors import SettingsError
from dbconnect.masking import mask_setting
from dbconnect.settings import (
    GROUPS,
    DashboardSettings,
    ExportSettings,
    JobSettings,
    RefreshSettings,
    ServerSettings,
    TokenSettings,
    WebhookSettings,
)

STACK_FILE = "stack.env"
_DOT_ENV = Path(".env")

# What a URL that is not set defaults to.
_DEFAULT_URLS = {
    "warehouse_url": "primary_url",
    "warehouse_admin_url": "admin_url",
    "replica_direct_url": "replica_url",
    "dashboard_direct_url": "dashboard_url",
    "dashboard_fallback_direct_url": "dashboard_fallback_url",
}


class Settings(
    ServerSettings,
    RefreshSettings,
    DashboardSettings,
    JobSettings,
    ExportSettings,
    WebhookSettings,
    TokenSettings,
    BaseSettings,
):
    """The settings in force. Secrets are masked wherever the object is printed, errors included."""

    model_config = SettingsConfigDict(
        env_prefix="SALESPULSE_", env_file_encoding="utf-8", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    def url(self, name: str) -> str:
        """Return a server's URL in clear, or that of the setting which it defaults to.

        Args:
            name: a field whose name ends in `_url`.

        Raises:
            SettingsError: neither is set.
        """
        value = getattr(self, name) or getattr(self, _DEFAULT_URLS.get(name, name))
        if value is None:
            raise SettingsError(
                f"SALESPULSE_{name.upper()} is not set, and no local stack is running in {self.data_dir}. "
                "Start one with `salespulse up`, or set the URL."
            )
        return str(value.get_secret_value())

    @property
    def exports(self) -> Path:
        """The directory of exported reports, which may not exist yet."""
        return (self.export_dir or self.data_dir / "exports").absolute()

    def masked(self) -> dict[str, str]:
        """Return every setting as text, group by group, with secrets masked."""
        names = (name for group in GROUPS for name in group.model_fields)
        return {name: mask_setting(name, getattr(self, name)) for name in names}

    def __repr_args__(self) -> Iterator[tuple[str, str]]:
        yield from self.masked().items()


def load_settings(**overrides: object) -> Settings:
    """Read the settings from every source.

    Raises:
        SettingsError: a value is invalid; the message names the variable, and never contains the value.
    """
    try:
        return Settings(_env_file=(_stack_file(overrides.get("data_dir")), _DOT_ENV), **overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = "; ".join(_problem(item["loc"], item["msg"]) for item in error.errors(include_input=False))
        raise SettingsError(f"settings: {problems}") from None
    except SourceError as error:
        # It names the field, and its cause, which is not shown, contains the value.
        raise SettingsError(f"settings: {error}") from None


def find_sources(settings: Settings) -> dict[str, str]:
    """Return the source of each setting's value: `environment`, `.env`, `stack file` or `default`."""
    sources = (
        ("stack file", DotEnvSettingsSource(Settings, env_file=_stack_file(settings.data_dir))),
        (".env", DotEnvSettingsSource(Settings, env_file=_DOT_ENV)),
        ("environment", EnvSettingsSource(Settings)),
    )
    origins = dict.fromkeys(Settings.model_fields, "default")
    for label, source in sources:
        origins |= {name: label for name in source() if name in origins}
    return origins


def _stack_file(data_dir: object) -> Path:
    directory = data_dir or os.environ.get("SALESPULSE_DATA_DIR") or Settings.model_fields["data_dir"].default
    return Path(str(directory)) / STACK_FILE


def _problem(location: tuple[int | str, ...], message: str) -> str:
    name = f"SALESPULSE_{str(location[0]).upper()}: " if location else ""
    return f"{name}{message.removeprefix('Value error, ')}"
