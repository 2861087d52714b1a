"""Whether an exporter's data arrive: a probe is sent, and read back where the platform lets it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

from metalscope.config import load_options
from metalscope.doctor.diagnosis import Diagnosis, State
from metalscope.doctor.options import EXPORTERS
from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.export.attempts import AttemptThread
from metalscope.export.prometheus_endpoint import meaning
from metalscope.export.registry import create_exporter
from metalscope.export_options import ExporterType
from metalscope.sanitizing import sanitizer_of
from metalscope.sending.result import ExportResult, Reason
from metalscope.sensors.host import HostSensor
from metalscope.snapshot import MetalTelemetrySnapshot

if TYPE_CHECKING:
    from metalscope.export.base import MetricsExporter, ReadBack
    from metalscope.export_options import ExporterOptions

__all__ = ["JOB", "check_exporter", "probe"]

JOB: Final = "metalscope_doctor"
"""The ``job`` of the Pushgateway's group that the probe is put in, and that is deleted then."""

SEND_SECONDS: Final = 10.0
"""How long the sending may take, whatever the exporter's own ``timeout``: a person waits."""

READ_BACK_SECONDS: Final = 10.0
"""How long a platform may take to show what it has taken."""

END_SECONDS: Final = 3.0
"""How long an exporter may take to let go of what it has."""

_REMEDIES: Final[Mapping[Reason, str]] = {
    Reason.DNS: "mend the host name in endpoint, or this machine's name server",
    Reason.REFUSED: "start what should listen there, or mend the port in endpoint",
    Reason.RESET: "look at the log of the peer, or of what stands between",
    Reason.TIMEOUT: "look whether a firewall is between, and at the log of the peer",
    Reason.TLS: "mend the certificate, the host name in endpoint, or set tls.ca_file to who signed",
    Reason.PROXY: "mend proxy, or https_proxy and no_proxy in the environment",
    Reason.NETWORK: "look at this machine's network",
    Reason.UNAUTHORIZED: "set api_key or api_key_from to a key that is valid there",
    Reason.FORBIDDEN: "give the key the right to write metrics",
    Reason.NOT_FOUND: "mend the path in endpoint, or turn on there what should be at it",
    Reason.TOO_LARGE: "send less: see metrics.allow, or raise the limit there",
    Reason.RATE_LIMITED: "raise interval, or the quota there",
    Reason.REDIRECTED: "put the address it is redirected to into endpoint",
    Reason.SERVER_ERROR: "look at the log of the peer",
    Reason.SCHEMA: "look whether endpoint and protocol belong together, and at the versions",
    Reason.GARBAGE: "look whether endpoint and protocol belong together",
    Reason.PARTIAL: "look whether endpoint and protocol belong together, and at the versions",
    Reason.DISK: "make room on the disk, or name another file",
    Reason.CONFIGURATION: "mend what it names",
    Reason.EXPORTER_ERROR: "look for a newer version of the package it comes from, or tell its "
    "authors",
}


def check_exporter(config: str | None, exporter: str) -> Iterator[Diagnosis]:
    """Make the exporter as a program would, have it send a probe, and look for it over there.

    The probe is a snapshot of this process: who runs it, and no operations. Of one that sends
    nothing, a Prometheus that scrapes, there is nothing to say here.

    Args:
        config: the options file; ``None`` for the one ``METALSCOPE_CONFIG`` names.
        exporter: its name.
    """
    options = load_options(config)
    one = next(each for each in options.export.exporters if each.name == exporter)
    facts: dict[str, Any] = {"type": str(one.type), "read_back": None}
    if one.protocol is not None:
        facts["protocol"] = one.protocol
    snapshot = probe()
    try:
        made = create_exporter(
            _for_a_probe(one, snapshot), options.export, sanitizer=sanitizer_of(options)
        )
    except MissingExtraError as error:
        remedy = f"pip install 'metalscope[{error.extra}]'"
        facts["extra"] = error.extra
        yield Diagnosis(EXPORTERS, exporter, State.BROKEN, "", str(error), remedy, facts)
    except ConfigurationError as error:
        remedy = _REMEDIES[Reason.CONFIGURATION]
        yield Diagnosis(EXPORTERS, exporter, State.BROKEN, "", str(error), remedy, facts)
    else:
        if made is not None:
            found = _sent(exporter, made, snapshot, facts)
            note = meaning(one).note if one.type == ExporterType.PROMETHEUS else ""
            yield replace(found, why="; ".join(filter(None, (found.why, note))))


def probe() -> MetalTelemetrySnapshot:
    """A snapshot that says which process sends it and since when, and nothing else."""
    now = datetime.now(UTC)
    return MetalTelemetrySnapshot(timestamp=now, started_at=now, system=HostSensor().system(()))


