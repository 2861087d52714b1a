"""The methods by which something is logged, the same on the logger and on one that is bound."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from metalscope.logs.record import Severity

__all__ = ["NAME", "NOTHING", "Says", "severity_of"]

NAME: Final = "metalscope"
"""Who says a record where nobody else is named."""

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})

# To look a member up in its class takes as long as all else a mild record costs.
_DEBUG, _INFO, _WARNING, _ERROR, _CRITICAL = Severity


def severity_of(given: object) -> Severity:
    """A severity, its name, or of a number the next one below; what is none of them is info."""
    if isinstance(given, int):
        return max((one for one in Severity if one <= given), default=Severity.DEBUG)
    return Severity.__members__.get(str(given).upper(), Severity.INFO)


class Says:
    """Has a method for each severity. See :meth:`MetalProductionLogger.log
    <metalscope.logs.logger.MetalProductionLogger.log>` for what they take."""

    __slots__ = ()

    severity: Severity
    """Records milder than this are not kept."""

    @abstractmethod
    def _say(  # noqa: PLR0917 - by position, as one call is to cost as little as it can
        self,
        severity: Severity,
        message: str,
        event: str,
        logger: str,
        error: BaseException | None,
        attributes: dict[str, Any],
    ) -> None: ...

    def debug(
        self,
        message: str,
        /,
        *,
        event: str = "",
        logger: str = NAME,
        error: BaseException | None = None,
        **attributes: Any,
    ) -> None:
        """Keep a record of interest to who looks for a fault."""
        if self.severity <= _DEBUG:
            self._say(_DEBUG, message, event, logger, error, attributes)

    def info(
        self,
        message: str,
        /,
        *,
        event: str = "",
        logger: str = NAME,
        error: BaseException | None = None,
        **attributes: Any,
    ) -> None:
        """Keep a record of what goes as it should."""
        if self.severity <= _INFO:
            self._say(_INFO, message, event, logger, error, attributes)

    def warning(
        self,
        message: str,
        /,
        *,
        event: str = "",
        logger: str = NAME,
        error: BaseException | None = None,
        **attributes: Any,
    ) -> None:
        """Keep a record of what may go wrong."""
        if self.severity <= _WARNING:
            self._say(_WARNING, message, event, logger, error, attributes)

    def error(
        self,
        message: str,
        /,
        *,
        event: str = "",
        logger: str = NAME,
        error: BaseException | None = None,
        **attributes: Any,
    ) -> None:
        """Keep a record of what went wrong, and have it sent at once."""
        if self.severity <= _ERROR:
            self._say(_ERROR, message, event, logger, error, attributes)

    def critical(
        self,
        message: str,
        /,
        *,
        event: str = "",
        logger: str = NAME,
        error: BaseException | None = None,
        **attributes: Any,
    ) -> None:
        """Keep a record of what the program does not get over, and have it sent at once."""
        self._say(_CRITICAL, message, event, logger, error, attributes)

    def exception(
        self, message: str, /, *, event: str = "", logger: str = NAME, **attributes: Any
    ) -> None:
        """As :meth:`error`, of the exception that is being handled."""
        if self.severity <= _ERROR:
            error = attributes.pop("error", None) or sys.exception()
            self._say(_ERROR, message, event, logger, error, attributes)
