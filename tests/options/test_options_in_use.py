"""What the options promise against what a running manager does with them, and the docs say."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
from pydantic import BaseModel

from metalscope.access.key_changes import KeyChanges
from metalscope.access.roles import Role
from metalscope.config import unavailable_features
from metalscope.config.schema import dotted, options_of
from metalscope.instrument import instrument, uninstrument
from metalscope.manager import MetalTelemetryManager
from metalscope.options import (
    AlertsOptions,
    ExporterOptions,
    ExportOptions,
    HealthMonitorOptions,
    HistoryOptions,
    LoggingOptions,
    LogSinkOptions,
    MetalTelemetryOptions,
    ObjectiveOptions,
    SanitizingOptions,
    ServerOptions,
    SpanExporterOptions,
    TracesOptions,
)

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "configuration.md"

OPTIONS = [dotted(keys) for keys, _ in options_of(MetalTelemetryOptions)]


class Watched:
    """Real options that note which of them are looked at, and not by the code of options itself."""

    def __init__(self, options: BaseModel, seen: set[str], above: str = "") -> None:
        self._options, self._seen, self._above = options, seen, above

    def __getattr__(self, name: str) -> Any:
        derived = getattr(type(self._options), name, None)
        if isinstance(derived, property) and derived.fget is not None:
            # What it is made of is looked at here.
            return derived.fget(self)
        value = getattr(self._options, name)
        option = f"{self._above}{name}"
        if isinstance(value, BaseModel):
            return Watched(value, self._seen, f"{option}.")
        reader = sys._getframe(1).f_globals["__name__"]
        if not reader.startswith("metalscope.config"):
            self._seen.add(option)
        return value


def doors_of(folder: Path) -> dict[str, Any]:
    """A server that asks for keys and tokens and speaks TLS, with files for all of it."""
    issued = trustme.CA().issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    KeyChanges(folder / "keys.json").create("a person", Role.VIEWER)
    # The public key of RFC 8037, A.2.
    x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    key = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "a", "x": x}
    (folder / "jwks.json").write_text(json.dumps({"keys": [key]}))
    jwt = {"issuer": "https://id.example", "audience": "metalscope"}
    return {
        "tls": {"cert_file": folder / "server.pem"},
        "access": {
            "keys_file": folder / "keys.json",
            "jwt": {**jwt, "jwks": f"file://{folder}/jwks.json"},
            "external_roles": ["scraper"],
            "audit_file": folder / "audit.ndjson",
        },
    }


def test_a_manager_reads_every_option_there_is(tmp_path: Path) -> None:
    seen: set[str] = set()
    file = {"type": "custom", "endpoint": f"file://{tmp_path}/x.ndjson", "audience": "external"}
    watched: Any = Watched(
        MetalTelemetryOptions(
            server=ServerOptions(enabled=True, port=0, **doors_of(tmp_path)),
            export=ExportOptions(exporters=(file,)),
            history=HistoryOptions(path=tmp_path / "history.db"),
            alerts=AlertsOptions(
                enable_notifications=True, notification_endpoints=("ops@example.com",)
            ),
            health_monitor=HealthMonitorOptions(
                objectives=(ObjectiveOptions(name="quick", target=0.99),)
            ),
            logging=LoggingOptions(
                sinks=(LogSinkOptions(type="file", endpoint=f"file://{tmp_path}/log"),)
            ),
            traces=TracesOptions(
                enabled=True,
                file=tmp_path / "trace.json",
                exporters=(SpanExporterOptions(endpoint="http://127.0.0.1:1"),),
                shutdown_timeout=0,
            ),
            sanitizing=SanitizingOptions(mode="hash", hash_key="0123456789abcdef"),
            tick_interval="20ms",
        ),
        seen,
    )
    with MetalTelemetryManager(watched) as telemetry:
        telemetry.log.info("said")
        with telemetry.span("request"):
            pass
        telemetry.record("execute", "matmul", duration_ns=1)
        telemetry.breaker("kernel")
        telemetry.generate_report()
        telemetry._clean_up()
        instrument("torch", telemetry)
        uninstrument("torch")
    # A page of a fleet, and one whose past is kept while it is served.
    for page in ({"source": {"address": "prometheus=http://127.0.0.1:1", "api_key": "k"}}, {}):
        of_page: Any = Watched(
            MetalTelemetryOptions(server=ServerOptions(enabled=True, port=0, page=page)), seen
        )
        with MetalTelemetryManager(of_page) as telemetry:
            assert telemetry.server is not None
            httpx.get(f"{telemetry.server.url}/api/v1/past", trust_env=False)
    with_a_certificate = {"alerts.smtp.tls.key_file", "server.page.source.tls.key_file"}
    assert set(OPTIONS) - seen == with_a_certificate
    # There or not as a whole: what is read of it where it is there is no option of that name.
    group = "server.access.jwt."
    assert {one for one in seen if not one.startswith(group)} <= set(OPTIONS)


def test_the_defaults_lack_nothing() -> None:
    assert unavailable_features(MetalTelemetryOptions()) == []
    said_anew = MetalTelemetryOptions(logging=LoggingOptions(max_buffer_size=1000))
    assert unavailable_features(said_anew) == []


def test_options_that_work_are_not_complained_of() -> None:
    options = MetalTelemetryOptions(
        tick_interval="2s",
        server=ServerOptions(enabled=True),
        export=ExportOptions(exporters=(ExporterOptions(type="prometheus"),)),
    )
    assert unavailable_features(options) == []


@pytest.mark.parametrize(
    ("group", "sentences"),
    [
        ({"logging": {"sinks": [{"type": "stderr"}]}}, []),
        ({"logging": {"sinks": [{"type": "stderr"}], "enabled": False}}, []),
        (
            {"logging": {"log_operations": True}},
            [
                "logging.log_operations: logging.level is info, and the start and end of "
                "operations are logged at debug"
            ],
        ),
        (
            {"traces": {"file": "t.json"}},
            ["traces.file: traces.enabled is false, so there are no spans"],
        ),
        (
            {"traces": {"enabled": True, "join_provider": False}},
            ["traces.enabled is true, and no place is named: spans go nowhere"],
        ),
        ({"traces": {"enabled": True}}, []),
    ],
)
def test_logs_and_traces_that_would_not_be_there_are_told_of(
    group: dict[str, Any], sentences: list[str]
) -> None:
    assert unavailable_features(MetalTelemetryOptions(**group)) == sentences


@pytest.mark.parametrize(
    ("alerts", "sentences"),
    [
        ({"notification_endpoints": ["ops@example.com"], "enable_notifications": True}, []),
        (
            {"enable_notifications": True},
            ["alerts.enable_notifications is true, and no channel is named: nobody is told"],
        ),
        (
            {"notification_endpoints": ["ops@example.com"]},
            [
                "alerts.notification_endpoints: alerts.enable_notifications is false, "
                "so nobody is told"
            ],
        ),
        (
            {
                "channels": [{"name": "ops", "target": "ops@example.com"}],
                "enable_notifications": True,
                "enabled": False,
            },
            ["alerts.channels: alerts.enabled is false, so nobody is told"],
        ),
    ],
)
def test_alerts_that_nobody_would_hear_of_are_told(alerts, sentences) -> None:
    assert unavailable_features(MetalTelemetryOptions(alerts=alerts)) == sentences


@pytest.mark.parametrize(
    ("exporter", "serving", "sentences"),
    [
        (ExporterOptions(type="prometheus"), True, []),
        (ExporterOptions(type="prometheus", endpoint="http://[::1]:9464/metrics"), True, []),
        (ExporterOptions(type="datadog", enabled=False), True, []),
        (ExporterOptions(type="prometheus"), False, ["nothing serves /metrics"]),
        (
            ExporterOptions(type="prometheus", endpoint="http://prometheus:9090/metrics?k=hush"),
            True,
            ["metrics are written to http://prometheus:9090/api/v1/write?…, for which that"],
        ),
        (
            ExporterOptions(
                type="prometheus", endpoint="http://prometheus:9090/metrics", protocol="scrape"
            ),
            True,
            ["metrics are not sent to http://prometheus:9090/metrics; Prometheus scrapes"],
        ),
        (
            ExporterOptions(type="prometheus", headers={"Authorization": "hush"}),
            True,
            ["headers and keys are not asked for at /metrics"],
        ),
        (
            ExporterOptions(type="application_insights", name="AppInsights", api_key="hush"),
            True,
            [],
        ),
    ],
)
def test_each_exporter_that_does_not_work_as_configured_is_told(
    exporter: ExporterOptions, serving: bool, sentences: list[str]
) -> None:
    options = MetalTelemetryOptions(
        server=ServerOptions(enabled=serving), export=ExportOptions(exporters=(exporter,))
    )
    told = unavailable_features(options)
    assert len(told) == len(sentences)
    for sentence, part in zip(told, sentences, strict=True):
        assert sentence.startswith(f"exporter {exporter.name!r} ({exporter.type}): ")
        assert part in sentence
        assert "hush" not in sentence


def test_the_option_tables_in_the_docs_are_current() -> None:
    ran = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "option_table.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_docs_name_every_option() -> None:
    _, *tables = PAGE.read_text().split("\n### ")
    rows = {
        (title, line.split("`")[1]): line
        for title, *lines in (table.splitlines() for table in tables)
        for line in lines
        if line.startswith("| `")
    }
    for keys, _ in options_of(MetalTelemetryOptions):
        title = f"`{dotted(keys[:-1])}`" if len(keys) > 1 else "Telemetry"
        assert (title, keys[-1]) in rows
