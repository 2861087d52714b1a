"""Where the options come from, whether they are right, and what of them nothing reads yet."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from metalscope.config import CONFIG_VARIABLE, load_options, unavailable_features
from metalscope.config.layers import RESERVED
from metalscope.config.schema import dotted, options_of
from metalscope.doctor.diagnosis import Diagnosis, State
from metalscope.doctor.plan import EXPORTERS
from metalscope.doctor.receivers import (
    check_channels,
    check_sinks,
    check_span_exporters,
    receivers_of,
)
from metalscope.errors import ConfigurationError
from metalscope.export.prometheus_endpoint import meaning
from metalscope.option_types import shown_endpoint
from metalscope.options import ExporterOptions, ExporterType, MetalTelemetryOptions

__all__ = ["EXPORTERS", "GROUP", "PROCESSES", "check_directory", "check_options"]

GROUP: Final = "options"
PROCESSES: Final = "processes"

_CONNECTED: Final = ("http://", "https://", "grpc://", "grpcs://")
"""Endpoints that a connection is made to, which can be tried."""

LEAST_FREE_BYTES: Final = 16 * 1024 * 1024
"""A process's file is some tens of kilobytes; with less than this the disk is as good as full."""


def check_options(config: str | None) -> Iterator[Diagnosis]:
    """The sources, the options, the exporters in them.

    The diagnosis named ``values`` has as its facts what other checks want to know of the options.
    """
    file = _file(config)
    yield file
    yield _environment()
    if file.state is State.BROKEN:
        return
    try:
        options = load_options(config)
    except ConfigurationError as error:
        for problem in str(error).splitlines():
            yield Diagnosis(
                GROUP, "values", State.BROKEN, why=problem, remedy="mend it where it says"
            )
        return
    sentences = unavailable_features(options)
    yield _values(options, _endpoints(options))
    for sentence in sentences:
        if not sentence.startswith("exporter "):
            names, _, why = sentence.partition(": ")
            yield Diagnosis(GROUP, names, State.ABSENT, why=why)
    yield from _exporters(options.export.exporters, sentences)
    if not options.export.exporters:
        yield Diagnosis(EXPORTERS, "exporters", State.ABSENT, why="the options name none")
    yield from check_channels(options.alerts)
    yield from check_sinks(options)
    yield from check_span_exporters(options.traces)
    if options.processes_directory is None:
        why = "no processes_directory is set: each process counts alone"
        yield Diagnosis(PROCESSES, "directory", State.ABSENT, why=why)


def check_directory(path: str) -> Iterator[Diagnosis]:
    """Whether processes can count together in a directory; it is left as it is."""
    directory = Path(path)
    facts: dict[str, Any] = {"directory": path}
    try:
        what, state, why = _tried(directory)
    except OSError as error:
        what, state = "", State.BROKEN
        why = f"{path} cannot be used: {error.strerror or error}"
    remedy = "name a local directory that this user can write to" if why else ""
    unreadable = len(list(directory.glob("*.unreadable"))) if not why else 0
    if unreadable:
        state, why = State.BROKEN, f"{unreadable} files there could not be read, and do not count"
        remedy = "look for a full disk, or another version of metalscope; then remove *.unreadable"
    yield Diagnosis(PROCESSES, "directory", state, what=what, why=why, remedy=remedy, facts=facts)


def _tried(directory: Path) -> tuple[str, State, str]:
    import fcntl  # noqa: PLC0415 - not everywhere

    if not directory.exists():
        above = next(one for one in directory.absolute().parents if one.exists())
        # Tried, not asked: /proc, for one, lets root do everything by its permissions.
        try:
            tempfile.TemporaryDirectory(dir=above).cleanup()
        except OSError as error:
            why = f"{directory} is not there and cannot be made: {error.strerror or error}"
            return "", State.BROKEN, why
        return f"{directory} is not there yet, and can be made", State.WORKS, ""
    with tempfile.TemporaryFile(dir=directory) as probe:
        fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if shutil.disk_usage(directory).free < LEAST_FREE_BYTES:
        return "", State.BROKEN, f"the disk of {directory} is full"
    files = len(list(directory.glob("*-*.lock")))
    return f"{directory}, {files} processes", State.WORKS, ""


