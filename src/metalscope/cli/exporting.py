"""Exporting what a program of another process has: once, or for as long as it is wanted."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.export_file import fetched
from metalscope.cli.output import emit, say
from metalscope.export.base import MetricsExporter
from metalscope.export.exporter import MetalMetricsExporter
from metalscope.export.registry import exporters_of
from metalscope.export_options import ExporterType, Temporality
from metalscope.internal import InternalErrors
from metalscope.sanitizing import sanitizer_of
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.session.watch import SourceUnavailableError, fetch_snapshot

if TYPE_CHECKING:
    from metalscope.options import ExporterOptions, MetalTelemetryOptions
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["export_once", "keep_exporting", "next_beat"]

AWAY_SECONDS: Final = 5.0
"""How often it is looked for a program that is away."""

LAST_SECONDS: Final = 2.0
"""How long the program may take to say, when the exporting ends, what it has by then."""

_LEAST_SECONDS: Final = 0.5

_COUNT_DIFFERENCES: Final = frozenset(
    {ExporterType.STATSD, ExporterType.DATADOG, ExporterType.APPLICATION_INSIGHTS}
)
"""Types whose protocols have counts of what happened, and no totals."""

# Settings of what is to be done when the program ends: when one export ends it has not.
_AT_THE_END: Final = ("delete_on_exit", "stale_markers")


def export_once(
    options: MetalTelemetryOptions,
    chosen: Sequence[ExporterOptions],
    base: str,
    timeout: float,
) -> ExitCode:
    """Export what the program at ``base`` has, after what waits; say on a line each what became.

    Args:
        options: of which the exporters are.
        chosen: those that are to export.
        base: where the program serves its telemetry.
        timeout: how many s it may take, the fetching and the exporting together.

    Raises:
        CommandFailed: nothing could be fetched, or it was interrupted.
        ConfigurationError: an exporter or the spool cannot be used.
        MissingExtraError: the library of an exporter is not installed.
    """
    deadline = monotonic() + timeout
    chosen = [_without_an_end(one) for one in chosen]
    _say_what_is_logged(logging.ERROR)
    with _exporter(options, chosen, _say_error, once=True) as exporter:
        try:
            snapshot = fetched(base, timeout)
            results = exporter.export_now(snapshot, max(_LEAST_SECONDS, deadline - monotonic()))
            exporter.shutdown(max(_LEAST_SECONDS, deadline - monotonic()))
        except KeyboardInterrupt:
            exporter.shutdown(0)
            raise CommandFailed("interrupted", ExitCode.INTERRUPTED) from None
    return _tell(results, kept=options.export.spool.directory is not None)


def keep_exporting(
    options: MetalTelemetryOptions,
    chosen: Sequence[ExporterOptions],
    base: str,
    timeout: float,
) -> ExitCode:
    """Export what the program at ``base`` has at each interval, until Ctrl-C or SIGTERM.

    The program may come and go. At the end what it has by then is exported.

    Args:
        options: of which the exporters and the interval are.
        chosen: those that are to export.
        base: where the program serves its telemetry.
        timeout: how many s it may take to answer.

    Raises:
        CommandFailed: it was interrupted a second time, while the last exports were waited for.
        ConfigurationError: an exporter or the spool cannot be used.
        MissingExtraError: the library of an exporter is not installed.
    """
    stop = threading.Event()
    failed: list[Exception] = []
    intervals = {one.interval or _interval(options) for one in chosen}

    def run() -> None:
        try:
            _follow(exporter, base, intervals, timeout, stop)
        except Exception as error:  # noqa: BLE001 - raised again below
            failed.append(error)
            stop.set()

    errors = InternalErrors()
    _say_what_is_logged(logging.INFO)
    with _exporter(options, chosen, errors.report) as exporter:
        try:
            with _set_by_signals(stop):
                say(f"exporting {base} by {', '.join(exporter.names)}; Ctrl-C ends it")
                # A thread of its own, as an answer that does not come cannot be interrupted.
                follower = threading.Thread(target=run, name="metalscope-follow", daemon=True)
                follower.start()
                stop.wait()
            follower.join(2 * LAST_SECONDS)
            exporter.shutdown()
        except KeyboardInterrupt:
            raise CommandFailed("interrupted", ExitCode.INTERRUPTED) from None
    if failed:
        raise failed[0]
    return ExitCode.OK


def next_beat(after: timedelta, intervals: Collection[timedelta]) -> timedelta:
    """The first time after ``after`` that is a multiple of one of the intervals."""
    return min((after // each + 1) * each for each in intervals)


def _follow(
    exporter: MetalMetricsExporter,
    base: str,
    intervals: Collection[timedelta],
    timeout: float,
    stop: threading.Event,
) -> None:
    origin, beat = monotonic(), timedelta()
    away: bool | None = None
    while True:
        try:
            snapshot = fetch_snapshot(base, timeout=timeout)
        except SourceUnavailableError as error:
            if not away:
                say(f"{error}; waiting for it")
            away = True
            pause = min(AWAY_SECONDS, min(intervals).total_seconds())
        else:
            exporter.consume(snapshot)
            if away:
                say(f"{base} answers")
            elapsed = timedelta(seconds=monotonic() - origin)
            if away is not False or elapsed - beat >= min(intervals):
                # From this export on: a beat that comes before it is due would be lost.
                origin, beat, elapsed, away = monotonic(), timedelta(), timedelta(), False
            beat = next_beat(max(beat, elapsed), intervals)
            pause = (beat - elapsed).total_seconds()
        if stop.wait(pause):
            break
    if away is False:
        with suppress(SourceUnavailableError):
            exporter.consume(fetch_snapshot(base, timeout=min(timeout, LAST_SECONDS)))


@contextmanager
def _exporter(
    options: MetalTelemetryOptions,
    chosen: Sequence[ExporterOptions],
    on_error: Callable[[str, BaseException], None],
    *,
    once: bool = False,
) -> Iterator[MetalMetricsExporter]:
    export = options.export.model_copy(update={"exporters": tuple(chosen)})
    made = list(exporters_of(export, sanitizer=sanitizer_of(options)))
    _warn_of_counts_sent_again(options, chosen)
    exporter = MetalMetricsExporter(export, interval=_interval(options), on_error=on_error)
    try:
        for one, each in made:
            exporter.add_of(one, _Once(each) if once else each)
        yield exporter
    finally:
        exporter.shutdown(0)


def _interval(options: MetalTelemetryOptions) -> timedelta:
    return options.export.auto_export_interval or options.reporting_interval


def _without_an_end(one: ExporterOptions) -> ExporterOptions:
    if one.type not in {ExporterType.PROMETHEUS, ExporterType.GRAFANA_CLOUD}:
        return one
    settings = {name: value for name, value in one.settings.items() if name not in _AT_THE_END}
    return one.model_copy(update={"settings": settings})


def _warn_of_counts_sent_again(
    options: MetalTelemetryOptions, chosen: Sequence[ExporterOptions]
) -> None:
    if options.export.spool.directory is not None:
        return
    for one in chosen:
        if one.type in _COUNT_DIFFERENCES or one.temporality is Temporality.DELTA:
            say(
                f"warning: {one.name} is sent what was counted since the program began, again each "
                "time this is started; set export.spool.directory for what is new alone"
            )


class _Once(MetricsExporter):
    """An exporter that is asked no more once it asked for a retry: there is one try."""

    def __init__(self, exporter: MetricsExporter) -> None:
        self._exporter = exporter
        self._failed: ExportResult | None = None
        # Of the one it stands for.
        self.keeps_history = exporter.keeps_history  # type: ignore[misc]

    def export(
        self, snapshot: MetalTelemetrySnapshot
    ) -> ExportResult | Awaitable[ExportResult | None] | None:
        if self._failed is not None:
            return self._failed
        self._failed = ExportResult.retry(Reason.EXPORTER_ERROR, "it raised an error")
        result = self._exporter.export(snapshot)
        if isinstance(result, Awaitable):
            return self._awaited(result)
        return self._noted(result)

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        self._exporter.resume(delivered)

    def shutdown(self) -> Awaitable[None] | None:
        return self._exporter.shutdown()

    async def _awaited(self, result: Awaitable[ExportResult | None]) -> ExportResult | None:
        return self._noted(await result)

    def _noted(self, result: ExportResult | None) -> ExportResult | None:
        again = isinstance(result, ExportResult) and result.verdict is Verdict.RETRY
        self._failed = result if again else None
        return result


def _tell(results: dict[str, ExportResult], *, kept: bool) -> ExitCode:
    words = {
        Verdict.DELIVERED: "delivered",
        Verdict.RETRY: "waits" if kept else "failed",
        Verdict.REJECTED: "rejected",
    }
    width = max(map(len, results))
    for name, result in results.items():
        said = [f"{result.points} points"] if result.points else []
        said += [f"{result.rejected_points} points refused"] if result.rejected_points else []
        if result.reason is not None:
            said.append(f"{result.reason.value}: {_detail(result, kept)}")
        line = f"{name:<{width}}  {words[result.verdict]:<9}  {', '.join(said)}"
        emit(_one_line(line).rstrip())
    return ExitCode.OK if all(result.ok for result in results.values()) else ExitCode.FAILED


def _detail(result: ExportResult, kept: bool) -> str:
    if kept or result.reason is not Reason.TIMEOUT:
        return result.detail
    # Nothing does when the command is over.
    return result.detail.removesuffix("; it waits").removesuffix("; it is waited for")


def _say_error(room: str, error: BaseException) -> None:
    # That one does not end in time is said of it already.
    if not isinstance(error, TimeoutError):
        say(_one_line(f"{room}: {type(error).__name__}: {error}"))


def _say_what_is_logged(level: int) -> None:
    """What metalscope logs from this level on is said on standard error.

    For the rest of the process, which is the command's: a lane that is left behind at the end must
    not get to Python's own handler.
    """
    logger = logging.getLogger("metalscope")
    logger.addHandler(_Sayer(level))
    logger.setLevel(level)
    logger.propagate = False


class _Sayer(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        # Without a traceback: there is nothing in it for who only runs the command.
        say(_one_line(record.getMessage()))


def _one_line(text: str) -> str:
    """What peers and libraries say is foreign text: no control character, no second line."""
    return "".join(c if c.isprintable() else " " for c in text)


@contextmanager
def _set_by_signals(stop: threading.Event) -> Iterator[None]:
    """Ctrl-C and SIGTERM set ``stop``; a second one of them does what it always does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ended(*_: object) -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.set()

    for number in before:
        signal.signal(number, ended)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
