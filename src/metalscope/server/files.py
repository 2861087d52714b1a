"""The page's files, read once: what is not listed here cannot be asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

__all__ = ["Asset", "load_assets", "load_description"]

MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, with the entity tag that tells a browser whether it still has it."""

    body: bytes
    media_type: str
    etag: str


def load_assets() -> dict[str, Asset]:
    """Every file of the page by its path, such as ``js/main.js``."""
    web = files("metalscope").joinpath("assets", "web")
    return {path: _asset(file) for path, file in _walk(web, "")}


def load_description() -> Asset:
    """What is served at which address, for machines: an OpenAPI document."""
    return _asset(files("metalscope").joinpath("assets", "openapi.json"))


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        elif _suffix(entry.name) in MEDIA_TYPES:
            yield prefix + entry.name, entry


def _asset(file: Traversable) -> Asset:
    body = file.read_bytes()
    etag = f'"{sha256(body).hexdigest()[:32]}"'
    return Asset(body, MEDIA_TYPES[_suffix(file.name)], etag)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :]