def _file(config: str | None) -> Diagnosis:
    named = config or os.environ.get(CONFIG_VARIABLE)
    if not named:
        why = f"{CONFIG_VARIABLE} is not set and --config not given"
        return Diagnosis(GROUP, "file", State.ABSENT, why=why)
    if not Path(named).expanduser().is_file():
        why = f"{named} is not there"
        return Diagnosis(GROUP, "file", State.BROKEN, why=why, remedy="name a file that is")
    return Diagnosis(GROUP, "file", State.WORKS, what=named, facts={"path": named})


def _environment() -> Diagnosis:
    # The names alone: a value may be a key.
    names = sorted(
        name
        for name, value in os.environ.items()
        if name.startswith("METALSCOPE_") and name not in RESERVED and value.strip()
    )
    if not names:
        why = "no METALSCOPE_* variable is set"
        return Diagnosis(GROUP, "environment", State.ABSENT, why=why)
    return Diagnosis(
        GROUP, "environment", State.WORKS, what=", ".join(names), facts={"variables": names}
    )


def _values(options: MetalTelemetryOptions, endpoints: list[dict[str, str]]) -> Diagnosis:
    changed = []
    for keys, field in options_of(MetalTelemetryOptions):
        value: object = options
        for key in keys:
            value = getattr(value, key)
        if value != field.get_default(call_default_factory=True):
            changed.append(dotted(keys))
    directory = options.processes_directory
    return Diagnosis(
        GROUP,
        "values",
        State.WORKS,
        what=f"set: {', '.join(changed)}" if changed else "all at their defaults",
        facts={
            "set": changed,
            "host": options.server.host,
            "port": options.server.port,
            "processes_directory": str(directory) if directory is not None else None,
            "disabled_sensors": list(options.disabled_sensors),
            "endpoints": endpoints,
            "exporters": [one.name for one in options.export.exporters if one.enabled],
        },
    )


def _exporters(
    exporters: Iterable[ExporterOptions], sentences: Iterable[str]
) -> Iterator[Diagnosis]:
    """Those that send nothing, and why; the others' endpoints are tried by a check each."""
    for exporter in exporters:
        who = f"exporter {exporter.name!r} ("
        said = "; ".join(one.partition("): ")[2] for one in sentences if one.startswith(who))
        facts = {"type": str(exporter.type)}
        if not exporter.enabled:
            why = "its option enabled is false"
            yield Diagnosis(EXPORTERS, exporter.name, State.ABSENT, why=why, facts=facts)
        elif said and not _sends(exporter):
            yield Diagnosis(EXPORTERS, exporter.name, State.ABSENT, why=said, facts=facts)
        elif said or not _connects(exporter):
            what = "configured" if said else "configured; nothing to connect to is named"
            yield Diagnosis(EXPORTERS, exporter.name, State.WORKS, what, said, facts=facts)


def _endpoints(options: MetalTelemetryOptions) -> list[dict[str, str]]:
    """Those that a connection can be tried to, by the group and name of what sends there."""
    sending = [
        (EXPORTERS, one.name, one.endpoint) for one in options.export.exporters
        if one.enabled and _sends(one)
    ]  # fmt: skip
    return [
        {"group": group, "name": name, "endpoint": shown_endpoint(endpoint)}
        for group, name, endpoint in (*sending, *receivers_of(options))
        if (endpoint or "").startswith(_CONNECTED) and endpoint is not None
    ]


def _connects(exporter: ExporterOptions) -> bool:
    return (exporter.endpoint or "").startswith(_CONNECTED)


def _sends(exporter: ExporterOptions) -> bool:
    if exporter.type != ExporterType.PROMETHEUS:
        return True
    try:
        return meaning(exporter).protocol != "scrape"
    except ConfigurationError:
        return True
