"""The options of access: what is refused, and that nothing secret is shown."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from access_at_hand import Errors, jwt_options

from metalscope.access.audit import AuditLog
from metalscope.access.gate import Gate
from metalscope.access_options import AccessOptions, JwtOptions
from metalscope.errors import ConfigurationError, MissingExtraError


def test_by_default_nobody_is_asked_and_nothing_is_recorded():
    options = AccessOptions()
    assert not options.is_on
    assert Gate.of(options, on_error=Errors()) is None
    assert AuditLog.of(options, on_error=Errors()) is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"failures_per_minute": 0}, "failures_per_minute"),
        ({"external_roles": ("root",)}, "external_roles"),
        ({"audit_key": "short"}, "audit_key"),
        ({"audit_key_from": "secret.txt"}, "env:VARIABLE"),
        ({"audit_key": "x" * 16, "audit_key_from": "env:X"}, "give one of them"),
        ({"audit_sync": "hourly"}, "audit_sync"),
        ({"audit_max_bytes": 10}, "audit_max_bytes"),
        ({"keys": "x"}, "keys"),
    ],
)
def test_a_bad_value_is_refused_by_name(values: dict[str, Any], said: str):
    with pytest.raises(ConfigurationError, match=said):
        AccessOptions(**values)


def test_secrets_are_in_no_text_of_the_options(tmp_path: Path):
    options = AccessOptions(
        audit_key="WORD one, sixteen",
        jwt=JwtOptions(
            **jwt_options(tmp_path)
            | {"jwks": "https://id.example.com/jwks?token=WORD", "api_key": "WORD two"}
        ),
    )
    for shown in (repr(options), str(options)):
        assert "WORD" not in shown


def test_tokens_without_the_library_name_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "jwt", None)
    options = AccessOptions(jwt=JwtOptions(**jwt_options(tmp_path / "jwks.json")))
    with pytest.raises(MissingExtraError, match=r"metalscope\[oidc\]"):
        Gate.of(options, on_error=Errors())


def test_keys_and_the_audit_need_no_extra_and_load_no_server():
    code = (
        "import sys, metalscope.access.gate, metalscope.access.audit; "
        "print([m for m in ('starlette', 'jwt', 'cryptography', 'urllib3', 'sqlite3') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
