"""OpenSearch by its official client, against a server that speaks its API; no real one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import pytest
from bulk_server import BulkServer, Problem
from faulty_server import GARBAGE_PAGE, Fault, FaultyServer, answer, faulty_server
from opensearchpy import OpenSearch
from opensearchpy.helpers import bulk as official_bulk
from remote_sinks import RESOURCE, batch, failed, record, sink_context

from metalscope.errors import ConfigurationError
from metalscope.log_options import LoggingOptions
from metalscope.logs.registry import sinks_of
from metalscope.logs.sinks.opensearch import OpenSearchSink
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Shipment

PASSWORD = "very-secret-password"
BASIC = "Basic YWRtaW46dmVyeS1zZWNyZXQtcGFzc3dvcmQ="


MADE: list[OpenSearchSink] = []


@pytest.fixture(autouse=True)
def all_are_closed() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().close()


def sink(server: FaultyServer, **options: Any) -> OpenSearchSink:
    MADE.append(OpenSearchSink(sink_context("opensearch", server.url, **options)))
    return MADE[-1]


def sent(made: OpenSearchSink, *bodies: str) -> Shipment | ExportResult | None:
    records = [made.encode(record(body, sequence=n)) for n, body in enumerate(bodies)]
    return made.send(batch(*records))


def opensearch(**options: Any) -> BulkServer:
    return BulkServer(product="opensearch", major=3, **options)


def messages(cluster: BulkServer) -> list[str]:
    return [document["message"] for document in cluster.all_documents()]


def test_records_are_documents_of_ecs_in_a_data_stream() -> None:
    cluster = opensearch(authorization=BASIC)
    with faulty_server(cluster.answers(), tls=True) as server:
        tls = {"ca_file": str(server.ca_file)}
        made = sink(server, user="admin", api_key=PASSWORD, tls=tls)
        lines = [made.encode(record()), made.encode(failed(sequence=18))]
        assert made.send(batch(*lines)) is None
        # What arrived conflicts, and counts as arrived.
        assert made.send(batch(*lines)) is None
        made.close()
    assert cluster.streams == {"logs-metalscope-default"}
    slow, broken = cluster.all_documents()
    assert slow["data_stream"] == {"type": "logs", "dataset": "metalscope", "namespace": "default"}
    assert slow["event"]["sequence"] == 17
    assert broken["error"]["type"] == "metalscope.errors.DeviceLostError"
    assert cluster.asked[:3] == [
        "GET /_index_template/logs-metalscope",
        "PUT /_index_template/logs-metalscope",
        "POST /_bulk",
    ]
    bulk = server.requests[-1]
    assert bulk.headers["content-encoding"] == "gzip"
    assert bulk.headers["content-type"] == "application/x-ndjson"
    assert PASSWORD not in repr(made)


def test_the_server_and_the_official_client_agree() -> None:
    """The stand-in is driven by the client's own code alone, connections and helpers included."""
    cluster = opensearch(authorization=BASIC)
    with faulty_server(cluster.answers()) as server:
        assert sent(sink(server, user="admin", api_key=PASSWORD), "by the sink") is None
        client = OpenSearch(server.url, http_auth=("admin", PASSWORD))
        found = client.indices.get_index_template(name="logs-metalscope")
        body = found["index_templates"][0]["index_template"]
        client.indices.put_index_template(name="copy", body=body)
        assert cluster.templates["copy"] == cluster.templates["logs-metalscope"]
        action = {
            "_op_type": "create",
            "_index": "logs-metalscope-default",
            "_id": "own",
            "_source": {"@timestamp": "2025-11-28T20:00:00.000Z", "message": "official"},
        }
        assert official_bulk(client, [action]) == (1, [])
        done, errors = official_bulk(client, [action], raise_on_error=False)
        assert (done, errors[0]["create"]["status"]) == (0, 409)
        client.close()
    assert messages(cluster) == ["by the sink", "official"]


