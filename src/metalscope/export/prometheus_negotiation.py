"""Which form of exposition a scraper is given: what its ``Accept`` header asks for.

Source: RFC 9110, section 12.5.1; the forms are those a Prometheus asks for (Prometheus
documentation, "Content negotiation").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["OPENMETRICS", "PROTOBUF", "TEXT_FORMS", "Form", "names_protobuf", "negotiate"]


@dataclass(frozen=True, slots=True)
class Form:
    """A format that can be had.

    ``parameters`` tell it from others of its media type. ``default`` is the one meant where a
    header gives none of them. ``escapes`` says that a scraper may ask for an escaping of names.
    """

    media_type: str
    parameters: Mapping[str, str]
    default: bool
    escapes: bool = True
    charset: str | None = "utf-8"


class _Range(NamedTuple):
    """One media range of an ``Accept`` header."""

    media_type: str
    parameters: dict[str, str]
    quality: float


PROTOBUF: Final = Form(
    "application/vnd.google.protobuf",
    {"proto": "io.prometheus.client.MetricFamily", "encoding": "delimited"},
    default=False,
    charset=None,
)
OPENMETRICS: Final = Form("application/openmetrics-text", {"version": "1.0.0"}, default=True)
_CLASSIC: Final = Form("text/plain", {"version": "0.0.4"}, default=True, escapes=False)
TEXT_FORMS: Final = (OPENMETRICS, Form("text/plain", {"version": "1.0.0"}, default=False), _CLASSIC)
"""Best first, for a header that likes several equally well. Protobuf is better than all."""

# No name of ours needs escaping, so under each of these schemes the names are the same. "dots" is
# not among them: it would double every underscore.
_ESCAPING_SCHEMES: Final = frozenset({"allow-utf-8", "underscores", "values"})


def names_protobuf(accept: str) -> bool:
    """Whether a header so much as mentions the form that takes a library to write."""
    return PROTOBUF.media_type in accept.lower()


def negotiate(accept: str, forms: Sequence[Form] = TEXT_FORMS) -> tuple[Form, str]:
    """Choose a form and say its content type.

    Of the ranges that fit a form the most specific one gives its quality. ``*/*`` alone names no
    form; it is answered with the classic one, which everything can read.
    """
    ranges = list(_ranges(accept))
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen, asked = _CLASSIC, None
    for position, form in enumerate(forms):
        fitting = [(_specificity(one, form), one) for one in ranges]
        specificity, match = max(
            ((s, one) for s, one in fitting if s), key=lambda fit: fit[0], default=(0, None)
        )
        if match is None:
            continue
        rank = (match.quality, specificity, position if specificity == 1 else -position)
        if match.quality > 0 and rank > best:
            best, chosen, asked = rank, form, match
    parameters = dict(chosen.parameters)
    if chosen.charset:
        parameters["charset"] = chosen.charset
    escaping = asked.parameters.get("escaping") if asked else None
    if escaping and chosen.escapes:
        parameters["escaping"] = escaping if escaping in _ESCAPING_SCHEMES else "underscores"
    return chosen, "; ".join([chosen.media_type, *(f"{k}={v}" for k, v in parameters.items())])


def _specificity(one: _Range, form: Form) -> int:
    """How closely a range names a form: 0 not at all, 1 by ``*/*``, up to 4 by its parameters."""
    given = {key: one.parameters[key] for key in form.parameters if key in one.parameters}
    if one.media_type == form.media_type:
        if not given:
            return 3 if form.default else 0
        return 4 if given == form.parameters else 0
    if not form.default:
        return 0
    if one.media_type == form.media_type.partition("/")[0] + "/*":
        return 2
    return 1 if one.media_type == "*/*" else 0


def _ranges(accept: str) -> Iterator[_Range]:
    for part in accept.split(","):
        media_type, *rest = (piece.strip() for piece in part.split(";"))
        parameters = {}
        for piece in rest:
            key, _, value = piece.partition("=")
            parameters[key.strip().lower()] = value.strip().strip('"')
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            continue
        if 0 <= quality <= 1:
            yield _Range(media_type.lower(), parameters, quality)
