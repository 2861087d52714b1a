"""Which secrets the options hold, and in which forms they are known."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from metalscope.options import MetalTelemetryOptions
from metalscope.sanitizing import Sanitizer, secrets_of
from metalscope.sanitizing.secrets import KnownSecrets
from metalscope.sanitizing_options import SanitizingOptions

SECRET = 'a "quoted"/päss+word\\'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps({"a": json.dumps({"b": SECRET})}),
        repr(SECRET),
        repr(SECRET.encode()),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET).lower(),
        SECRET.encode().hex(),
        *(base64.b64encode(f"{'x' * n}{SECRET}yz".encode()).decode() for n in range(3)),
        *(base64.urlsafe_b64encode(f"{'x' * n}{SECRET}".encode()).decode() for n in range(3)),
    ],
)
def test_a_known_secret_is_found_in_every_form(form: str) -> None:
    known = KnownSecrets()
    known.add(SECRET)
    masked = known.masked(f"<{form}>", lambda _: "…", longest=1000)
    # A few characters before and after it may be left, which base64 shares with its neighbours.
    assert "…" in masked
    assert len(masked) <= 30
    assert "quoted" not in masked


def test_the_options_tell_their_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "from-the-environment")
    (tmp_path / "key").write_text("from-a-file\n")
    basic = base64.b64encode(b"me:of-basic").decode()
    options = MetalTelemetryOptions.model_validate(
        {
            "export": {"exporters": [
                {"type": "opentelemetry", "endpoint": "https://a.example:4318",
                 "headers": {"Authorization": "Bearer of-a-header", "X": f"Basic {basic}"},
                 "api_key_from": f"file:{tmp_path / 'key'}"},
                {"type": "datadog", "api_key": "of-an-exporter"},
            ]},
            "logging": {"sinks": [
                {"type": "splunk", "endpoint": "https://b.example", "api_key_from": "env:SOME_KEY",
                 "proxy_headers": {"Proxy-Authorization": "of-a-proxy"},
                 "settings": {"client_secret": "of-a-setting", "index": "main"}},
                {"type": "loki", "endpoint": "https://c.example", "api_key_from": "env:NOT_SET"},
            ]},
            "traces": {"exporters": [{"endpoint": "https://d.example", "api_key": "of-spans"}]},
            "sanitizing": {"hash_key": "of-the-hashes-of-all"},
        }
    )  # fmt: skip
    secrets = secrets_of(options)
    assert set(secrets) == {
        "Bearer of-a-header", "of-a-header", f"Basic {basic}", basic, "of-basic", "from-a-file",
        "of-an-exporter", "from-the-environment", "of-a-proxy", "of-a-setting", "of-spans",
        "of-the-hashes-of-all",
    }  # fmt: skip
    sanitizer = Sanitizer(options.sanitizing, secrets=secrets)
    for secret in secrets:
        assert secret not in sanitizer.text(f"the server said {secret} is wrong")


def test_options_without_secrets_have_none() -> None:
    assert secrets_of(MetalTelemetryOptions()) == []


def test_threads_may_add_secrets_at_once() -> None:
    sanitizer = Sanitizer(SanitizingOptions.defaults())
    secrets = [f"secret-{n}-of-a-thread" for n in range(64)]
    threads = [
        threading.Thread(target=lambda some: [sanitizer.add_secret(one) for one in some],
                         args=(secrets[n::8],))
        for n in range(8)
    ]  # fmt: skip
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sanitizer.text(" ".join(secrets)) == " ".join("…" for _ in secrets)
