"""Sanitizer: takes what is secret or private out of texts, fields, records and spans."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from metalscope.errors import ConfigurationError
from metalscope.sanitizing.external import FIELDS_LEFT_OUT, ExternalFields
from metalscope.sanitizing.hashing import Put, hashed, redacted
from metalscope.sanitizing.keys import Globs, SecretNames
from metalscope.sanitizing.people import KnownNames, host_names, user_names
from metalscope.sanitizing.secrets import KnownSecrets, secrets_of
from metalscope.sanitizing.texts import TextCleaner
from metalscope.sanitizing.unchanged import Unchanged
from metalscope.sanitizing.walking import Walk

if TYPE_CHECKING:
    from metalscope.export_options import Audience
    from metalscope.logs.record import LoggedException, LogRecord
    from metalscope.sanitizing_options import SanitizingOptions
    from metalscope.traces.span import FinishedSpan

__all__ = ["Sanitizer", "secrets_of"]

_MOST_STACK_TRACE: Final = 32_768
_EXTERNAL: Final = "external"
"""That of :class:`~metalscope.export_options.Audience`, which is not loaded for it."""

_ID: Final = re.compile(r"[0-9A-Fa-f-]{1,128}")


class Sanitizer:
    """Takes secrets and what points to persons, machines and accounts out of what leaves.

    Any thread may use it, without waiting. It never raises.

    Args:
        options: what else is taken out, and what is put in its place.
        secrets: exact texts that are taken out wherever they are, such as the keys of the options;
            those shorter than four characters are let be.

    Raises:
        ConfigurationError: there is no key where ``hash_key_from`` says.
        MissingExtraError: it names the keyring, and the library for it is not installed.
    """

    def __init__(self, options: SanitizingOptions, *, secrets: Iterable[str] = ()) -> None:
        self._mode = options.mode
        put = _put_of(options)
        known = KnownSecrets()
        names = SecretNames(options.keys)
        patterns = tuple(re.compile(pattern) for pattern in options.patterns.values())
        people = list(user_names())
        self._known = known
        self._inside = TextCleaner(put, known, names, KnownNames(people), patterns)
        outside = KnownNames([*people, *host_names()])
        self._outside = TextCleaner(put, known, names, outside, patterns)
        self._keep = Globs(options.keep)
        self._external = ExternalFields(options.external_fields)
        self._put = put
        self._names = names
        self._unchanged_inside = self._unchanged(self._inside, None)
        self._unchanged_outside = self._unchanged(self._outside, self._external)
        for secret in secrets:
            self.add_secret(secret)

    def __repr__(self) -> str:
        return f"<Sanitizer {self._mode}, knows {len(self._known)} secrets>"

    def add_secret(self, secret: str) -> None:
        """Take this text out wherever it is, from now on."""
        if self._known.add(secret):
            self._inside.forget()
            self._outside.forget()
            self._unchanged_inside.forget()
            self._unchanged_outside.forget()

    def text(self, text: str) -> str:
        """The text without what is secret or private by its look, or known to be."""
        return self._inside.cleaned(text)

    def attributes(self, attributes: Mapping[str, Any], audience: Audience) -> dict[str, Any]:
        """The fields as JSON's values, sanitized by their names and by their looks, to any depth.

        For an external audience only those that may be sent to it; how many were left out is then
        said in ``metalscope.fields_left_out``.
        """
        return self._fields(attributes, audience, 0)

    def record(self, record: LogRecord, audience: Audience) -> LogRecord:
        """The record as it may be sent to this audience; the very same where nothing is changed."""
        external = audience == _EXTERNAL
        unchanged = self._unchanged_outside if external else self._unchanged_inside
        if unchanged.is_record(record):
            return record
        clean = self._cleaner(audience).cleaned
        left_out = 0
        exception = record.exception
        if exception is not None:
            exception, left_out = self._exception(exception, audience)
        attributes = record.attributes
        if attributes or left_out:
            attributes = self._fields(attributes, audience, left_out)
        return replace(
            record,
            body=clean(record.body),
            event=clean(record.event),
            logger=clean(record.logger),
            attributes=attributes,
            correlation_id=self._id(record.correlation_id, audience),
            exception=exception,
            thread=clean(record.thread),
        )

    def span(self, span: FinishedSpan, audience: Audience) -> FinishedSpan:
        """The span as it may be sent to this audience."""
        clean = self._cleaner(audience).cleaned
        state = span.trace_state
        return replace(
            span,
            name=clean(span.name),
            attributes=self._fields(span.attributes, audience, 0),
            error=clean(span.error),
            events=tuple(
                replace(
                    one,
                    name=clean(one.name),
                    attributes=self._fields(one.attributes, audience, 0),
                )
                for one in span.events
            ),
            links=tuple(
                replace(one, attributes=self._fields(one.attributes, audience, 0))
                for one in span.links
            ),
            # With a part of it masked, it would say something else (W3C Trace Context, 3.3).
            trace_state=state if not state or clean(state) == state else "",
            correlation_id=self._id(span.correlation_id, audience),
            thread_name=clean(span.thread_name),
        )

    def _unchanged(self, cleaner: TextCleaner, external: ExternalFields | None) -> Unchanged:
        return Unchanged(
            cleaner, self._names, self._keep, external, lambda text: _id(text, cleaner)
        )

    def _cleaner(self, audience: Audience) -> TextCleaner:
        return self._outside if audience == _EXTERNAL else self._inside

    def _fields(
        self, attributes: Mapping[str, Any], audience: Audience, left_out: int
    ) -> dict[str, Any]:
        if not attributes and not left_out:
            return {}
        external = audience == _EXTERNAL
        walk = Walk(
            self._cleaner(audience),
            self._names,
            self._put,
            self._keep,
            self._external if external else None,
        )
        fields = walk.fields(attributes)
        left_out += walk.left_out
        if left_out:
            before = fields.get(FIELDS_LEFT_OUT)
            fields[FIELDS_LEFT_OUT] = left_out + (before if isinstance(before, int) else 0)
        return fields

    def _exception(
        self, exception: LoggedException, audience: Audience
    ) -> tuple[LoggedException, int]:
        cleaner = self._cleaner(audience)
        message, trace, left_out = exception.message, exception.stacktrace, 0
        if audience == _EXTERNAL:
            if message and not self._external.allows("exception.message", "exception.message"):
                message, left_out = "", left_out + 1
            if trace and not self._external.allows("exception.stacktrace", "exception.stacktrace"):
                trace, left_out = None, left_out + 1
        cleaned = replace(
            exception,
            type=cleaner.cleaned(exception.type),
            message=cleaner.cleaned(message),
            stacktrace=None if trace is None else cleaner.cleaned(trace, most=_MOST_STACK_TRACE),
        )
        return cleaned, left_out

    def _id(self, text: str | None, audience: Audience) -> str | None:
        return text and _id(text, self._cleaner(audience))


def _id(text: str, cleaner: TextCleaner) -> str:
    return cleaner.known_only(text) if _ID.fullmatch(text) else cleaner.cleaned(text)


def _put_of(options: SanitizingOptions) -> Put:
    if options.mode == "redact":
        return redacted
    from metalscope.sending.http.outcome import TransportError  # noqa: PLC0415 - only for hashes
    from metalscope.sending.http.secrets import source_of  # noqa: PLC0415 - the same

    source = source_of(options.hash_key, options.hash_key_from, "sanitizing", option="hash_key")
    try:
        return hashed(os.urandom(32) if source is None else source.read().encode())
    except TransportError as error:
        raise ConfigurationError(f"sanitizing: {error}") from None
