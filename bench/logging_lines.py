"""What a log line costs its caller, and the whole process, beside other libraries.

All write the same line, with five fields and a correlation id, as JSON to a file. The clocks are
those of the processor: of the caller's thread while it logs, and of the process until the last line
is in the file.

python bench/logging_lines.py [--quick] [--rounds N] [--output PATH]
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from queue import SimpleQueue
from time import process_time, thread_time
from typing import Any

from goals import Result, Row, at_most, parser, publish, rounds_of
from timing import Comparison

OURS = "metalscope"
BELOW = "metalscope, below the level"
FRESH = "metalscope, a text never seen before in each line"
STRUCTLOG = "structlog, WriteLogger"
STRUCTLOG_BYTES = "structlog, BytesLogger"
JSON_QUEUE = "python-json-logger, QueueHandler"
JSON_FILE = "python-json-logger, FileHandler"
QUEUE = "logging, QueueHandler, JSON"
FILE = "logging, FileHandler, JSON"
OTHERS = (STRUCTLOG, STRUCTLOG_BYTES, JSON_QUEUE, JSON_FILE, QUEUE, FILE)

ID = "0af76519-16cd-43dd-8448-eb211c80319c"
MESSAGE = "request is done"

Work = Callable[[int], None]
_current: ContextVar[str] = ContextVar("bench_correlation_id")


@dataclass(frozen=True)
class Contender:
    """``log`` logs so many lines; ``finish`` waits until they are in the file."""

    log: Work
    finish: Callable[[], object]


@contextmanager
def ours(
    path: Path, lines: int, *, level: str = "info", fresh: bool = False
) -> Iterator[Contender]:
    from metalscope.correlating import correlation
    from metalscope.log_options import LoggingOptions
    from metalscope.logs.logger import MetalProductionLogger
    from metalscope.logs.registry import sinks_of
    from metalscope.sanitizing import Sanitizer
    from metalscope.sanitizing_options import SanitizingOptions

    options = LoggingOptions.model_validate(
        {
            "level": level,
            # All that is logged before the writer gets a turn is to be kept, as the others do.
            "max_buffer_size": lines,
            "use_json_format": True,
            "sinks": [
                {
                    "type": "file",
                    "endpoint": path.as_uri(),
                    "format": "json",
                    # One file, as the others write.
                    "settings": {"max_bytes": 2**40},
                }
            ],
        }
    )
    errors: list[BaseException] = []

    def on_error(_room: str, error: BaseException) -> None:
        errors.append(error)

    log = MetalProductionLogger(
        options,
        sanitizer=Sanitizer(SanitizingOptions()),
        sinks=sinks_of(options, resource={"service.name": "bench"}, on_error=on_error),
        on_error=on_error,
    )

    def run(count: int) -> None:
        with correlation(ID):
            for number in range(count):
                log.info(
                    MESSAGE, user_count=3, route="/v1/items", number=number, took_ms=1.5, ok=True
                )

    seen = iter(range(10**9))

    def run_fresh(count: int) -> None:
        routes = [f"/v1/items/{next(seen)}" for _ in range(count)]
        with correlation(ID):
            for number, route in enumerate(routes):
                log.info(MESSAGE, user_count=3, route=route, number=number, took_ms=1.5, ok=True)

    try:
        yield Contender(run_fresh if fresh else run, lambda: log.flush(60))
    finally:
        log.close(60)
        assert not errors, errors
        assert not log.dropped


@contextmanager
def with_structlog(path: Path, *, as_bytes: bool) -> Iterator[Contender]:
    import structlog

    def rendered(event: Any, **_: Any) -> bytes:
        return json.dumps(event).encode()

    # As its documentation has it under "Performance", but for orjson, which nobody else has here.
    with path.open("ab" if as_bytes else "a") as file:
        output: Any = file
        logger = structlog.wrap_logger(
            structlog.BytesLogger(output) if as_bytes else structlog.WriteLogger(output),
            cache_logger_on_first_use=True,
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.format_exc_info,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(serializer=rendered)
                if as_bytes
                else structlog.processors.JSONRenderer(),
            ],
        ).bind()

        def run(count: int) -> None:
            with structlog.contextvars.bound_contextvars(correlation_id=ID):
                for number in range(count):
                    logger.info(
                        MESSAGE,
                        user_count=3,
                        route="/v1/items",
                        number=number,
                        took_ms=1.5,
                        ok=True,
                    )

        yield Contender(run, file.flush)


class LeastJson(logging.Formatter):
    """The least there is that gives the same fields."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(
            {
                "timestamp": self.formatTime(record),
                "level": record.levelname,
                "message": record.getMessage(),
                "logger": record.name,
                "thread": record.threadName,
                "correlation_id": record.correlation_id,  # type: ignore[attr-defined]
                "user_count": record.user_count,  # type: ignore[attr-defined]
                "route": record.route,  # type: ignore[attr-defined]
                "number": record.number,  # type: ignore[attr-defined]
                "took_ms": record.took_ms,  # type: ignore[attr-defined]
                "ok": record.ok,  # type: ignore[attr-defined]
            }
        )


