"""The passwords of one stack, generated once and stored in a private file."""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from local_stack.errors import StackError
from local_stack.paths import write_private

APPLICATION_ROLE = "sample_app"
DAGSTER_ROLE = "salespulse_dagster"
DASHBOARD_ROLE = "salespulse_dashboard"
PIPELINE_ROLE = "salespulse_pipeline"
READER_ROLE = "salespulse_reader"

LOGIN_ROLES = (APPLICATION_ROLE, DAGSTER_ROLE, DASHBOARD_ROLE, PIPELINE_ROLE, READER_ROLE)

# SCRAM iterations make a weak password slow to guess, and each login cost 4 ms of CPU. Dagster logs in for about every
# statement, with 192 random bits that nobody guesses. The other roles have PostgreSQL's default.
_ITERATIONS = 4096
_ITERATIONS_OF = {DAGSTER_ROLE: 1}


@dataclass(frozen=True)
class Credentials:
    """The passwords of the stack's servers and roles."""

    superuser: str = field(repr=False)
    replication: str = field(repr=False)
    redis: str = field(repr=False)
    # Signs the tokens of `salespulse token`.
    jwt: str = field(repr=False)
    roles: dict[str, str] = field(repr=False)
    salts: dict[str, str] = field(repr=False)

    def verifier(self, role: str) -> str:
        """Return the role's SCRAM verifier (RFC 5803), as PostgreSQL stores it and PgBouncer's `auth_file` takes it.

        With the same text in both, PgBouncer logs in with the keys of the client's own login and needs no password.
        """
        salt, iterations = base64.b64decode(self.salts[role]), _ITERATIONS_OF.get(role, _ITERATIONS)
        salted = hashlib.pbkdf2_hmac("sha256", self.roles[role].encode(), salt, iterations)
        stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
        server = hmac.digest(salted, b"Server Key", "sha256")
        return f"SCRAM-SHA-256${iterations}:{_b64(salt)}${_b64(stored)}:{_b64(server)}"


def load_credentials(path: Path) -> Credentials:
    """Return the stack's passwords, generated on first use.

    Raises:
        StackError: the file is damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return Credentials(**document)
    except FileNotFoundError:
        pass
    except (ValueError, TypeError):
        raise StackError(
            f"{path} is damaged, and the servers' passwords are in it: restore it, or delete {path.parent}"
        ) from None
    credentials = Credentials(
        superuser=secrets.token_urlsafe(24),
        replication=secrets.token_urlsafe(24),
        redis=secrets.token_urlsafe(24),
        jwt=secrets.token_urlsafe(48),
        roles={role: secrets.token_urlsafe(24) for role in LOGIN_ROLES},
        salts={role: _b64(secrets.token_bytes(16)) for role in LOGIN_ROLES},
    )
    write_private(path, json.dumps(vars(credentials), indent=1))
    return credentials


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
