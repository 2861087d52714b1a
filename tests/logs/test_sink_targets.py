"""Which sinks the options name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from remote_sinks import record

from metalscope.errors import ConfigurationError
from metalscope.export_options import Audience
from metalscope.log_options import LoggingOptions
from metalscope.logs.record import LogRecord, Severity
from metalscope.logs.registry import sink_options_of, sinks_of
from metalscope.logs.running import RunningSink
from metalscope.logs.sinks.base import LogSink, SinkContext
from metalscope.logs.targets import recognise
from metalscope.sending.shipping.base import Batch

RESOURCE: dict[str, str | int] = {"service.name": "trainer"}


def logging_options(**options: Any) -> LoggingOptions:
    return LoggingOptions.model_validate(options)


@contextmanager
def running(**options: Any) -> Iterator[list[RunningSink]]:
    sinks = sinks_of(
        logging_options(**options), resource=RESOURCE, on_error=lambda room, error: None
    )
    try:
        yield sinks
    finally:
        for one in sinks:
            one.shipper.close(1)


def say(one: RunningSink, said: LogRecord) -> None:
    one.shipper.put([one.sink.encode(said)])
    assert one.shipper.flush(5)


# -- what an endpoint is -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "kind"),
    [
        ("https://splunk.example:8088/services/collector", "splunk"),
        ("https://splunk.example/services/collector/event", "splunk"),
        ("https://http-inputs-acme.splunkcloud.com", "splunk"),
        ("http://localhost:8088", "splunk"),
        ("http://loki:3100", "loki"),
        ("https://logs.example/loki/api/v1/push", "loki"),
        ("https://logs-prod-012.grafana.net", "loki"),
        ("https://collector.example/v1/logs", "otlp"),
        ("http://loki:3100/otlp/v1/logs", "otlp"),
        ("http://localhost:4318", "otlp"),
        ("http://localhost:4317", "otlp"),
        ("grpc://collector:4317", "otlp"),
        ("grpcs://collector.example", "otlp"),
        ("https://otlp-gateway-prod-eu-west-0.grafana.net/otlp", "otlp"),
        ("udp://syslog.example:514", "syslog"),
        ("tcp://syslog.example:601", "syslog"),
        ("tls://syslog.example:6514", "syslog"),
        ("unix:///dev/log", "syslog"),
        ("file:///var/log/app.log", "file"),
        ("http://localhost:9200", "elasticsearch"),
        ("https://search.example/_bulk", "elasticsearch"),
        ("https://acme.es.eu-west-1.aws.cloud.es.io", "elasticsearch"),
        ("https://acme.es.us-east-1.aws.elastic.cloud:443", "elasticsearch"),
        ("https://search-acme-x7.eu-west-1.es.amazonaws.com", "opensearch"),
        ("https://x7.us-east-1.aoss.amazonaws.com", "opensearch"),
        ("http://opensearch-node1:9200", "opensearch"),
        ("https://my-opensearch.example", "opensearch"),
        ("https://logs.example", None),
        ("https://es.example.com", None),
        ("https://grafana.net", None),
        ("http://[::1", None),
        ("text", None),
    ],
)
def test_an_endpoint_is_recognised(endpoint: str, kind: str | None) -> None:
    assert recognise(endpoint) == kind


def test_endpoints_become_sinks_with_names_of_their_own() -> None:
    found = sink_options_of(
        logging_options(
            sinks=[{"type": "loki", "endpoint": "http://loki:3100"}],
            external_log_endpoints=["http://other:3100", "http://third:3100", "unix:///dev/log"],
        )
    )
    assert [(one.name, one.type, one.endpoint) for one in found] == [
        ("loki", "loki", "http://loki:3100"),
        ("loki-2", "loki", "http://other:3100"),
        ("loki-3", "loki", "http://third:3100"),
        ("syslog", "syslog", "unix:///dev/log"),
    ]


def test_a_sink_without_a_type_is_what_its_endpoint_is() -> None:
    (found,) = sink_options_of(logging_options(sinks=[{"endpoint": "http://localhost:4318"}]))
    assert (found.name, found.type) == ("otlp", "otlp")


def test_a_type_may_be_written_in_any_case() -> None:
    sink = {"type": "Elasticsearch", "endpoint": "https://search.example"}
    (found,) = sink_options_of(logging_options(sinks=[sink]))
    assert (found.name, found.type) == ("Elasticsearch", "elasticsearch")


def test_where_no_place_is_named_it_is_the_standard_error() -> None:
    assert [one.type for one in sink_options_of(logging_options())] == ["stderr"]
    assert sink_options_of(logging_options(enabled=False)) == ()
    disabled = {"type": "stdout", "enabled": False}
    assert sink_options_of(logging_options(sinks=[disabled])) == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"external_log_endpoints": ["https://logs.example/?key=x"]},
            r"logging\.external_log_endpoints\[0\] = https://logs\.example/\?…: its URL does not "
            r"tell what it is \(splunk by",
        ),
        (
            {"sinks": [{"name": "central", "endpoint": "https://logs.example"}]},
            r"log sink central: endpoint https://logs\.example: its URL does not tell",
        ),
        (
            {"external_log_endpoints": ["udp://a:514", "udp://a:514"]},
            r"external_log_endpoints\[1\] is the same as logging\.external_log_endpoints\[0\]",
        ),
        (
            {"sinks": [{"type": "elasticsaerch"}]},
            r"log sink elasticsaerch: type must be one of stdout, stderr, file, .*, not "
            r"'elasticsaerch'; the nearest is elasticsearch",
        ),
        ({"sinks": [{"type": "stdout", "api_key": "x"}]}, "log sink stdout: api_key is not for"),
        (
            {"sinks": [{"type": "stdout", "endpoint": "file:///x"}]},
            "log sink stdout: endpoint is not for stdout",
        ),
        (
            {"sinks": [{"type": "stdout", "settings": {"colour": True}}]},
            "log sink stdout: settings.colour is unknown",
        ),
        ({"sinks": [{"type": "file"}]}, "log sink file: a file needs an endpoint such as"),
    ],
)
def test_what_is_wrong_is_said_with_the_sink_and_the_option(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as raised, running(**options):
        pass
    assert "key=x" not in str(raised.value)


# -- what each gets ------------------------------------------------------------------------------


def test_each_has_its_own_form_level_and_audience(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    sinks = [
        {"type": "stdout", "level": "error"},
        {"type": "file", "endpoint": path.as_uri(), "format": "json", "audience": "external"},
    ]
    with running(level="warning", sinks=sinks) as (stdout, file):
        assert (stdout.severity, stdout.audience) == (Severity.ERROR, Audience.INTERNAL)
        assert (file.severity, file.audience) == (Severity.WARNING, Audience.EXTERNAL)
        say(file, record("the body"))
        assert stdout.sink.encode(record("the body")).startswith(b"2025-11-28T20:00:00.123Z")
    assert path.read_text().startswith('{"timestamp":')


def test_json_may_be_the_form_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    with running(use_json_format=True, sinks=[{"type": "stdout"}]) as (one,):
        say(one, record("the body"))
    assert capsys.readouterr().out.startswith('{"timestamp":')


def test_what_the_terminal_was_not_told_is_not_kept_for_the_next_process(tmp_path: Path) -> None:
    spool = {"directory": tmp_path}
    with running(sinks=[{"type": "stderr"}], spool=spool) as (one,):
        say(one, record())
    assert list(tmp_path.iterdir()) == []


def test_where_one_cannot_be_started_no_other_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    sinks = [{"type": "stderr"}, {"type": "file", "endpoint": (tmp_path / "a.log").as_uri()}]
    with (
        pytest.raises(ConfigurationError, match=r"logging\.spool\.directory = "),
        running(sinks=sinks, spool={"directory": file}),
    ):
        pass


# -- sinks of other packages ---------------------------------------------------------------------


class ListSink(LogSink):
    """What a package of one's own may have."""

    def __init__(self, context: SinkContext) -> None:
        self.context = context
        self.lines: list[str] = []

    def encode(self, said: LogRecord) -> bytes:
        return self.context.json_line(said).encode()

    def send(self, batch: Batch) -> None:
        self.lines += [line.decode() for line in batch.records]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that names it as an entry point."""
    info = tmp_path / "acme_logs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-logs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        f"[metalscope.log_sinks]\nacme = {__name__}:ListSink\nbroken = {__name__}:Nothing\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("installed")
def test_a_sink_of_another_package_is_known_by_its_entry_point() -> None:
    with running(sinks=[{"type": "acme", "settings": {"any": 1}}]) as (one,):
        assert type(one.sink).__name__ == "ListSink"
        assert one.sink.context.options.settings == {"any": 1}  # type: ignore[attr-defined]
        say(one, record("the body"))
        assert '"message":"the body"' in one.sink.lines[0]  # type: ignore[attr-defined]


@pytest.mark.usefixtures("installed")
def test_one_that_is_not_there_or_broken_is_said() -> None:
    with (
        pytest.raises(ConfigurationError, match="the nearest is acme"),
        running(sinks=[{"type": "acne"}]),
    ):
        pass
    with (
        pytest.raises(ConfigurationError, match=r"log sink broken: .* cannot be loaded"),
        running(sinks=[{"type": "broken"}]),
    ):
        pass


def test_sinks_are_loaded_where_one_is_made() -> None:
    """Else a program that logs to its terminal would load the libraries of every platform."""
    program = """if True:
        import sys
        from metalscope.log_options import LoggingOptions
        from metalscope.logs.registry import sinks_of
        sinks_of(LoggingOptions(), resource={}, on_error=print)
        heavy = {"ssl", "urllib3", "elasticsearch", "grpc", "google.protobuf", "sqlite3"}
        print(sorted(heavy & set(sys.modules)))
    """
    made = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (made.stdout, made.stderr) == ("[]\n", "")
