"""Where documents go in Elasticsearch and OpenSearch: a data stream, or indices by date."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from metalscope.log_options import LogSinkOptions

__all__ = ["BulkSettings", "DataStream"]

# Elasticsearch, "Data streams, naming"; a hyphen would part the three otherwise.
_PART: Final = r"[a-z0-9_][a-z0-9_.]{0,99}"
# Elasticsearch, "Create index, path parameters", and a few of strftime's; not at the beginning,
# lest the template be for the indices of others.
_INDEX: Final = r"[a-z0-9](?:[a-z0-9_.-]|%[YmdHGVj]){0,199}"
_DIRECTIVE: Final = re.compile(r"%[A-Za-z]")
_PARTS: Final = ("type", "dataset", "namespace")


@dataclass(frozen=True, slots=True)
class DataStream:
    """The three parts of a data stream's name, by Elastic's naming scheme."""

    type: str = "logs"
    dataset: str = "metalscope"
    namespace: str = "default"

    @property
    def name(self) -> str:
        """``logs-metalscope-default``."""
        return f"{self.type}-{self.dataset}-{self.namespace}"


@dataclass(frozen=True, slots=True)
class BulkSettings:
    """The settings of one sink.

    ``stream`` is ``None`` where ``index``, a pattern for ``strftime``, names plain indices.
    ``retention`` is how long data are kept, such as ``30d``; ``None`` leaves that alone.
    """

    stream: DataStream | None
    index: str | None
    manage_template: bool
    retention: str | None
    pipeline: str | None
    auth: str

    @classmethod
    def of(cls, options: LogSinkOptions, auths: tuple[str, ...]) -> BulkSettings:
        """Those in the options.

        Args:
            options: whose.
            auths: the ways its key may be sent, the usual one first.

        Raises:
            ConfigurationError: one is unknown or of no use.
        """
        known = {"data_stream", "index", "manage_template", "retention", "pipeline", "auth"}
        settings = Settings(options, known)
        index = settings.text("index", _INDEX, such_as="metalscope-%Y.%m.%d")
        if index is not None and settings.get("data_stream") is not None:
            raise settings.wrong("index", "and settings.data_stream exclude each other")
        if settings.get("auth") is not None and options.user is not None:
            raise settings.wrong("auth", "is for a key without a user")
        return cls(
            stream=_stream(settings) if index is None else None,
            index=index,
            manage_template=settings.flag("manage_template", True),
            retention=settings.text("retention", r"[1-9][0-9]{0,5}[dh]", such_as="30d"),
            pipeline=settings.text("pipeline", r"[^\s/?#]{1,200}", such_as="my-pipeline"),
            auth="basic" if options.user is not None else settings.choice("auth", auths),
        )

    def target(self, timestamp_ns: int) -> str:
        """The data stream, or the index of that moment, in UTC."""
        if self.stream is not None:
            return self.stream.name
        moment = datetime.fromtimestamp(timestamp_ns // 1_000_000_000, UTC)
        return moment.strftime(self.index or "")

    @property
    def template_name(self) -> str:
        """The name of the index template."""
        if self.stream is not None:
            return f"{self.stream.type}-{self.stream.dataset}"
        return _DIRECTIVE.sub("", self.index or "").rstrip(".-_") or "metalscope"

    @property
    def pattern(self) -> str:
        """The names it is for."""
        if self.stream is not None:
            return f"{self.stream.type}-{self.stream.dataset}-*"
        # Only what is written: `metalscope-%Y.%m.%d` is `metalscope-*.*.*`.
        return _DIRECTIVE.sub("*", self.index or "")


def _stream(settings: Settings) -> DataStream:
    given = settings.get("data_stream")
    if given is None:
        return DataStream()
    if not isinstance(given, Mapping):
        raise settings.wrong("data_stream", f"must be a mapping of {', '.join(_PARTS)}")
    for part, value in given.items():
        if part not in _PARTS:
            raise settings.wrong("data_stream", f"has {', '.join(_PARTS)}, not {part!r}")
        if not isinstance(value, str) or not re.fullmatch(_PART, value):
            what = "must be lower-case letters, digits, _ and ., at most 100 of them"
            raise settings.wrong(f"data_stream.{part}", f"{what}, not {value!r}")
    return DataStream(**given)
