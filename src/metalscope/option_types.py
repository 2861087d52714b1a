"""The types options are made of: durations within bounds, percentages, ports, endpoints."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr

from metalscope.durations import format_duration, parse_duration

__all__ = [
    "Bytes",
    "Count",
    "CountOrZero",
    "Duration",
    "DurationOrZero",
    "Endpoint",
    "ExporterEndpoint",
    "LogEndpoint",
    "Milliseconds",
    "NotificationTarget",
    "Percent",
    "Port",
    "Rate",
    "SecretHeaders",
    "endpoint_host",
    "is_loopback",
    "shown_endpoint",
    "with_different_names",
]


class _HasName(Protocol):
    name: str


_Named = TypeVar("_Named", bound=_HasName)


def is_loopback(host: str) -> bool:
    """Whether a server bound to this host can only be reached from this machine."""
    if host.casefold() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def endpoint_host(url: str) -> str:
    """The host in a URL, without the brackets of IPv6; empty where the text has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def shown_endpoint(url: str) -> str:
    """The URL without what may be secret in it: user, password, query and fragment."""
    # A password may itself hold "/" or "?", so all before the last "@" goes first.
    shown = re.sub(r"(://).*@", r"\1…@", url, flags=re.DOTALL)
    return re.sub(r"[?#].*", "?…", shown, flags=re.DOTALL)


def _web_endpoint(url: str) -> str:
    return _endpoint(url, {"http", "https", "grpc"})


def _endpoint(url: str, schemes: Collection[str]) -> str:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.scheme not in schemes or re.search(r"\s", url):
        raise ValueError("must be a URL such as 'https://host:port/path'")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user or password: endpoints are shown, put it in headers")
    return url


# Beyond HTTP: gRPC, datagrams, and a file on this machine.
_EXPORTER_SCHEMES: Final = {"http", "https", "grpc", "grpcs", "udp", "unix", "file"}


def _exporter_endpoint(url: str) -> str:
    return _endpoint_or_path(url, _EXPORTER_SCHEMES)


def _log_endpoint(url: str) -> str:
    # Syslog is sent over these two as well.
    return _endpoint_or_path(url, _EXPORTER_SCHEMES | {"tcp", "tls"})


def _endpoint_or_path(url: str, schemes: Collection[str]) -> str:
    scheme, separator, rest = url.partition("://")
    if scheme in {"unix", "file"} and separator:
        if not rest.startswith("/"):
            raise ValueError(f"must be '{scheme}:///absolute/path'")
        return url
    return _endpoint(url, schemes)


def _notification_target(target: SecretStr) -> SecretStr:
    from metalscope.alerts.notify.targets import recognise  # noqa: PLC0415 - only where one is named

    if recognise(target.get_secret_value()) is None:
        raise ValueError(
            "must be the URL of a webhook, e-mail addresses with commas between, PagerDuty's "
            "integration key or a URL of Apprise"
        )
    return target


def _headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    # RFC 9110, 5.1 and 5.5: a line break in either would end the header and begin another.
    # Neither is quoted in the error: a key is often put into the wrong one of the two.
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise ValueError("must have names that are HTTP header names")
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value.get_secret_value()):
            raise ValueError("must have values without control characters")
    return headers


def with_different_names(items: tuple[_Named, ...]) -> tuple[_Named, ...]:
    """Refuse a list in which two have the same name; those that have none yet are not looked at."""
    names = [one.name for one in items if one.name]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"must have different names; given twice: {', '.join(twice)}")
    return items


def _positive(duration: timedelta) -> timedelta:
    if duration <= timedelta():
        raise ValueError("must be longer than zero")
    return duration


def _not_negative(duration: timedelta) -> timedelta:
    if duration < timedelta():
        raise ValueError("must not be negative")
    return duration


def _number(value: object) -> object:
    # True counts as 1 in Python; as a port or a threshold it is a mistake.
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")  # noqa: TRY004 - pydantic's own
    return value


# Written as units: Pydantic's own ISO form counts years, which nobody reads back the same.
_Length = Annotated[timedelta, PlainSerializer(format_duration, return_type=str, when_used="json")]

Duration = Annotated[_Length, BeforeValidator(parse_duration), AfterValidator(_positive)]
DurationOrZero = Annotated[_Length, BeforeValidator(parse_duration), AfterValidator(_not_negative)]
Percent = Annotated[float, BeforeValidator(_number), Field(ge=0, le=100)]
Rate = Annotated[float, BeforeValidator(_number), Field(ge=0, le=1)]
Milliseconds = Annotated[float, BeforeValidator(_number), Field(gt=0)]
Count = Annotated[int, BeforeValidator(_number), Field(ge=1, le=1_000_000)]
CountOrZero = Annotated[int, BeforeValidator(_number), Field(ge=0, le=1_000_000)]
Port = Annotated[int, BeforeValidator(_number), Field(ge=0, le=65_535)]
Bytes = Annotated[int, BeforeValidator(_number), Field(ge=65_536, le=2**50)]
Endpoint = Annotated[str, AfterValidator(_web_endpoint)]
ExporterEndpoint = Annotated[str, AfterValidator(_exporter_endpoint)]
LogEndpoint = Annotated[str, AfterValidator(_log_endpoint)]
SecretHeaders = Annotated[dict[str, SecretStr], AfterValidator(_headers)]
NotificationTarget = Annotated[SecretStr, AfterValidator(_notification_target)]