def _sent(
    name: str, exporter: MetricsExporter, snapshot: MetalTelemetrySnapshot, facts: dict[str, Any]
) -> Diagnosis:
    raised: list[BaseException] = []
    # As in a running program, so that async exporters have their one loop.
    attempts = AttemptThread(
        exporter,
        timeout=timedelta(seconds=SEND_SECONDS),
        on_error=lambda _, error: raised.append(error),
    )
    began = monotonic()
    try:
        try:
            result = attempts.export(snapshot).result(SEND_SECONDS + 1)
        except TimeoutError:
            result = ExportResult.retry(Reason.TIMEOUT, f"not done within {SEND_SECONDS:g} s")
        if raised:
            said = f"{type(raised[0]).__name__}: {raised[0]}"
            result = ExportResult.retry(Reason.EXPORTER_ERROR, said)
        facts |= {
            "verdict": result.verdict.value,
            "reason": None if result.reason is None else result.reason.value,
            "points": result.points,
            "seconds": round(monotonic() - began, 3),
        }
        return _diagnosis(name, exporter, snapshot, result, facts)
    finally:
        attempts.close(END_SECONDS)


def _diagnosis(
    name: str,
    exporter: MetricsExporter,
    snapshot: MetalTelemetrySnapshot,
    result: ExportResult,
    facts: dict[str, Any],
) -> Diagnosis:
    remedy = _REMEDIES.get(result.reason, "") if result.reason else ""
    why = f"{result.reason.value}: {result.detail}" if result.reason else result.detail
    if not result.ok:
        return Diagnosis(EXPORTERS, name, State.BROKEN, "", why, remedy, facts)
    what = f"took {result.points} points" if result.points else "took the probe"
    if result.rejected_points:
        facts["rejected_points"] = result.rejected_points
        why = f"{result.rejected_points} points were refused: {result.detail}"
        return Diagnosis(EXPORTERS, name, State.BROKEN, what, why, remedy, facts)
    began = monotonic()
    back = _read_back(exporter, snapshot)
    facts["read_back"] = None if back is None else back.arrived
    if back is None:
        why = "it cannot be asked whether they can be found there"
        return Diagnosis(EXPORTERS, name, State.WORKS, what, why, facts=facts)
    if back.arrived:
        what = f"{what}, and has them: {back.detail}"
        return Diagnosis(EXPORTERS, name, State.WORKS, what, facts=facts)
    why = f"{monotonic() - began:.0f} s later: {back.detail}"
    remedy = "look at its log, and whether it shows data only after a while"
    return Diagnosis(EXPORTERS, name, State.BROKEN, what, why, remedy, facts)


def _read_back(exporter: MetricsExporter, snapshot: MetalTelemetrySnapshot) -> ReadBack | None:
    deadline = monotonic() + READ_BACK_SECONDS
    while True:
        back = exporter.read_back(snapshot)
        if back is None or back.arrived or monotonic() > deadline:
            return back
        sleep(0.5)


def _for_a_probe(one: ExporterOptions, snapshot: MetalTelemetrySnapshot) -> ExporterOptions:
    """The options by which a probe takes the place of nothing that a program sent.

    ``labels`` and the group of a Pushgateway may name an instance that is a running program's: a
    probe under that name would be among its data, or in their place.
    """
    timeout = timedelta(seconds=SEND_SECONDS)
    changed: dict[str, Any] = {
        "labels": {name: value for name, value in one.labels.items() if name != "instance"},
        "timeout": min(one.timeout or timeout, timeout),
    }
    if one.type == ExporterType.PROMETHEUS:
        meant = meaning(one)
        if meant.protocol == "pushgateway":
            changed["endpoint"] = _own_group(meant.url or "", snapshot)
            # It would stay for ever.
            changed["settings"] = one.settings | {"delete_on_exit": True}
        elif meant.protocol == "remote_write":
            # Else queries would show the doctor for five more minutes.
            changed["settings"] = one.settings | {"stale_markers": True}
        changed["protocol"] = meant.protocol
    return one.model_copy(update=changed)


def _own_group(url: str, snapshot: MetalTelemetrySnapshot) -> str:
    parts = urlsplit(url)
    before, found, _ = parts.path.partition("/metrics/job")
    base = before if found else parts.path.rstrip("/").removesuffix("/metrics")
    pid = snapshot.system.pid if snapshot.system else 0
    instance = quote(f"{snapshot.system.host if snapshot.system else ''}:{pid}", safe="")
    path = f"{base.rstrip('/')}/metrics/job/{JOB}/instance/{instance}"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
