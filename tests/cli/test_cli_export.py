"""``metalscope export``: a running program's metrics, to exporters or into a file."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from command import Running, environment, metalscope

# The servers of the exporters' own tests.
from faulty_server import (
    NEVER_ANSWERS,
    REFUSED,
    FaultyServer,
    answer,
    answer_by,
    faulty_server,
)
from jsonschema import Draft202012Validator
from pushgateway_server import running_pushgateway
from snapshots import full

import metalscope as package
from metalscope.cli.exporting import next_beat
from metalscope.export.documents.json_document import Document
from metalscope.export.documents.tables import Row, rows
from metalscope.export.prometheus import render
from metalscope.export.view import MetricView
from metalscope.moments import rfc3339
from metalscope.snapshot_json import snapshot_from_dict
from missing import without
from peers import free_port
from prometheus_server import running_prometheus

KEY = "hunter2hunter2"
SCHEMA_FILE = Path(package.__file__).parent / "assets" / "schema" / "export-v1.schema.json"
ENOUGH_SECONDS = 60.0

Options = Callable[..., Path]


@pytest.fixture
def options(tmp_path: Path) -> Options:
    """Writes an options file with these exporters."""

    def write(*exporters: dict[str, Any], **more: Any) -> Path:
        file = tmp_path / "options.json"
        file.write_text(json.dumps({"export": {"exporters": exporters, **more}}))
        return file

    return write


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    """The address of telemetry with three operations and an event."""
    chosen = package.MetalTelemetryOptions(server={"enabled": True, "port": 0})
    with package.MetalTelemetryManager(chosen) as telemetry:
        for error in (None, None, "out_of_memory"):
            telemetry.record("execute", "softmax", duration_ns=2_000_000, error=error)
        telemetry.record_custom_event("deployed", {"version": 7})
        assert telemetry.server
        yield telemetry.server.url


SNAPSHOT = full()


@pytest.fixture
def still() -> Iterator[str]:
    """The address of a program that always answers with the same snapshot."""
    body = SNAPSHOT.to_json().encode()
    with faulty_server(answer(200, body, content_type="application/json")) as program:
        yield program.url


def hook(server: FaultyServer, name: str = "hook", **more: Any) -> dict[str, Any]:
    return {"type": "custom", "name": name, "endpoint": f"{server.url}/in", **more}


def documents(server: FaultyServer) -> list[dict[str, Any]]:
    return [json.loads(one.content) for one in server.requests]


def operations(document: dict[str, Any]) -> dict[str, float]:
    """How often each kernel ran, by its name."""
    counted: dict[str, float] = {}
    for metric in document["metrics"]:
        if metric["name"] == "metal_operations_total":
            for series in metric["series"]:
                name = series["labels"]["name"]
                counted[name] = counted.get(name, 0) + series["value"]
    return counted


def once(*args: str | Path, **more: Any) -> tuple[int, list[str], str]:
    """Exit code, the lines on standard output, and standard error."""
    done = metalscope("export", "--once", *args, **more)
    assert b"Traceback" not in done.stderr
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + ENOUGH_SECONDS
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# -- once ----------------------------------------------------------------------------------------


def test_a_program_under_run_is_exported_to_everything_there_is(start, options, tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import sys, metalscope\n"
        "for _ in range(3):\n"
        "    with metalscope.add_metal_telemetry().operation('execute', 'step'): pass\n"
        "print('ready', file=sys.stderr, flush=True)\n"
        "sys.stdin.read()\n"
    )
    program = start("run", "--port", "0", script)
    url = program.url()
    program.wait_for("ready")
    arguments = ["--web.enable-remote-write-receiver"]
    with (
        faulty_server() as webhook,
        running_pushgateway(tmp_path / "gateway") as gateway,
        running_prometheus(directory=tmp_path / "prom", arguments=arguments) as prometheus,
    ):
        file = options(
            hook(webhook),
            {"type": "custom", "name": "lines", "endpoint": (tmp_path / "lines").as_uri()},
            {
                "type": "prometheus",
                "name": "gateway",
                "protocol": "pushgateway",
                "endpoint": gateway.url,
                # It is not the program that ends when the command does.
                "settings": {"delete_on_exit": True},
            },
            {
                "type": "prometheus",
                "name": "written",
                "endpoint": f"{prometheus.url}/api/v1/write",
                "settings": {"stale_markers": True},
            },
        )
        code, lines, errors = once("--url", url, "--config", file)
        assert (code, errors) == (0, "")
        assert [line.split()[:2] for line in lines] == [
            ["hook", "delivered"],
            ["lines", "delivered"],
            ["gateway", "delivered"],
            ["written", "delivered"],
        ]
        assert all(re.search(r"  \d+ points$", line) for line in lines)
        (sent,) = documents(webhook)
        assert operations(sent) == {"step": 3}
        (line,) = (tmp_path / "lines").read_text().splitlines()
        assert operations(json.loads(line)) == {"step": 3}
        total = 'metal_operations_total{name="step"}'
        assert [value for _, value in prometheus.wait_for(total)] == [3]
        assert re.search(r'^metal_operations_total\{.*name="step".*\} 3$', gateway.page(), re.M)
    assert program.process.stdin
    program.process.stdin.close()
    assert program.end() == 0


def test_one_that_fails_is_said_on_its_line_and_keeps_none_from_the_rest(served, options):
    with faulty_server() as good, faulty_server(answer(401)) as locked:
        file = options(
            hook(locked, "locked", api_key=KEY, headers={"X-Token": "hunter3hunter3"}),
            {"type": "custom", "name": "dead", "endpoint": f"http://127.0.0.1:{free_port()}/?k=h4"},
            hook(good, "good"),
        )
        code, lines, errors = once("--url", served, "--config", file)
        assert operations(documents(good)[0]) == {"softmax": 3}
    assert (code, errors) == (1, "")
    assert len(lines) == 3
    assert re.fullmatch(r"locked  failed     unauthorized: 127\.0\.0\.1:\d+ answered 401", lines[0])
    assert re.fullmatch(r"dead    failed     refused: .*nothing listens there", lines[1])
    assert re.fullmatch(r"good    delivered  \d+ points", lines[2])
    for secret in (KEY, "hunter3", "h4"):
        assert secret not in "".join(lines)


def test_what_a_peer_says_of_the_key_does_not_come_back(served, options):
    with faulty_server(answer(403, f"bad key {KEY}\n\x1b[31mreally\n".encode())) as locked:
        code, lines, errors = once("--url", served, "--config", options(hook(locked, api_key=KEY)))
    assert code == 1
    (line,) = lines
    assert "bad key …" in line
    assert KEY not in line + errors
    assert "\x1b" not in line + errors


def test_there_is_one_try_and_the_line_says_what_became_of_it(served, options):
    with faulty_server(answer(503), answer(200)) as busy:
        code, lines, _ = once("--url", served, "--config", options(hook(busy)))
        assert len(busy.requests) == 1
    assert code == 1
    assert "failed     server_error: " in lines[0]


def test_only_those_that_are_named_export(served, options):
    with faulty_server() as a, faulty_server() as b, faulty_server() as c:
        file = options(hook(a, "a"), hook(b, "b"), hook(c, "c"))
        code, lines, _ = once("--url", served, "--config", file, "--only", "a", "--only", "c")
        assert (len(a.requests), len(b.requests), len(c.requests)) == (1, 0, 1)
    assert (code, [line.split()[0] for line in lines]) == (0, ["a", "c"])


@pytest.mark.parametrize(
    ("only", "said"),
    [
        ("d", "there is no exporter 'd'; there are: a, off, scraped"),
        ("off", "exporter 'off': its option enabled is false"),
        ("scraped", "exporter 'scraped': a Prometheus scrapes"),
    ],
)
def test_one_that_cannot_be_meant_is_bad_usage(options, only: str, said: str):
    with faulty_server() as a:
        file = options(
            hook(a, "a"),
            hook(a, "off", enabled=False),
            {"type": "prometheus", "name": "scraped"},
        )
        code, lines, errors = once("--config", file, "--only", only)
        assert a.requests == []
    assert (code, lines) == (2, [])
    assert errors.startswith("metalscope: error: --only: ")
    assert said in errors


def test_options_without_an_exporter_that_sends_are_bad_usage(options):
    code, lines, errors = once("--config", options())
    assert (code, lines) == (2, [])
    assert "no exporter that sends; add one" in errors
    code, _, errors = once("--config", options({"type": "prometheus", "name": "p"}))
    assert code == 2
    assert "(p: a Prometheus scrapes the program; nothing is sent)" in errors


def test_options_that_are_wrong_are_bad_usage_and_name_the_exporter(options, tmp_path):
    wrong = {"type": "custom", "name": "w", "endpoint": "http://x/", "protocol": "file"}
    for file, said in ((options(wrong), "exporter 'w'"), (tmp_path / "none.toml", "none.toml")):
        code, lines, errors = once("--config", file)
        assert (code, lines) == (2, [])
        assert re.fullmatch(rf"metalscope: error: [^\n]*{said}[^\n]*\n", errors)


def test_a_program_that_does_not_run_is_said_so(options):
    url = f"http://127.0.0.1:{free_port()}"
    with faulty_server() as a:
        code, lines, errors = once("--url", url, "--config", options(hook(a)))
        assert a.requests == []
    assert (code, lines) == (4, [])
    assert re.fullmatch(r"metalscope: error: [^\n]*nothing listens there; [^\n]+\n", errors)
    assert url in errors


@pytest.mark.parametrize("body", [b"<p>hello</p>", b"{", b"[]", b'{"schema_version": 99}'])
def test_what_is_no_snapshot_is_not_exported(options, body: bytes):
    with faulty_server(answer(200, body)) as other, faulty_server() as a:
        code, lines, errors = once("--url", other.url, "--config", options(hook(a)))
        assert a.requests == []
    assert (code, lines) == (4, [])
    assert errors.count("\n") == 1


def test_the_time_is_that_of_fetching_and_exporting_together(served, options):
    with faulty_server(NEVER_ANSWERS) as mute, faulty_server() as good:
        file = options(hook(mute, "mute"), hook(good, "good"))
        began = time.monotonic()
        code, lines, errors = once("--url", served, "--config", file, "--timeout", "2")
        assert time.monotonic() - began < 15
        assert (code, errors) == (1, "")
        assert re.fullmatch(r"mute  failed     timeout: .*within [\d.]+ s", lines[0])
        assert "delivered" in lines[1]
        code, lines, errors = once("--url", mute.url, "--config", file, "--timeout", "0.3")
    assert (code, lines) == (4, [])
    assert "no answer within 0.3 s" in errors


def test_what_waits_in_the_spool_goes_first_and_no_event_goes_twice(served, options, tmp_path):
    with faulty_server(REFUSED) as webhook:
        file = options(hook(webhook), spool={"directory": str(tmp_path / "spool")})
        for _ in range(2):
            code, lines, errors = once("--url", served, "--config", file)
            assert (code, errors) == (1, "")
            assert re.fullmatch(r"hook  waits      refused: .*", lines[0])
        webhook.answers = [answer(200)]
        for _ in range(2):
            code, lines, errors = once("--url", served, "--config", file)
            assert (code, errors) == (0, "")
        sent = documents(webhook)
    times = [one["timestamp"] for one in sent]
    assert len(times) == len(set(times)) == 4
    assert times == sorted(times)
    events = [event["name"] for one in sent for event in one["events"]]
    assert events == ["deployed"]


def test_who_is_sent_differences_is_told_to_have_a_spool(served, options, tmp_path):
    with faulty_server(answer(202, b'{"errors": []}')) as intake:
        datadog = {
            "type": "datadog",
            "name": "dog",
            "protocol": "v2",
            "endpoint": intake.url,
            "api_key": "0" * 32,
        }
        code, lines, errors = once("--url", served, "--config", options(datadog))
        assert (code, len(lines)) == (0, 1)
        assert re.fullmatch(r"metalscope: warning: dog is sent .*spool\.directory.*\n", errors)
        kept = options(datadog, spool={"directory": str(tmp_path / "spool")})
        assert once("--url", served, "--config", kept)[2] == ""


def test_an_exporter_whose_library_is_missing_ends_it_with_the_extra(served, options):
    written = {"type": "prometheus", "name": "w", "endpoint": "http://p.example/api/v1/write"}
    code, lines, errors = once(
        "--url", served, "--config", options(written), env=without("cramjam")
    )
    assert (code, lines) == (3, [])
    assert "metalscope[prometheus]" in errors


def test_exporters_of_others_export_too_async_ones_and_such_as_raise(served, options, tmp_path):
    target = tmp_path / "theirs.txt"
    (tmp_path / "theirs.py").write_text(
        textwrap.dedent(
            f"""
            import asyncio
            from metalscope.export.base import MetricsExporter
            from metalscope.sending.result import ExportResult
            class Fine(MetricsExporter):
                def __init__(self, context): self.context = context
                async def export(self, snapshot):
                    await asyncio.sleep(0)
                    with open({str(target)!r}, "a") as file:
                        print(snapshot.total_operations, file=file)
                async def shutdown(self):
                    with open({str(target)!r}, "a") as file:
                        print("ended", file=file)
            class Raising(Fine):
                async def export(self, snapshot):
                    with open({str(tmp_path / "tries")!r}, "a") as file:
                        print("try", file=file)
                    raise OSError("out of luck")
            """
        )
    )
    folder = tmp_path / "theirs-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (folder / "entry_points.txt").write_text(
        "[metalscope.exporters]\nfine = theirs:Fine\nraising = theirs:Raising\n"
    )
    file = options({"type": "fine"}, {"type": "raising"})
    code, lines, errors = once("--url", served, "--config", file, env={"PYTHONPATH": str(tmp_path)})
    assert code == 1
    assert lines[0] == "fine     delivered"
    assert lines[1].startswith("raising  failed     exporter_error: ")
    assert errors == "metalscope: export: OSError: out of luck\n"
    assert target.read_text().split() == ["3", "ended", "ended"]
    assert (tmp_path / "tries").read_text() == "try\n"


def test_ctrl_c_ends_it_on_one_line(served, options):
    with faulty_server(NEVER_ANSWERS) as mute:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "metalscope", "export", "--once", "--url", served),
                *("--config", str(options(hook(mute)))),
            ],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        until(lambda: mute.connections)
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=ENOUGH_SECONDS)
    assert (process.returncode, out) == (130, b"")
    assert errors == b"metalscope: error: interrupted\n"


# -- into a file ---------------------------------------------------------------------------------


def read_csv(text: str) -> list[Row]:
    header, *found = csv.reader(io.StringIO(text, newline=""))
    assert tuple(header) == Row._fields
    return [
        Row(time, metric, kind, unit, json.loads(labels), float(le) if le else None, float(value))  # type: ignore[arg-type]
        for time, metric, kind, unit, labels, le, value in found
    ]


def expected_rows() -> list[Row]:
    snapshot = snapshot_from_dict(json.loads(SNAPSHOT.to_json()))
    return list(rows(snapshot, MetricView()))


def test_json_is_a_document_of_the_schema_with_all_there_is(still, tmp_path):
    target = tmp_path / "metrics.json"
    done = metalscope("export", "--url", still, "--output", target)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    document = json.loads(target.read_text(encoding="utf-8"))
    Draft202012Validator(json.loads(SCHEMA_FILE.read_text())).validate(document)
    snapshot = snapshot_from_dict(json.loads(SNAPSHOT.to_json()))
    assert document == json.loads(json.dumps(Document(snapshot, MetricView()).to_dict()))
    assert metalscope("export", "--url", still).returncode == 2
    printed = metalscope("export", "--url", still, "--format", "json")
    assert printed.stdout == target.read_bytes()
    dashed = metalscope("export", "--url", still, "--output", "-")
    assert dashed.stdout == target.read_bytes()


def test_csv_reads_back_as_the_snapshot(still, tmp_path):
    target = tmp_path / "metrics.CSV"
    assert metalscope("export", "--once", "--url", still, "--output", target).returncode == 0
    text = target.read_bytes().decode()
    expected = [
        row._replace(timestamp=rfc3339(row.timestamp), value=float(row.value))  # type: ignore[arg-type]
        for row in expected_rows()
    ]
    assert read_csv(text) == expected
    # The same bytes on standard output, whatever the locale can write.
    env = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    printed = metalscope("export", "--url", still, "--format", "csv", env=env)
    assert printed.stdout == target.read_bytes()


def test_parquet_reads_back_as_the_snapshot(still, tmp_path):
    target = tmp_path / "metrics.parquet"
    assert metalscope("export", "--url", still, "--output", target).returncode == 0
    found = [Row(**one) for one in pq.read_table(target, partitioning=None).to_pylist()]
    expected = [
        row._replace(labels=sorted(row.labels.items()), value=float(row.value))  # type: ignore[arg-type]
        for row in expected_rows()
    ]
    assert found == expected
    assert any(row.le == inf for row in found)


def test_prometheus_text_is_what_a_scrape_gets(still, tmp_path):
    target = tmp_path / "metrics.prom"
    assert metalscope("export", "--url", still, "--output", target).returncode == 0
    snapshot = snapshot_from_dict(json.loads(SNAPSHOT.to_json()))
    assert target.read_bytes() == render(snapshot)[0]


def test_the_format_that_is_named_is_stronger_than_the_suffix(still, tmp_path):
    target = tmp_path / "metrics.txt"
    done = metalscope("export", "--url", still, "--output", target, "--format", "csv")
    assert (done.returncode, done.stderr) == (0, b"")
    assert target.read_text().startswith("timestamp,metric,")


def test_the_service_is_named_as_the_options_say(still, options):
    file = options(service_name="trainer")
    done = metalscope("export", "--url", still, "--format", "json", "--config", file)
    assert json.loads(done.stdout)["resource"]["service.name"] == "trainer"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--output", "metrics.xls"], "use .json, .csv, .parquet, .prom, or name one"),
        (["--output", "metrics"], "stands for no format"),
        (["--output", "none/metrics.csv"], "cannot write none/metrics.csv: No such file"),
        (["--output", "folder.csv"], "cannot write folder.csv: it is a directory"),
        (["--format", "parquet"], "--format parquet needs an --output file"),
        (["--format", "parquet", "--output", "-"], "--format parquet needs an --output file"),
        (["--format", "xml"], "'--format'"),
        (["--format", "csv", "--only", "a"], "--only chooses exporters"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_fetched(tmp_path, args, said):
    (tmp_path / "folder.csv").mkdir()
    with faulty_server() as program:
        done = metalscope("export", "--url", program.url, *args, cwd=tmp_path)
        assert program.requests == []
    assert (done.returncode, done.stdout) == (2, b"")
    text = done.stderr.decode()
    assert text.count("\n") == 1
    assert said in text
    assert [one.name for one in tmp_path.iterdir()] == ["folder.csv"]


@pytest.mark.parametrize("suffix", ["json", "csv", "parquet", "prom"])
def test_a_file_stays_as_it_is_where_nothing_can_be_fetched(tmp_path, suffix: str):
    target = tmp_path / f"metrics.{suffix}"
    target.write_text("of yesterday")
    url = f"http://127.0.0.1:{free_port()}"
    done = metalscope("export", "--url", url, "--output", target)
    assert done.returncode == 4
    assert target.read_text() == "of yesterday"
    assert [*tmp_path.iterdir()] == [target]


@pytest.mark.parametrize("suffix", ["json", "parquet"])
def test_a_file_is_replaced_in_one_go_with_its_permissions_behind_its_links(
    still, tmp_path, suffix: str
):
    target, link = tmp_path / f"real.{suffix}", tmp_path / f"link.{suffix}"
    target.write_text("of yesterday")
    target.chmod(0o640)
    link.symlink_to(target)
    reader = target.open("rb")
    assert metalscope("export", "--url", still, "--output", link).returncode == 0
    with reader:
        # Who has it open reads the one or the other, and no half.
        assert reader.read() == b"of yesterday"
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert target.stat().st_size > 1000
    assert sorted(tmp_path.iterdir()) == [link, target]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_pipe_is_written_to_and_stays_a_pipe(still, tmp_path, form: str):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    done = metalscope("export", "--url", still, "--output", pipe, "--format", form)
    reader.join(ENOUGH_SECONDS)
    assert (done.returncode, done.stderr) == (0, b"")
    assert read[0].startswith(b"PAR1" if form == "parquet" else b"timestamp,")
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_full_disk_is_said_and_what_was_there_stays(still, tmp_path):
    target = tmp_path / "metrics.csv"
    target.write_text("of yesterday")
    command = f'ulimit -f 1; trap "" XFSZ; exec {sys.executable} -m metalscope export "$@"'
    done = subprocess.run(
        ["bash", "-c", command, "-", "--url", still, "--output", str(target)],
        capture_output=True,
        timeout=ENOUGH_SECONDS,
        env=environment({"PYTHONDONTWRITEBYTECODE": "1"}),
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"cannot write" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert target.read_text() == "of yesterday"
    assert [*tmp_path.iterdir()] == [target]


def test_without_pyarrow_it_is_said_and_no_file_is_left(still, tmp_path):
    target = tmp_path / "metrics.parquet"
    done = metalscope("export", "--url", still, "--output", target, env=without("pyarrow"))
    assert done.returncode == 3
    assert b"metalscope[parquet]" in done.stderr
    assert not target.exists()


# -- at every interval ---------------------------------------------------------------------------


def asked(server: FaultyServer) -> int:
    return sum(one.path == "/api/v1/snapshot" for one in server.requests)


def counting() -> Any:
    """A program whose snapshots go on in time and count the asks."""
    state = {"asks": 0}

    def say(_: Any) -> tuple[int, dict[str, str], bytes]:
        state["asks"] += 1
        data = json.loads(SNAPSHOT.to_json())
        moment = SNAPSHOT.timestamp + timedelta(seconds=state["asks"])
        data["timestamp"] = moment.isoformat()
        return 200, {"content-type": "application/json"}, json.dumps(data).encode()

    return answer_by(say)


def keep(start: Callable[..., Running], program: FaultyServer | str, file: Path) -> Running:
    url = program if isinstance(program, str) else program.url
    running = start("export", "--url", url, "--config", file)
    running.wait_for("Ctrl-C ends it")
    return running


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_exports_at_each_interval_until_it_is_told_to_end(start, options, number):
    with faulty_server(counting()) as program, faulty_server() as webhook:
        running = keep(start, program, options(hook(webhook), auto_export_interval="200ms"))
        until(lambda: len(webhook.requests) >= 4)
        running.process.send_signal(number)
        assert running.end() == 0
        times = [one["timestamp"] for one in documents(webhook)]
        # Every ask was worth it, and what was had last was sent.
        assert asked(program) == len(times)
    assert times == sorted(set(times))
    assert running.stdout == b""
    assert running.stderr.count("\n") == 1


def test_each_exporter_has_its_own_interval_and_no_beat_is_lost(start, options):
    with faulty_server(counting()) as program, faulty_server() as a, faulty_server() as b:
        file = options(hook(a, "a", interval="300ms"), hook(b, "b", interval="500ms"))
        running = keep(start, program, file)
        until(lambda: len(a.requests) >= 11)
        count = len(b.requests)
        running.process.terminate()
        assert running.end() == 0
    # In the ten intervals of the one, 3 s, there are six of the other, and the first.
    assert 6 <= count <= 8


def test_at_the_end_what_happened_since_the_last_export_is_sent(start, options):
    chosen = package.MetalTelemetryOptions(server={"enabled": True, "port": 0})
    with faulty_server() as webhook, package.MetalTelemetryManager(chosen) as telemetry:
        assert telemetry.server
        file = options(hook(webhook), auto_export_interval="1h")
        running = keep(start, telemetry.server.url, file)
        until(lambda: webhook.requests)
        telemetry.record("execute", "late", duration_ns=1_000)
        running.process.terminate()
        assert running.end() == 0
        first, last = documents(webhook)
    assert (operations(first), operations(last)) == ({}, {"late": 1})


def test_a_program_may_come_late_and_go_and_come_back(start, options):
    with faulty_server(REFUSED) as program, faulty_server() as webhook:
        running = keep(start, program, options(hook(webhook), auto_export_interval="200ms"))
        running.wait_for("nothing listens there; waiting for it")
        assert webhook.requests == []
        there = counting()
        for _ in range(2):
            before = len(webhook.requests)
            program.answers = [there]
            running.wait_for(f"{program.url} answers")
            until(lambda before=before: len(webhook.requests) >= before + 3)
            program.answers = [REFUSED]
            running.wait_for("waiting for it")
        time.sleep(0.6)
        running.process.terminate()
        assert running.end() == 0
        times = [one["timestamp"] for one in documents(webhook)]
    assert times == sorted(set(times))
    # It is said once that it is gone, not at every ask.
    assert running.stderr.count("waiting for it") == 3


def test_a_platform_that_goes_away_is_said_once_and_gets_what_waited(start, options):
    with faulty_server(counting()) as program, faulty_server(answer(503)) as webhook:
        file = options(
            hook(webhook, api_key=KEY),
            auto_export_interval="200ms",
            retry={
                "first_delay": "50ms",
                "max_delay": "100ms",
                "circuit_breaker_timeout": "200ms",
            },
        )
        running = keep(start, program, file)
        running.wait_for("export hook: server_error: ")
        until(lambda: asked(program) >= 4)
        refused = len(webhook.requests)
        webhook.answers = [answer(200)]
        running.wait_for("export hook: works again")
        until(lambda: len(webhook.requests) >= refused + 5)
        running.process.terminate()
        assert running.end() == 0
        delivered = sorted({one["timestamp"] for one in documents(webhook)[refused:]})
        assert len(delivered) >= asked(program) - 1
    assert running.stderr.count("server_error") == 1
    assert KEY not in running.stderr


def test_it_ends_at_once_while_the_program_does_not_answer(start, options):
    with faulty_server(NEVER_ANSWERS) as program, faulty_server() as webhook:
        running = keep(start, program, options(hook(webhook)))
        until(lambda: program.connections)
        began = time.monotonic()
        running.process.terminate()
        assert running.end() == 0
        assert time.monotonic() - began < 15


def test_a_second_ctrl_c_does_not_wait_for_the_last_exports(start, options):
    with faulty_server(counting()) as program, faulty_server(NEVER_ANSWERS) as mute:
        file = options(hook(mute), shutdown_timeout="10m", export_timeout="10m")
        running = keep(start, program, file)
        until(lambda: mute.connections)
        running.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(2)
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGINT)
        assert running.end() == 130
    assert "metalscope: error: interrupted" in running.stderr


def test_beats_are_the_multiples_of_every_interval():
    a, b = timedelta(milliseconds=300), timedelta(milliseconds=500)
    found, at = [], timedelta()
    while at < timedelta(seconds=1.5):
        at = next_beat(at, [a, b])
        found.append(at / timedelta(milliseconds=1))
    assert found == [300, 500, 600, 900, 1000, 1200, 1500]
    assert next_beat(timedelta(seconds=100.01), [a]) == timedelta(seconds=100.2)
