"""Errors of the bundled application."""

from dbconnect import SalespulseError


class RetailError(SalespulseError):
    """Root of the bundled application's errors."""


class SchemaError(RetailError):
    """Only a part of the application's schema exists."""


class InvoiceFileError(RetailError):
    """A file of invoices can't be read as the Online Retail data set; the message names the column and the row."""


class LoadError(RetailError):
    """The sales can't be loaded into the database in its present state."""


class TrafficError(RetailError):
    """Live traffic can't start, or ended before it was stopped."""
