"""Secrets that are known by their exact text: found in every form they are written in."""

from __future__ import annotations

import base64
import html
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus, urlsplit

from metalscope.sanitizing.hashing import Put
from metalscope.sanitizing.keys import Naming, SecretNames

if TYPE_CHECKING:
    from metalscope.options import MetalTelemetryOptions

__all__ = ["SHORTEST_SECRET", "KnownSecrets", "secrets_of"]

SHORTEST_SECRET: Final = 4
"""Characters; what is shorter is no key, and would be found in any text."""

_MOST: Final = 256
_SHORTEST_CODED: Final = 6
_DEEPEST: Final = 8


class KnownSecrets:
    """Puts something in place of exact texts, also where they are escaped or encoded.

    Of more than 256 those given first are forgotten.
    """

    def __init__(self) -> None:
        self._secrets: dict[str, None] = {}
        self._forms: tuple[tuple[str, str], ...] = ()
        self._coded: tuple[tuple[str, str], ...] = ()
        self.longest = 0
        """Characters of the longest form."""
        self._shortest = self._shortest_coded = sys.maxsize

    def __repr__(self) -> str:
        return f"<KnownSecrets: {len(self._secrets)}>"

    def __len__(self) -> int:
        return len(self._secrets)

    def add(self, secret: str) -> bool:
        """Know this one too; ``False`` where it was known, or is too short to be one."""
        if len(secret) < SHORTEST_SECRET or secret in self._secrets or secret.isspace():
            return False
        self._secrets[secret] = None
        # Without a lock, which a fork might leave held: whoever was overtaken builds once more.
        while True:
            secrets = list(self._secrets)
            for old in secrets[:-_MOST]:
                self._secrets.pop(old, None)
            self._forms = _ordered(secrets[-_MOST:], _forms)
            self._coded = _ordered(secrets[-_MOST:], _coded)
            self._shortest = min(len(form) for form, _ in self._forms)
            self._shortest_coded = min((len(form) for form, _ in self._coded), default=sys.maxsize)
            self.longest = max(len(form) for form, _ in self._forms + self._coded)
            if list(self._secrets)[-1:] == secrets[-1:]:
                return True

    def masked(self, text: str, put: Put, *, longest: int) -> str:
        """The text with what ``put`` gives for a secret in place of each form of it.

        ``longest`` is how many characters the text has between white space at most.
        """
        if len(text) >= self._shortest:
            for form, secret in self._forms:
                if form in text:
                    text = text.replace(form, put(secret))
        if longest >= self._shortest_coded:
            for form, secret in self._coded:
                if form in text:
                    text = text.replace(form, put(secret))
        return text


def _ordered(
    secrets: Sequence[str], forms_of: Callable[[str], Iterable[str]]
) -> tuple[tuple[str, str], ...]:
    forms = {form: one for one in secrets for form in forms_of(one)}
    # The longest first: one may be a part of another.
    return tuple(sorted(forms.items(), key=lambda pair: len(pair[0]), reverse=True))


def _forms(secret: str) -> set[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    quoted = {
        quote(raw, safe=""), quote(raw), quote_plus(raw), html.escape(secret),
        json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1], repr(raw)[2:-1],
    }  # fmt: skip
    quoted |= {re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), one) for one in quoted}
    # JSON within a text of JSON.
    quoted |= {json.dumps(one, ensure_ascii=False)[1:-1] for one in quoted}
    return {secret} | {one for one in quoted if len(one) >= SHORTEST_SECRET}


def _coded(secret: str) -> set[str]:
    raw = secret.encode("utf-8", "surrogatepass")
    if len(raw) < _SHORTEST_CODED:
        return set()
    return {raw.hex(), raw.hex().upper(), *_in_base64(raw)}


def _in_base64(raw: bytes) -> Iterator[str]:
    # RFC 4648: three bytes are four characters, so within a longer text it begins at one of three
    # places of a group; the characters it shares with its neighbours are left out.
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + raw).decode()
        form = coded[(0, 2, 3)[before] : 8 * (before + len(raw)) // 6]
        if len(form) >= _SHORTEST_CODED:
            yield form
            yield form.translate({ord("+"): "-", ord("/"): "_"})


def secrets_of(options: MetalTelemetryOptions) -> list[str]:
    """Every secret in these options: keys, headers, targets, and those kept in the environment.

    What ``…_from`` names is read where that is an environment variable or a file that is there;
    a keyring is not asked. In ``settings``, values count whose names are those of secrets.
    """
    found: dict[str, None] = {}
    for secret in _walk(options, SecretNames(), 0):
        found.update(dict.fromkeys(one for one in _parts(secret) if len(one) >= SHORTEST_SECRET))
    return list(found)


def _walk(value: Any, names: SecretNames, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        return
    reveal = getattr(value, "get_secret_value", None)
    if reveal is not None:
        revealed = reveal()
        yield revealed if isinstance(revealed, str) else str(revealed)
        return
    fields = getattr(type(value), "model_fields", None)
    pairs: Iterable[tuple[Any, Any]] = ()
    if fields is not None:
        pairs = [(name, getattr(value, name, None)) for name in fields]
    elif isinstance(value, Mapping):
        pairs = value.items()
        for name, part in pairs:
            secret = isinstance(name, str) and names.naming(name) is Naming.SECRET
            if secret and isinstance(part, str):
                yield part
    elif isinstance(value, list | tuple | set | frozenset):
        pairs = [("", part) for part in value]
    for name, part in pairs:
        if isinstance(part, str):
            if isinstance(name, str) and name.endswith("_from"):
                yield from _kept(part)
        else:
            yield from _walk(part, names, depth + 1)


def _kept(source: str) -> Iterator[str]:
    if not source.startswith(("env:", "file:")):
        return
    from metalscope.errors import MetalscopeError  # noqa: PLC0415 - only where one is kept so
    from metalscope.sending.http.outcome import TransportError  # noqa: PLC0415 - the same
    from metalscope.sending.http.secrets import source_of  # noqa: PLC0415 - the same

    try:
        found = source_of(None, source, "secret")
        if found is not None:
            yield found.read()
    except (TransportError, MetalscopeError):
        return  # whoever needs it tells that it is not there


def _parts(secret: str) -> Iterator[str]:
    yield secret
    scheme, _, rest = secret.partition(" ")
    if scheme.isalpha() and rest:
        # The credentials of an HTTP header such as Authorization (RFC 9110, 11.4).
        yield rest.strip()
        if scheme.lower() == "basic":
            try:
                yield base64.b64decode(rest, validate=True).decode().partition(":")[2]
            except ValueError:
                return
    if "://" in secret:
        try:
            parts = urlsplit(secret)
            password = parts.password
        except ValueError:
            return
        if password:
            yield password
        # The key of a chat's webhook is the last part of its path.
        last = parts.path.rpartition("/")[2]
        if len(last) >= 16:
            yield last
