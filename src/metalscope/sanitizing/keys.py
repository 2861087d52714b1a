"""Which field names say that their value is a secret, however they are written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from fnmatch import fnmatchcase
from typing import Final

__all__ = ["Globs", "Naming", "SecretNames", "is_number_of", "words_of"]

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^\W\d_A-Za-z]+")
_LONGEST_NAME: Final = 128
_MOST_NAMES: Final = 2048
# Words of programs; a name of another form may itself hold a secret, and is not remembered.
_REMEMBERED: Final = re.compile(r"[A-Za-z_.-]{1,64}")

# Wherever they are in the name, written with or without a separator.
_STEMS: Final = (
    "password", "passwd", "passphrase", "passwort", "kennwort", "contrasena", "motdepasse",
    "secret", "credential", "cookie", "bearer", "authorization", "authorisation",
    "apikey", "appkey", "applicationkey", "accesskey", "privatekey", "signingkey",
    "encryptionkey", "masterkey", "accountkey", "sharedkey", "sharedaccess", "authkey", "sshkey",
    "storagekey", "instrumentationkey", "ingestionkey", "integrationkey", "routingkey",
    "subscriptionkey", "functionskey", "licensekey", "licencekey", "sessionkey", "secretkey",
    "sessionid", "connectionstring", "connstr", "webhookurl", "cardnumber", "creditcard",
    "pincode", "onetimecode",
)  # fmt: skip

# As a word of its own.
_WORDS: Final = frozenset(
    {"pwd", "token", "creds", "jwt", "otp", "totp", "dsn", "csrf", "xsrf", "cvv", "cvc", "ssn",
     "iban"}
)  # fmt: skip

# As the last word, and only of a value that is no number: a render pass, signal 15.
_LAST: Final = frozenset({"pass", "auth", "sig", "signature", "session", "webhook", "passcode"})

# `pass` and `signature` are words of this trade too.
_OTHER_PASSES: Final = frozenset(
    {"forward", "backward", "render", "compute", "kernel", "function", "call", "type", "method",
     "shader", "train", "training", "eval", "compiler", "first", "second", "last", "next", "blit",
     "op", "operation", "input", "output"}
)  # fmt: skip

_MEASURES: Final = frozenset(
    {"count", "counts", "num", "n", "max", "min", "avg", "mean", "total", "size", "len", "length",
     "bytes", "ns", "us", "ms", "s", "seconds", "minutes", "hours", "rate", "ratio", "percent",
     "limit", "budget", "per", "used", "remaining", "index", "idx", "position", "age", "ttl",
     "expiry", "expires", "expiration", "timeout", "latency", "duration", "throughput", "tokens"}
)  # fmt: skip

_TOKEN_IDS: Final = frozenset({"id", "ids", "type", "types", "mask"})
"""What a language model calls so: ``token_ids`` are whole numbers of its vocabulary."""


class Naming(Enum):
    """What a name says of its value."""

    NOTHING = 0
    SECRET = 1
    """It is a secret, whatever it is."""
    MEASURE = 2
    """It is a secret unless it is a number: ``token_count``."""
    WEAK = 3
    """It is a secret where it is text."""
    CHOSEN = 4
    """The options name it."""


def words_of(name: str) -> list[str]:
    """The words of a name in lower case: ``X-Api_keyId`` has ``x``, ``api``, ``key``, ``id``."""
    return [word.lower() for word in _WORD.findall(name[-_LONGEST_NAME:])]


class Globs:
    """Shell globs over names, for which case does not matter, nor what is between the words.

    ``*_card`` is ``idCard`` and ``ID.card`` too, but not ``card`` or ``discard``.
    """

    def __init__(self, globs: Iterable[str]) -> None:
        globs = tuple(globs)
        self._names = {_closed_up(glob) for glob in globs if not _WILD.search(glob)}
        self._globs = tuple(_parted_glob(glob) for glob in globs if _WILD.search(glob))

    def __bool__(self) -> bool:
        return bool(self._names or self._globs)

    def match(self, *names: str) -> bool:
        """Whether one of them matches one of these names."""
        if self._names and any(_closed_up(name) in self._names for name in names):
            return True
        if not self._globs:
            return False
        parted = [_parted(name) for name in names]
        return any(fnmatchcase(name, glob) for glob in self._globs for name in parted)


class SecretNames:
    """Tells from a name whether what it names is a secret.

    Args:
        chosen: globs of further names.
    """

    def __init__(self, chosen: Iterable[str] = ()) -> None:
        self._chosen = Globs(chosen)
        self._known: dict[str, Naming] = {}

    @property
    def has_chosen(self) -> bool:
        """Whether any further names are given."""
        return bool(self._chosen)

    def naming(self, name: str, path: str = "") -> Naming:
        """What the name says, or the ``path`` of names that leads to it, with dots between."""
        found = self._known.get(name)
        if found is None:
            found = self._judge(name)
            if len(self._known) >= _MOST_NAMES:
                self._known = {}
            if _REMEMBERED.fullmatch(name):
                self._known[name] = found
        if found is Naming.NOTHING and path and self._chosen and self._chosen.match(path):
            return Naming.CHOSEN
        return found

    def _judge(self, name: str) -> Naming:
        words = words_of(name)
        found = _judged(words)
        if found is Naming.NOTHING and self._chosen and self._chosen.match(name):
            return Naming.CHOSEN
        return found


def _judged(words: list[str]) -> Naming:
    # `api_key_from` says where it is kept.
    if not words or words[-1] == "from":
        return Naming.NOTHING
    joined = "".join(words)
    of_tokens = any(word.endswith(("token", "tokens")) for word in words)
    if of_tokens or any(stem in joined for stem in _STEMS) or not _WORDS.isdisjoint(words):
        if words[-2:-1] == ["token"] and words[-1] in _TOKEN_IDS:
            return Naming.NOTHING if words[-1].startswith("type") else Naming.MEASURE
        return Naming.SECRET if _MEASURES.isdisjoint(words) else Naming.MEASURE
    if words[-1] in _LAST and _OTHER_PASSES.isdisjoint(words[:-1]):
        return Naming.WEAK
    return Naming.NOTHING


def is_number_of(value: object) -> bool:
    """Whether it is a number, or a list that holds nothing else."""
    if isinstance(value, list | tuple):
        return bool(value) and all(is_number_of(one) for one in value[:100])
    return isinstance(value, int | float)


_WILD: Final = re.compile(r"[*?\[]")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_CLOSED_UP: Final = {ord(character): None for character in "-_. "}
_PARTED: Final = {ord(character): "_" for character in "-. "}


def _closed_up(name: str) -> str:
    return name.translate(_CLOSED_UP).lower()


def _parted(name: str) -> str:
    return _HUMP.sub("_", name).translate(_PARTED).lower()


def _parted_glob(glob: str) -> str:
    # What stands in brackets is a set of characters, in which "-" is a range.
    parts = re.split(r"(\[[^\]]*\])", glob)
    return "".join(part.lower() if part.startswith("[") else _parted(part) for part in parts)
