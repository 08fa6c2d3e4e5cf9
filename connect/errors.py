"""The root of the project's errors. A message says what was wrong, with which value, and what to do."""


class SalespulseError(Exception):
    """Something that a user can understand and mend; shown without a stack trace."""


class SettingsError(SalespulseError):
    """A setting is missing or can't be used."""


class UnavailableError(SalespulseError):
    """A server that was needed did not answer, or refused; trying again later may help."""
