"""``metalscope doctor --exporters``: a probe is sent, and it is said whether it arrived."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

# The servers of the exporters' own tests.
from faulty_server import (
    EXPIRED_CERTIFICATE,
    GARBAGE_PAGE,
    NEVER_ANSWERS,
    OTHER_HOST,
    PLAIN_HTTP,
    REFUSED,
    UNKNOWN_CA,
    Fault,
    answer,
    faulty_server,
    redirect,
)
from pushgateway_server import Pushgateway, running_pushgateway
from victoria_metrics import running_victoria_metrics

from metalscope.doctor import Diagnosis, State, exporters
from metalscope.doctor.exporters import check_exporter
from metalscope.errors import ConfigurationError
from missing import without_heavy
from peers import free_port
from prometheus_server import running_prometheus

KEY = "hunter2hunter2"

Ask = Callable[..., Diagnosis]


@pytest.fixture
def options(tmp_path: Path) -> Callable[..., Path]:
    """Writes an options file with these exporters."""

    def write(*exporters: dict[str, Any], **more: Any) -> Path:
        file = tmp_path / "options.json"
        file.write_text(json.dumps({"export": {"exporters": exporters}, **more}))
        return file

    return write


@pytest.fixture
def ask(options: Callable[..., Path]) -> Ask:
    """What the doctor says of an exporter of these options, named ``e``."""

    def said(**one: Any) -> Diagnosis:
        (found,) = check_exporter(str(options({"name": "e", **one})), "e")
        assert (found.group, found.name) == ("exporters", "e")
        assert KEY not in json.dumps(found.to_dict())
        return found

    return said


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Installs a package whose exporter, of type ``theirs``, has this body."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "theirs", raising=False)

    def install(body: str) -> None:
        (tmp_path / "theirs.py").write_text(
            "import asyncio\n"
            "from metalscope.export.base import MetricsExporter, ReadBack\n"
            "from metalscope.sending.result import ExportResult, Reason\n"
            "class Theirs(MetricsExporter):\n"
            "    def __init__(self, context): self.context = context\n"
            + textwrap.indent(textwrap.dedent(body), "    ")
        )
        folder = tmp_path / "theirs-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
        (folder / "entry_points.txt").write_text("[metalscope.exporters]\ntheirs = theirs:Theirs\n")

    return install


# -- real peers ----------------------------------------------------------------------------------


def test_a_prometheus_that_takes_remote_writes_is_asked_for_the_probe(ask, tmp_path):
    arguments = ["--web.enable-remote-write-receiver"]
    with running_prometheus(directory=tmp_path / "p", arguments=arguments) as prometheus:
        found = ask(
            type="prometheus",
            endpoint=f"{prometheus.url}/api/v1/write",
            labels={"cluster": "lab", "instance": "of-a-program:1"},
        )
        all_there = prometheus.get("series", {"match[]": '{cluster="lab"}'})
        still_shown = prometheus.query('{cluster="lab"}')
    assert (found.state, found.why, found.remedy) == (State.WORKS, "", "")
    assert found.what.startswith(f"took {len(all_there)} points, and has them: ")
    assert found.facts["read_back"] is True
    assert found.facts["verdict"] == "delivered"
    assert found.facts["reason"] is None
    assert found.facts["points"] == len(all_there)
    assert 0 < found.facts["seconds"] < exporters.SEND_SECONDS
    # It is no program's, and queries do not go on to show it.
    assert all(series["instance"] != "of-a-program:1" for series in all_there)
    assert still_shown == []


def test_a_prometheus_that_takes_none_is_said_with_the_flag_that_it_lacks(ask, tmp_path):
    with running_prometheus(directory=tmp_path / "p") as prometheus:
        found = ask(type="prometheus", endpoint=f"{prometheus.url}/api/v1/write")
    assert found.state is State.BROKEN
    assert "--web.enable-remote-write-receiver" in found.why
    assert found.remedy
    assert found.facts["reason"] == "not_found"
    assert found.facts["read_back"] is None


def test_a_victoria_metrics_is_asked_for_the_probe(ask, tmp_path):
    with running_victoria_metrics(tmp_path / "v") as victoria:
        found = ask(type="prometheus", endpoint=f"{victoria.url}/api/v1/write")
    assert (found.state, found.why, found.facts["read_back"]) == (State.WORKS, "", True)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushgateway]:
    with running_pushgateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


def push(gateway: Pushgateway, group: str, text: str) -> None:
    request = urllib.request.Request(
        f"{gateway.url}/metrics/{group}", data=text.encode(), method="PUT"
    )
    urllib.request.urlopen(request, timeout=10).close()


@pytest.mark.parametrize(
    ("path", "more"),
    [("", {}), ("/metrics/job/nightly", {}), ("", {"labels": {"job": "nightly", "instance": ""}})],
)
def test_a_pushgateway_has_the_probe_and_then_what_it_had_before(ask, gateway, path, more):
    push(gateway, "job/nightly", "last_night 42\n")
    before = gateway.groups()
    found = ask(type="prometheus", protocol="pushgateway", endpoint=gateway.url + path, **more)
    assert (found.state, found.facts["read_back"]) == (State.WORKS, True)
    assert found.facts["points"] > 0
    # A Pushgateway answers a deletion before it is done.
    ending = monotonic() + 10
    while gateway.groups() != before and monotonic() < ending:
        sleep(0.05)
    assert gateway.groups() == before
    assert "last_night" in gateway.page()


def test_a_file_is_looked_into(ask, tmp_path):
    target = tmp_path / "metrics.ndjson"
    found = ask(type="custom", endpoint=target.as_uri())
    assert (found.state, found.facts["read_back"]) == (State.WORKS, True)
    (line,) = target.read_text().splitlines()
    assert json.loads(line)["schema"] == "metalscope.export/v1"
    assert str(target) in found.what


def test_a_file_that_cannot_be_is_broken_and_names_its_directory(ask, tmp_path):
    found = ask(type="custom", endpoint=(tmp_path / "none" / "m.ndjson").as_uri())
    assert found.state is State.BROKEN
    assert str(tmp_path / "none") in found.why
    assert found.remedy


# -- what goes wrong -----------------------------------------------------------------------------


def test_a_webhook_that_takes_the_probe_works_with_a_reservation(ask):
    with faulty_server() as hook:
        found = ask(type="custom", endpoint=hook.url, api_key=KEY)
        (request,) = hook.requests
    assert (found.state, found.facts["read_back"]) == (State.WORKS, None)
    assert found.why == "it cannot be asked whether they can be found there"
    document = json.loads(request.content)
    assert found.facts["points"] == sum(len(one["series"]) for one in document["metrics"])
    operations = [one for one in document["metrics"] if one["name"] == "metal_operations_total"]
    assert operations == []


@pytest.mark.parametrize(
    ("status", "reason", "verdict", "remedy"),
    [
        (400, "schema", "rejected", "protocol"),
        (401, "unauthorized", "retry", "api_key"),
        (403, "forbidden", "retry", "right to write"),
        (404, "not_found", "retry", "path in endpoint"),
        (413, "too_large", "rejected", "metrics.allow"),
        (429, "rate_limited", "retry", "interval"),
        (500, "server_error", "retry", "log of the peer"),
    ],
)
def test_what_a_webhook_answers_is_said_with_what_to_do(ask, status, reason, verdict, remedy):
    with faulty_server(answer(status, f"no, not with {KEY}".encode())) as hook:
        found = ask(type="custom", endpoint=f"{hook.url}/x?token=hunter3", api_key=KEY)
    assert found.state is State.BROKEN
    assert found.why.startswith(f"{reason}: ")
    assert str(status) in found.why
    assert "hunter3" not in json.dumps(found.to_dict())
    assert remedy in found.remedy
    assert (found.facts["reason"], found.facts["verdict"]) == (reason, verdict)
    assert (found.facts["points"], found.facts["read_back"]) == (0, None)


@pytest.mark.parametrize(
    ("fault", "reason", "words"),
    [
        (EXPIRED_CERTIFICATE, "tls", "expired"),
        (OTHER_HOST, "tls", "certificate"),
        (PLAIN_HTTP, "tls", "http"),
        (REFUSED, "refused", "nothing listens"),
        (GARBAGE_PAGE, "garbage", "web page"),
        (redirect("http://elsewhere.example/"), "redirected", "elsewhere.example"),
    ],
    ids=str,
)
def test_a_connection_that_fails_is_said_in_words(ask, fault: Fault, reason: str, words: str):
    with faulty_server(fault) as hook:
        found = ask(type="custom", endpoint=hook.url, tls={"ca_file": str(hook.ca_file)})
    assert (found.state, found.facts["reason"]) == (State.BROKEN, reason)
    assert words in found.why
    assert found.remedy == exporters._REMEDIES[reason]


def test_a_certificate_that_nobody_trusts_is_said_and_trusted_when_that_is_followed(ask):
    with faulty_server(tls=True) as hook:
        found = ask(type="custom", endpoint=hook.url)
        assert (found.state, found.facts["reason"]) == (State.BROKEN, "tls")
        assert "tls.ca_file" in found.remedy
        mended = ask(type="custom", endpoint=hook.url, tls={"ca_file": str(hook.ca_file)})
        assert mended.state is State.WORKS
    with faulty_server(UNKNOWN_CA) as other:
        found = ask(type="custom", endpoint=other.url, tls={"ca_file": str(other.ca_file)})
        assert (found.state, found.facts["reason"]) == (State.BROKEN, "tls")


def test_a_host_that_is_not_there_is_said(ask):
    found = ask(type="custom", endpoint="https://no-such-host.invalid/hook")
    assert (found.state, found.facts["reason"]) == (State.BROKEN, "dns")
    assert "no-such-host.invalid" in found.why
    assert "host name" in found.remedy


def test_silence_is_not_waited_for_as_long_as_a_program_would(ask, monkeypatch):
    monkeypatch.setattr(exporters, "SEND_SECONDS", 0.5)
    with faulty_server(NEVER_ANSWERS) as hook:
        found = ask(type="custom", endpoint=hook.url, timeout="10m")
    assert (found.state, found.facts["reason"]) == (State.BROKEN, "timeout")
    assert 0.5 <= found.facts["seconds"] < 10


def test_every_reason_that_an_exporter_can_give_has_a_remedy():
    # The others are given by the queue, in which a probe does not wait.
    of_the_queue = {"queue_full", "expired", "corrupt", "superseded"}
    assert {*exporters.Reason} - {*exporters._REMEDIES} == of_the_queue


# -- options and packages ------------------------------------------------------------------------


def test_a_prometheus_that_scrapes_is_sent_nothing_and_nothing_is_said(options):
    assert list(check_exporter(str(options({"type": "prometheus"})), "prometheus")) == []


def test_options_that_contradict_each_other_are_said(ask):
    found = ask(type="custom", endpoint="http://127.0.0.1:1/", protocol="file")
    assert found.state is State.BROKEN
    assert "protocol file does not fit" in found.why
    assert found.remedy
    assert "verdict" not in found.facts


def test_a_library_that_is_not_installed_is_said_with_its_extra(ask, monkeypatch):
    monkeypatch.setitem(sys.modules, "cramjam", None)
    found = ask(type="prometheus", endpoint="http://prometheus.example/api/v1/write")
    assert found.state is State.BROKEN
    assert "metalscope[prometheus]" in found.why
    assert found.remedy == "pip install 'metalscope[prometheus]'"
    assert found.facts["extra"] == "prometheus"


def test_an_options_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.json"):
        list(check_exporter(str(tmp_path / "none.json"), "e"))


def test_an_exporter_of_another_package_is_asked_as_ours(ask, installed):
    installed(
        """
        def export(self, snapshot):
            self.sent = snapshot
        def read_back(self, snapshot):
            return ReadBack(self.sent is snapshot, "theirs has it")
        """
    )
    found = ask(type="theirs")
    assert (found.state, found.what) == (State.WORKS, "took the probe, and has them: theirs has it")


def test_an_async_exporter_has_one_loop_for_all_it_does(ask, installed, tmp_path):
    installed(
        f"""
        async def export(self, snapshot):
            self.loop = asyncio.get_running_loop()
            await asyncio.sleep(0)
            return ExportResult.delivered(3)
        async def shutdown(self):
            same = self.loop is asyncio.get_running_loop()
            open({str(tmp_path / "ended")!r}, "w").write(str(same))
        """
    )
    found = ask(type="theirs")
    assert (found.state, found.what, found.facts["points"]) == (State.WORKS, "took 3 points", 3)
    assert (tmp_path / "ended").read_text() == "True"


def test_an_exporter_that_raises_is_said_with_what_it_raised(ask, installed):
    installed("def export(self, snapshot): raise OSError('out of luck')\n")
    found = ask(type="theirs")
    assert (found.state, found.why) == (State.BROKEN, "exporter_error: OSError: out of luck")
    assert found.facts["reason"] == "exporter_error"


def test_an_exporter_that_hangs_is_said_and_left_behind(ask, installed, monkeypatch):
    monkeypatch.setattr(exporters, "SEND_SECONDS", 0.2)
    monkeypatch.setattr(exporters, "END_SECONDS", 0.2)
    installed("def export(self, snapshot): __import__('time').sleep(60)\n")
    found = ask(type="theirs")
    assert (found.state, found.facts["reason"]) == (State.BROKEN, "timeout")


def test_points_that_are_refused_and_data_that_do_not_show_are_broken(ask, installed, monkeypatch):
    installed(
        """
        def export(self, snapshot):
            refused = self.context.options.settings.get("refused", 0)
            return ExportResult.delivered(5, rejected_points=refused, detail="too old")
        def read_back(self, snapshot):
            return ReadBack(False, "theirs has nothing of it")
        """
    )
    found = ask(type="theirs", settings={"refused": 2})
    assert (found.state, found.why) == (State.BROKEN, "2 points were refused: too old")
    assert (found.facts["reason"], found.facts["rejected_points"]) == ("partial", 2)
    monkeypatch.setattr(exporters, "READ_BACK_SECONDS", 0.6)
    found = ask(type="theirs")
    assert (found.state, found.what) == (State.BROKEN, "took 5 points")
    assert found.why.endswith("s later: theirs has nothing of it")
    assert (found.facts["verdict"], found.facts["read_back"]) == ("delivered", False)


def test_what_shows_only_after_a_while_is_waited_for(ask, installed):
    installed(
        """
        asked = 0
        def export(self, snapshot): return ExportResult.delivered(1)
        def read_back(self, snapshot):
            self.asked += 1
            return ReadBack(self.asked == 3, f"asked {self.asked} times")
        """
    )
    found = ask(type="theirs")
    assert (found.state, found.what) == (
        State.WORKS,
        "took 1 points, and has them: asked 3 times",
    )


# -- the command ---------------------------------------------------------------------------------


def doctor(*args: str | Path) -> tuple[int, list[dict[str, Any]], str]:
    """The exit code, what it says of exporters, and all it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "metalscope", "doctor", "--json", *map(str, args)],
        capture_output=True,
        timeout=110,
        check=False,
        env={**os.environ, **without_heavy()},
    )
    diagnoses = json.loads(done.stdout)["diagnoses"]
    exporting = [one for one in diagnoses if one["group"] == "exporters"]
    return done.returncode, exporting, (done.stdout + done.stderr).decode()


def test_the_command_sends_a_probe_where_it_is_asked_to_and_else_nothing(options):
    with faulty_server() as good, faulty_server(answer(401)) as bad:
        file = options(
            {"type": "custom", "name": "good", "endpoint": good.url, "api_key": KEY},
            {"type": "custom", "name": "bad", "endpoint": bad.url, "api_key": KEY},
            {"type": "custom", "name": "off", "endpoint": good.url, "enabled": False},
            server={"port": free_port()},
        )
        code, exporting, output = doctor("--config", file)
        assert {one["name"]: one["state"] for one in exporting} == {
            "good": "works",
            "bad": "works",
            "off": "absent",
        }
        assert (good.requests, bad.requests) == ([], [])
        assert code == 0
        code, exporting, output = doctor("--exporters", "--config", file)
        assert [len(good.requests), len(bad.requests)] == [1, 1]
    found = {one["name"]: one for one in exporting}
    assert len(found) == len(exporting) == 3
    assert code == 1
    assert found["good"]["state"] == "works"
    assert found["bad"]["state"] == "broken"
    assert found["bad"]["facts"]["reason"] == "unauthorized"
    assert "api_key" in found["bad"]["remedy"]
    assert found["off"]["state"] == "absent"
    assert KEY not in output
