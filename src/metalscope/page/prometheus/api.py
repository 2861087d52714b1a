"""The HTTP API of Prometheus, which VictoriaMetrics answers too.

https://prometheus.io/docs/prometheus/latest/querying/api/; VictoriaMetrics, "Prometheus querying
API usage".
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from metalscope.page.prometheus.steps import Steps, number
from metalscope.page.source import SourceError
from metalscope.sending.http.transport import HttpAnswer, HttpTransport, TransportError, judge

if TYPE_CHECKING:
    from metalscope.page_options import PageSourceOptions

__all__ = ["Answered", "PrometheusApi", "RefusedQueryError"]

_LARGEST_ANSWER: Final = 32 * 1024 * 1024
_FORM: Final = "application/x-www-form-urlencoded"
_NO_ANSWER: Final = "with what is no answer of Prometheus's API; is this its address?"


class RefusedQueryError(SourceError):
    """Prometheus does not take the query; ``words`` are its own."""

    def __init__(self, message: str, words: str) -> None:
        super().__init__(message)
        self.words = words


@dataclass(frozen=True, slots=True)
class Answered:
    """One series of an answer; the samples are (seconds since the epoch, value)."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[float, float | None]]

    @property
    def value(self) -> float | None:
        """The only value of an instant's answer, the last of others."""
        return self.samples[-1][1] if self.samples else None


class PrometheusApi:
    """Asks one Prometheus. Any thread may ask.

    Each method raises :class:`~metalscope.page.source.SourceError` where there is no answer, with
    the peer's name and no secret, and :class:`RefusedQueryError` where there is one that says that
    the query is wrong.
    """

    def __init__(self, transport: HttpTransport, *, who: str, timeout: timedelta) -> None:
        self._transport = transport
        self._who = who
        self._seconds = timeout.total_seconds()

    @classmethod
    def of(cls, options: PageSourceOptions) -> PrometheusApi:
        """Of the options.

        Raises:
            ConfigurationError: the address, a header, the proxy or a file of TLS is not usable.
            MissingExtraError: the key is in the keyring, and the library for it is not installed.
        """
        transport = HttpTransport.of(
            options, timeout=options.timeout, largest_answer=_LARGEST_ANSWER
        )
        return cls(transport, who=options.who, timeout=options.timeout)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def at(self, query: str, moment: float) -> list[Answered]:
        """What a query says at one moment, in seconds since the epoch.

        A selector with a range gives all samples in it.
        """
        return self._asked("/api/v1/query", {"query": query, "time": f"{moment:.3f}"})

    def over(self, query: str, steps: Steps) -> list[Answered]:
        """What a query says of each step."""
        return self._asked(
            "/api/v1/query_range",
            {
                "query": query,
                "start": f"{steps.first_asked:.3f}",
                "end": f"{steps.last_asked:.3f}",
                "step": f"{steps.step_ms / 1000:.3f}",
            },
        )

    def values_of(self, label: str, series: str, *, since: float, until: float) -> list[str]:
        """The values of a label that the series of a selector have had, in order."""
        query = {"match[]": series, "start": f"{since:.3f}", "end": f"{until:.3f}"}
        path = f"/api/v1/label/{label}/values"
        try:
            answer = self._transport.get(path, query)
        except TransportError as error:
            raise self._lost(error) from None
        data = self._data(answer)
        if not isinstance(data, list) or not all(isinstance(one, str) for one in data):
            raise SourceError(f"{self._who}: {answer.peer} answered {_NO_ANSWER}")
        return sorted(data)

    def _asked(self, path: str, parameters: Mapping[str, str]) -> list[Answered]:
        # As a form, since a query may be longer than a URL. By itself VictoriaMetrics moves a
        # query's moments to where it has answers kept.
        form = {**parameters, "timeout": f"{self._seconds:.3f}", "nocache": "1"}
        try:
            answer = self._transport.send(urlencode(form).encode(), content_type=_FORM, path=path)
        except TransportError as error:
            raise self._lost(error) from None
        data = self._data(answer)
        try:
            return list(_series(data))
        except (TypeError, ValueError, KeyError, AttributeError, IndexError):
            raise SourceError(f"{self._who}: {answer.peer} answered {_NO_ANSWER}") from None

    def _data(self, answer: HttpAnswer) -> Any:
        """What a success says.

        Raises:
            SourceError: it is none.
        """
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        said = document if isinstance(document, dict) else {}
        if answer.status == 200 and said.get("status") == "success":
            return said.get("data")
        raise self._refused(answer, said)

    def _refused(self, answer: HttpAnswer, said: Mapping[str, Any]) -> SourceError:
        peer = answer.peer
        words = self._transport.shown(str(said.get("error", "")))
        quoted = f": {words}" if words else ""
        match answer.status:
            case 401 | 403:
                # What stands before a Prometheus may say anything.
                why = (
                    f"{peer} answered {answer.status}, it does not let us in; see "
                    f"{self._who}.api_key, api_key_from, user and headers"
                )
            case 404:
                why = f"{peer} answered 404, there is no API; is this Prometheus's address?"
            case 400 | 422 if said.get("status") == "error":
                refused = f"{self._who}: {peer} answered {answer.status}{quoted}"
                return RefusedQueryError(refused, words or "it gives no reason")
            case 503 if said:
                why = f"{peer} gave the query up{quoted}; ask for less time, or longer steps"
            case 200:
                why = f"{peer} answered {_NO_ANSWER}"
            case _:
                why = judge(answer).detail or f"{peer} answered {answer.status}{quoted}"
        return SourceError(f"{self._who}: {why}")

    def _lost(self, error: TransportError) -> SourceError:
        more = "; ask for fewer lines, or longer steps" if "longer than" in error.detail else ""
        return SourceError(f"{self._who}: {error.detail}{more}")


def _series(data: Any) -> Iterator[Answered]:
    kind, result = data["resultType"], data["result"]
    if kind in {"scalar", "string"}:
        yield Answered({}, (_sample(result),))
        return
    for one in result:
        labels = {str(label): str(value) for label, value in one["metric"].items()}
        # A native histogram has "histogram" and "histograms" in their place.
        if "value" in one:
            yield Answered(labels, (_sample(one["value"]),))
        elif "values" in one:
            yield Answered(labels, [_sample(pair) for pair in one["values"]])


def _sample(pair: Any) -> tuple[float, float | None]:
    at, value = pair
    return float(at), number(value)
