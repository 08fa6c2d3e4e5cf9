"""Who asks: bearer tokens of the application, API keys of machines, and the tenant that each stands for."""

from dashboard_api.auth.api_keys import hash_api_key, new_api_key
from dashboard_api.auth.authenticator import Authenticator, Caller
from dashboard_api.auth.identity import Identity
from dashboard_api.auth.tokens import TokenVerifier, issue_token

__all__ = ["Authenticator", "Caller", "Identity", "TokenVerifier", "hash_api_key", "issue_token", "new_api_key"]
