"""Requirements as package metadata states them, and whether this Python meets them.

The grammar is that of dependency specifiers
(https://packaging.python.org/en/latest/specifications/dependency-specifiers/), as far as the
metadata of metalscope and its libraries go: names, extras, the operators below, markers of plain
comparisons. What goes beyond raises ``ValueError``.
"""

from __future__ import annotations

import ast
import operator
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import Any, Final

__all__ = ["Requirement", "Unmet", "Version", "distribution_of", "unmet"]

_REQUIREMENT: Final = re.compile(
    r"\s*(?P<name>[\w.-]+)\s*(\[(?P<extras>[^\]]*)\])?\s*\(?(?P<bounds>[^;()]*)\)?\s*(;(?P<marker>.*))?$",
    re.DOTALL,
)
_BOUND: Final = re.compile(r"\s*(>=|<=|==|!=|<|>)\s*([\w.!+*-]+)\s*$")
_VERSION: Final = re.compile(r"(?:\d+!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|c|rc|alpha|beta|pre|dev)\d*)?")

_COMPARED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}
_AST_COMPARED: Final[dict[type[ast.cmpop], Callable[[Any, Any], bool]]] = {
    ast.GtE: operator.ge,
    ast.LtE: operator.le,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.Gt: operator.gt,
    ast.In: lambda one, many: one in many,
    ast.NotIn: lambda one, many: one not in many,
}
_OF_VERSIONS: Final = {"python_version", "python_full_version", "implementation_version"}


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A version's place in order: its numbers, then whether it is a release.

    Of two pre-releases of one release it knows no order.
    """

    release: tuple[int, ...]
    final: bool

    @classmethod
    def of(cls, text: str) -> Version:
        """Read a version.

        Raises:
            ValueError: it does not begin with numbers.
        """
        found = _VERSION.match(text.strip().removeprefix("v"))
        if found is None:
            raise ValueError(f"no version: {text!r}")
        numbers = [int(number) for number in found[1].split(".")]
        while numbers and not numbers[-1]:
            numbers.pop()
        return cls(tuple(numbers), found[2] is None)


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line ``Requires-Dist``."""

    name: str
    extras: tuple[str, ...]
    bounds: tuple[tuple[str, str], ...]
    marker: str

    @classmethod
    def of(cls, text: str) -> Requirement:
        """Read a line.

        Raises:
            ValueError: it is not of the grammar known here.
        """
        found = _REQUIREMENT.match(text)
        if found is None:
            raise ValueError(f"cannot read the requirement {text!r}")
        bounds = []
        for part in filter(str.strip, found["bounds"].split(",")):
            bound = _BOUND.match(part)
            if bound is None or "*" in bound[2]:
                raise ValueError(f"cannot read the bound {part.strip()!r} in {text!r}")
            bounds.append((bound[1], bound[2]))
        extras = [one.strip() for one in (found["extras"] or "").split(",") if one.strip()]
        return cls(found["name"], tuple(extras), tuple(bounds), (found["marker"] or "").strip())

    def applies(self, extra: str) -> bool:
        """Whether it holds on this system, with ``extra`` asked for; ``""`` is none.

        Raises:
            ValueError: the marker is not of the grammar known here.
        """
        if not self.marker:
            return not extra
        return _holds(self.marker, {**_environment(), "extra": extra})

    @property
    def extra(self) -> str:
        """The extra it belongs to, ``""`` for none."""
        found = re.search(r"extra\s*==\s*['\"]([\w.-]+)['\"]", self.marker)
        return found[1] if found else ""

    def admits(self, version: str) -> bool:
        """Whether a version is within the bounds.

        Raises:
            ValueError: it is no version.
        """
        return all(
            _COMPARED[how](Version.of(version), Version.of(bound)) for how, bound in self.bounds
        )

    @property
    def bounds_text(self) -> str:
        """The bounds as they are written: ``>=0.30``."""
        return ",".join(f"{how}{bound}" for how, bound in self.bounds)


@dataclass(frozen=True, slots=True)
class Unmet:
    """A requirement that is not met: by the version that is there, or because there is none."""

    name: str
    bounds: str
    version: str | None


def distribution_of(name: str) -> Distribution | None:
    """An installed distribution, if it is one."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def unmet(requirement: Requirement) -> Iterator[Unmet]:
    """Whether the requirement is met, and those of the extras it asks of its distribution."""
    found = distribution_of(requirement.name)
    if found is None:
        yield Unmet(requirement.name, requirement.bounds_text, None)
        return
    if not requirement.admits(found.version):
        yield Unmet(requirement.name, requirement.bounds_text, found.version)
    for extra in requirement.extras:
        for line in found.requires or ():
            needed = Requirement.of(line)
            if needed.extra == extra and needed.applies(extra):
                yield from unmet(needed)


def _holds(marker: str, environment: dict[str, str]) -> bool:
    try:
        return _truth(ast.parse(marker, mode="eval").body, environment)
    except SyntaxError as error:
        raise ValueError(f"cannot read the marker {marker!r}") from error


def _truth(node: ast.expr, environment: dict[str, str]) -> bool:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_truth(part, environment) for part in parts)
        case ast.BoolOp(op=ast.Or(), values=parts):
            return any(_truth(part, environment) for part in parts)
        case ast.Compare(left=left, ops=[how], comparators=[right]) if type(how) in _AST_COMPARED:
            names = {one.id for one in (left, right) if isinstance(one, ast.Name)}
            values: list[Any] = [_text(one, environment) for one in (left, right)]
            if names & _OF_VERSIONS and not isinstance(how, ast.In | ast.NotIn):
                values = [Version.of(value) for value in values]
            return _AST_COMPARED[type(how)](*values)
    raise ValueError(f"cannot read the marker {ast.unparse(node)!r}")


def _text(node: ast.expr, environment: dict[str, str]) -> str:
    match node:
        case ast.Name(id=name) if name in environment:
            return environment[name]
        case ast.Constant(value=str() as text):
            return text
    raise ValueError(f"cannot read {ast.unparse(node)!r} in a marker")


def _environment() -> dict[str, str]:
    implementation = sys.implementation
    return {
        "implementation_name": implementation.name,
        "implementation_version": ".".join(map(str, implementation.version[:3])),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    }
