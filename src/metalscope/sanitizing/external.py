"""Which fields may leave for systems that are somebody else's: ours, and those that are named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from metalscope import attributes
from metalscope.sanitizing.keys import Globs

__all__ = ["FIELDS_LEFT_OUT", "ExternalFields"]

FIELDS_LEFT_OUT: Final = "metalscope.fields_left_out"
"""The attribute that says how many fields were not sent to an external system."""

# What the program itself put there: the fields within are asked for one by one.
_OF_THE_PROGRAM: Final = frozenset({attributes.EVENT_PROPERTIES, attributes.ALERT_LABELS})
# Whom it names, and what a person wrote.
_OF_PEOPLE: Final = frozenset({attributes.ALERT_BY, attributes.ALERT_RESOLUTION})

_OWN: Final = frozenset(
    {getattr(attributes, name) for name in attributes.__all__ if not name.startswith("_")}
    | {"event.name", "exception.type", "exception.escaped", "log.level", "log.logger",
       "log.record.sequence",
       "service.name", "service.namespace", "service.version", "deployment.environment",
       "deployment.environment.name", "process.pid", "process.runtime.name",
       "process.runtime.version", "os.type", "os.version", "thread.id", "http.request.method",
       "http.response.status_code", "http.route"}
) - _OF_PEOPLE  # fmt: skip
_OWN_PREFIXES: Final = (
    "metalscope.", "metal.operation.", "metal.device.", "metal.memory.", "metal.health.", "hw.",
    "telemetry.sdk.",
)  # fmt: skip


class ExternalFields:
    """Tells which fields external systems are sent.

    Args:
        chosen: globs of field names beside metalscope's own.
    """

    def __init__(self, chosen: Iterable[str]) -> None:
        self._chosen = Globs(chosen)

    def allows(self, path: str, name: str) -> bool:
        """Whether a field is sent, given as the path of names to it and by the last of them."""
        if path in _OWN or path.startswith(_OWN_PREFIXES):
            return True
        return bool(self._chosen) and self._chosen.match(path, name)

    @staticmethod
    def looks_within(path: str) -> bool:
        """Whether the fields within this one are asked for one by one."""
        return path in _OF_THE_PROGRAM
