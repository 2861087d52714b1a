"""What an endpoint of type ``prometheus`` means: to be scraped, or one of the ways to push."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import SplitResult, urlsplit, urlunsplit

from metalscope.errors import ConfigurationError
from metalscope.option_types import is_loopback, shown_endpoint

if TYPE_CHECKING:
    from metalscope.export.base import ExporterContext, MetricsExporter
    from metalscope.export_options import ExporterOptions

__all__ = ["Meaning", "meaning", "prometheus_exporter"]

PUSHGATEWAY_PORT: Final = 9091
PROMETHEUS_PORT: Final = 9090

# Prometheus and VictoriaMetrics; Cortex, Mimir and Grafana Cloud; Thanos.
_WRITE_ENDINGS: Final = ("write", "/push", "/api/v1/receive")
_PLAIN_PATHS: Final = ("", "/metrics")


@dataclass(frozen=True, slots=True)
class Meaning:
    """``url`` is where to push to, ``None`` for a scrape. ``note`` is a sentence for the person
    who may have meant something else; empty where there is no doubt.
    """

    protocol: Literal["scrape", "remote_write", "pushgateway"]
    url: str | None = None
    note: str = ""


def meaning(options: ExporterOptions) -> Meaning:
    """What is to be done for these options.

    A ``protocol`` says it. Where none is set: no endpoint, or this machine's own ``/metrics``, is
    to be scraped; a path that ends in ``write``, ``/push`` or ``/receive`` is written to; port
    9091 or ``/metrics/job/…`` is a Pushgateway; another machine's root or ``/metrics`` is a
    Prometheus, and is written to at ``/api/v1/write``.

    Raises:
        ConfigurationError: the endpoint is missing, no HTTP URL, or of a path that tells nothing.
    """
    endpoint = options.endpoint
    if options.protocol == "scrape" or (endpoint is None and options.protocol is None):
        return Meaning("scrape")
    if endpoint is None:
        raise _wrong(options, f"endpoint must be set for protocol {options.protocol}")
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https"):
        raise _wrong(options, f"endpoint must be an http or https URL, not {parts.scheme}://…")
    if options.protocol == "pushgateway":
        return Meaning("pushgateway", endpoint)
    path = parts.path.rstrip("/")
    if options.protocol == "remote_write":
        return Meaning("remote_write", _write_url(parts) if path in _PLAIN_PATHS else endpoint)
    return _told_by_endpoint(options, endpoint, parts, path)


def _told_by_endpoint(
    options: ExporterOptions, endpoint: str, parts: SplitResult, path: str
) -> Meaning:
    if path in _PLAIN_PATHS and is_loopback(parts.hostname or ""):
        return Meaning("scrape", note=_doubt_about_own_port(parts))
    if path.endswith(_WRITE_ENDINGS):
        return Meaning("remote_write", endpoint)
    if parts.port == PUSHGATEWAY_PORT or "/metrics/job" in path:
        return Meaning("pushgateway", endpoint)
    if path == "":
        return Meaning("remote_write", _write_url(parts))
    if path == "/metrics":
        url = _write_url(parts)
        return Meaning(
            "remote_write",
            url,
            f"{shown_endpoint(endpoint)} is a page to read, which takes no data: metrics are "
            f"written to {shown_endpoint(url)}, for which that Prometheus has to be started with "
            "--web.enable-remote-write-receiver; with protocol: scrape it has to do the scraping.",
        )
    raise _wrong(
        options,
        f"endpoint {shown_endpoint(endpoint)} does not tell what it takes; set protocol to "
        "scrape, remote_write or pushgateway",
    )


def _doubt_about_own_port(parts: SplitResult) -> str:
    meant = {PUSHGATEWAY_PORT: "pushgateway", PROMETHEUS_PORT: "remote_write"}.get(parts.port or 0)
    if meant is None:
        return ""
    return (
        f"{parts.netloc} is taken as this program's own address, to be scraped; to push to a "
        f"server on this machine set protocol: {meant}."
    )


def _write_url(parts: SplitResult) -> str:
    return urlunsplit((parts.scheme, parts.netloc, "/api/v1/write", parts.query, ""))


def _wrong(options: ExporterOptions, what: str) -> ConfigurationError:
    return ConfigurationError(f"exporter {options.name!r}: {what}")


def prometheus_exporter(context: ExporterContext) -> MetricsExporter | None:
    """The exporter these options mean; ``None`` where a Prometheus scrapes.

    Raises:
        ConfigurationError: see :func:`meaning` and the exporters.
        MissingExtraError: remote write needs protobuf and cramjam.
    """
    meant = meaning(context.options)
    if meant.protocol == "remote_write":
        from metalscope.export.remote_write import RemoteWriteExporter  # noqa: PLC0415

        return RemoteWriteExporter(context, meant.url)
    if meant.protocol == "pushgateway":
        from metalscope.export.pushgateway import PushgatewayExporter  # noqa: PLC0415

        return PushgatewayExporter(context)
    return None
