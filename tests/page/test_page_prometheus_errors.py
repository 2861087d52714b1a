"""What is said where a Prometheus does not answer, does not let us in, or is none."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from faulty_server import (
    CUT_ANSWER,
    GARBAGE,
    GARBAGE_PAGE,
    NEVER_ANSWERS,
    UNKNOWN_CA,
    Fault,
    FaultyServer,
    Request,
    answer,
    answer_by,
    faulty_server,
    redirect,
)

from metalscope.errors import ConfigurationError
from metalscope.page.prometheus import PrometheusSource
from metalscope.page.source import SourceError, TimeRange, Wanted
from metalscope.page_options import PageSourceOptions

KEY = "sesame-open-0123"
NOW = 1_700_000_000.0
WITHIN = TimeRange(
    datetime.fromtimestamp(NOW - 600, UTC), datetime.fromtimestamp(NOW, UTC), timedelta(minutes=1)
)


def source_of(address: str, **options: Any) -> PrometheusSource:
    options = {"timeout": timedelta(seconds=5), **options}
    return PrometheusSource.of(
        PageSourceOptions(address=f"prometheus={address}", **options), now=lambda: NOW
    )


@contextmanager
def asked(fault: Fault, **options: Any) -> Iterator[tuple[PrometheusSource, FaultyServer]]:
    with faulty_server(fault) as server:
        source = source_of(server.url, **options)
        try:
            yield source, server
        finally:
            source.close()


def said(*series: Any) -> bytes:
    data = {"resultType": "matrix", "result": list(series)}
    return json.dumps({"status": "success", "data": data}).encode()


def every_way_of_asking(source: PrometheusSource) -> list[Any]:
    return [
        source.describe,
        source.hosts,
        lambda: source.lines(Wanted("operations"), WITHIN),
        lambda: source.lines(Wanted("resource"), WITHIN),
        lambda: source.lines(Wanted("custom"), WITHIN),
        lambda: source.operations(WITHIN.since, WITHIN.until, host="", limit=5),
        lambda: source.durations(Wanted("duration_ms"), WITHIN),
        lambda: source.query("up", WITHIN, limit=5),
    ]


ERROR = {"status": "error", "errorType": "timeout", "error": "query timed out in here"}
NO_API = "no answer of Prometheus's API; is this its address"


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (NEVER_ANSWERS, "0.2 s"),
        (CUT_ANSWER, "ended before it was whole"),
        (GARBAGE, "is not HTTP"),
        (UNKNOWN_CA, "certificate"),
        (GARBAGE_PAGE, NO_API),
        (answer(200), NO_API),
        (answer(200, b"[]"), NO_API),
        (answer(200, b"[" * 100_000), NO_API),
        (answer(200, b'{"status":"success"}'), NO_API),
        (answer(200, b'{"status":"success","data":{"resultType":"matrix","result":[7]}}'), NO_API),
        (
            answer(401, b"who are you"),
            "answered 401, it does not let us in; see server.page.s",
        ),
        (answer(403), "answered 403, it does not let us in"),
        (answer(404, b"404 page not found"), "there is no API"),
        (redirect("https://elsewhere.example/"), "redirects are not followed"),
        (answer(502, b"bad gateway"), "answered 502: bad gateway"),
        (answer(503, json.dumps(ERROR).encode()), "query timed out in here; ask for less time"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_with_the_peers_name(fault: Fault, says: str) -> None:
    timeout = timedelta(seconds=0.2 if fault is NEVER_ANSWERS else 5)
    with asked(fault, timeout=timeout) as (source, server):
        asks = every_way_of_asking(source)
        for ask in asks[:1] if fault is NEVER_ANSWERS else asks:
            with pytest.raises(SourceError) as caught:
                ask()
            assert says in str(caught.value)
            assert str(caught.value).startswith("server.page.source: ")
            assert f"127.0.0.1:{server.port}" in str(caught.value)


def test_nobody_who_listens_is_a_source_error() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        source = source_of(f"http://127.0.0.1:{bound.getsockname()[1]}")
        for ask in every_way_of_asking(source):
            with pytest.raises(SourceError, match=r"127\.0\.0\.1:\d+: nothing listens there"):
                ask()


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_query_is_a_value_error_for_ones_own_and_a_source_error_for_ours(
    status: int,
) -> None:
    body = json.dumps({"status": "error", "errorType": "bad_data", "error": "no such thing"})
    with asked(answer(status, body.encode())) as (source, _):
        with pytest.raises(ValueError, match=r"^no such thing$"):
            source.query("up(", WITHIN, limit=5)
        with pytest.raises(SourceError, match=f"answered {status}: no such thing"):
            source.lines(Wanted("operations"), WITHIN)


def test_the_key_is_sent_and_never_shown() -> None:
    def echo(request: Request) -> tuple[int, dict[str, str], bytes]:
        error = f"you said {request.headers.get('authorization')} {request.headers.get('x-org')}"
        return 422, {}, json.dumps({"status": "error", "error": error}).encode()

    for options, header in (
        ({"api_key": KEY}, f"Bearer {KEY}"),
        ({"api_key": KEY, "user": "me"}, "Basic bWU6c2VzYW1lLW9wZW4tMDEyMw=="),
        ({"headers": {"x-org": KEY}}, None),
    ):
        with asked(answer_by(echo), **options) as (source, server):
            for ask in every_way_of_asking(source):
                with pytest.raises((ValueError, SourceError), match="you said") as caught:
                    ask()
                assert KEY not in str(caught.value)
                assert "bWU6c2VzY" not in str(caught.value)
            assert {request.headers.get("authorization") for request in server.requests} == {header}
            assert KEY not in repr(source)


def test_the_path_before_the_api_is_kept_and_a_query_is_sent_as_a_form() -> None:
    with faulty_server(answer(200, said()), path="/select/0/prometheus") as server:
        source = source_of(server.url)
        assert source.query('up{job="a b"}', WITHIN, limit=1).lines == ()
        (request,) = server.requests
        assert (request.method, request.path) == (
            "POST", "/select/0/prometheus/api/v1/query_range",
        )  # fmt: skip
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        form = parse_qs(request.body.decode())
        assert form["query"] == ['up{job="a b"}']
        # Ten steps, each asked for just before its end.
        first, last = float(form["start"][0]), float(form["end"][0])
        assert (first + 0.001) % 60 == pytest.approx(0, abs=1e-4)
        assert last - first == pytest.approx(600)
        source.close()


def test_a_certificate_of_ones_own_authority_is_trusted_where_it_is_named() -> None:
    with faulty_server(answer(200, said()), tls=True) as server:
        source = source_of(server.url, tls={"ca_file": server.ca_file})
        assert source.query("up", WITHIN, limit=1).lines == ()
        source.close()


def test_an_answer_of_many_mib_is_read_and_one_past_32_is_not() -> None:
    padding = {"metric": {"padding": "x" * (3 * 1024 * 1024)}, "values": [[NOW - 300.001, "1"]]}
    with asked(answer(200, said(padding))) as (source, server):
        (line,) = source.query("up", WITHIN, limit=1).lines
        assert len(line.labels["padding"]) == 3 * 1024 * 1024
        server.answers = [answer(200, b" " * (33 * 1024 * 1024))]
        with pytest.raises(SourceError, match=r"longer than 32768 KiB; ask for fewer lines"):
            source.query("up", WITHIN, limit=1)


def test_samples_of_strange_forms_cost_nothing() -> None:
    histogram = {"metric": {"a": "native"}, "histograms": [[NOW, {"count": "1"}]]}
    odd = {"metric": {"a": "odd"}, "values": [[NOW - 30.001, "5"], [5, "7"], [NOW + 1e9, "9"]]}
    none = {"metric": {"a": "none"}, "values": [[NOW - 30.001, "+Inf"], [NOW - 90.001, "NaN"]]}
    with asked(answer(200, said(histogram, odd, none))) as (source, _):
        (line,) = source.query("up", WITHIN, limit=5).lines
        assert line.labels == {"a": "odd"}
        assert [value for value in line.values if value is not None] == [5]


def test_an_address_that_cannot_be_used_is_refused_at_once() -> None:
    with pytest.raises(ConfigurationError, match=r"server\.page\.source"):
        PrometheusSource.of(PageSourceOptions())
    with pytest.raises(ConfigurationError, match=r"server\.page\.source.*no-such-file"):
        source_of("https://db:9090", tls={"ca_file": "/no-such-file"})
