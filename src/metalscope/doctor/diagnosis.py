"""The words of the doctor: one thing looked at, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

__all__ = ["SCHEMA_VERSION", "Diagnosis", "Examination", "State"]

SCHEMA_VERSION: Final = 1
"""Of :meth:`Examination.to_dict`; keys are only ever added within one version."""

MOST_CHARACTERS: Final = 2000
"""Of a text that comes from a library or an exception."""


class State(StrEnum):
    """How a thing is."""

    WORKS = "works"
    """It was tried, and does what it should."""
    ABSENT = "absent"
    """It is not here, or not asked for; nothing is wrong with that."""
    BROKEN = "broken"
    """It should work and does not."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at.

    ``what`` says in words what was found; ``why`` the reason where it does not work, or a
    reservation where it does; ``remedy`` what to do. ``facts`` are values for a program: JSON-able,
    never secret.
    """

    group: str
    name: str
    state: State
    what: str = ""
    why: str = ""
    remedy: str = ""
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data; what there is nothing to say of is ``None``."""
        return {
            "group": self.group,
            "name": self.name,
            "state": self.state.value,
            "what": _shortened(self.what) or None,
            "why": _shortened(self.why) or None,
            "remedy": _shortened(self.remedy) or None,
            "facts": dict(self.facts),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read back what :meth:`to_dict` gave."""
        return cls(
            group=data["group"],
            name=data["name"],
            state=State(data["state"]),
            what=data["what"] or "",
            why=data["why"] or "",
            remedy=data["remedy"] or "",
            facts=data["facts"],
        )


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was looked at, in the order in which it is shown."""

    diagnoses: tuple[Diagnosis, ...]
    host: Mapping[str, Any]
    """Which machine and process looked, under OpenTelemetry's names."""

    @property
    def healthy(self) -> bool:
        """Whether nothing is broken."""
        return not self.count(State.BROKEN)

    def count(self, state: State) -> int:
        """How many things are in a state."""
        return sum(one.state is state for one in self.diagnoses)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able data under :data:`SCHEMA_VERSION`; described in docs/doctor.md."""
        return {
            "schema_version": SCHEMA_VERSION,
            "healthy": self.healthy,
            "counts": {state.value: self.count(state) for state in State},
            "host": dict(self.host),
            "diagnoses": [one.to_dict() for one in self.diagnoses],
        }


def _shortened(text: str) -> str:
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 1] + "…"
