"""Who sent a request: access tokens of the application's users, API keys of machines, and the tenant that each belongs to."""

from dashboard_api.auth.access_tokens import TokenVerifier, issue_token
from dashboard_api.auth.api_keys import hash_api_key, new_api_key
from dashboard_api.auth.authenticator import Authenticator
from dashboard_api.auth.identity import Caller, Identity

__all__ = ["Authenticator", "Caller", "Identity", "TokenVerifier", "hash_api_key", "issue_token", "new_api_key"]
