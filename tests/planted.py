"""Planted secrets: strategies that give a secret and something it stands in, for any test.

``placed_in_text()`` gives (text, secret, where), ``placed_in_fields()`` (fields, secret, where),
``placed_in_exceptions()`` (a function that raises, secret, where).
A secret here is one that can be found: by its look, by its name, or because it is known.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st
from pydantic import SecretStr

KNOWN = "correct-Horse/battery staple§7"
"""A secret that looks like nothing; a sanitizer is told of it."""

_ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_HEX = "0123456789abcdef"


def _of(alphabet: str, size: int) -> st.SearchStrategy[str]:
    return st.text(alphabet=alphabet, min_size=size, max_size=size)


def _jwt(parts: tuple[str, str]) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    return ".".join((head, *parts))


def _pem(body: str) -> str:
    return (
        f"-----BEGIN RSA PRIVATE KEY-----\n{body[:40]}\n{body[40:]}\n-----END RSA PRIVATE KEY-----"
    )


def _random_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


BY_LOOK: dict[str, st.SearchStrategy[str]] = {
    "github": _of(_ALNUM, 36).map("ghp_".__add__),
    "gitlab": _of(_ALNUM, 20).map("glpat-".__add__),
    "slack": _of("0123456789", 12).map(lambda digits: f"xoxb-{digits}-{digits}-Abc{digits}"),
    "stripe": _of(_ALNUM, 24).map("sk_live_".__add__),
    "openai": _of(_ALNUM, 40).map("sk-proj-".__add__),
    "anthropic": _of(_ALNUM, 40).map("sk-ant-api03-".__add__),
    "hugging face": _of(_ALNUM, 34).map("hf_".__add__),
    "grafana": _of(_ALNUM, 32).map("glsa_".__add__),
    "google": _of(_ALNUM, 35).map("AIza".__add__),
    "aws": _of("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16).map("AKIA".__add__),
    "npm": _of(_ALNUM, 36).map("npm_".__add__),
    "jwt": st.tuples(_of(_ALNUM + "-_", 30), _of(_ALNUM + "-_", 43)).map(_jwt),
    "pem": _of(_ALNUM, 80).map(_pem),
    "hex": _of(_HEX, 40),
    "card": st.sampled_from(
        ["4111111111111111", "5555 5555 5555 4444", "378282246310005", "6011-1111-1111-1117"]
    ),
    "e-mail": _of("abcdefghij.", 8).map(lambda name: f"x{name}y@example.org"),
    "ipv4": st.tuples(*[st.integers(1, 254)] * 4).map(
        lambda parts: "10." + ".".join(map(str, parts[1:]))
    ),
    "ipv6": _of(_HEX, 4).map(lambda group: f"2001:db8:0:1:{group}:5:6:7"),
}
"""Found wherever it stands by itself."""

BY_NAME = st.text(alphabet=_ALNUM + "!#$%^*+~", min_size=9, max_size=24).map("Zq9".__add__)
"""Looks like nothing; found by the name before it."""

SECRET_NAMES = st.sampled_from(
    ["password", "PASSWD", "db_password", "client-secret", "clientSecret", "X-Api-Key", "apiKey",
     "auth.token", "accessToken", "Authorization", "Set-Cookie", "privateKey",
     "AWS_SECRET_ACCESS_KEY", "connectionString", "AccountKey", "credentials", "bearer",
     "session_id", "refresh_token"]
)  # fmt: skip

ORDINARY = st.sampled_from(
    ["", "matmul failed", "step 3 of 10,", "loss=0.25", "(shape 64x64)", "at 12:30:01", "[gpu 0]",
     "naïve 金属", "100 %"]
)  # fmt: skip


@dataclass(frozen=True)
class Planted:
    """A secret, and what it stands in."""

    where: str
    secret: str
    holder: Any


@st.composite
def looks(draw: st.DrawFn) -> tuple[str, str]:
    """A kind, and a secret of that kind which is found by its look; or the known one."""
    kind = draw(st.sampled_from([*BY_LOOK, "known"]))
    return kind, KNOWN if kind == "known" else draw(BY_LOOK[kind])


@st.composite
def placed_in_text(draw: st.DrawFn) -> Planted:
    """A secret in a text: by itself, in a URL, in JSON, encoded, or after its name."""
    kind, secret = draw(looks())
    before, after = draw(ORDINARY), draw(ORDINARY)
    named, name = draw(BY_NAME), draw(SECRET_NAMES)
    one_line = "\n" not in secret
    places: dict[str, tuple[str, str]] = {
        f"{kind} between words": (f"{before} {secret} {after}", secret),
        f"{kind} in quotes": (f"{before} '{secret}' {after}", secret),
        f"{kind} in JSON": (json.dumps({"a": [before, secret]}), secret),
        "assigned": (f"{before} {name}={named} {after}", named),
        "assigned in quotes": (f'{before} {name} = "{named}" {after}', named),
        "after a colon in quotes": (f"{before} '{name}': '{named}', {after}", named),
        "in JSON": (json.dumps({"a": before, name: named}), named),
        "in a list in JSON": (json.dumps({"a": before, name: [named, {"b": named}]}), named),
        "in JSON in JSON": (json.dumps({"a": json.dumps({"b": 1, name: named})}), named),
        "as a pair": (repr([("accept", before), (name, named)]), named),
        "in JSON three deep": (
            json.dumps({"a": json.dumps({"b": json.dumps({name: named})})}), named,
        ),
        "as an option": (f"run --{name} {named} --n 3", named),
        "as an option with its value": (f"run --{name}={named} --n 3", named),
        "as an argument": (repr(["run", f"--{name}", named]), named),
        "in the user of a URL": (
            f"{before} redis://me:{quote(named)}@host/0 {after}", quote(named),
        ),
        "in the query of a URL": (f"GET https://h/p?a=1&{name}={quote(named)}", quote(named)),
        "after Bearer": (f"{before} Bearer {secret} {after}", secret),
        "in base64 after Basic": (
            f"{before} Basic {base64.b64encode(f'me:{named}'.encode()).decode()}",
            base64.b64encode(f"me:{named}".encode()).decode(),
        ),
        "known, in a URL": (f"https://h/{quote(KNOWN, safe='')}?x", quote(KNOWN, safe="")),
        "known, in base64": (
            base64.b64encode(f"xy{KNOWN}z".encode()).decode(),
            base64.b64encode(KNOWN[1:-2].encode()).decode().rstrip("=")[:12],
        ),
        "known, in bytes": (repr(KNOWN.encode()), repr(KNOWN.encode())[2:-1]),
    }  # fmt: skip
    where = draw(st.sampled_from(sorted(places)))
    text, planted = places[where]
    if not one_line and where == f"{kind} in JSON":
        planted = secret.split("\n")[1]
    return Planted(where, planted, text)


def _wrapped(value: Any, shape: str) -> Any:
    match shape:
        case "dict":
            return {"inner": value}
        case "list":
            return [1, value]
        case "tuple":
            return (value, None)
        case _:
            return {"a": {"b": value}, "c": 2}


@dataclass
class Holder:
    """A value with fields."""

    inner: Any


@st.composite
def placed_in_fields(draw: st.DrawFn) -> Planted:
    """A secret in fields: as a value, under a secret name, as a key, in bytes or an object."""
    in_text = draw(placed_in_text())
    named, name = draw(BY_NAME), draw(SECRET_NAMES)
    kind, secret = draw(looks())
    fields: dict[str, tuple[Any, str]] = {
        f"value: {in_text.where}": ({"note": in_text.holder}, in_text.secret),
        f"key: {in_text.where}": ({in_text.holder: 1}, in_text.secret),
        "under its name": ({name: named}, named),
        "under its name, in a list": ({name: [1, [named]]}, named),
        "under its name, in a mapping": ({name: {"a": {"b": named}}}, named),
        "under its name, in bytes": ({name: named.encode()}, named),
        "under its name in bytes": ({name.encode(): named}, named),
        "as a pair": ({"headers": [(name, named), ("accept", "*/*")]}, named),
        "as a pair of bytes": ({"headers": [(name.encode(), named.encode())]}, named),
        "by name and value": ({"env": [{"name": name, "value": named}]}, named),
        "after its option": ({"argv": ["run", f"--{name}", named]}, named),
        f"{kind} in bytes": ({"raw": f"x {secret} y".encode()}, secret),
        f"{kind} in a set": ({"some": {f"x {secret} y"}}, secret),
        f"{kind} in an object": ({"some": Holder(f"x {secret} y")}, secret),
        "a field of an object": ({"some": [type("C", (Holder,), {})({name: named})]}, named),
        "a SecretStr": ({"some": SecretStr(named)}, named),
        f"{kind} in an exception": ({"some": ValueError("x", f"y {secret} z")}, secret),
    }
    where = draw(st.sampled_from(sorted(fields)))
    holder, planted = fields[where]
    for shape in draw(st.lists(st.sampled_from(["dict", "list", "tuple", "deep"]), max_size=2)):
        holder = {"outer": _wrapped(holder, shape)}
    return Planted(where, planted, holder)


@st.composite
def placed_in_exceptions(draw: st.DrawFn) -> Planted:
    """A secret in what is raised: its text, its arguments, its cause, its context, its notes."""
    in_text = draw(placed_in_text())
    text = in_text.holder

    def alone() -> None:
        raise RuntimeError(text)

    def arguments() -> None:
        raise OSError(5, text, "file")

    def cause() -> None:
        raise RuntimeError("outer") from ValueError(text)

    def context() -> None:
        try:
            raise ValueError(text)
        finally:
            raise KeyError("outer")

    def note() -> None:
        error = RuntimeError("outer")
        error.add_note(text)
        raise error

    places: dict[str, Callable[[], None]] = {
        "text": alone, "arguments": arguments, "cause": cause, "context": context, "note": note,
    }  # fmt: skip
    where = draw(st.sampled_from(sorted(places)))
    return Planted(f"{where}: {in_text.where}", in_text.secret, places[where])
