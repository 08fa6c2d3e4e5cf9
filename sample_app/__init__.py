"""The bundled application: loads the real sales and makes live traffic, in the application's tables only."""

from sample_app.errors import InvoiceFileError, LoadError, RetailError, SchemaError, TrafficError
from sample_app.online_retail import LoadCounts, load_online_retail
from sample_app.schema import install_application

__all__ = [
    "InvoiceFileError",
    "LoadCounts",
    "LoadError",
    "RetailError",
    "SchemaError",
    "TrafficError",
    "install_application",
    "load_online_retail",
]
