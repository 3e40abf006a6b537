"""The exceptions that end a command, each with its exit code.

TsnError             1   anything that has no code of its own
├── SettingsError    2   wrong usage or settings
├── PartialError     3   finished, but some inputs failed and are listed
├── DataError        4   damaged or missing data
├── StoppedError    75   stopped by SIGTERM or SIGUSR1, everything saved
└── NotFiniteError   1   a loss in training was not finite

A message is one line of the form: what is wrong, where, what to do. The command line prints it without a traceback;
any other exception is a defect of ours and keeps its traceback.
"""


class TsnError(Exception):
    """A failure that the user can act on; the message says all of it."""

    exit_code = 1


class SettingsError(TsnError):
    """An option, a setting or a combination of them cannot be used."""

    exit_code = 2


class PartialError(TsnError):
    """The work is finished, but some of its inputs failed."""

    exit_code = 3


class DataError(TsnError):
    """Data that should be there are missing or damaged."""

    exit_code = 4


class StoppedError(TsnError):
    """A signal has stopped the work at a place where it can go on; the code is sysexits.h's "try again later"."""

    exit_code = 75


class NotFiniteError(TsnError):
    """A loss was not finite; every rank raises this at the same step."""


def brief(error: BaseException) -> str:
    """Return what an error says on its first line, or its kind where it says nothing."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
