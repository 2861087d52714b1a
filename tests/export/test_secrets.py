from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contexts import context
from faulty_server import faulty_server

from metalscope.errors import MissingExtraError
from metalscope.export_options import ExporterOptions
from metalscope.sending.http.secrets import SecretSource, secret_source
from metalscope.sending.http.transport import TransportError
from metalscope.sending.result import Reason

keyring = pytest.importorskip("keyring")
from keyring.backend import KeyringBackend  # noqa: E402
from keyring.errors import KeyringLocked  # noqa: E402


class InMemory(KeyringBackend):
    """A keyring of this process."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("the password is hunter2")
        return self.entries.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.entries[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.entries[service, username]


@pytest.fixture
def ring() -> Iterator[InMemory]:
    before = keyring.get_keyring()
    ring = InMemory()
    keyring.set_keyring(ring)
    yield ring
    keyring.set_keyring(before)


def source(**options: Any) -> SecretSource:
    found = secret_source(ExporterOptions(type="custom", **options))
    assert found is not None
    return found


def why_not(found: SecretSource) -> str:
    with pytest.raises(TransportError) as caught:
        found.read()
    assert caught.value.reason is Reason.CONFIGURATION
    assert caught.value.__cause__ is None
    return caught.value.detail


def test_there_is_no_source_where_no_key_is_set() -> None:
    assert secret_source(ExporterOptions(type="custom")) is None


def test_a_key_is_read_from_the_options_without_being_shown() -> None:
    found = source(api_key=" the-key\n")
    assert found.read() == "the-key"
    assert "the-key" not in repr(found)


def test_a_key_is_read_from_the_environment_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("METALSCOPE_TEST_KEY", raising=False)
    found = source(api_key_from="env:METALSCOPE_TEST_KEY")
    shown = "there is no key: the environment variable METALSCOPE_TEST_KEY"
    assert why_not(found) == f"{shown} is not set"
    monkeypatch.setenv("METALSCOPE_TEST_KEY", " ")
    assert why_not(found) == f"{shown} is empty"
    monkeypatch.setenv("METALSCOPE_TEST_KEY", "one")
    assert found.read() == "one"
    monkeypatch.setenv("METALSCOPE_TEST_KEY", "two")
    assert found.read() == "two"


def test_a_key_in_a_file_is_read_anew_when_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "key"
    found = source(api_key_from=f"file:{path}")
    shown = f"there is no key: the file {path}"
    assert why_not(found) == f"{shown} cannot be read (No such file or directory)"
    path.write_text("one\n")
    assert found.read() == "one"
    path.write_text("two\n")
    os.utime(path, ns=(1, 1))
    assert found.read() == "two"
    path.unlink()
    assert "cannot be read" in why_not(found)


def test_a_file_swapped_for_another_of_the_same_time_and_size_is_read_anew(tmp_path: Path) -> None:
    # As Kubernetes does it: the name is a link, and the link is replaced.
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, ns=(1, 1))
    link = tmp_path / "key"
    link.symlink_to("one")
    found = source(api_key_from=f"file:{link}")
    assert found.read() == "one"
    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(link)
    assert found.read() == "two"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"hunter2\nhunter3\n", "holds more than one line, or characters no key has"),
        (b"hunter2\x00", "holds more than one line, or characters no key has"),
        (b"hunter2\xff", "is not UTF-8 text"),
        (b"hunter2" * 10_000, "is larger than 65536 bytes"),
    ],
)
def test_a_file_that_holds_no_key_is_named_and_not_quoted(
    tmp_path: Path, content: bytes, why: str
) -> None:
    path = tmp_path / "key"
    path.write_bytes(content)
    assert why_not(source(api_key_from=f"file:{path}")) == f"there is no key: the file {path} {why}"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "key")
    assert "is no regular file" in why_not(source(api_key_from=f"file:{tmp_path / 'key'}"))


def test_a_file_nobody_may_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("hunter2")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read all files")
    assert f"{path} cannot be read (Permission denied)" in why_not(
        source(api_key_from=f"file:{path}")
    )


def test_a_file_may_be_in_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").write_text("mine")
    assert source(api_key_from="file:~/key").read() == "mine"


def test_a_key_is_read_from_the_keyring(ring: InMemory) -> None:
    found = source(api_key_from="keyring:metalscope/grafana/1")
    shown = "there is no key: the entry grafana/1 of metalscope in the keyring"
    assert why_not(found) == f"{shown} is not there"
    keyring.set_password("metalscope", "grafana/1", "hunter2")
    assert found.read() == "hunter2"
    assert "hunter2" not in repr(found)
    ring.locked = True
    assert why_not(found) == f"{shown} cannot be read (KeyringLocked)"


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(MissingExtraError, match=r"metalscope\[keyring\]"):
        source(api_key_from="keyring:a/b")


def test_a_transport_sends_the_key_that_is_there_now(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("one-key")
    with faulty_server() as server:
        http = context(endpoint=server.url, api_key_from=f"file:{path}").open_http()
        http.send(b"", content_type="text/plain")
        path.write_text("another-key")
        http.send(b"", content_type="text/plain")
        path.unlink()
        with pytest.raises(TransportError, match=str(path)):
            http.send(b"", content_type="text/plain")
        keys = [request.headers["authorization"] for request in server.requests]
        assert keys == ["Bearer one-key", "Bearer another-key"]
        assert "another-key" not in repr(http)
