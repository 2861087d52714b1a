"""Python's logging: what a program that has its own set-up gets, and what stays as it was."""

from __future__ import annotations

import logging
import logging.config
import threading
from collections.abc import Iterator

import pytest
from logger_kit import Logged, logged

import metalscope.default
from metalscope.correlating import correlation
from metalscope.logs.handler import MetalLogHandler, capture, severity_of_level
from metalscope.logs.record import Severity


@pytest.fixture
def kept() -> Logged:
    return logged()


@pytest.fixture
def app(kept: Logged) -> Iterator[logging.Logger]:
    logger = logging.getLogger("app_of_test")
    logger.setLevel(logging.DEBUG)
    handler = kept.log.handler()
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


def test_a_record_keeps_what_logging_knows(kept: Logged, app: logging.Logger) -> None:
    with correlation("order-17"):
        app.warning("%s of %d", "three", 4, extra={"tenant": "t1", "sizes": [1]})
    line, record = kept.line(), kept.record()
    assert line["message"] == "three of 4"
    assert line["severity"] == "warning"
    assert line["logger"] == "app_of_test"
    assert line["thread"] == threading.current_thread().name
    assert line["correlation_id"] == "order-17"
    assert dict(record.attributes) == {"tenant": "t1", "sizes": [1]}


def test_the_moment_is_the_records_own(kept: Logged, app: logging.Logger) -> None:
    record = app.makeRecord("app_of_test", logging.INFO, "f", 1, "said", (), None)
    record.created = 1_795_867_200.25
    app.handle(record)
    assert kept.record().timestamp_ns == 1_795_867_200_250_000_000


@pytest.mark.parametrize(
    ("level", "severity"),
    [
        (1, Severity.DEBUG), (10, Severity.DEBUG), (20, Severity.INFO), (25, Severity.INFO),
        (30, Severity.WARNING), (40, Severity.ERROR), (49, Severity.ERROR), (50, Severity.CRITICAL),
        (99, Severity.CRITICAL),
    ],
)  # fmt: skip
def test_a_level_is_the_severity_next_below(level: int, severity: Severity) -> None:
    assert severity_of_level(level) is severity


def test_an_exception_comes_with_it(kept: Logged, app: logging.Logger) -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        app.exception("failed", stack_info=True)
    line = kept.line()
    assert (line["exception_type"], line["exception_message"]) == ("ValueError", "odd")
    assert "stack_info" not in line


def test_stacks_come_with_it_where_they_are_kept() -> None:
    kept = logged(enable_stack_trace_logging=True)
    logger = logging.Logger("alone")
    logger.addHandler(kept.log.handler())
    try:
        raise ValueError("odd")
    except ValueError as error:
        logger.error("failed", exc_info=error, stack_info=True)
    line = kept.line()
    assert "raise ValueError" in line["exception_stacktrace"]
    assert line["stack_info"].startswith("Stack")


def test_what_metalscope_says_itself_is_left_out(kept: Logged, app: logging.Logger) -> None:
    detach = capture(kept.log, ["root"])
    try:
        logging.getLogger("metalscope").warning("a sink fails")
        logging.getLogger("metalscope.sub").warning("a sink fails")
        thread = threading.Thread(
            target=lambda: logging.getLogger("urllib3").warning("retrying"),
            name="metalscope-log-x",
        )
        thread.start()
        thread.join()
        logging.getLogger("metalscopes").warning("somebody else")
    finally:
        detach()
    assert kept.messages() == ["somebody else"]


def test_a_failing_sink_that_warns_by_logging_is_no_endless_loop(kept: Logged) -> None:
    def warn(_room: str, error: BaseException) -> None:
        logging.getLogger("metalscope").warning("%s", error)
        logging.getLogger("elsewhere").warning("%s", error)

    kept.sink.refuses = ValueError
    kept.log._flusher._on_error = warn
    detach = capture(kept.log, ["root"])
    try:
        kept.log.info("refused")
        for _ in range(5):
            assert kept.log.flush(30)
    finally:
        detach()
    assert kept.log.counts == {"info": 1}


def test_arguments_that_do_not_fit_are_loggings_to_tell(
    kept: Logged, capsys: pytest.CaptureFixture[str]
) -> None:
    logger = logging.Logger("alone")
    logger.addHandler(kept.log.handler())
    logger.warning("%d", "x")
    assert "--- Logging error ---" in capsys.readouterr().err
    logger.warning("after")
    assert kept.messages() == ["after"]


def test_nothing_is_taken_over(kept: Logged, caplog: pytest.LogCaptureFixture) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    detach = capture(kept.log, ["root", "app.db"])
    logging.getLogger("app.db").warning("said")
    assert [*handlers, root.handlers[-1]] == root.handlers
    assert root.level == level
    detach()
    detach()
    assert root.handlers == handlers
    assert caplog.messages == ["said"]
    logging.getLogger("app.db").warning("after")
    assert kept.messages() == ["said"]


def test_a_logger_that_does_not_hand_on_is_captured_by_its_own_name(kept: Logged) -> None:
    alone = logging.getLogger("alone.of_test")
    alone.propagate = False
    detach = capture(kept.log, ["root", "alone.of_test", "alone.of_test"])
    try:
        alone.warning("said")
    finally:
        detach()
        alone.propagate = True
    assert kept.messages() == ["said"]


def test_a_whole_event_in_place_of_a_message(kept: Logged, app: logging.Logger) -> None:
    """As structlog.stdlib.ProcessorFormatter.wrap_for_formatter leaves it."""
    app.info({"event": "said", "tenant": "t1", "level": "info"})
    line = kept.line()
    assert (line["message"], line["tenant"]) == ("said", "t1")


def test_it_can_be_named_in_a_dict_config(kept: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    class Telemetry:
        log = kept.log

    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {
                "metal": {
                    "class": "metalscope.logs.handler.MetalLogHandler",
                    "level": "WARNING",
                }
            },
            "loggers": {"configured": {"handlers": ["metal"], "level": "INFO"}},
        }
    )
    logger = logging.getLogger("configured")
    monkeypatch.setattr(metalscope.default, "_default", None)
    logger.warning("there is no telemetry yet")
    monkeypatch.setattr(metalscope.default, "_default", Telemetry())
    logger.info("too mild for the handler")
    logger.warning("said")
    logger.handlers.clear()
    assert kept.messages() == ["said"]


def test_a_thread_in_the_handler_keeps_no_other_waiting(kept: Logged) -> None:
    handler = MetalLogHandler(log=kept.log)
    logger = logging.Logger("alone")
    logger.addHandler(handler)
    handler.acquire()
    try:
        thread = threading.Thread(target=logger.warning, args=("said",))
        thread.start()
        thread.join(30)
    finally:
        handler.release()
    assert kept.messages() == ["said"]


def test_its_filters_are_heeded(kept: Logged) -> None:
    handler = kept.log.handler()
    handler.addFilter(lambda record: record.getMessage() != "no")
    logger = logging.Logger("alone")
    logger.addHandler(handler)
    logger.warning("no")
    logger.warning("yes")
    assert kept.messages() == ["yes"]
