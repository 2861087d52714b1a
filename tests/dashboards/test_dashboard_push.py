"""``metalscope dashboards push``, against a stand-in that holds to Grafana's documentation."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from dashboard_files import documents
from dashboards_command import run
from grafana_standin import TOKEN, VIEWER, GrafanaStandIn, grafana_standin

from metalscope._version import __version__
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.dashboards.shipped import NAMES
from peers import free_port


@pytest.fixture
def grafana() -> Iterator[GrafanaStandIn]:
    with grafana_standin() as one:
        yield one


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    monkeypatch.setenv("VIEWERS_TOKEN", VIEWER)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def push(grafana: GrafanaStandIn | str, *arguments: str | Path) -> object:
    url = grafana if isinstance(grafana, str) else grafana.url
    return run("push", url, "--token-from", "env:GRAFANA_TOKEN", *arguments)


def test_all_dashboards_arrive_in_a_folder_that_is_made_for_them(
    grafana: GrafanaStandIn, capfd: pytest.CaptureFixture[str]
) -> None:
    assert push(grafana) == 0
    assert grafana.folders == {"metalscope-dashboards": "metalscope dashboards"}
    shipped = documents()
    assert set(grafana.dashboards) == set(NAMES)
    for name, taken in grafana.dashboards.items():
        assert taken["dashboard"] == {**shipped[name], "id": None}
        assert taken["folderUid"] == "metalscope-dashboards"
        assert taken["message"] == f"metalscope {__version__}"
    said = capfd.readouterr()
    assert said.out.splitlines() == [
        "made the folder metalscope-dashboards",
        *(f"{name}: /d/{name}/{name}, version 1" for name in NAMES),
    ]
    assert TOKEN not in said.out + said.err


def test_what_is_there_is_replaced_only_where_that_is_asked_for(grafana: GrafanaStandIn) -> None:
    push(grafana, "--name", "metalscope")
    with pytest.raises(CommandFailed, match=r"metalscope: there is one already .* --overwrite"):
        push(grafana, "--name", "metalscope")
    assert grafana.dashboards["metalscope"]["version"] == 1
    assert push(grafana, "--name", "metalscope", "--overwrite", "--message", "newer") == 0
    assert grafana.dashboards["metalscope"]["version"] == 2
    assert grafana.dashboards["metalscope"]["message"] == "newer"


def test_those_that_are_not_there_yet_arrive_all_the_same(grafana: GrafanaStandIn) -> None:
    push(grafana, "--name", "metalscope", "--name", "metalscope-slo")
    with pytest.raises(CommandFailed) as refused:
        push(grafana)
    said = str(refused.value).splitlines()
    assert [line.partition(":")[0] for line in said] == ["metalscope", "metalscope-slo"]
    assert set(grafana.dashboards) == set(NAMES)
    assert grafana.dashboards["metalscope"]["version"] == 1


def test_without_a_folder_they_are_at_the_top(grafana: GrafanaStandIn) -> None:
    assert push(grafana, "--folder", "", "--name", "metalscope-slo") == 0
    assert grafana.requests == ["POST /api/dashboards/db"]
    assert "folderUid" not in grafana.dashboards["metalscope-slo"]


def test_a_folder_that_has_a_dashboards_uid_is_refused_in_grafanas_words(
    grafana: GrafanaStandIn,
) -> None:
    with pytest.raises(CommandFailed, match=r"metalscope: .* cannot be changed to a folder"):
        push(grafana, "--folder", "metalscope")


def test_a_grafana_below_a_path_is_reached(capfd: pytest.CaptureFixture[str]) -> None:
    with grafana_standin(prefix="/monitoring") as grafana:
        assert push(grafana, "--name", "metalscope") == 0
        assert push(f"{grafana.url}/", "--name", "metalscope", "--overwrite") == 0
    assert "metalscope: /monitoring/d/metalscope/metalscope, version 2" in capfd.readouterr().out


def test_the_token_is_read_from_a_file(grafana: GrafanaStandIn, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert run("push", grafana.url, "--token-from", f"file:{file}", "--name", "metalscope") == 0


def test_a_certificate_of_ones_own_authority_is_trusted_by_its_file(tmp_path: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with grafana_standin(tls=context) as grafana:
        with pytest.raises(CommandFailed, match="not trusted here") as refused:
            push(grafana)
        assert refused.value.code == ExitCode.FAILED
        assert push(grafana, "--ca-file", tmp_path / "ca.pem", "--name", "metalscope") == 0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("env:VIEWERS_TOKEN", "the token may not do this .* role Editor"),
        ("env:NOT_SET", "there is no key: the environment variable NOT_SET is not set"),
        ("file:/nowhere", "there is no key: the file /nowhere cannot be read"),
    ],
)
def test_why_a_token_does_not_do_is_said(grafana: GrafanaStandIn, source: str, said: str) -> None:
    with pytest.raises(CommandFailed, match=said) as refused:
        run("push", grafana.url, "--token-from", source)
    assert VIEWER not in str(refused.value)
    assert grafana.dashboards == {}


def test_a_token_that_nobody_knows_is_refused_and_not_shown(
    grafana: GrafanaStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", "glsa_unknown")
    with pytest.raises(CommandFailed, match="does not know the token") as refused:
        push(grafana)
    assert "glsa_unknown" not in str(refused.value)


def test_a_token_on_the_command_line_is_refused_and_not_shown(grafana: GrafanaStandIn) -> None:
    with pytest.raises(CommandFailed, match="not the token itself") as refused:
        run("push", grafana.url, "--token-from", TOKEN)
    assert refused.value.code == ExitCode.USAGE
    assert TOKEN not in str(refused.value)
    with pytest.raises(CommandFailed, match="give --token-from"):
        run("push", grafana.url)
    assert grafana.requests == []


@pytest.mark.parametrize("url", ["grafana", "ftp://127.0.0.1/", "http://me:secret@127.0.0.1:3000"])
def test_an_address_that_cannot_be_is_a_usage_error(url: str) -> None:
    with pytest.raises(CommandFailed, match="URL: ") as refused:
        push(url)
    assert refused.value.code == ExitCode.USAGE
    assert "secret" not in str(refused.value)


def test_a_port_where_nothing_listens_is_said() -> None:
    with pytest.raises(CommandFailed, match="nothing listens there"):
        push(f"http://127.0.0.1:{free_port()}")


def test_a_server_that_is_no_grafana_is_told_apart(grafana: GrafanaStandIn) -> None:
    with pytest.raises(CommandFailed, match=r"is this Grafana's address\?"):
        push(f"{grafana.url}/elsewhere")
