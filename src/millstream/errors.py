"""Every error a user can meet.

    MillstreamError
    ├── UsageError            the caller's mistake: fix the call, the file or the settings      (exit status 2)
    │   ├── PlanError         a pipeline that cannot work: names the step, the column, the fix
    │   ├── SpecError         a pipeline file that cannot be read: names the file and the place
    │   └── SettingsError     a setting or an environment variable that cannot be used
    └── RunError              the world's fault while running                                    (exit status 1)
        ├── SinkError         output could not be written
        ├── SourceError       input could not be read
        ├── LedgerError       the record of what was committed could not be read or written
        └── BackendError      no usable compiled kernels on this machine

A message never carries a value from a record. Bad records raise nothing: they are rejected with a code of
`millstream.schema.Code`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class MillstreamError(Exception):
    """The root of all errors raised on purpose."""


class UsageError(MillstreamError):
    """The caller asked for something that cannot be done; the message says what to write instead.

    at: of what is wrong in a pipeline file, the keys and list places that lead there, as far as that is known.
    """

    at: tuple[str | int, ...] = ()

    def within(self, *keys: str | int, of: Exception | None = None) -> Self:
        """This error, told to be under these keys; and there where another one, which it stands for, was."""
        self.at = (*keys, *(self.at if of is None else getattr(of, "at", ())))
        return self


class PlanError(UsageError):
    """A pipeline that cannot work: an unknown column, types that do not fit, a name used twice."""


class SpecError(UsageError):
    """A pipeline file, or a text expression in it, that cannot be read."""


class SettingsError(UsageError):
    """A setting or an environment variable that cannot be used."""


class RunError(MillstreamError):
    """Something outside the pipeline failed: storage, input, the machine."""


class SinkError(RunError):
    """Output could not be written; nothing half-written is left."""


class SourceError(RunError):
    """Input could not be read."""


class LedgerError(RunError):
    """The ledger of committed work could not be read or written."""


class BackendError(RunError):
    """No compiled kernels can be used here; the message names the reason and the command that helps."""
