"""What is taken out, what stays, and what is put in its place."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import pytest
from pydantic import SecretStr

from metalscope.errors import ConfigurationError
from metalscope.export_options import Audience
from metalscope.logs.record import LoggedException, LogRecord, Severity
from metalscope.sanitizing import Sanitizer
from metalscope.sanitizing.people import KnownNames, host_names, user_names
from metalscope.sanitizing_options import SanitizingOptions

INSIDE, OUTSIDE = Audience.INTERNAL, Audience.EXTERNAL
USUAL = Sanitizer(SanitizingOptions.defaults())
TRACE = "d41d8cd98f00b204e9800998ecf8427e"


def fields(given: Any, audience: Audience = INSIDE, **options: Any) -> dict[str, Any]:
    return Sanitizer(SanitizingOptions(**options)).attributes(given, audience)


# -- by their look -------------------------------------------------------------------------------

FOUND = {
    "password=hunter2 x": "password=… x",
    "Password: hunter2, next": "Password: …, next",
    "Authorization: Bearer abc.def ghi\nnext": "Authorization: …\nnext",
    '{"password": "hun\\"ter2", "n": 1}': '{"password": "…", "n": 1}',
    '{"a": "{\\"token\\": \\"abc def\\"}"}': '{"a": "{\\"token\\": \\"…\\"}"}',
    "{'secrets': {'a': 'b]', 'c': 1}, 'n': 2}": "{'secrets': …, 'n': 2}",
    "--password hunter2 --n 3": "--password … --n 3",
    "--token=hunter2 -password hunter2": "--token=… -password …",
    "[('cookie', 'a=b'), (b'x-api-key', b'c')]": "[('cookie', '…'), (b'x-api-key', b'…')]",
    "password: |\n  hunter2\n  x\nnext: 1": "password: |\n  …\nnext: 1",
    "My password is: hunter2": "My password is: …",
    "os.environ['API_TOKEN'] = 'abc'": "os.environ['API_TOKEN'] = '…'",
    "password=b'abc' x": "password=b'…' x",
    "<password>abc</password>": "<password>…</password>",
    "API key: abc123": "API key: …",
    "GET /x?key=abcd1234": "GET /x?key=…",
    "AccountName=me;AccountKey=x1/y2==": "AccountName=me;AccountKey=…",
    "redis://:pa@ss/w@host:6379/0": "redis://…@host:6379/0",
    "https://token@host/path": "https://…@host/path",
    "Basic dXNlcjpwYXNz": "Basic …",
    "https://hooks.slack.com/services/T0/B0/abcdefgh": "https://hooks.slack.com/services/…",
    "-----BEGIN PRIVATE KEY-----\nMIIabc": "…",
    "key wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "key …",
    TRACE: "…",
    "0x" + TRACE: "…",
    "mail anna.b@example.co.uk now": "mail … now",
    "?user=anna%40example.com": "?user=…",
    "from 10.0.0.1.": "from ….",
    "at 10.1.2.3:80": "at …:80",
    "fe80::1%en0 up": "… up",
    "aa:bb:cc:dd:ee:ff": "…",
    "4111 1111 1111 1111": "…",
    "/Users/anna/models/x.metal": "/Users/…/models/x.metal",
    "file:///home/anna": "file:///home/…",
    "C:\\Users\\Anna Smith\\x": "C:\\Users\\…\\x",
    "half \ud800 of a pair": "half \ufffd of a pair",
}


@pytest.mark.parametrize(("text", "clean"), FOUND.items())
def test_it_is_found_by_its_look(text: str, clean: str) -> None:
    assert USUAL.text(text) == clean
    assert USUAL.text(clean) == clean


ORDINARY = [
    "operation matmul_f32 took 12.3 ms on device 0: shape=(1024, 1024)",
    "gemm_tiled_nt_float32_float32_bm64_bn64_bk16_wm2_wn2",
    "steel_gemm_fused_nn_bfloat16_bfloat16_bm64_bn64_bk16_wm2_wn2_has_batch_f_use_out_source_f",
    "_Z12gemm_kernelILi64ELi64ELi16EEvPKfS1_Pf",
    "triton_poi_fused__native_batch_norm_legit_no_training_relu_12",
    "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
    "at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<c10::BFloat16>>",
    "vjp_simdgroup_multiply_accumulateV2_affine_qmm_t_float16_gs_64_b_4",
    "array([1, 2, 3], dtype=float32) torch.Size([8, 128, 4096]) mlx.core.bfloat16",
    "[metal::malloc] Attempting to allocate 34359738368 bytes",
    "IOAccelerator error: 0x0000000e kIOGPUCommandBufferCallbackErrorTimeout",
    "RuntimeError: The size of tensor a (3) must match the size of tensor b (4)",
    "/opt/venv/lib/python3.11/site-packages/torch/nn/modules/linear.py",
    "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/bin/metal",
    "listening on http://127.0.0.1:9464/metrics and http://localhost:9464",
    "loaded Llama-3.2-1B-Instruct-4bit in 3.4 s, version 2.1.0, macOS 26.0.1 (25A362)",
    "torch@2.1.0 3.11.7 v1.2.3",
    "123e4567-e89b-12d3-a456-426614174000",
    f"trace_id={TRACE} span_id=00f067aa0ba902b7",
    f"00-{TRACE}-00f067aa0ba902b7-01",
    "2026-11-28T19:41:29.123456Z 1764358712345678901 1764358712345",
    "max_tokens=128 token_count: 5, tokens_per_second=12.4 prompt_tokens: 7",
    "sort_key=name primary_key: 3 cache_key=a key=value keyword: x",
    "session: closed, render pass: 3, forward_pass=2",
    "KeyError: 'x'",
    "basic operations, Bearer authentication failed",
    "password is wrong, no token, secret sauce",
    "if token == other and password != x: a::b c10::add std::vector 12:34:56",
    "x = [4, 16, 16, 64] # 1024 2048 4096 8192 100%",
    "金属 kernel — naïve ½",
    "",
    " ",
]


@pytest.mark.parametrize("text", ORDINARY)
def test_what_is_ordinary_stays(text: str) -> None:
    assert USUAL.text(text) == text
    assert USUAL.attributes({"note": text, "more": [text]}, INSIDE) == {
        "note": text, "more": [text],
    }  # fmt: skip


# -- by their name -------------------------------------------------------------------------------

NAMES_OF_SECRETS = [
    "password", "DB_PASSWD", "pwd", "clientSecret", "x-api-key", "APIKey", "apikey", "auth.token",
    "token", "accesstoken", "Authorization", "proxy-authorization", "Set-Cookie", "session",
    "sessionId", "private_key", "credentials", "connectionString", "sig", "signature", "bearer",
    "aws_access_key_id", "AccountKey", "SharedAccessSignature", "csrfToken", "cvv", "otp", "pass",
    "basic_auth", "card_number", "dsn", "passphrase", "instrumentationKey", "signing-key",
]  # fmt: skip
NAMES_OF_OTHERS = [
    "key", "keys", "sort_key", "primary_key", "cache_key", "public_key", "keyboard", "author",
    "tokenizer", "token_type", "api_key_from", "hot_path", "forward_pass", "passes",
    "kernel_signature", "compass", "secure", "design", "assignment", "sessions_file", "monkey",
    "metal.operation.name",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES_OF_SECRETS)
def test_what_a_secret_name_names_is_taken_out_whatever_it_is(name: str) -> None:
    for value in ("x", b"x", ["x"], {"a": {"b": "x"}}, ("x", 1), object()):
        assert USUAL.attributes({"a": {name: value}}, INSIDE) == {"a": {name: "…"}}
    assert USUAL.attributes({name: None}, INSIDE) == {name: None}
    assert USUAL.text(f'"{name}": "x"') == f'"{name}": "…"'


@pytest.mark.parametrize("name", NAMES_OF_OTHERS)
def test_what_another_name_names_stays(name: str) -> None:
    assert USUAL.attributes({name: "x"}, INSIDE) == {name: "x"}


def test_numbers_that_measure_tokens_stay_and_others_do_not() -> None:
    stay = {
        "max_tokens": 4096, "token_count": 3, "tokens": [1, 2], "tokensPerSecond": 12.5, "pass": 3,
        "token_ids": [5, 9], "password_length": 8, "session": 7, "sig": 15,
    }  # fmt: skip
    assert USUAL.attributes(stay, INSIDE) == stay
    go = {"token": 123456, "password": 1, "tokens": ["The", "cat"], "token_count": "abc"}
    assert set(USUAL.attributes(go, INSIDE).values()) == {"…"}


def test_names_are_found_in_pairs_arguments_and_entries() -> None:
    given = {
        "headers": [("authorization", "x"), [b"cookie", b"y"], ("accept", "z")],
        "argv": ["run", "--api-key", "x", "--n", "3"],
        "env": [{"name": "DB_PASSWORD", "value": "x"}, {"name": "LANG", "value": "C"}],
    }
    assert USUAL.attributes(given, INSIDE) == {
        "headers": [["authorization", "…"], ["cookie", "…"], ["accept", "z"]],
        "argv": ["run", "--api-key", "…", "--n", "3"],
        "env": [{"name": "DB_PASSWORD", "value": "…"}, {"name": "LANG", "value": "C"}],
    }


# -- by the options ------------------------------------------------------------------------------


def test_further_names_and_patterns_are_taken_out() -> None:
    options = {"keys": ("*_card", "tenant.*"), "patterns": {"ticket": r"T-\d+"}}
    given = {"id-Card": "x", "tenant": {"name": "y"}, "note": "see T-17 idCard=z", "card": "c"}
    assert fields(given, **options) == {
        "id-Card": "…", "tenant": {"name": "…"}, "note": "see … idCard=…", "card": "c",
    }  # fmt: skip


def test_a_kept_field_stays_unless_it_is_a_secret() -> None:
    given = {
        "client.address": "10.1.2.3", "commit": TRACE, "client": {"address": "10.1.2.4"},
        "note": "10.1.2.3", "password": "x",
    }  # fmt: skip
    kept = fields(given, keep=("client.address", "commit", "password"))
    assert kept == given | {"note": "…", "password": "…"}
    (text,) = fields({"commit": "token=x 10.1.2.3"}, keep=("*",)).values()
    assert text == "token=… 10.1.2.3"


def test_hashes_tell_equal_values_and_depend_on_the_key() -> None:
    one, other = (
        fields({"a": "x@example.org", "b": ["x@example.org"], "token": "x@example.org"},
               mode="hash", hash_key=SecretStr(key * 16))
        for key in "kK"
    )  # fmt: skip
    assert one["a"] == one["b"][0] == one["token"] != other["a"]
    assert len(one["a"]) == 13
    assert one["a"].startswith("…")


def test_without_a_key_hashes_are_of_this_process_alone() -> None:
    first, second = (fields({"token": "x"}, mode="hash")["token"] for _ in range(2))
    assert first != second


def test_the_key_of_hashes_is_read_from_where_it_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("k" * 16 + "\n")
    monkeypatch.setenv("HASH_KEY", "k" * 16)
    given: list[dict[str, Any]] = [
        {"hash_key": "k" * 16}, {"hash_key_from": "env:HASH_KEY"},
        {"hash_key_from": f"file:{tmp_path / 'key'}"},
    ]  # fmt: skip
    assert len({fields({"token": "x"}, mode="hash", **one)["token"] for one in given}) == 1
    with pytest.raises(ConfigurationError, match=r"sanitizing: .*HASH_KEY_2"):
        fields({}, mode="hash", hash_key_from="env:HASH_KEY_2")
    with pytest.raises(ConfigurationError, match="hash_key"):
        SanitizingOptions(hash_key=SecretStr("short"))


# -- people and machines -------------------------------------------------------------------------


def test_names_of_the_user_are_taken_out_where_they_stand_by_themselves() -> None:
    names = KnownNames(["anna"])
    text = "Anna in torchinductor_anna, hannah, anna2, annas"
    masked = names.masked(text, lambda _: "…", lowered=text.lower())
    assert masked == "… in torchinductor_…, hannah, anna2, annas"


def test_the_login_is_known_unless_it_is_nobodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "annalena")
    monkeypatch.setenv("USER", "root")
    assert "annalena" in set(user_names())
    assert "root" not in set(user_names())
    assert Sanitizer(SanitizingOptions.defaults()).text("by annalena") == "by …"


def test_the_machine_is_not_named_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Annas-MacBook-Pro.local")
    assert set(host_names()) == {"Annas-MacBook-Pro.local", "Annas-MacBook-Pro"}
    one = {"note": "on annas-macbook-pro.local"}
    assert fields(one, external_fields=("*",)) == one
    assert fields(one, OUTSIDE, external_fields=("*",)) == {"note": "on …"}


# -- outside -------------------------------------------------------------------------------------


def test_only_our_own_fields_and_those_named_go_outside() -> None:
    given = {
        "metal.operation.name": "matmul", "error.type": "timeout", "order": 1, "team.name": "a",
        "team.lead": "b", "metal.alert.by": "anna", "host.name": "box",
        "metal.event.properties": {"tenant": "a", "order": 2},
    }  # fmt: skip
    assert fields(given, OUTSIDE) == {
        "metal.operation.name": "matmul", "error.type": "timeout", "metal.event.properties": {},
        "metalscope.fields_left_out": 7,
    }  # fmt: skip
    assert fields(given, OUTSIDE, external_fields=("team.*", "order")) == {
        "metal.operation.name": "matmul", "error.type": "timeout", "order": 1, "team.name": "a",
        "team.lead": "b", "metal.event.properties": {"order": 2}, "metalscope.fields_left_out": 3,
    }  # fmt: skip
    assert fields(given) == given


def test_what_an_exception_says_goes_outside_only_where_that_is_named() -> None:
    record = LogRecord(
        1, 1, Severity.ERROR, "failed for a@example.org", attributes={"order": 1},
        exception=LoggedException("ValueError", "order 1", "Traceback"),
    )  # fmt: skip
    outside = USUAL.record(record, OUTSIDE)
    assert outside.body == "failed for …"
    assert outside.exception == LoggedException("ValueError", "", None)
    assert outside.attributes == {"metalscope.fields_left_out": 3}
    chosen = Sanitizer(SanitizingOptions(external_fields=("exception.*", "order")))
    assert chosen.record(record, OUTSIDE).exception == record.exception
    assert USUAL.record(record, INSIDE).exception == record.exception


def test_ids_stay() -> None:
    record = LogRecord(
        1, 1, Severity.INFO, "x", attributes={"trace_id": TRACE}, correlation_id=TRACE,
        trace_id=TRACE, span_id=TRACE[:16],
    )  # fmt: skip
    assert USUAL.record(record, OUTSIDE) == dataclasses.replace(
        record, attributes={"metalscope.fields_left_out": 1}
    )
    assert USUAL.record(record, INSIDE) == record
    foreign = dataclasses.replace(record, correlation_id="a@example.org")
    assert USUAL.record(foreign, INSIDE).correlation_id == "…"
    known = Sanitizer(SanitizingOptions.defaults(), secrets=[TRACE])
    assert known.record(record, INSIDE).correlation_id == "…"


# -- any value -----------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    password: str


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class Broken(dict[str, int]):
    def items(self) -> Any:
        raise RuntimeError("no")


def test_any_value_becomes_jsons() -> None:
    given = {
        "none": None, "yes": True, "whole": np.int64(3), "half": np.float32(0.5),
        "nan": float("nan"), "inf": float("-inf"), "huge": 10**5000, "bytes": b"ab\xff",
        "set": {2}, "when": datetime(2026, 1, 2, tzinfo=UTC), "long": timedelta(seconds=1.5),
        "enum": Colour.RED,
        "point": Point(1, "x"), "secret": SecretStr("x"), "hidden": {"a": SecretStr("x")},
        "array": np.zeros((2, 3), np.float32), "error": ValueError("no"), "class": Point,
        "id": UUID(int=1), "path": Path("/opt/x"), "bad": Unprintable(), "broken": Broken(a=1),
        3: "three", "severity": Severity.INFO,
    }  # fmt: skip
    shown = USUAL.attributes(given, INSIDE)
    json.dumps(shown, allow_nan=False)
    assert shown == {
        "none": None, "yes": True, "whole": 3, "half": 0.5, "nan": "NaN", "inf": "-Infinity",
        "huge": "<whole number of 16610 bits>", "bytes": "ab\\xff", "set": [2],
        "when": "2026-01-02T00:00:00+00:00", "long": 1.5, "enum": "red",
        "point": {"x": 1, "password": "…"}, "secret": "…", "hidden": {"a": "…"},
        "array": "<ndarray float32[2, 3]>", "error": "ValueError: no",
        "class": f"{__name__}.Point", "id": str(UUID(int=1)), "path": "/opt/x",
        "bad": "<unprintable Unprintable>", "broken": "<unprintable Broken>", "3": "three",
        "severity": 9,
    }  # fmt: skip


def test_depth_length_and_circles_are_bounded() -> None:
    deep: Any = "x"
    for _ in range(10):
        deep = {"a": deep}
    circle: list[Any] = [1]
    circle.append(circle)
    wide = {"deep": deep, "circle": circle, "list": list(range(101)), "text": "ab " * 5000}
    shown = USUAL.attributes(wide, INSIDE)
    assert json.dumps(shown).count('"a"') == 6
    assert shown["circle"] == [1, "<cycle>"]
    assert shown["list"] == [*range(99), "<more>"]
    assert len(shown["text"]) <= 8192
    assert shown["text"].endswith("…[cut]")
    assert USUAL.attributes(shown, INSIDE) == shown
    many = {str(n): [list(range(90)) for _ in range(90)] for n in range(90)}
    assert len(json.dumps(USUAL.attributes(many, INSIDE))) < 40_000


def test_a_secret_at_the_cut_is_not_cut_in_half() -> None:
    for before in range(8192 - 60, 8192 + 10, 7):
        text = "x " * (before // 2) + "glpat-abcdefghij0123456789 " + "y " * 5000
        assert "glpat" not in USUAL.text(text)


# -- known secrets -------------------------------------------------------------------------------


def test_a_secret_is_known_from_the_moment_it_is_added() -> None:
    sanitizer = Sanitizer(SanitizingOptions.defaults())
    for _ in range(2):
        assert sanitizer.text("plain horse") == "plain horse"
    sanitizer.add_secret("horse")
    sanitizer.add_secret("abc")
    assert sanitizer.text("plain horse abc") == "plain … abc"


def test_many_secrets_are_known() -> None:
    secrets = [f"secret-number-{n:03}-x" for n in range(256)]
    sanitizer = Sanitizer(SanitizingOptions.defaults(), secrets=secrets)
    assert sanitizer.text(" ".join(secrets[:3])) == "… … …"
