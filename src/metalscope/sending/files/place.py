"""The file an endpoint names."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from metalscope.errors import ConfigurationError

__all__ = ["path_of"]


def path_of(endpoint: str | None, who: str, *, such_as: str) -> Path:
    """The path in a ``file`` URL (RFC 8089: absolute, percent-encoded).

    Args:
        endpoint: the URL.
        who: whose it is, as an error begins.
        such_as: an example, for the error.

    Raises:
        ConfigurationError: it is no such URL, its directory is not there, or it is no regular file.
    """
    parts = urlsplit(endpoint or "")
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc or parts.query or parts.fragment or not path.name:
        raise ConfigurationError(f"{who}: a file needs an endpoint such as {such_as!r}")
    if not path.parent.is_dir():
        raise ConfigurationError(f"{who}: the directory of endpoint, {path.parent}, is not there")
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"{who}: endpoint {path} is no regular file")
    return path
