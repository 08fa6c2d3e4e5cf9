"""Where things are and how to reach them: the settings, and one route per kind of database work.

Used by the pipelines and by the HTTP face alike; knows nothing of either.
"""

from connect.errors import SalespulseError, SettingsError
from connect.settings import Settings, load_settings

__all__ = ["SalespulseError", "Settings", "SettingsError", "load_settings"]
