"""What runs beside a manager while it is started: server, exporters, alerts, the process file."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from metalscope.history import History
    from metalscope.manager import MetalTelemetryManager
    from metalscope.objectives import ObjectiveTracker
    from metalscope.processes import ProcessFile, ProcessGroup
    from metalscope.server import RunningServer
    from metalscope.server.source import TelemetrySource

__all__ = [
    "join_processes",
    "start_alerts_for",
    "start_exporters_for",
    "start_health_for",
    "start_server_for",
    "telemetry_of",
]

EXIT_SECONDS: Final = 5.0
"""How long a process waits at its end for its last counts to be written, or a prediction to end."""


def telemetry_of(
    manager: MetalTelemetryManager, file: ProcessFile | None
) -> MetalTelemetryManager | ProcessGroup:
    """What a manager serves: itself, or where it has a file in a shared directory, all there.

    Raises:
        ConfigurationError: the directory cannot be used.
    """
    if file is None or not manager.options.server.enabled:
        return manager
    return _group(manager, file)


def start_server_for(manager: MetalTelemetryManager, source: TelemetrySource) -> RunningServer:
    """Serve what :func:`telemetry_of` gives.

    Raises:
        ConfigurationError: the address cannot be used.
        MissingExtraError: the server's libraries are not installed.
    """
    from metalscope.server.from_options import server_of  # noqa: PLC0415 - loads starlette

    server = server_of(source, manager.options)
    manager.on_shutdown(server.stop)
    return server


def start_exporters_for(manager: MetalTelemetryManager, *, even_if_none: bool = False) -> None:
    """Run the exporters of the options, once; where there are none, only where asked to.

    Raises:
        ConfigurationError: the spool or an exporter cannot be used; none was started then.
        MissingExtraError: the libraries of an exporter are not installed.
    """
    options = manager.options
    export = options.export
    if manager.exporter is not None or not (even_if_none or export.exporters):
        return
    from metalscope.export.exporter import MetalMetricsExporter  # noqa: PLC0415 - where exported
    from metalscope.export.registry import exporters_of  # noqa: PLC0415
    from metalscope.sanitizing import sanitizer_of  # noqa: PLC0415

    made = list(exporters_of(export, sanitizer=sanitizer_of(options)))
    if not made and not even_if_none:
        return
    interval = export.auto_export_interval or options.reporting_interval
    runner = MetalMetricsExporter(
        export,
        interval=interval if options.auto_export_metrics else None,
        on_error=manager.internal_error,
    )
    try:
        for one, exporter in made:
            runner.add_of(one, exporter)
    except BaseException:
        runner.shutdown(0)
        raise
    manager.exporter = runner
    unsubscribe = manager.subscribe(runner.consume)
    manager.on_shutdown(runner.shutdown)
    manager.on_shutdown(unsubscribe)


def start_alerts_for(
    manager: MetalTelemetryManager, source: MetalTelemetryManager | ProcessGroup
) -> None:
    """Raise alerts over the snapshots of ``source``, where the options say so.

    Raises:
        ConfigurationError: a rule, a channel or the file they are kept in cannot be used.
        MissingExtraError: a channel's library is not installed.
    """
    if not manager.options.alerts.enabled:
        return
    from metalscope.alerts.starting import raise_alerts  # noqa: PLC0415 - only where it is started

    raise_alerts(
        source,
        manager.options,
        on_error=manager.internal_error,
        server=lambda: manager.server,
        at_end=manager.on_shutdown,
    )
    manager.alerts = source.alerts


def start_health_for(manager: MetalTelemetryManager) -> None:
    """Look for anomalies, keep the history, count objectives, and predict, as the options say.

    Raises:
        ConfigurationError: a detector or forecaster is not known, or the history's file cannot be
            used.
        MissingExtraError: a library of theirs is not installed.
    """
    from metalscope.forecast.predictions import Predictor  # noqa: PLC0415 - where it is started

    options = manager.options
    health = manager.health
    health.start()
    history = _history(manager)
    objectives = _objectives(manager, history)
    predictor = Predictor(
        history,
        options.health_monitor,
        on_error=manager.internal_error,
        objectives=tuple if objectives is None else objectives.statuses,
    )
    health.predicted_by(predictor.latest)
    predictor.start()
    manager.on_shutdown(partial(predictor.stop, EXIT_SECONDS))
    manager.on_shutdown(manager.subscribe(predictor.observe))


def _history(manager: MetalTelemetryManager) -> History | None:
    options = manager.options.history
    if options.path is None:
        return None
    from metalscope.history import History  # noqa: PLC0415 - only where one is kept

    manager.history = history = History(options, on_error=manager.internal_error)
    manager.on_shutdown(history.close)
    manager.on_shutdown(manager.subscribe(history.append))
    return history


def _objectives(manager: MetalTelemetryManager, history: History | None) -> ObjectiveTracker | None:
    if not manager.options.health_monitor.objectives:
        return None
    from metalscope.objectives import ObjectiveTracker  # noqa: PLC0415 - only where there are any

    tracker = ObjectiveTracker(manager.options.health_monitor.objectives)
    manager.health.objectives_by(tracker.statuses)
    manager.on_shutdown(manager.subscribe(tracker.observe))
    if history is not None:
        _seed(manager, tracker, history)
    return tracker


def _seed(manager: MetalTelemetryManager, tracker: ObjectiveTracker, history: History) -> None:
    """Have the tracker read its past, up to a month of minutes, while the program goes on."""
    began = datetime.now(UTC)

    def read() -> None:
        try:
            tracker.seed(history, began)
        except Exception as error:  # noqa: BLE001 - law: the program goes on without that past
            manager.internal_error("history", error)

    threading.Thread(target=read, name="metalscope-objectives", daemon=True).start()


def join_processes(manager: MetalTelemetryManager, directory: Path) -> ProcessFile:
    """Write the manager's counts to a file in a shared directory, each tick and at its end.

    Raises:
        ConfigurationError: the directory cannot be used.
    """
    from multiprocessing import util  # noqa: PLC0415 - only where there are several processes

    from metalscope.processes import ProcessFile  # noqa: PLC0415 - loads pydantic

    file = ProcessFile(directory)
    unsubscribe = manager.subscribe(file.write)
    manager.on_shutdown(file.close)
    manager.on_shutdown(unsubscribe)
    # Processes that multiprocessing forks run no exit handlers of the interpreter, only its own.
    util.register_after_fork(manager, _flush_at_the_end)
    return file


def _flush_at_the_end(manager: MetalTelemetryManager) -> None:
    from multiprocessing import util  # noqa: PLC0415

    util.Finalize(None, manager.shutdown, args=(EXIT_SECONDS,), exitpriority=0)


def _group(manager: MetalTelemetryManager, file: ProcessFile) -> ProcessGroup:
    from metalscope.processes import ProcessGroup  # noqa: PLC0415 - loads pydantic

    options = manager.options
    group = ProcessGroup(
        file.directory,
        tick=options.tick_interval,
        window=options.history_window,
        thresholds=manager.report_thresholds,
        # This file alone: the manager's other consumers are fed by its tick.
        refresh=lambda: file.write(manager.get_snapshot()),
    )
    group.tails = manager.tails
    group.start()
    manager.on_shutdown(group.stop)
    return group
