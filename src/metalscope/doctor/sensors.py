"""Whether a sensor reads, what, and why not."""

from __future__ import annotations

from collections.abc import Iterator
from time import sleep
from typing import Final

from metalscope.doctor.diagnosis import Diagnosis, State
from metalscope.readings import ResourceMetrics
from metalscope.sensors.base import Sensor
from metalscope.sensors.registry import Finding, find_sensors, sensor_names

__all__ = ["GROUP", "check_sensor"]

GROUP: Final = "sensors"

BETWEEN_READS_SECONDS: Final = 0.3
"""Some figures are the change since the last read: the first one gives none."""


def check_sensor(name: str, disabled: bool) -> Iterator[Diagnosis]:
    """Open one sensor and read it; a line for each thing it can read anywhere."""
    if disabled:
        yield Diagnosis(
            GROUP,
            name,
            State.ABSENT,
            why="the options turn it off",
            remedy="take it out of disabled_sensors",
        )
        return
    for finding in find_sensors(without=set(sensor_names()) - {name}):
        if finding.error is not None:
            yield _broken(name, "opening it", finding.error)
        elif finding.sensor is None:
            yield Diagnosis(GROUP, name, State.ABSENT, why=finding.why_not, remedy=finding.remedy)
        else:
            yield from _opened(finding, finding.sensor)


def _opened(finding: Finding, sensor: Sensor) -> Iterator[Diagnosis]:
    name = finding.name
    try:
        readings = _read(sensor)
    except Exception as error:  # noqa: BLE001 - another package's code
        yield _broken(name, "reading it", error)
        return
    try:
        offers = finding.offers()
    except Exception as error:  # noqa: BLE001 - another package's code
        yield _broken(name, "asking what it offers", error)
        return
    kinds = sorted({one.kind.value.replace("_", " ") for one in readings})
    facts = {"readings": sorted({f"{one.kind.value}/{one.name}" for one in readings})}
    for offer in offers:
        thing = name if offer.what == name else f"{name}: {offer.what}"
        if offer.works:
            what = ", ".join(kinds) or "opened, and nothing to read so far"
            yield Diagnosis(
                GROUP, thing, State.WORKS, what=what if len(offers) == 1 else "", facts=facts
            )
        else:
            yield Diagnosis(GROUP, thing, State.ABSENT, why=offer.why_not, remedy=offer.remedy)


def _read(sensor: Sensor) -> list[ResourceMetrics]:
    list(sensor.read())
    sleep(BETWEEN_READS_SECONDS)
    return list(sensor.read())


def _broken(name: str, doing: str, error: Exception) -> Diagnosis:
    return Diagnosis(
        GROUP,
        name,
        State.BROKEN,
        why=f"{doing} raised {type(error).__name__}: {error}",
        remedy=f"tell its author; until then add {name} to disabled_sensors",
    )
