"""Whether the libraries that each extra brings are there and new enough."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from metalscope.doctor.diagnosis import Diagnosis, State
from metalscope.doctor.requirements import Requirement, Unmet, distribution_of, unmet

__all__ = ["GROUP", "PACKAGE", "check_extras", "extras", "requirements_of"]

GROUP: Final = "extras"
PACKAGE: Final = "metalscope"


def check_extras() -> Iterator[Diagnosis]:
    """metalscope's own requirements, then those of each extra its metadata declares."""
    package = distribution_of(PACKAGE)
    if package is None:
        yield Diagnosis(
            GROUP,
            PACKAGE,
            State.ABSENT,
            why="metalscope runs from source, not installed, so there is no metadata to read",
            remedy=f"pip install {PACKAGE}",
        )
        return
    yield _diagnosis(PACKAGE, requirements_of(""), f"pip install --upgrade {PACKAGE}")
    for extra in extras():
        remedy = f"pip install --upgrade '{PACKAGE}[{extra}]'"
        yield _diagnosis(extra, requirements_of(extra), remedy)


def extras() -> list[str]:
    """The extras metalscope's metadata declares, less those that only list other extras."""
    package = distribution_of(PACKAGE)
    declared = package.metadata.get_all("Provides-Extra") or () if package is not None else ()
    return [
        extra
        for extra in declared
        if not (found := requirements_of(extra)) or any(one.name != PACKAGE for one in found)
    ]


def requirements_of(extra: str) -> list[Requirement]:
    """What metalscope requires for an extra, ``""`` for none, on any system.

    Raises:
        ValueError: the metadata cannot be read.
    """
    package = distribution_of(PACKAGE)
    lines = package.requires or () if package is not None else ()
    return [one for one in map(Requirement.of, lines) if one.extra == extra]


def _diagnosis(name: str, requirements: list[Requirement], remedy: str) -> Diagnosis:
    extra = "" if name == PACKAGE else name
    here = [one for one in requirements if one.applies(extra)]
    if requirements and not here:
        marker = requirements[0].marker.partition(" and extra")[0]
        return Diagnosis(GROUP, name, State.ABSENT, why=f"is not for this system: {marker}")
    missing = [gap for one in here for gap in unmet(one)]
    versions = {
        one.name: found.version for one in here if (found := distribution_of(one.name)) is not None
    }
    facts = {"versions": versions, "requires": {one.name: one.bounds_text for one in here}}
    what = ", ".join(f"{library} {version}" for library, version in versions.items())
    if not missing:
        return Diagnosis(GROUP, name, State.WORKS, what=what, facts=facts)
    # An extra need not be installed; a library that is there and unfit is another matter.
    unfit = name == PACKAGE or any(gap.version is not None for gap in missing)
    return Diagnosis(
        GROUP,
        name,
        State.BROKEN if unfit else State.ABSENT,
        what=what,
        why=", ".join(map(_said, missing)),
        remedy=remedy,
        facts=facts,
    )


def _said(gap: Unmet) -> str:
    if gap.version is None:
        return f"{gap.name} is not installed"
    return f"{gap.name} {gap.version} is not {gap.bounds}"
