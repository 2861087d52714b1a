"""Which resource of Application Insights is meant, and where it is reached."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from metalscope.errors import ConfigurationError

if TYPE_CHECKING:
    from metalscope.export_options import ExporterOptions

__all__ = ["DEFAULT_ENDPOINT", "VARIABLE", "Address"]

DEFAULT_ENDPOINT: Final = "https://dc.services.visualstudio.com"
"""Where Azure takes telemetry of resources whose connection string names no other place."""

VARIABLE: Final = "APPLICATIONINSIGHTS_CONNECTION_STRING"
"""Where Azure's own tools look for the connection string."""

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PATH_OF_THE_PROTOCOL: Final = re.compile(r"(/v2(\.1)?/track)?/*$")


@dataclass(frozen=True, slots=True)
class Address:
    """``key`` is the instrumentation key, ``endpoint`` a URL without the protocol's own path."""

    key: str = field(repr=False)
    endpoint: str

    @classmethod
    def of(
        cls, options: ExporterOptions, secret: str | None, environment: Mapping[str, str]
    ) -> Address:
        """Read it from the options' key, else from the environment's connection string.

        An endpoint in the options goes before the one in the connection string.

        Raises:
            ConfigurationError: there is no key, or it is neither a connection string nor an
                instrumentation key. The text does not quote it.
        """
        text = secret or environment.get(VARIABLE, "").strip()
        if not text:
            raise _wrong(options, f"needs api_key, api_key_from or {VARIABLE}")
        said = _connection_string(text) if "=" in text else {"instrumentationkey": text}
        key = said.get("instrumentationkey", "").lower()
        if not _UUID.fullmatch(key):
            raise _wrong(
                options,
                "the key must be a connection string of Application Insights, or the "
                "instrumentation key in it, which is a UUID",
            )
        endpoint = options.endpoint or _endpoint(said) or DEFAULT_ENDPOINT
        if urlsplit(endpoint).scheme not in {"http", "https"}:
            raise _wrong(options, "the endpoint must be a URL such as 'https://host'")
        return cls(key, _PATH_OF_THE_PROTOCOL.sub("", endpoint))


def _connection_string(text: str) -> dict[str, str]:
    # Azure Monitor, "Connection strings in Application Insights", Schema: key=value separated by
    # semicolons, keys in any case.
    pairs = (pair.partition("=") for pair in text.split(";"))
    return {key.strip().lower(): value.strip() for key, _, value in pairs if key.strip()}


def _endpoint(said: Mapping[str, str]) -> str | None:
    # The same page: an explicit endpoint, else one by suffix and region.
    if "ingestionendpoint" in said:
        return said["ingestionendpoint"]
    if "endpointsuffix" in said:
        region = f"{said['location']}." if "location" in said else ""
        return f"https://{region}dc.{said['endpointsuffix']}"
    return None


def _wrong(options: ExporterOptions, what: str) -> ConfigurationError:
    return ConfigurationError(f"exporter {options.name!r}: {what}")
