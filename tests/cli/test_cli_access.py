"""``metalscope keys`` and ``metalscope audit``: what is shown, once and never again."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from metalscope.access.audit import AuditEntry, AuditLog
from metalscope.access.key_store import KeyStore
from metalscope.access.keys import GivenKey
from metalscope.access_options import AccessOptions
from metalscope.cli import app
from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.errors import ConfigurationError

KEY = re.compile(r"msk_[0-9a-f]{12}_[\w-]{43}\n")


def run(*args: str) -> Any:
    return CliRunner().invoke(app, args, standalone_mode=False)


def failed(*args: str) -> CommandFailed:
    error = run(*args).exception
    assert isinstance(error, CommandFailed), error
    return error


def store(file: Path) -> KeyStore:
    return KeyStore(file, on_error=lambda _: None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def create(file: Path, *more: str) -> str:
    made = run("keys", "create", "--file", str(file), "--name", "ann", "--role", "viewer", *more)
    assert made.exit_code == 0
    return str(made.stdout)


def test_a_key_is_alone_on_standard_output_and_is_good(file: Path):
    text = create(file, "--expires", "90d")
    assert KEY.fullmatch(text)
    given = GivenKey.parse(text.strip())
    assert given is not None
    assert store(file).find(given)


def test_a_list_shows_all_but_keys_and_hashes(file: Path):
    text = create(file)
    identity = text.split("_")[1]
    listed = run("keys", "list", "--file", str(file)).stdout
    assert identity in listed
    assert "viewer" in listed
    as_json = run("keys", "list", "--file", str(file), "--json").stdout
    (one,) = json.loads(as_json)["keys"]
    assert (one["id"], one["state"], one["expires_at"]) == (identity, "active", None)
    kept = json.loads(file.read_text())["keys"][0]
    for secret in (text.strip().rpartition(identity)[2], kept["hash"], kept["salt"]):
        assert secret not in listed + as_json


def test_rotation_and_revocation(file: Path):
    old = GivenKey.parse(create(file).strip())
    assert old is not None
    rotated = run("keys", "rotate", old.id[:6], "--file", str(file), "--grace", "0", "--json")
    new = json.loads(rotated.stdout)
    assert (new["name"], new["role"]) == ("ann", "viewer")
    assert store(file).find(old) is None
    given = GivenKey.parse(new["key"])
    assert given is not None
    assert store(file).find(given)
    assert "revoked: ann" in run("keys", "revoke", new["id"], "--file", str(file)).stdout
    assert store(file).find(given) is None
    assert run("keys", "list", "--file", str(file)).stdout == "there is no key\n"
    ended = json.loads(run("keys", "list", "--all", "--json", "--file", str(file)).stdout)["keys"]
    assert [one["state"] for one in ended] == ["expired", "revoked"]


def test_what_is_wrong_is_said_with_the_option(file: Path, tmp_path: Path):
    name = ("--name", "ann", "--role", "viewer", "--file", str(file))
    for args, said, code in (
        (("create", *name, "--expires", "soon"), "--expires must be", ExitCode.USAGE),
        (("create", *name, "--expires", "0"), "--expires must be longer", ExitCode.USAGE),
        (("rotate", "aa", "--file", str(file), "--grace", "-1s"), "--grace", ExitCode.USAGE),
        (("revoke", "aa", "--file", str(file)), "no key has an id", ExitCode.FAILED),
        (("create", "--name", "a", "--role", "viewer", "--file", str(tmp_path / "no" / "k.json")),
         "cannot be written", ExitCode.USAGE),
    ):  # fmt: skip
        error = failed("keys", *args)
        assert said in str(error)
        assert error.code is code
    assert run("keys", "create", "--name", "a", "--role", "root").exit_code != 0


def test_what_is_done_to_the_keys_of_the_options_is_in_their_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    audit = tmp_path / "audit.jsonl"
    monkeypatch.setenv("METALSCOPE_SERVER__ACCESS__KEYS_FILE", str(tmp_path / "keys.json"))
    monkeypatch.setenv("METALSCOPE_SERVER__ACCESS__AUDIT_FILE", str(audit))
    made = json.loads(run("keys", "create", "--name", "a", "--role", "viewer", "--json").stdout)
    new = json.loads(run("keys", "rotate", made["id"], "--json").stdout)
    assert run("keys", "revoke", made["id"]).exit_code == 0
    said = [json.loads(line) for line in audit.read_text().splitlines()[1:]]
    assert [(one["method"], one["target"]) for one in said] == [
        ("keys create", made["id"]), ("keys rotate", new["id"]), ("keys revoke", made["id"]),
    ]  # fmt: skip
    assert said[1]["reason"] == f"viewer a, in place of {made['id']}"
    assert made["key"].rpartition(made["id"])[2] not in audit.read_text()
    audit.unlink()
    audit.mkdir()
    refused = run("keys", "create", "--name", "b", "--role", "viewer").exception
    assert isinstance(refused, ConfigurationError)
    assert json.loads(run("keys", "list", "--file", str(tmp_path / "keys.json"), "--all",
                          "--json").stdout)["keys"][0]["id"] == made["id"]  # fmt: skip


def audited(path: Path, count: int = 3, **more: Any) -> None:
    audit = AuditLog.of(AccessOptions(audit_file=path, **more), on_error=lambda _: None)
    assert audit is not None
    for number in range(count):
        audit.write(AuditEntry("access", "allowed", target=str(number), status=200))
    audit.close(10)


def test_a_whole_audit_is_said_to_be_with_its_head_and_a_spoiled_one_not(tmp_path: Path):
    path = tmp_path / "audit.jsonl"
    audited(path)
    done = run("audit", "verify", str(path))
    assert (done.return_value, done.exit_code) == (0, 0)
    assert done.stdout.startswith("ok: 4 records, 1 to 4, ")
    head = json.loads(run("audit", "verify", str(path), "--json").stdout)["head"]
    assert done.stdout.endswith(f"head: {head}\n")
    audited(path)
    assert run("audit", "verify", str(path), "--expect", head).return_value == 0
    data = path.read_bytes()
    path.write_bytes(b"".join(data.splitlines(keepends=True)[:3]))
    assert "cut off" in str(failed("audit", "verify", str(path), "--expect", head))
    path.write_bytes(data.replace(b'"target":"1"', b'"target":"7"', 1))
    error = failed("audit", "verify", str(path))
    assert (error.code, f"{path}:3" in str(error)) == (ExitCode.FAILED, True)
    told = run("audit", "verify", str(path), "--json")
    assert told.return_value == 1
    assert json.loads(told.stdout)["fault"]["line"] == 3


def test_a_keyed_audit_is_verified_with_its_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "audit.jsonl"
    monkeypatch.setenv("AUDIT_KEY", "a key of the audit's chain")
    audited(path, audit_key_from="env:AUDIT_KEY")
    assert run("audit", "verify", str(path), "--key-from", "env:AUDIT_KEY").return_value == 0
    assert "needs its key" in str(failed("audit", "verify", str(path)))
    wrong = run("audit", "verify", str(path), "--key-from", "env:NO_SUCH")
    assert isinstance(wrong.exception, ConfigurationError)


def test_a_file_that_is_not_there_or_an_impossible_head_is_bad_usage(tmp_path: Path):
    for args in ((str(tmp_path / "none"),), (str(tmp_path),), (".", "--expect", "ABC")):
        assert failed("audit", "verify", *args).code is ExitCode.USAGE
