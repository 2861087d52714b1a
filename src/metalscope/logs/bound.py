"""A logger that adds the same attributes to all it says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metalscope.logs.captured import captured
from metalscope.logs.record import Severity
from metalscope.logs.saying import NAME, Says, severity_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metalscope.logs.logger import MetalProductionLogger

__all__ = ["BoundLogger"]


class BoundLogger(Says):
    """What :meth:`MetalProductionLogger.bind` gives; it has the same methods to log by.

    The attributes are as they were when they were bound. What a call says stands before them.
    """

    __slots__ = ("_attributes", "_log", "severity")

    def __init__(self, log: MetalProductionLogger, attributes: Mapping[str, Any]) -> None:
        self._log = log
        self._attributes = captured(attributes)
        self.severity = log.severity

    def bind(self, **attributes: Any) -> BoundLogger:
        """Another one, that adds these as well."""
        return BoundLogger(self._log, {**self._attributes, **attributes})

    def unbind(self, *names: str) -> BoundLogger:
        """Another one, that adds none of these names."""
        left = {name: one for name, one in self._attributes.items() if name not in names}
        return BoundLogger(self._log, left)

    def log(
        self,
        severity: Severity,
        message: str,
        /,
        *,
        event: str = "",
        logger: str = NAME,
        error: BaseException | None = None,
        **attributes: Any,
    ) -> None:
        """Keep one record."""
        if type(severity) is not Severity:
            severity = severity_of(severity)
        if severity >= self.severity:
            self._say(severity, message, event, logger, error, attributes)

    def _say(  # noqa: PLR0917 - see Says
        self,
        severity: Severity,
        message: str,
        event: str,
        logger: str,
        error: BaseException | None,
        attributes: dict[str, Any],
    ) -> None:
        attributes = {**self._attributes, **attributes}
        self._log.keep(severity, message, event, logger, error, None, None, None, None, attributes)

    def __repr__(self) -> str:
        return f"BoundLogger({', '.join(self._attributes)})"
