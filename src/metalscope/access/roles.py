"""The table of the server: which role may do what at which address. What is not in it is denied."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["FILE", "RULES", "Match", "Role", "Rule", "find", "methods_at"]


class Role(StrEnum):
    """What a key or token is for."""

    SCRAPER = "scraper"
    """Reads the metrics and nothing else."""
    VIEWER = "viewer"
    """Reads everything."""
    OPERATOR = "operator"
    """Reads everything, acknowledges alerts and silences them."""
    ADMIN = "admin"
    """May do all that is in the table."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table.

    Attributes:
        pattern: the address; ``{name}`` is one segment of it, never empty.
        methods: what may be asked there by this rule.
        roles: who may; of no account where ``is_open``.
        is_open: no key is asked for.
        changes: it changes something, or makes something.
    """

    pattern: str
    methods: frozenset[str]
    roles: frozenset[Role]
    is_open: bool = False
    changes: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A rule, and what of the address stood for its ``{name}``; ``None`` where it has none."""

    rule: Rule
    target: str | None


_READ: Final = frozenset({"GET", "HEAD"})
_ALL: Final = frozenset(Role)
_VIEWERS: Final = frozenset({Role.VIEWER, Role.OPERATOR, Role.ADMIN})
_OPERATORS: Final = frozenset({Role.OPERATOR, Role.ADMIN})

# A browser's navigation cannot carry a key, and the page's own files hold no telemetry.
FILE: Final = Rule("/{file}", _READ, _ALL, is_open=True)
"""The rule of the page's files, whose addresses the server hands in."""


def _open(pattern: str) -> Rule:
    return Rule(pattern, _READ, _ALL, is_open=True)


def _read(pattern: str, roles: frozenset[Role] = _VIEWERS) -> Rule:
    return Rule(pattern, _READ, roles)


def _change(pattern: str, *methods: str, roles: frozenset[Role] = _OPERATORS) -> Rule:
    return Rule(pattern, frozenset(methods), roles, changes=True)


RULES: Final[tuple[Rule, ...]] = (
    # What load balancers and Kubernetes ask, which have no key: the status alone.
    _open("/livez"),
    _open("/readyz"),
    _open("/startupz"),
    _open("/health"),
    _open("/"),
    _read("/metrics", _ALL),
    _read("/openapi.json"),
    _read("/api/v1/snapshot"),
    _read("/api/v1/recent"),
    _read("/api/v1/report"),
    _read("/api/v1/events"),
    _read("/api/v1/past"),
    _read("/api/v1/past/lines"),
    _read("/api/v1/past/operations"),
    _read("/api/v1/past/durations"),
    _read("/api/v1/past/hosts"),
    _read("/api/v1/past/forecast"),
    _read("/api/v1/pages"),
    _read("/api/v1/pages/{id}"),
    _read("/api/v1/pages/{id}/values"),
    _read("/api/v1/logs"),
    _read("/api/v1/traces"),
    _read("/api/v1/traces/{id}"),
    _read("/api/v1/alerts"),
    _read("/api/v1/alerts/history"),
    _read("/api/v1/alerts/{id}"),
    _change("/api/v1/alerts/{id}/acknowledge", "POST", "DELETE"),
    _read("/api/v1/rules"),
    _read("/api/v1/silences"),
    _change("/api/v1/silences", "POST"),
    _read("/api/v1/silences/{id}"),
    _change("/api/v1/silences/{id}", "DELETE"),
    # A ticket lets no one do more than who asks for it may; see the gate.
    _change("/api/v1/tickets", "POST", roles=_VIEWERS),
)
"""The table. Of two patterns that fit an address, the one without a ``{name}`` counts."""


def find(path: str, method: str, open_paths: Collection[str] = ()) -> Match | None:
    """The rule for a request; ``None`` where there is none, which is a denial.

    The address is compared as it is: nothing is decoded, folded or made shorter.

    Args:
        path: below where the application is mounted, as the server routes by it.
        method: in upper case.
        open_paths: addresses of the page's own files.
    """
    fitting = [one for one in _fitting(path) if method in one.rule.methods]
    if fitting:
        return fitting[0]
    if path in open_paths and method in FILE.methods:
        return Match(FILE, None)
    return None


def methods_at(path: str, open_paths: Collection[str] = ()) -> frozenset[str]:
    """All that may be asked at an address, by anybody; empty where nothing is there."""
    found = frozenset[str]().union(*(one.rule.methods for one in _fitting(path)))
    return found | FILE.methods if path in open_paths else found


def _fitting(path: str) -> list[Match]:
    """Rules whose pattern fits, those of an exact address alone where there are any."""
    exact = [Match(rule, None) for rule in RULES if rule.pattern == path and "{" not in path]
    if exact:
        return exact
    segments = path.split("/")
    return [
        Match(rule, target)
        for rule in RULES
        if "{" in rule.pattern and (target := _target(rule.pattern.split("/"), segments))
    ]


def _target(pattern: list[str], segments: list[str]) -> str | None:
    if len(pattern) != len(segments):
        return None
    target = None
    for wanted, found in zip(pattern, segments, strict=True):
        if wanted.startswith("{"):
            target = found
        elif wanted != found:
            return None
    return target
