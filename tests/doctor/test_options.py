"""Options: where they come from, what is wrong, what nothing reads; the shared directory."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from metalscope.doctor import Diagnosis, State
from metalscope.doctor.options import check_directory, check_options
from metalscope.doctor.plan import checks, facts_of_options
from metalscope.processes import ProcessFile, ProcessGroup


@pytest.fixture(autouse=True)
def no_options(monkeypatch):
    for name in [name for name in os.environ if name.startswith("METALSCOPE_")]:
        monkeypatch.delenv(name)


def found(config: Path | None = None) -> dict[str, Diagnosis]:
    return {one.name: one for one in check_options(str(config) if config else None)}


def test_where_nothing_is_set_the_sources_are_absent_and_the_defaults_work():
    options = found()
    for name in ("file", "environment", "exporters", "directory"):
        assert options[name].state is State.ABSENT
    assert (options["values"].state, options["values"].what) == (
        State.WORKS,
        "all at their defaults",
    )


def test_sources_are_named_and_values_are_not(tmp_path, monkeypatch):
    file = tmp_path / "metalscope.toml"
    file.write_text("tick_interval = '2s'\n")
    monkeypatch.setenv("METALSCOPE_CONFIG", str(file))
    exporters = [{"type": "datadog", "api_key": "hunter2hunter2"}]
    monkeypatch.setenv("METALSCOPE_EXPORT__EXPORTERS", json.dumps(exporters))
    options = found()
    assert options["file"].what == str(file)
    assert options["environment"].what == "METALSCOPE_EXPORT__EXPORTERS"
    assert options["values"].what == "set: tick_interval, export.exporters"
    assert "hunter2" not in json.dumps([one.to_dict() for one in options.values()])


def test_every_problem_is_a_broken_line_of_its_own(tmp_path):
    file = tmp_path / "metalscope.toml"
    file.write_text("tick_intervall = 1\n[server]\nport = 70000\n")
    broken = [one for one in check_options(str(file)) if one.state is State.BROKEN]
    assert len(broken) == 2
    assert "tick_intervall" in broken[0].why
    assert "port" in broken[1].why
    assert all(str(file) in one.why for one in broken)


def test_a_file_that_is_not_there_is_broken(tmp_path):
    options = found(tmp_path / "no.toml")
    assert options["file"].state is State.BROKEN
    assert "values" not in options


def test_an_exporter_that_is_switched_off_is_absent(tmp_path):
    file = tmp_path / "o.json"
    file.write_text(
        '{"export": {"exporters": [{"type": "datadog", "name": "d", "enabled": false}]}}'
    )
    assert found(file)["d"].why == "its option enabled is false"


def test_what_the_options_say_in_vain_is_absent(tmp_path):
    # In the words of metalscope.config, whatever it has to say in this version.
    from metalscope.config import load_options, unavailable_features

    file = tmp_path / "o.json"
    file.write_text(
        '{"traces": {"file": "t.json"}, "export": {"exporters": ['
        '{"type": "prometheus", "name": "p", "endpoint": "http://elsewhere:9090/"}]}}'
    )
    sentences = unavailable_features(load_options(file))
    options = found(file)
    assert sentences
    for sentence in sentences:
        said = sentence.partition(": ")[2]
        assert any(said in one.why and one.state is State.ABSENT for one in options.values())


def test_other_checks_look_where_the_options_say(tmp_path):
    file = tmp_path / "o.json"
    file.write_text(
        json.dumps(
            {
                "server": {"port": 1234},
                "disabled_sensors": ["host"],
                "processes_directory": str(tmp_path),
            }
        )
    )
    facts = facts_of_options(list(check_options(str(file))))
    plan = {(one.group, one.name): one for one in checks(facts, url=None, answer_seconds=1)}
    assert plan["server", "port 1234"].arguments["port"] == 1234
    assert plan["process", "alive"].arguments["url"] == "http://127.0.0.1:1234"
    assert plan["sensors", "host"].arguments["disabled"] is True
    assert plan["processes", "directory"].arguments["path"] == str(tmp_path)


def test_the_endpoint_of_an_exporter_is_tried():
    facts = {
        **facts_of_options([]),
        "endpoints": [{"group": "exporters", "name": "o", "endpoint": "http://127.0.0.1:4318/v1"}],
    }
    plan = checks(facts, url=None, answer_seconds=1)
    (tried,) = [one for one in plan if one.group == "exporters"]
    assert tried.arguments == {
        "group": "exporters",
        "name": "o",
        "endpoint": "http://127.0.0.1:4318/v1",
    }


def test_a_directory_that_can_be_used_works_and_is_left_as_it_is(tmp_path):
    file = ProcessFile(tmp_path)
    before = sorted(tmp_path.iterdir())
    (one,) = check_directory(str(tmp_path))
    assert (one.state, one.what) == (State.WORKS, f"{tmp_path}, 1 processes")
    assert sorted(tmp_path.iterdir()) == before
    file.close()


def test_a_directory_that_can_be_made_works_and_is_not_made(tmp_path):
    (one,) = check_directory(str(tmp_path / "a" / "b"))
    assert one.state is State.WORKS
    assert not (tmp_path / "a").exists()


def test_a_directory_that_is_a_file_or_in_one_is_broken(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "x"):
        (one,) = check_directory(str(path))
        assert one.state is State.BROKEN, one
        assert str(path) in one.why
        assert one.remedy


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here")
def test_a_directory_that_cannot_be_made_is_broken_whatever_the_permissions_say():
    (one,) = check_directory("/proc/nope/x")
    assert (one.state, "cannot be made" in one.why) == (State.BROKEN, True)


def test_files_that_could_not_be_read_are_said(tmp_path):
    file = ProcessFile(tmp_path)
    (tmp_path / f"{next(tmp_path.glob('*-*.lock')).stem}.json").write_text("{half")
    ProcessGroup(tmp_path).get_snapshot()
    file.close()
    (one,) = check_directory(str(tmp_path))
    assert (one.state, "1 files there could not be read" in one.why) == (State.BROKEN, True)


def test_each_channel_of_alerts_is_made_and_nothing_is_sent_to_it(tmp_path):
    file = tmp_path / "o.yaml"
    file.write_text(
        """
        alerts:
          enable_notifications: true
          notification_endpoints: ["http://127.0.0.1:1/hook-that-is-secret"]
          channels:
            - {name: bad, target: "https://example.com/", title: "{{ nonsense }}"}
        """
    )
    channels = found(file)
    assert channels["webhook"].state is State.WORKS
    assert channels["bad"].state is State.BROKEN
    assert "nonsense" in channels["bad"].why
    assert not any("secret" in f"{one.what}{one.why}" for one in channels.values())


def test_each_sink_and_collector_is_made_and_nothing_is_sent_to_it(tmp_path):
    file = tmp_path / "o.yaml"
    file.write_text(
        f"""
        logging:
          external_log_endpoints: ["udp://127.0.0.1:1"]
          sinks:
            - {{type: file, endpoint: "file://{tmp_path}/app.log"}}
            - {{type: loki, endpoint: "http://127.0.0.1:3100", settings: {{tenants: nobody}}}}
        traces:
          enabled: true
          exporters: [{{endpoint: "http://127.0.0.1:4318"}}]
        """
    )
    diagnoses = list(check_options(str(file)))
    states = {(one.group, one.name): one for one in diagnoses}
    assert states["logs", "file"].state is State.WORKS
    assert states["logs", "syslog"].state is State.WORKS
    assert states["logs", "loki"].state is State.BROKEN
    assert "settings.tenants" in states["logs", "loki"].why
    assert states["traces", "otlp"].state is State.WORKS
    # What is on a network is tried besides.
    endpoints = [(one["group"], one["name"]) for one in facts_of_options(diagnoses)["endpoints"]]
    assert endpoints == [("logs", "loki"), ("traces", "otlp")]
    assert not (tmp_path / "app.log").exists()


def test_where_nothing_is_logged_and_traced_that_is_said(tmp_path):
    file = tmp_path / "o.json"
    file.write_text("{}")
    options = {(one.group, one.name): one for one in check_options(str(file))}
    assert options["logs", "sinks"].state is State.ABSENT
    assert options["traces", "exporters"].state is State.ABSENT
