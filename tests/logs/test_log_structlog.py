"""structlog: a processor in chains that others have set up, and a logger of ours."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest
import structlog
from logger_kit import Logged, logged

from metalscope.logs.record import Severity


@pytest.fixture
def kept() -> Logged:
    return logged()


def chained(kept: Logged, *before: Any, after: Any = None) -> tuple[Any, io.StringIO]:
    out = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[
            structlog.contextvars.merge_contextvars,
            *before,
            kept.log.processor(),
            *(after or [structlog.processors.JSONRenderer()]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    return logger, out


def test_an_event_is_kept_and_goes_on_as_it_was(kept: Logged) -> None:
    logger, out = chained(kept)
    with structlog.contextvars.bound_contextvars(request="r1"):
        logger.bind(tenant="t1").warning("said", size=3)
    event = {"event": "said", "size": 3, "tenant": "t1", "request": "r1"}
    assert json.loads(out.getvalue()) == event
    line = kept.line()
    assert (line["message"], line["severity"], line["logger"]) == ("said", "warning", "structlog")
    assert (line["size"], line["tenant"], line["request"]) == (3, "t1", "r1")


def test_it_returns_the_very_event_it_was_given(kept: Logged) -> None:
    event: dict[str, Any] = {"event": "said", "deep": {"a": [1]}}
    before = json.dumps(event)
    assert kept.log.processor()(None, "info", event) is event
    assert json.dumps(event) == before


@pytest.mark.parametrize(
    ("method", "severity"),
    [
        ("debug", "debug"), ("info", "info"), ("msg", "info"), ("warn", "warning"),
        ("error", "error"), ("exception", "error"), ("critical", "critical"), ("fatal", "critical"),
        ("unheard_of", "info"),
    ],
)  # fmt: skip
def test_the_method_tells_the_severity(kept: Logged, method: str, severity: str) -> None:
    kept.log.processor()(None, method, {"event": "said"})
    assert kept.line()["severity"] == severity


@pytest.mark.parametrize("utc", [True, False])
@pytest.mark.parametrize("fmt", ["iso", None])
def test_what_structlogs_processors_add_has_its_place(
    kept: Logged, fmt: str | None, utc: bool
) -> None:
    if fmt is None and not utc:
        return  # a Unix time is UTC's
    logger, _ = chained(
        kept,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt=fmt, utc=utc),
        structlog.processors.StackInfoRenderer(),
    )
    kept.log.info("just before")
    logger.error("said")
    kept.lines()
    before, record = kept.sink.records
    assert abs(record.timestamp_ns - before.timestamp_ns) < 60 * 10**9
    assert dict(record.attributes) == {}
    assert record.severity is Severity.ERROR


def test_a_moment_that_cannot_be_read_is_kept_as_it_is(kept: Logged) -> None:
    logger, _ = chained(kept, structlog.processors.TimeStamper(fmt="%H o'clock"))
    logger.info("said")
    assert kept.record().attributes["timestamp"].endswith("o'clock")


def test_exceptions_are_read_whether_rendered_or_not(kept: Logged) -> None:
    plain, _ = chained(kept, after=[structlog.processors.KeyValueRenderer()])
    rendered, _ = chained(kept, structlog.processors.format_exc_info)
    try:
        raise ValueError("odd")
    except ValueError as error:
        plain.exception("one")
        plain.error("two", exc_info=error)
        plain.error("three", exc_info=True)
        rendered.exception("four")
    one, two, three, four = kept.lines()
    assert one["exception_type"] == two["exception_type"] == three["exception_type"] == "ValueError"
    assert four["exception"] == "ValueError: odd"


def test_a_chain_of_structlog_stdlib(kept: Logged, caplog: pytest.LogCaptureFixture) -> None:
    logger = structlog.wrap_logger(
        logging.getLogger("app.of_structlog"),
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.TimeStamper(fmt="iso"),
            kept.log.processor(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    logger.bind(tenant="t1").warning("%s of %d", "three", 4)
    line = kept.line()
    assert (line["message"], line["logger"]) == ("three of 4", "app.of_structlog")
    assert line["tenant"] == "t1"
    assert len(caplog.records) == 1


def test_positional_arguments_nobody_has_put_in_yet(kept: Logged) -> None:
    kept.log.processor()(None, "info", {"event": "%s here", "positional_args": ("all",)})
    assert kept.line()["message"] == "all here"


def test_records_of_logging_in_structlogs_formatter(kept: Logged) -> None:
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_log_level, kept.log.processor()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logger = logging.Logger("foreign")
    logger.addHandler(handler)
    logger.warning("said %d", 1)
    assert json.loads(out.getvalue())["event"] == "said 1"
    line = kept.line()
    assert (line["message"], line["severity"]) == ("said 1", "warning")
    assert not [name for name in line if name.startswith("_")]


def test_an_event_it_cannot_read_goes_on_and_is_told(kept: Logged) -> None:
    event = {"event": "%d", "positional_args": ("x",)}
    assert kept.log.processor()(None, "info", event) is event
    assert [room for room, _ in kept.errors] == ["logs"]
    rendered: Any = "rendered"
    assert kept.log.processor()(None, "info", rendered) is rendered
    assert kept.messages() == ["rendered"]


def test_a_logger_that_ends_here(kept: Logged, capsys: pytest.CaptureFixture[str]) -> None:
    logger = kept.log.structlog_logger(service="shop")
    with structlog.contextvars.bound_contextvars(request="r1"):
        logger.bind(tenant="t1").info("said", size=3)
    try:
        raise ValueError("odd")
    except ValueError:
        logger.exception("failed")
    said, failed = kept.lines()
    assert (said["message"], said["service"], said["request"]) == ("said", "shop", "r1")
    assert (said["tenant"], said["size"]) == ("t1", 3)
    assert failed["exception_type"] == "ValueError"
    assert capsys.readouterr() == ("", "")


def test_its_level_is_the_logs() -> None:
    kept = logged(level="warning")
    logger = kept.log.structlog_logger()
    logger.info("no")
    logger.warning("yes")
    assert kept.messages() == ["yes"]
