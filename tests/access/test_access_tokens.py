"""Tokens of an identity provider: signed for real, and wrong in every way there is."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from access_at_hand import Errors, Provider, good_claims, jwt_options
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from metalscope.access.key_set import REFETCH_SECONDS, KeySetError, read_key_set
from metalscope.access.roles import Role
from metalscope.access.tokens import NoRoleError, TokenError, Tokens
from metalscope.access_options import JwtOptions
from metalscope.errors import ConfigurationError
from metalscope.moments import utc_now


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    provider = Provider(tmp_path_factory.mktemp("provider") / "jwks.json")
    for algorithm in ("RS256", "ES256", "EdDSA"):
        provider.add(f"k-{algorithm}", algorithm)
    return provider


@pytest.fixture
def provider(made: Provider) -> Iterator[Provider]:
    keys = dict(made.keys)
    yield made
    made.keys = keys
    made.publish()


def tokens_of(provider: Provider, **more: Any) -> Tokens:
    return Tokens(JwtOptions(**jwt_options(provider.path, **more)), on_error=Errors())


def part(data: object) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data, default=str).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_good_token_of_each_algorithm_says_who_asks(provider: Provider, algorithm: str):
    who = tokens_of(provider).check(provider.token(f"k-{algorithm}"))
    assert (who.kind, who.id, who.role) == ("jwt", "ann", Role.OPERATOR)
    assert who.expires_at is not None
    assert utc_now() < who.expires_at < utc_now() + timedelta(minutes=6)


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": "https://id.example.com/realms/gpu/"}, "another issuer"),
        ({"iss": ["https://id.example.com/realms/gpu"]}, "another issuer"),
        ({"aud": "metalscope2"}, "another audience"),
        ({"aud": ["a", "b"]}, "another audience"),
        ({"aud": {"metalscope": 1}}, "another audience"),
        ({"exp": utc_now() - timedelta(minutes=1)}, "has expired"),
        # Reckoned when tests are collected, minutes before this one runs.
        ({"nbf": utc_now() + timedelta(days=1)}, "not good yet"),
        ({"iat": utc_now() + timedelta(days=1)}, "not good yet"),
        ({"exp": None}, "lacks a claim"),
        ({"iss": None}, "lacks a claim"),
        ({"aud": None}, "lacks a claim"),
        ({"sub": None}, "lacks a claim"),
        ({"exp": "soon"}, "not good"),
        ({"exp": 1e300}, "end is not usable"),
        ({"sub": ""}, "subject"),
        ({"sub": "x" * 201}, "subject"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(
    provider: Provider, claims: dict[str, Any], said: str
):
    with pytest.raises(TokenError, match=said):
        tokens_of(provider).check(provider.token("k-EdDSA", **claims))


def test_a_clock_that_is_a_little_off_is_forgiven_and_no_more(provider: Provider):
    tokens = tokens_of(provider, leeway="30s")
    assert tokens.check(provider.token("k-EdDSA", exp=utc_now() - timedelta(seconds=10)))
    assert tokens.check(provider.token("k-EdDSA", nbf=utc_now() + timedelta(seconds=10)))
    with pytest.raises(TokenError):
        tokens.check(provider.token("k-EdDSA", exp=utc_now() - timedelta(seconds=40)))


def test_a_claim_can_be_required(provider: Provider):
    tokens = tokens_of(provider, required_claims=("jti",))
    with pytest.raises(TokenError, match="lacks a claim"):
        tokens.check(provider.token("k-EdDSA"))
    assert tokens.check(provider.token("k-EdDSA", jti="1"))
    # The four that always are, are so whatever is listed.
    with pytest.raises(TokenError, match="lacks a claim"):
        tokens.check(provider.token("k-EdDSA", jti="1", exp=None))


def test_a_token_without_a_signature_is_refused_however_none_is_spelled(provider: Provider):
    for word in ("none", "None", "NONE", "nOnE", "", None, 1, ["none"]):
        for signature in ("", part(b"x")):
            token = f"{part({'alg': word})}.{part(good_claims() | {'exp': 9e9})}.{signature}"
            with pytest.raises(TokenError):
                tokens_of(provider).check(token)


@pytest.mark.parametrize("encoding", [Encoding.PEM, Encoding.DER])
def test_a_public_key_used_as_the_secret_of_hs256_is_refused(
    provider: Provider, encoding: Encoding
):
    public = provider.keys["k-RS256"][1].public_key()
    secret = public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
    for algorithm in ("HS256", "RS256", "HS512"):
        head = part({"alg": algorithm, "typ": "JWT", "kid": "k-RS256"})
        signed = f"{head}.{part(good_claims() | {'exp': 9_000_000_000})}"
        mac = hmac.digest(secret, signed.encode(), hashlib.sha256)
        with pytest.raises(TokenError):
            tokens_of(provider).check(f"{signed}.{part(mac)}")


def test_an_algorithm_that_is_not_listed_is_refused_though_the_key_is_known(provider: Provider):
    tokens = tokens_of(provider, algorithms=("ES256",))
    assert tokens.check(provider.token("k-ES256"))
    for kid in ("k-RS256", "k-EdDSA"):
        with pytest.raises(TokenError, match="algorithm is not accepted"):
            tokens.check(provider.token(kid))


def test_the_name_of_another_key_does_not_lend_its_kind(provider: Provider):
    for kid, named in (("k-RS256", "k-ES256"), ("k-EdDSA", "k-RS256"), ("k-EdDSA", "nobody")):
        with pytest.raises(TokenError, match="no key of the provider"):
            tokens_of(provider).check(provider.token(kid, headers={"kid": named}))


def test_keys_that_a_token_brings_along_are_not_looked_at(provider: Provider):
    own = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    for header in (
        {"jwk": RSAAlgorithm.to_jwk(own.public_key(), as_dict=True)},
        {"jku": "http://127.0.0.1:1/jwks.json"},
        {"x5u": "http://127.0.0.1:1/cert.pem"},
    ):
        for kid in ("k-RS256", "own"):
            token = jwt.encode(good_claims(), own, "RS256", headers={"kid": kid, **header})
            with pytest.raises(TokenError):
                tokens_of(provider).check(token)


@pytest.mark.parametrize("header", [{"crit": ["exp"], "exp": 1}, {"crit": []}, {"kid": 7}])
def test_a_header_that_must_be_understood_and_is_not_is_refused(
    provider: Provider, header: dict[str, Any]
):
    algorithm, key = provider.keys["k-EdDSA"]
    head = part({"alg": algorithm, "kid": "k-EdDSA"} | header)
    signed = f"{head}.{part(good_claims() | {'exp': 9_000_000_000})}"
    with pytest.raises(TokenError):
        tokens_of(provider).check(f"{signed}.{part(key.sign(signed.encode()))}")


def test_any_changed_character_of_a_token_is_found(provider: Provider):
    tokens = tokens_of(provider)
    token = provider.token("k-EdDSA")
    assert tokens.check(token)
    for place in range(len(token) - 1):
        other = "A" if token[place] != "A" else "B"
        with pytest.raises((TokenError, NoRoleError)):
            tokens.check(token[:place] + other + token[place + 1 :])


@given(st.text(max_size=300) | st.binary(max_size=200).map(part))
def test_what_is_no_token_is_refused_and_nothing_else_happens(made: Provider, text: str):
    tokens = tokens_of(made)
    for token in (text, f"{text}.{text}.{text}", f"{part({'alg': 'EdDSA'})}.{text}.{text}"):
        with pytest.raises(TokenError):
            tokens.check(token)


def test_a_token_that_is_too_long_or_too_deep_is_refused(provider: Provider):
    deep = part(("[" * 3000).encode())
    for token in ("a" * 8193, f"{deep}.{deep}.", f"{part({'alg': 'EdDSA'})}.{deep}.x"):
        with pytest.raises(TokenError):
            tokens_of(provider).check(token)


@pytest.mark.parametrize(
    ("options", "claims", "role"),
    [
        ({}, {"roles": ["viewer", "admin", "unknown"]}, Role.ADMIN),
        ({}, {"roles": "scraper viewer"}, Role.VIEWER),
        ({}, {"roles": ["scraper"]}, Role.SCRAPER),
        (
            {"role_claim": "realm_access.roles"},
            {"realm_access": {"roles": ["viewer"]}},
            Role.VIEWER,
        ),
        ({"role_claim": "https://x.y/roles"}, {"https://x.y/roles": ["viewer"]}, Role.VIEWER),
        ({"roles": {"gpu-ops": "operator"}}, {"roles": ["gpu-ops", "admin"]}, Role.OPERATOR),
        ({}, {"roles": ["root"]}, None),
        ({}, {"roles": None}, None),
        ({}, {"roles": {"admin": True}}, None),
        ({}, {"roles": [["admin"], 1, None]}, None),
        ({"roles": {"gpu-ops": "operator"}}, {"roles": ["operator"]}, None),
        ({"role_claim": "a.b.c"}, {"a": {"b": ["admin"]}}, None),
    ],
)
def test_roles_come_from_the_claim_that_the_options_name(
    provider: Provider, options: dict[str, Any], claims: dict[str, Any], role: Role | None
):
    tokens, token = tokens_of(provider, **options), provider.token("k-EdDSA", **claims)
    if role is None:
        with pytest.raises(NoRoleError):
            tokens.check(token)
    else:
        assert tokens.check(token).role is role


def test_a_key_in_a_file_is_taken_out_and_a_new_one_in_without_a_restart(provider: Provider):
    tokens = tokens_of(provider)
    old = provider.token("k-EdDSA")
    assert tokens.check(old)
    provider.add("k-new", "EdDSA")
    assert tokens.check(provider.token("k-new"))
    del provider.keys["k-EdDSA"]
    provider.publish()
    with pytest.raises(TokenError, match="no key"):
        tokens.check(old)


def test_a_token_that_names_no_key_fits_only_where_there_is_one(provider: Provider):
    algorithm, key = provider.keys["k-EdDSA"]
    token = jwt.encode(good_claims(), key, algorithm)
    assert tokens_of(provider).check(token)
    provider.add("k-second", "EdDSA")
    with pytest.raises(TokenError, match="no key"):
        tokens_of(provider).check(token)


def test_keys_that_are_secret_short_or_for_something_else_are_passed_over(provider: Provider):
    document = provider.document()
    good = next(one for one in document["keys"] if one["kid"] == "k-RS256")
    short = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    private = RSAAlgorithm.to_jwk(provider.keys["k-RS256"][1], as_dict=True)
    for bad in (
        {"kty": "oct", "k": part(b"secret"), "alg": "HS256"},
        {"kty": "oct", "k": part(b"secret"), "alg": "RS256"},
        good | {"use": "enc"},
        good | {"key_ops": ["sign"]},
        good | {"alg": "RS512"},
        good | {"alg": "HS256"},
        good | {"n": "!"},
        RSAAlgorithm.to_jwk(short.public_key(), as_dict=True),
        private,
        {"kty": "EC", "crv": "secp256k1"},
        "no key",
        None,
    ):
        with pytest.raises(KeySetError, match="no key in it"):
            read_key_set(json.dumps({"keys": [bad]}).encode())
        assert len(read_key_set(json.dumps({"keys": [bad, good]}).encode())) == 1


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"keys": {}}', b"[" * 10_000, b"\xff"])
def test_what_is_no_key_set_is_named_at_the_start(tmp_path: Path, content: bytes):
    path = tmp_path / "jwks.json"
    path.write_bytes(content)
    tokens = Tokens(JwtOptions(**jwt_options(path)), on_error=Errors())
    with pytest.raises(ConfigurationError, match=r"server\.access\.jwt\.jwks = .*jwks\.json"):
        tokens.keys.check()


class Publisher:
    """A server that publishes a key set, and counts how often it is asked."""

    def __init__(self, provider: Provider) -> None:
        self.asked = 0
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                body = json.dumps(provider.document()).encode()
                self.send_response(outer.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/jwks"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def publisher(provider: Provider) -> Iterator[Publisher]:
    publisher = Publisher(provider)
    yield publisher
    publisher.server.shutdown()
    publisher.server.server_close()


def test_keys_at_a_url_are_fetched_once_kept_and_fetched_anew_for_a_new_key_but_not_often(
    provider: Provider, publisher: Publisher
):
    now, errors = [1000.0], Errors()
    options = JwtOptions(**jwt_options(provider.path) | {"jwks": publisher.url, "refresh": "1h"})
    tokens = Tokens(options, on_error=errors, clock=lambda: now[0])
    assert tokens.keys.may_block
    for _ in range(5):
        assert tokens.check(provider.token("k-EdDSA"))
    assert publisher.asked == 1
    # Unknown names cannot make it ask again and again.
    unknown = provider.token("k-EdDSA", headers={"kid": "nobody"})
    for _ in range(20):
        with pytest.raises(TokenError):
            tokens.check(unknown)
    assert publisher.asked == 1
    provider.add("k-rotated", "ES256")
    now[0] += REFETCH_SECONDS
    assert tokens.check(provider.token("k-rotated"))
    assert publisher.asked == 2
    # The provider is away: what is known stays good for a day beyond its time, and then not.
    publisher.status = 500
    now[0] += 7200
    assert tokens.check(provider.token("k-EdDSA"))
    assert publisher.asked == 3
    assert "answered 500" in str(errors[-1])
    now[0] += 90_000
    with pytest.raises(KeySetError, match="could not be fetched"):
        tokens.check(provider.token("k-EdDSA"))
    publisher.status = 200
    now[0] += REFETCH_SECONDS
    assert tokens.check(provider.token("k-EdDSA"))
    tokens.keys.close()


def test_threads_that_ask_at_once_fetch_once(provider: Provider, publisher: Publisher):
    options = JwtOptions(**jwt_options(provider.path) | {"jwks": publisher.url})
    tokens, token = Tokens(options, on_error=Errors()), provider.token("k-EdDSA")
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(tokens.check(token).id)) for _ in range(8)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30)
    assert found == ["ann"] * 8
    assert publisher.asked == 1
    tokens.keys.close()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("jwks", "http://id.example.com/jwks"),
        ("jwks", "https://user:pw@id.example.com/jwks"),
        ("jwks", "file://host/jwks"),
        ("jwks", "ftp://127.0.0.1/x"),
        ("jwks", "/etc/jwks"),
        ("leeway", "6m"),
        ("leeway", "-1s"),
        ("algorithms", ("HS256",)),
        ("algorithms", ("none",)),
        ("algorithms", ()),
        ("issuer", ""),
        ("roles", {"x": "root"}),
    ],
)
def test_an_option_that_would_weaken_it_is_refused_by_name(
    provider: Provider, option: str, value: object
):
    with pytest.raises(ConfigurationError, match=option):
        JwtOptions(**jwt_options(provider.path) | {option: value})