def with_id(record: logging.LogRecord) -> bool:
    record.correlation_id = _current.get()
    return True


class UnformattedQueue(QueueHandler):
    """Hands the record on as it is: the listener formats it, on its own thread."""

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record


@contextmanager
def with_logging(path: Path, *, library: bool, queued: bool) -> Iterator[Contender]:
    target = logging.FileHandler(path)
    if library:
        from pythonjsonlogger.json import JsonFormatter

        target.setFormatter(
            JsonFormatter("%(asctime)s%(levelname)s%(name)s%(threadName)s%(message)s")
        )
    else:
        target.setFormatter(LeastJson())
    handler: logging.Handler = target
    listener = None
    if queued:
        queue: SimpleQueue[logging.LogRecord] = SimpleQueue()
        handler = UnformattedQueue(queue)
        listener = QueueListener(queue, target)
        listener.start()
    handler.addFilter(with_id)
    logger = logging.Logger("bench", logging.INFO)
    logger.addHandler(handler)

    def run(count: int) -> None:
        token = _current.set(ID)
        for number in range(count):
            logger.info(
                MESSAGE,
                extra={
                    "user_count": 3,
                    "route": "/v1/items",
                    "number": number,
                    "took_ms": 1.5,
                    "ok": True,
                },
            )
        _current.reset(token)

    def finish() -> None:
        if listener is not None:
            listener.stop()
            listener.start()

    yield Contender(run, finish)
    if listener is not None:
        listener.stop()
    target.close()


@contextmanager
def contenders(directory: Path, lines: int) -> Iterator[Mapping[str, Contender]]:
    with ExitStack() as stack:
        enter = stack.enter_context
        yield {
            OURS: enter(ours(directory / "ours", lines)),
            FRESH: enter(ours(directory / "fresh", lines, fresh=True)),
            BELOW: enter(ours(directory / "below", lines, level="error")),
            STRUCTLOG: enter(with_structlog(directory / "structlog", as_bytes=False)),
            STRUCTLOG_BYTES: enter(with_structlog(directory / "bytes", as_bytes=True)),
            JSON_QUEUE: enter(with_logging(directory / "jq", library=True, queued=True)),
            JSON_FILE: enter(with_logging(directory / "jf", library=True, queued=False)),
            QUEUE: enter(with_logging(directory / "q", library=False, queued=True)),
            FILE: enter(with_logging(directory / "f", library=False, queued=False)),
        }


def measured(lines: int, rounds: int) -> tuple[Comparison, Comparison]:
    """Seconds of the caller, and of the process, by contender and round."""
    caller: dict[str, list[float]] = {}
    process: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as directory, contenders(Path(directory), lines) as all_:
        names = list(all_)
        for number in range(-1, rounds):
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                gc.collect()
                began, here = process_time(), thread_time()
                all_[name].log(lines)
                here = thread_time() - here
                all_[name].finish()
                took = process_time() - began
                if number >= 0:
                    caller.setdefault(name, []).append(here)
                    process.setdefault(name, []).append(took)
        written(Path(directory), lines * (rounds + 1))
    return Comparison(caller), Comparison(process)


def written(directory: Path, lines: int) -> None:
    """See that each wrote all its lines, as JSON with the same fields."""
    for path in sorted(directory.iterdir()):
        if path.name == "below":
            continue
        with path.open() as file:
            every = file.readlines()
        assert len(every) == lines, f"{path.name} wrote {len(every)} of {lines} lines"
        for line in every[:: max(1, lines // 100)]:
            one = json.loads(line)
            assert one["correlation_id"] == ID, path.name
            assert one["route"].startswith("/v1/items"), path.name
            assert (one["took_ms"], one["ok"]) == (1.5, True), path.name


def measure(*, lines: int, rounds: int) -> Result:
    """Compare all of them in one run."""
    caller, process = measured(lines, rounds)
    rows: list[Row] = []
    for found, what in ((caller, "caller"), (process, "process")):
        rows += [
            Row(f"{name}: {what}", found.spread(name).scaled(1e9 / lines), "ns")
            for name in found.seconds
        ]
        others = [name for name in found.seconds if name in OTHERS]
        fastest = min(others, key=lambda name: found.spread(name).median)
        rows.append(
            Row(f"{what}: {OURS} / {fastest}", found.ratio(OURS, fastest), "x", at_most(1, "x"))
        )
    return Result(
        "logging, one line",
        rows,
        facts={"lines": lines, "rounds": rounds},
        raw={"caller": caller.seconds, "process": process.seconds},
    )


def main(argv: Sequence[str] | None = None) -> None:
    arguments_parser = parser(__doc__, name="logging_lines")
    arguments_parser.add_argument("--lines", type=int, default=20_000, help=argparse.SUPPRESS)
    arguments = arguments_parser.parse_args(argv)
    found = measure(lines=arguments.lines, rounds=rounds_of(arguments))
    publish(found, arguments.output)


if __name__ == "__main__":
    main()
