"""Options of the page: where its past comes from, what it keeps, and pages of one's own."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from metalscope.option_base import Options
from metalscope.option_types import Bytes, Count, Duration
from metalscope.peer_options import ReachingOptions

__all__ = ["PageOptions", "PageSourceOptions"]


def _source(value: str) -> str:
    kind, _, address = value.partition("=")
    parts = urlsplit(address)
    if kind != "prometheus" or parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be 'prometheus=' and an address, such as prometheus=http://db:9090")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "must be an address without a user, a password or a query; keys have their own options"
        )
    return value


class PageSourceOptions(ReachingOptions):
    """A Prometheus or VictoriaMetrics that the page reads in place of this program's own past."""

    address: Annotated[str, AfterValidator(_source)] | None = Field(
        None,
        description="`prometheus=` and its address, the path before `/api` included; the page then "
        "shows all that is scraped there.",
    )
    timeout: Duration = Field(
        timedelta(seconds=10), description="How long one of its answers may take."
    )

    @property
    def endpoint(self) -> str | None:
        """The address alone."""
        return None if self.address is None else self.address.partition("=")[2]

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return "prometheus"

    @property
    def who(self) -> str:
        """How errors begin that are about it."""
        return "server.page.source"


class PageOptions(Options):
    """The page beyond the live figures: its past, the tail of the log, traces, own pages."""

    keep_past: bool = Field(
        True,
        description="Whether the last hours are kept in a temporary file, which is removed at the "
        "end, where `history.path` names none.",
    )
    max_past_bytes: Bytes = Field(
        64 * 1024 * 1024, description="Most bytes of that file; a count. The oldest goes first."
    )
    log_records: Count = Field(
        1000, description="Latest log records that the page can show; a count."
    )
    spans: Count = Field(
        5000, description="Latest spans, of traces that are kept, that it can show; a count."
    )
    descriptions: tuple[Path, ...] = Field(
        (),
        description="Pages of your own: files in YAML, or directories of them; see "
        "[pages of your own](pages.md).",
    )
    source: PageSourceOptions = Field(
        PageSourceOptions.defaults(), description="Where else the past is read from."
    )
