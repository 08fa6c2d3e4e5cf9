"""Show connection strings and settings without their secrets.

Everything is masked unless it is known to be public: a URL's host, a database's name, a few libpq parameters. What can't
be parsed without doubt is shown as `***`.
"""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from pydantic import BaseModel, SecretStr

MASK = "***"

_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)
_POSTGRES_SCHEMES = frozenset({"postgres", "postgresql"})
# libpq's parameters that are never secret; `options`, `passfile`, `service` and the like may lead to secrets.
_PUBLIC_PARAMETERS = frozenset({"application_name", "connect_timeout", "sslmode", "target_session_attrs"})


class AmbiguousUrlError(ValueError):
    """A character in the URL's password has to be percent-encoded; the message does not contain it."""

    def __init__(self) -> None:
        super().__init__(
            "the password contains an unescaped '#', '/', '?' or '@': percent-encode it (%23, %2F, %3F, %40)"
        )


def check_url(url: str, schemes: Iterable[str]) -> None:
    """Check a server's URL.

    Raises:
        AmbiguousUrlError: parsers would disagree on where the password ends.
        ValueError: it has another scheme, or can't be parsed. No message contains a part of the URL.
    """
    allowed = tuple(schemes)
    match = _URL.fullmatch(url)
    if match is None or match["scheme"].lower() not in allowed:
        raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in allowed)}")
    if "#" in match["rest"] or "@" in match["rest"] or match["authority"].count("@") > 1:
        raise AmbiguousUrlError
    if match["scheme"].lower() in _POSTGRES_SCHEMES:
        try:
            conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            raise ValueError(
                "is not a PostgreSQL URL: check its parameters, and percent-encode special characters of the password"
            ) from None


def mask_url(text: str) -> str:
    """Return a URL or a libpq connection string with its secrets replaced by `***`; `***` alone where it is neither."""
    match = _URL.fullmatch(text)
    try:
        if match is None or match["scheme"].lower() in _POSTGRES_SCHEMES:
            return _mask_postgres(text, is_url=match is not None)
        check_url(text, [match["scheme"].lower()])
        parts = urlsplit(text)
        user_info = f"{MASK}@" if "@" in parts.netloc else ""
        query = f"?{MASK}" if parts.query else ""
        return f"{parts.scheme}://{user_info}{parts.netloc.rpartition('@')[2]}{parts.path}{query}"
    except (ValueError, psycopg.ProgrammingError):
        return MASK


def _mask_postgres(text: str, *, is_url: bool) -> str:
    if is_url:
        check_url(text, _POSTGRES_SCHEMES)
    parameters = {name: str(value) for name, value in conninfo_to_dict(text).items()}
    user = parameters.pop("user", "")
    password = f":{MASK}" if parameters.pop("password", None) is not None else ""
    hosts = parameters.pop("host", "").split(",")
    ports = parameters.pop("port", "").split(",")
    ports = ports if len(ports) == len(hosts) else ports[:1] * len(hosts)
    authority = ",".join(f"{host}:{port}" if port else host for host, port in zip(hosts, ports, strict=True))
    database = parameters.pop("dbname", "")
    query = "&".join(f"{name}={value if name in _PUBLIC_PARAMETERS else MASK}" for name, value in parameters.items())
    prefix = f"{user}{password}@" if user or password else ""
    return f"postgresql://{prefix}{authority}/{database}" + (query and f"?{query}")


def mask_setting(name: str, value: object) -> str:
    """Return a setting's value as text; a secret as `***`, or as a masked URL where the setting is called `…url`."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ", ".join(mask_setting(name, item) for item in value)
    if isinstance(value, BaseModel):
        return " ".join(f"{key}={mask_setting(key, item)}" for key, item in value if item is not None)
    if isinstance(value, SecretStr):
        return mask_url(value.get_secret_value()) if name.endswith("url") else MASK
    return mask_url(value) if isinstance(value, str) and "://" in value else str(value)
