"""Names of the person and the machine this runs for, found in text by their exact letters."""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from metalscope.sanitizing.hashing import Put

__all__ = ["KnownNames", "host_names", "user_names"]

_SHORTEST: Final = 3

# Accounts of services and roles, and words of this trade: they name nobody.
_NOBODY: Final = frozenset(
    {"root", "admin", "administrator", "user", "users", "runner", "ubuntu", "debian", "centos",
     "fedora", "ec2-user", "azureuser", "vagrant", "docker", "jenkins", "gitlab-runner", "github",
     "nobody", "daemon", "system", "service", "test", "tester", "guest", "default", "home", "app",
     "apps", "work", "worker", "dev", "devel", "developer", "build", "builder", "node", "python",
     "jovyan", "vscode", "codespace", "www-data", "http", "nginx", "postgres", "mysql", "redis",
     "celery", "airflow", "metal", "metalscope", "mlx", "torch", "gpu", "cpu", "mac", "macos",
     "linux", "data", "model", "models", "train", "training", "operator", "ops", "server", "local",
     "shared", "public", "tmp", "var", "opt", "usr", "memory", "device", "kernel", "compiler",
     "execute", "compile", "allocate", "transfer", "synchronize", "error", "log", "logs", "name"}
)  # fmt: skip
_NO_MACHINE: Final = frozenset(
    {"localhost", "localdomain", "macbook", "macmini", "computer", "host"}
)


class KnownNames:
    """Puts something in place of names that stand for themselves, whatever their case."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = sorted({name.lower() for name in names}, key=len, reverse=True)
        letters = r"[^\W_]"
        self._patterns = tuple(
            (name, re.compile(rf"(?<!{letters}){re.escape(name)}(?!{letters})", re.IGNORECASE))
            for name in self._names
        )

    def masked(self, text: str, put: Put, *, lowered: str) -> str:
        """The text, here in lower case too, with what ``put`` gives in place of each name."""
        for name, pattern in self._patterns:
            if name in lowered:
                text = pattern.sub(lambda found: put(found[0]), text)
        return text


def user_names() -> Iterator[str]:
    """The login of the current user, the full name, and the name of the home directory."""
    found: list[str] = [os.environ.get(name, "") for name in ("LOGNAME", "USER", "USERNAME")]
    with suppress(OSError, KeyError, ImportError):
        found.append(getpass.getuser())
    with suppress(OSError, KeyError, ImportError):
        import pwd  # noqa: PLC0415 - not on Windows

        entry = pwd.getpwuid(os.getuid())
        # The first part of the comment field is the full name (passwd(5)).
        found += [entry.pw_name, entry.pw_gecos.partition(",")[0]]
    with suppress(OSError, RuntimeError):
        found.append(Path.home().name)
    for name in found:
        if len(name) >= _SHORTEST and name.lower() not in _NOBODY and not name.isdigit():
            yield name


def host_names() -> Iterator[str]:
    """The name of this machine, whole and without its domain, where it says which one it is."""
    try:
        name = socket.gethostname()
    except OSError:
        return
    for one in {name, name.partition(".")[0]}:
        if len(one) > _SHORTEST and one.lower() not in _NOBODY | _NO_MACHINE:
            yield one
