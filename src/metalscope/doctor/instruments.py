"""Whether the hooks of zero-code recording fit the library that is installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from typing import Final

from metalscope.doctor.diagnosis import Diagnosis, State
from metalscope.doctor.extras import requirements_of
from metalscope.errors import MissingExtraError
from metalscope.instrument import find_instrument, instrument, require, uninstrument
from metalscope.manager import MetalTelemetryManager

__all__ = ["GROUP", "check_instrument"]

GROUP: Final = "instruments"


def check_instrument(name: str) -> Iterator[Diagnosis]:
    """Put the hooks into the library, and take them out again."""
    remedy = f"pip install --upgrade 'metalscope[{name}]'"
    module = find_instrument(name).module
    package = module.partition(".")[0]
    try:
        require(name)
    except MissingExtraError:
        why = f"{package} is not installed"
        yield Diagnosis(GROUP, name, State.ABSENT, why=why, remedy=remedy)
        return
    library, version = _installed(package)
    facts = {"module": module, "library": library, "version": version}
    what = f"{library} {version}" if version else package
    telemetry = MetalTelemetryManager()
    try:
        instrument(name, telemetry)
        uninstrument(name)
    except Exception as error:  # noqa: BLE001 - the library's own code, in any version of it
        why = f"the hooks cannot be put in: {type(error).__name__}: {error}"
        yield Diagnosis(GROUP, name, State.BROKEN, what=what, why=why, remedy=remedy, facts=facts)
        return
    if failed := telemetry.get_snapshot().internals.errors:
        why = f"putting the hooks in failed inside: {', '.join(failed)}"
        yield Diagnosis(GROUP, name, State.BROKEN, what=what, why=why, remedy=remedy, facts=facts)
        return
    older = _older_than_tested(name, library, version)
    yield Diagnosis(
        GROUP, name, State.WORKS, what=what, why=older, remedy=remedy if older else "", facts=facts
    )


def _installed(package: str) -> tuple[str, str]:
    """The distribution a package comes from, with its version; empty where none is known."""
    names = metadata.packages_distributions().get(package, ())
    # Several may share a package, as mlx and mlx-cpu do; the one of its name has the say.
    for name in sorted(set(names), key=lambda one: (one.lower() != package, one)):
        return name, metadata.version(name)
    return package, ""


def _older_than_tested(extra: str, library: str, version: str) -> str:
    for one in requirements_of(extra):
        if one.name.lower() == library.lower() and one.applies(extra) and not one.admits(version):
            return f"older than is tested: {library}{one.bounds_text}"
    return ""
