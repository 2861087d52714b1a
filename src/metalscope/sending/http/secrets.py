"""Where a key comes from: the options, the environment, a file, the keyring."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import ConfigurationError, MissingExtraError
from metalscope.sending.http.outcome import TransportError
from metalscope.sending.http.watched import file_version
from metalscope.sending.result import Reason

if TYPE_CHECKING:
    from pydantic import SecretStr

    from metalscope.sending.peer import PeerOptions

__all__ = ["SecretSource", "secret_source", "source_of"]

_LARGEST_FILE: Final = 64 * 1024
"""Bytes; a key is far smaller, so a larger file is the wrong one."""


class SecretSource(ABC):
    """Gives a key at the moment it is needed. Shows where it is from, never what it is."""

    def __init__(self, shown: str) -> None:
        self._shown = shown

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._shown}>"

    @abstractmethod
    def read(self) -> str:
        """The key as it is now, without white space around it.

        Raises:
            TransportError: there is none, for ``Reason.CONFIGURATION``; the text names the
                variable, file or entry.
        """

    def _missing(self, why: str) -> TransportError:
        return TransportError(Reason.CONFIGURATION, f"there is no key: {self._shown} {why}")

    def _checked(self, text: str) -> str:
        text = text.strip()
        if not text:
            raise self._missing("is empty")
        if not text.isprintable():
            raise self._missing("holds more than one line, or characters no key has")
        return text


def secret_source(options: PeerOptions) -> SecretSource | None:
    """Where the key is from: ``api_key`` or ``api_key_from``; ``None`` for neither.

    Raises:
        ConfigurationError: ``api_key_from`` is of no known form.
        MissingExtraError: it names the keyring, and the library for it is not installed.
    """
    return source_of(options.api_key, options.api_key_from, options.who)


def source_of(
    given: SecretStr | None, kept_in: str | None, who: str, *, option: str = "api_key"
) -> SecretSource | None:
    """The same, of any pair of options.

    Args:
        given: the value of the option ``option``.
        kept_in: that of the one with ``_from`` after its name.
        who: whose options they are, as errors begin.
        option: the name of the first of them.
    """
    if given is not None:
        return _Given(given, option)
    if kept_in is None:
        return None
    form, _, rest = kept_in.partition(":")
    match form:
        case "env":
            return _Variable(rest)
        case "file":
            return _File(Path(rest))
        case "keyring":
            return _Keyring(*rest.split("/", 1))
        case _:
            raise ConfigurationError(
                f"{who}: {option}_from must begin with env:, file: or keyring:"
            )


class _Given(SecretSource):
    def __init__(self, secret: SecretStr, option: str) -> None:
        super().__init__(option)
        self._secret = secret

    def read(self) -> str:
        return self._checked(self._secret.get_secret_value())


class _Variable(SecretSource):
    def __init__(self, name: str) -> None:
        super().__init__(f"the environment variable {name}")
        self._name = name

    def read(self) -> str:
        value = os.environ.get(self._name)
        if value is None:
            raise self._missing("is not set")
        return self._checked(value)


class _File(SecretSource):
    def __init__(self, path: Path) -> None:
        super().__init__(f"the file {path}")
        self._path = path
        self._version: tuple[int, ...] | None = None
        self._key = ""

    def read(self) -> str:
        try:
            path = self._path.expanduser()
            version = file_version(path)
            if not version or version != self._version:
                found = path.stat()
                # Of a pipe or device a read may never end.
                if not stat.S_ISREG(found.st_mode):
                    raise self._missing("is no regular file")
                if found.st_size > _LARGEST_FILE:
                    raise self._missing(f"is larger than {_LARGEST_FILE} bytes")
                self._key, self._version = self._checked(path.read_text("utf-8")), version
        except UnicodeDecodeError:
            raise self._missing("is not UTF-8 text") from None
        except (OSError, RuntimeError) as error:
            why = error.strerror if isinstance(error, OSError) else "has no home directory"
            raise self._missing(f"cannot be read ({why})") from None
        return self._key


class _Keyring(SecretSource):
    def __init__(self, service: str, user: str) -> None:
        super().__init__(f"the entry {user} of {service} in the keyring")
        self._service, self._user = service, user
        try:
            self._keyring: Any = import_module("keyring")
        except ImportError as error:
            raise MissingExtraError("a key in the keyring", "keyring", cause=str(error)) from error

    def read(self) -> str:
        try:
            password = self._keyring.get_password(self._service, self._user)
        except Exception as error:  # noqa: BLE001 - each back end has errors of its own
            raise self._missing(f"cannot be read ({type(error).__name__})") from None
        if password is None:
            raise self._missing("is not there")
        return self._checked(password)
