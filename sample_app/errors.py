"""What can go wrong on the application's side."""

from dbconnect import SalespulseError


class RetailError(SalespulseError):
    """Root of the application side's errors."""


class SchemaError(RetailError):
    """The application's schema is there in part only."""


class InvoiceFileError(RetailError):
    """A file of invoices can't be read as the Online Retail data set; the message names the column and the row."""


class LoadError(RetailError):
    """The sales can't be loaded into this data base as it is."""


class TrafficError(RetailError):
    """Live traffic can't be made, or had to end before it was stopped."""