def test_each_document_is_judged_by_itself() -> None:
    problems: dict[str, Problem] = {
        "busy": (429, "rejected_execution_exception", "rejected execution of coordinating op"),
        "mapping": (400, "mapper_parsing_exception", "failed to parse"),
    }

    def refuses(_: str, document: Mapping[str, Any]) -> Problem | None:
        return problems.get(document["message"])

    cluster = opensearch(refuses=refuses)
    with faulty_server(cluster.answers()) as server:
        result = sent(sink(server), "fine", *problems, "good")
    assert isinstance(result, Shipment)
    assert (list(result.again), result.reason) == ([1], Reason.RATE_LIMITED)
    assert [(one.place, one.reason) for one in result.refused] == [(2, Reason.SCHEMA)]
    assert messages(cluster) == ["fine", "good"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (answer(429, b"slow down", retry_after="7"), Reason.RATE_LIMITED),
        (answer(503), Reason.SERVER_ERROR),
        (answer(401, PASSWORD.encode()), Reason.UNAUTHORIZED),
        (GARBAGE_PAGE, Reason.GARBAGE),
        (answer(200, b"{", content_type="application/json"), Reason.GARBAGE),
        (answer(200, b"\xff\xfe", content_type="application/json"), Reason.GARBAGE),
        (answer(200, b"", content_type="application/json"), Reason.GARBAGE),
        (answer(200, b"[]", content_type="image/png"), Reason.GARBAGE),
    ],
    ids=str,
)
def test_what_is_wrong_with_all_of_it_has_it_wait(fault: Fault, reason: Reason) -> None:
    cluster = opensearch()
    with faulty_server(fault, cluster.answers()) as server:
        settings = {"manage_template": False}
        made = sink(server, user="admin", api_key=PASSWORD, settings=settings)
        result = sent(made, "a line", "another")
        assert isinstance(result, ExportResult), result
        assert (result.verdict, result.reason) == (Verdict.RETRY, reason), result
        assert PASSWORD not in result.detail
        if reason is Reason.RATE_LIMITED:
            assert result.retry_after == timedelta(seconds=7)
        assert sent(made, "a line", "another") is None
    assert messages(cluster) == ["a line", "another"]


def test_a_batch_that_is_too_large_goes_in_parts() -> None:
    cluster = opensearch(most_bytes=4000)
    with faulty_server(cluster.answers()) as server:
        assert sent(sink(server), *["a little"] * 20) is None
    assert len(cluster.all_documents()) == 20
    assert max(cluster.sizes) < 20


def test_a_retention_is_a_policy_that_is_put_once() -> None:
    cluster = opensearch()
    with faulty_server(cluster.answers()) as server:
        for _ in range(2):
            assert sent(sink(server, settings={"retention": "14d"}), "a line") is None
    (policy,) = cluster.policies.values()
    hot = policy["policy"]["states"][0]
    assert hot["transitions"][0]["conditions"] == {"min_index_age": "14d"}
    assert policy["policy"]["ism_template"][0]["index_patterns"] == ["logs-metalscope-*"]
    assert cluster.templates["logs-metalscope"]["_meta"]["retention"] == "14d"


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"api_key": "a.jwt.here"}, "Bearer a.jwt.here"),
        ({"api_key": "key", "settings": {"auth": "api_key"}}, "ApiKey key"),
        ({}, None),
    ],
)
def test_the_key_is_sent_in_each_way(options: dict[str, Any], header: str | None) -> None:
    cluster = opensearch(authorization=header)
    with faulty_server(cluster.answers()) as server:
        assert sent(sink(server, **options), "a line") is None
        assert server.requests[-1].headers.get("authorization") == header


def test_a_way_of_sending_the_key_that_contradicts_the_user_is_refused() -> None:
    context = sink_context(
        "opensearch", "http://127.0.0.1:1", user="a", api_key="b", settings={"auth": "bearer"}
    )
    with pytest.raises(ConfigurationError, match="for a key without a user"):
        OpenSearchSink(context)


def test_the_client_says_nothing_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    cluster = opensearch()
    with faulty_server(cluster.answers()) as server, caplog.at_level(logging.DEBUG):
        assert sent(sink(server), "a line") is None
    own = {"opensearch", "opensearchpy"}
    assert not [one for one in caplog.records if one.name.partition(".")[0] in own]


def test_the_options_of_the_log_make_it() -> None:
    cluster = BulkServer(product="opensearch", major=9)
    errors: list[BaseException] = []
    with faulty_server(cluster.answers()) as server:
        options = LoggingOptions(sinks=[{"type": "opensearch", "endpoint": server.url}])
        (running,) = sinks_of(options, resource=RESOURCE, on_error=lambda _, e: errors.append(e))
        running.shipper.put([running.sink.encode(record("a line"))], urgent=True)
        assert running.shipper.flush(10)
        running.shipper.close(5)
    assert not errors
    assert messages(cluster) == ["a line"]
