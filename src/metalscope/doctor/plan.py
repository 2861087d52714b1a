"""Which checks there are, in the order in which they are shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from metalscope.doctor.child import Check
from metalscope.doctor.diagnosis import Diagnosis, State

__all__ = ["EXPORTERS", "OPTIONS", "checks", "facts_of_options", "first_checks"]

EXPORTERS: Final = "exporters"
OPTIONS: Final = "options"

REINSTALL: Final = "pip install --force-reinstall metalscope"

_DEFAULTS: Final[Mapping[str, Any]] = {
    "host": "127.0.0.1",
    "port": 9464,
    "processes_directory": None,
    "disabled_sensors": [],
    "endpoints": [],
    "exporters": [],
}


def facts_of_options(diagnoses: list[Diagnosis]) -> Mapping[str, Any]:
    """What is set, or the defaults where that cannot be known."""
    for one in diagnoses:
        if (one.group, one.name, one.state) == (OPTIONS, "values", State.WORKS):
            return one.facts
    return _DEFAULTS


def checks(
    options: Mapping[str, Any],
    *,
    url: str | None,
    answer_seconds: float,
    probe_with: str | None = None,
) -> Iterator[Check | Diagnosis]:
    """All other checks; in place of those that cannot even be listed, what is wrong.

    Args:
        options: what :func:`facts_of_options` gave.
        url: where somebody says that a process serves; ``None`` for where the options say.
        answer_seconds: how long to wait for an answer of it.
        probe_with: the options file by which every exporter sends a probe, empty for the one
            ``METALSCOPE_CONFIG`` names; ``None`` to try only whether hosts can be reached.
    """
    for target in options["endpoints"]:
        # A probe says more than a connection.
        if probe_with is None or target["group"] != EXPORTERS:
            yield _check(target["group"], target["name"], "server:check_endpoint", **target)
    if probe_with is not None:
        for name in options["exporters"]:
            remedy = "look whether its platform's library works here"
            yield _check(
                EXPORTERS,
                name,
                "exporters:check_exporter",
                remedy,
                config=probe_with or None,
                exporter=name,
            )
    directory = options["processes_directory"]
    if directory is not None:
        remedy = "name a directory of a local file system"
        yield _check("processes", "directory", "options:check_directory", remedy, path=directory)
    yield from _each("drivers", _drivers)
    yield from _each("instruments", _instruments)
    yield from _each("sensors", lambda: _sensors(options["disabled_sensors"]))
    host, port = options["host"], options["port"]
    yield _check("server", f"port {port}", "server:check_port", host=host, port=port)
    from metalscope.doctor.server import base_url  # noqa: PLC0415 - not needed for the rest

    there = url if url is not None else base_url(host, port or _DEFAULTS["port"])
    yield _check(
        "process",
        "alive",
        "process:check_process",
        url=there,
        expected=url is not None,
        timeout=answer_seconds,
    )


def first_checks(config: str | None) -> tuple[Check, ...]:
    """The checks that need to know nothing, that of the options last."""
    return (
        _check("recorder", "recorder", "recorder:check_recorder"),
        _check("extras", "metalscope", "extras:check_extras"),
        _check(OPTIONS, "values", "options:check_options", config=config),
    )


def _each(group: str, listed: Callable[[], Iterator[Check]]) -> Iterator[Check | Diagnosis]:
    try:
        yield from listed()
    except Exception as error:  # noqa: BLE001 - what is looked at may not even load
        why = f"cannot be listed: {type(error).__name__}: {error}"
        yield Diagnosis(group, group, State.BROKEN, why=why, remedy=REINSTALL)


def _drivers() -> Iterator[Check]:
    from metalscope.drivers.registry import AUTO, driver_names  # noqa: PLC0415 - may not load

    remedy = "do without it: name another driver to MetalAccelerator; look at GPU drivers"
    for name in driver_names():
        yield _check("drivers", name, "drivers:check_driver", remedy, name=name)
    yield _check("drivers", AUTO, "drivers:check_auto")


def _instruments() -> Iterator[Check]:
    from metalscope.instrument import instruments  # noqa: PLC0415 - may not load

    remedy = "do without it: metalscope run --instrument with the others' names"
    for name in instruments():
        yield _check("instruments", name, "instruments:check_instrument", remedy, name=name)


def _sensors(disabled: Collection[str]) -> Iterator[Check]:
    from metalscope.sensors.registry import sensor_names  # noqa: PLC0415 - may not load

    for name in sensor_names():
        remedy = f"do without it: add {name} to disabled_sensors"
        off = name in disabled
        yield _check("sensors", name, "sensors:check_sensor", remedy, name=name, disabled=off)


def _check(of: str, called: str, target: str, remedy: str = "", /, **arguments: Any) -> Check:
    return Check(of, called, f"metalscope.doctor.{target}", arguments, remedy)
