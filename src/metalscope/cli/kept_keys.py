"""The file of keys that a command changes, and the audit in which that is recorded."""

from __future__ import annotations

from pathlib import Path

from metalscope.access.audit import AuditEntry, AuditLog
from metalscope.access.key_changes import KeyChanges
from metalscope.access.keys import ApiKey
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.output import complain

__all__ = ["KeptKeys"]


class KeptKeys:
    """The keys of a file, or of what the options name.

    Where the options name an audit, changes are recorded in it too. It is opened before anything
    is changed, so that nothing is changed that cannot be recorded.

    Args:
        file: the file; ``None`` for that of the options.
        config: the options file.
        changes: whether anything is to be changed.

    Raises:
        CommandFailed: neither names a file.
        ConfigurationError: the options are wrong, or their audit cannot be written.
    """

    def __init__(self, file: Path | None, config: Path | None, *, changes: bool = True) -> None:
        self._audit: AuditLog | None = None
        if file is None:
            from metalscope.config import load_options  # noqa: PLC0415 - loads pydantic

            access = load_options(config).server.access
            file = access.keys_file
            if file is None:
                raise CommandFailed(
                    "name the file of keys with --file, or set server.access.keys_file",
                    ExitCode.USAGE,
                )
            if changes:
                self._audit = AuditLog.of(access, on_error=_complain)
        self.changes = KeyChanges(file)
        """Makes, rotates and revokes."""

    def record(self, what: str, key: ApiKey) -> None:
        """Record what was done to a key; where it was made in place of another, of which."""
        if self._audit is None:
            return
        old = next((one for one in self.changes.listed() if one.replaced_by == key.id), None)
        instead = f", in place of {old.id}" if old else ""
        self._audit.write(
            AuditEntry(
                event="change",
                result="allowed",
                address=f"login {_login()}",
                method=f"keys {what}",
                target=key.id,
                reason=f"{key.role} {key.name}{instead}",
            )
        )
        self._audit.close(10)


def _complain(error: BaseException) -> None:
    complain(f"audit: {error}")


def _login() -> str:
    from getpass import getuser  # noqa: PLC0415 - for one answer

    try:
        return getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"
