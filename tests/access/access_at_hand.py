"""Keys, gates, tokens and audits for the tests of access."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from metalscope.access.gate import Gate
from metalscope.access.key_changes import KeyChanges
from metalscope.access.roles import Role
from metalscope.access_options import AccessOptions
from metalscope.moments import utc_now

ISSUER = "https://id.example.com/realms/gpu"
AUDIENCE = "metalscope"

MAKERS: dict[str, Callable[[], Any]] = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}
WRITERS: dict[str, Any] = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


class Errors(list[BaseException]):
    """What was told of failures; each is kept."""

    def __call__(self, error: BaseException) -> None:
        self.append(error)


class Provider:
    """An identity provider: keys by name, their public halves as a JWK Set, and tokens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keys: dict[str, tuple[str, Any]] = {}

    def add(self, kid: str, algorithm: str) -> None:
        self.keys[kid] = (algorithm, MAKERS[algorithm]())
        self.publish()

    def document(self) -> dict[str, Any]:
        return {
            "keys": [
                {**WRITERS[alg].to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"}
                for kid, (alg, key) in self.keys.items()
            ]
        }

    def publish(self) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.document()))
        new.replace(self.path)

    def token(self, kid: str, *, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        algorithm, key = self.keys[kid]
        # As plain JSON: the library's own encoder refuses some claims that a liar would send.
        all_claims = {
            name: value.timestamp() if isinstance(value, datetime) else value
            for name, value in (good_claims() | claims).items()
            if value is not None
        }
        return jwt.PyJWS().encode(
            json.dumps(all_claims).encode(),
            key,
            algorithm,
            headers={"typ": "JWT", "kid": kid, **(headers or {})},
        )


def good_claims() -> dict[str, Any]:
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ann",
        "exp": utc_now() + timedelta(minutes=5),
        "roles": ["operator"],
    }


def jwt_options(path: Path, **more: Any) -> dict[str, Any]:
    return {"issuer": ISSUER, "audience": AUDIENCE, "jwks": path.as_uri(), **more}


def keys_of_all_roles(path: Path) -> dict[Role, str]:
    changes = KeyChanges(path)
    return {role: changes.create(role.value, role)[1].text for role in Role}


def gate_of(errors: Errors | None = None, /, *, open_paths: Any = (), **options: Any) -> Gate:
    on_error = Errors() if errors is None else errors
    gate = Gate.of(AccessOptions(**options), open_paths=open_paths, on_error=on_error)
    assert gate is not None
    return gate


def bearer(text: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {text}")]
