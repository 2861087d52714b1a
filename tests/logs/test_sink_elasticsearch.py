"""Elasticsearch by its official client, against a server that speaks its API; no real one."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bulk_server import BulkServer, Problem, api_key
from elasticsearch import Elasticsearch
from elasticsearch.helpers import bulk as official_bulk
from faulty_server import (
    GARBAGE,
    GARBAGE_PAGE,
    RESET_AFTER_REQUEST,
    UNKNOWN_CA,
    Fault,
    FaultyServer,
    answer,
    answer_by,
    faulty_server,
)
from remote_sinks import HOSTILE, RESOURCE, batch, failed, record, sink_context

from metalscope.errors import ConfigurationError
from metalscope.export_options import RetryOptions
from metalscope.log_options import LoggingOptions
from metalscope.logs.registry import sinks_of
from metalscope.logs.sinks.elasticsearch import ElasticsearchSink
from metalscope.logs.sinks.index_template import TEMPLATE_VERSION
from metalscope.sending.result import ExportResult, Reason, Verdict
from metalscope.sending.shipping.base import Shipment
from metalscope.sending.shipping.shipper import Shipper
from metalscope.shipping_options import DeliveryOptions
from missing import without

KEY = "id-of-key:very-secret-part"
STREAM = "logs-metalscope-default"


MADE: list[ElasticsearchSink] = []


@pytest.fixture(autouse=True)
def all_are_closed() -> Iterator[None]:
    yield
    while MADE:
        MADE.pop().close()


def sink(server: FaultyServer, **options: Any) -> ElasticsearchSink:
    MADE.append(ElasticsearchSink(sink_context("elasticsearch", server.url, **options)))
    return MADE[-1]


def sent(made: ElasticsearchSink, *bodies: str) -> Shipment | ExportResult | None:
    records = [made.encode(record(body, sequence=n)) for n, body in enumerate(bodies)]
    return made.send(batch(*records))


def messages(cluster: BulkServer) -> list[str]:
    return [document["message"] for document in cluster.all_documents()]


def test_records_are_documents_of_ecs_in_a_data_stream() -> None:
    cluster = BulkServer(authorization=api_key(KEY))
    with faulty_server(cluster.answers()) as server:
        made = sink(server, api_key=KEY)
        records = [made.encode(record()), made.encode(failed(sequence=18))]
        assert made.send(batch(*records)) is None
        made.close()
    assert cluster.streams == {STREAM}
    slow, broken = cluster.documents[STREAM].values()
    assert slow["@timestamp"] == "2025-11-28T20:00:00.123Z"
    assert slow["log.level"] == "warning"
    assert slow["event"]["sequence"] == 17
    assert slow["data_stream"] == {"type": "logs", "dataset": "metalscope", "namespace": "default"}
    assert slow["trace"] == {"id": "0af7651916cd43dd8448eb211c80319c"}
    assert "order-17" in json.dumps(slow)
    # Half of a surrogate pair is no text.
    assert broken["error"]["message"] == HOSTILE.replace("\ud800", "\ufffd")
    assert cluster.asked == [
        "GET /_index_template/logs-metalscope",
        "PUT /_index_template/logs-metalscope",
        "PUT /_bulk",
    ]
    assert server.requests[-1].headers["content-encoding"] == "gzip"
    assert server.requests[-1].headers["user-agent"].startswith("metalscope/")


def test_the_server_and_the_official_client_agree() -> None:
    """The stand-in is driven by the client's own code alone, connections and helpers included."""
    cluster = BulkServer(authorization=api_key(KEY))
    with faulty_server(cluster.answers()) as server:
        made = sink(server, api_key=KEY)
        assert sent(made, "by the sink") is None
        client = Elasticsearch(server.url, api_key=tuple(KEY.split(":")))
        template = client.indices.get_index_template(name="logs-metalscope").body
        found = template["index_templates"][0]["index_template"]
        # What was put is put again as it was read, by the client's own arguments.
        client.indices.put_index_template(
            name="copy", **{name.lstrip("_"): value for name, value in found.items()}
        )
        assert cluster.templates["copy"] == cluster.templates["logs-metalscope"]
        actions = [
            {
                "_op_type": "create",
                "_index": STREAM,
                "_id": f"own-{n}",
                "_source": {"@timestamp": "2025-11-28T20:00:00.000Z", "message": f"official {n}"},
            }
            for n in range(20)
        ]
        assert official_bulk(client, actions, chunk_size=7) == (20, [])
        done, errors = official_bulk(client, actions[:1], raise_on_error=False)
        assert (done, errors[0]["create"]["status"]) == (0, 409)
        done, errors = official_bulk(
            client,
            [{"_op_type": "index", "_index": STREAM, "_source": {"message": "x"}}],
            raise_on_error=False,
        )
        assert errors[0]["index"]["error"]["type"] == "illegal_argument_exception"
        client.close()
    assert cluster.sizes == [1, 7, 7, 6, 1, 1]
    assert sorted(messages(cluster))[0] == "by the sink"


def test_what_is_sent_again_is_there_once() -> None:
    cluster = BulkServer()
    with faulty_server(cluster.answers()) as server:
        first, second = sink(server), sink(server)
        lines = [first.encode(record(sequence=n)) for n in range(3)]
        assert first.send(batch(*lines[:2])) is None
        # By another sink, as by the next process that finds them in the spool.
        assert second.send(batch(*lines)) is None
        assert first.encode(record(sequence=1)) == lines[1]
    assert len(cluster.all_documents()) == 3


def test_each_document_is_judged_by_itself() -> None:
    problems: dict[str, Problem] = {
        "busy": (429, "es_rejected_execution_exception", "rejected execution of coordinating op"),
        "shards": (503, "unavailable_shards_exception", "primary shard is not active"),
        "mapping": (400, "document_parsing_exception", f"failed to parse {KEY} \n" + "x" * 500),
        "forbidden": (403, "security_exception", "action [create] is unauthorized"),
        "gone": (404, "index_not_found_exception", "no such index"),
        "large": (413, "content_too_long", "too much"),
        "pipeline": (400, "illegal_argument_exception", "pipeline with id [x] does not exist"),
    }

    def refuses(_: str, document: Mapping[str, Any]) -> Problem | None:
        return problems.get(document["message"])

    cluster = BulkServer(refuses=refuses, authorization=api_key(KEY))
    with faulty_server(cluster.answers()) as server:
        made = sink(server, api_key=KEY)
        result = sent(made, "fine", *problems, "good")
    assert isinstance(result, Shipment)
    assert list(result.again) == [1, 2, 4, 5, 7]
    assert [(one.place, one.reason) for one in result.refused] == [
        (3, Reason.SCHEMA),
        (6, Reason.TOO_LARGE),
    ]
    detail = result.refused[0].detail
    assert detail.startswith(
        f"127.0.0.1:{server.port} answered 400 for one document: document_pars"
    )
    assert KEY not in detail
    assert len(detail) <= 200
    assert "\n" not in detail
    assert result.reason is Reason.RATE_LIMITED
    assert "es_rejected_execution_exception" in result.detail
    assert sorted(messages(cluster)) == ["fine", "good"]


@pytest.mark.parametrize(
    ("fault", "reason", "says"),
    [
        (answer(429, b"slow down", retry_after="7"), Reason.RATE_LIMITED, "slow down"),
        (answer(503), Reason.SERVER_ERROR, "503"),
        (answer(401, KEY.encode()), Reason.UNAUTHORIZED, "answered 401"),
        (answer(403), Reason.FORBIDDEN, "answered 403"),
        (GARBAGE, Reason.GARBAGE, "not HTTP"),
        (GARBAGE_PAGE, Reason.GARBAGE, "API"),
        (
            answer(200, b"{", content_type="application/json", x_elastic_product="Elasticsearch"),
            Reason.GARBAGE,
            "in a way Elasticsearch's API does not",
        ),
        (
            answer(
                200,
                b'{"errors":false,"items":[]}',
                content_type="application/json",
                x_elastic_product="Elasticsearch",
            ),
            Reason.GARBAGE,
            "no answer to a bulk request",
        ),
        (RESET_AFTER_REQUEST, Reason.RESET, "closed"),
    ],
    ids=str,
)
def test_what_is_wrong_with_all_of_it_has_it_wait(fault: Fault, reason: Reason, says: str) -> None:
    cluster = BulkServer()
    with faulty_server(fault, cluster.answers()) as server:
        made = sink(server, api_key=KEY, settings={"manage_template": False})
        lines = [made.encode(record(sequence=n)) for n in range(3)]
        result = made.send(batch(*lines))
        assert isinstance(result, ExportResult), result
        assert (result.verdict, result.reason) == (Verdict.RETRY, reason), result
        assert says in result.detail
        assert KEY not in result.detail
        if reason is Reason.RATE_LIMITED:
            assert result.retry_after == timedelta(seconds=7)
        assert made.send(batch(*lines)) is None
    assert len(cluster.all_documents()) == 3


def test_a_batch_that_is_too_large_goes_in_parts() -> None:
    cluster = BulkServer(most_bytes=4000)
    with faulty_server(cluster.answers()) as server:
        made = sink(server)
        result = sent(made, *["a little"] * 20, "x" * 5000, *["after it"] * 3)
        assert isinstance(result, Shipment)
        assert not result.again
        assert [(one.place, one.reason) for one in result.refused] == [(20, Reason.TOO_LARGE)]
        assert len(cluster.all_documents()) == 23
        # What it learned holds for the next batch: no request of it is refused.
        before = sum(1 for one in cluster.asked if one.endswith("_bulk")), len(cluster.sizes)
        records = [made.encode(record("next", sequence=100 + n)) for n in range(20)]
        assert made.send(batch(*records)) is None
        after = sum(1 for one in cluster.asked if one.endswith("_bulk")), len(cluster.sizes)
        assert after[0] - before[0] == after[1] - before[1] > 1


def test_what_arrived_before_the_server_failed_is_not_sent_again() -> None:
    cluster = BulkServer(most_bytes=6000)
    with faulty_server(cluster.answers()) as server:
        made = sink(server)
        sent(made, *["teach it its size"] * 20)
        there = len(cluster.all_documents())
        server.answers = [cluster.answers(), answer(503), cluster.answers()]
        lines = [made.encode(record("next", sequence=100 + n)) for n in range(20)]
        result = made.send(batch(*lines))
        assert isinstance(result, Shipment)
        assert result.reason is Reason.SERVER_ERROR
        arrived = len(cluster.all_documents()) - there
        assert list(result.again) == list(range(arrived, 20))
        assert 0 < arrived < 20


def test_a_template_of_somebody_else_or_a_newer_one_stays() -> None:
    for theirs in (
        {"index_patterns": ["logs-metalscope-*"], "version": 0, "template": {}},
        {
            "index_patterns": ["logs-metalscope-*"],
            "version": TEMPLATE_VERSION + 1,
            "_meta": {"managed_by": "metalscope"},
        },
    ):
        mappings = {"mappings": {"properties": {}}}
        cluster = BulkServer(templates={"logs-metalscope": {**theirs, "template": mappings}})
        before = json.dumps(cluster.templates)
        with faulty_server(cluster.answers()) as server:
            assert sent(sink(server), "a line") is None
        assert json.dumps(cluster.templates) == before


def test_an_older_template_of_ours_or_one_with_another_retention_is_replaced() -> None:
    cluster = BulkServer()
    with faulty_server(cluster.answers()) as server:
        assert sent(sink(server), "a line") is None
        old = cluster.templates["logs-metalscope"]
        assert old["template"]["lifecycle"] == {}
        cluster.asked.clear()
        assert sent(sink(server), "the same") is None
        assert cluster.asked == ["GET /_index_template/logs-metalscope", "PUT /_bulk"]
        assert sent(sink(server, settings={"retention": "30d"}), "kept shorter") is None
    new = cluster.templates["logs-metalscope"]
    assert new["template"]["lifecycle"] == {"data_retention": "30d"}
    assert new["version"] == TEMPLATE_VERSION


def test_lines_wait_for_the_template_and_go_without_one_that_may_not_be_put(
    caplog: pytest.LogCaptureFixture,
) -> None:
    cluster = BulkServer(no_templates=(503, "busy", "no master"))
    with faulty_server(cluster.answers()) as server:
        made = sink(server)
        result = sent(made, "a line")
        assert isinstance(result, ExportResult)
        assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.SERVER_ERROR)
        assert not cluster.all_documents()
        cluster.no_templates = (403, "security_exception", "needs manage_index_templates")
        with caplog.at_level(logging.WARNING, "metalscope"):
            assert sent(made, "a line") is None
            assert sent(made, "a line", "and another") is None
    said = [one.getMessage() for one in caplog.records if one.name == "metalscope"]
    assert len(said) == 1
    assert "index template logs-metalscope could not be put" in said[0]
    assert "needs manage_index_templates" in said[0]


def test_plain_indices_by_date() -> None:
    cluster = BulkServer()
    with faulty_server(cluster.answers()) as server:
        made = sink(server, settings={"index": "metal-%Y.%m.%d"})
        assert sent(made, "a line") is None
    assert cluster.documents.keys() == {"metal-2025.11.28"}
    assert not cluster.streams
    assert cluster.templates["metal"]["index_patterns"] == ["metal-*.*.*"]
    assert "data_stream" not in cluster.all_documents()[0]


def test_another_data_stream_and_a_pipeline() -> None:
    cluster = BulkServer()
    chosen = {"type": "logs", "dataset": "gpu.train", "namespace": "prod_2"}
    with faulty_server(cluster.answers()) as server:
        made = sink(server, settings={"data_stream": chosen, "pipeline": "mine"})
        assert sent(made, "a line") is None
        assert "pipeline=mine" in server.requests[-1].path
    assert cluster.streams == {"logs-gpu.train-prod_2"}
    assert cluster.all_documents()[0]["data_stream"] == chosen


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"data_stream": {"dataset": "Upper"}}, r"settings.data_stream.dataset must be lower-case"),
        ({"data_stream": {"dateset": "x"}}, "has type, dataset, namespace, not 'dateset'"),
        ({"data_stream": "logs"}, "must be a mapping"),
        ({"index": "x", "data_stream": {"dataset": "y"}}, "exclude each other"),
        ({"index": "With Space"}, "such as 'metalscope-%Y.%m.%d'"),
        ({"index": "%Y-metal"}, "such as 'metalscope-%Y.%m.%d'"),
        ({"retention": "a month"}, "such as '30d'"),
        ({"retention": "30d", "index": "metal"}, "settings.retention is for a data stream"),
        ({"manage_templates": False}, "the nearest is manage_template"),
    ],
)
def test_settings_of_no_use_are_refused_at_the_start(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says.replace(".", r"\.")):
        ElasticsearchSink(sink_context("elasticsearch", "http://127.0.0.1:1", settings=settings))


def test_another_format_than_ecs_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigurationError, match="format must be ecs"):
        ElasticsearchSink(sink_context("elasticsearch", "http://127.0.0.1:1", format="otel"))


@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"api_key": KEY}, api_key(KEY)),
        ({"api_key": "QmFzZTY0"}, "ApiKey QmFzZTY0"),
        ({"api_key": "a.jwt.here", "settings": {"auth": "bearer"}}, "Bearer a.jwt.here"),
        ({"user": "elastic", "api_key": "password"}, "Basic ZWxhc3RpYzpwYXNzd29yZA=="),
        ({"headers": {"Authorization": "Custom one"}, "api_key": KEY}, "Custom one"),
    ],
)
def test_the_key_is_sent_in_each_way(options: dict[str, Any], header: str) -> None:
    cluster = BulkServer(authorization=header)
    with faulty_server(cluster.answers()) as server:
        assert sent(sink(server, **options), "a line") is None


def test_a_key_from_a_file_is_read_anew_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("first-key")
    cluster = BulkServer(authorization="ApiKey first-key")
    with faulty_server(cluster.answers()) as server:
        made = sink(server, api_key_from=f"file:{file}")
        assert sent(made, "a line") is None
        cluster.authorization = "ApiKey second-key"
        result = sent(made, "a line", "another")
        assert isinstance(result, ExportResult)
        assert result.reason is Reason.UNAUTHORIZED
        assert "first-key" not in result.detail
        file.write_text("second-key")
        assert sent(made, "a line", "another") is None
    assert "first-key" not in repr(made)


def test_the_connection_is_secure() -> None:
    cluster = BulkServer()
    with faulty_server(cluster.answers(), tls=True) as server:
        made = sink(server, tls={"ca_file": str(server.ca_file)})
        assert sent(made, "a line") is None
        server.answers = [UNKNOWN_CA]
        result = sent(sink(server, tls={"ca_file": str(server.ca_file)}), "another")
    assert isinstance(result, ExportResult)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.TLS)
    assert messages(cluster) == ["a line"]


def test_an_opensearch_is_told_apart() -> None:
    cluster = BulkServer(product="opensearch", major=3)
    with faulty_server(cluster.answers()) as server:
        result = sent(sink(server), "a line")
    assert isinstance(result, ExportResult)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.CONFIGURATION)
    assert "for OpenSearch the type is opensearch" in result.detail
    assert not cluster.all_documents()


def test_what_answers_as_json_and_is_no_elasticsearch_is_told_apart() -> None:
    body = b'{"errors":false,"items":[{"create":{"status":201}}]}'
    with faulty_server(answer(200, body, content_type="application/json")) as server:
        result = sent(sink(server, settings={"manage_template": False}), "a line")
    assert isinstance(result, ExportResult)
    assert (result.verdict, result.reason) == (Verdict.RETRY, Reason.CONFIGURATION)


def test_a_server_that_is_older_than_the_client_is_named() -> None:
    cluster = BulkServer(major=1)
    with faulty_server(cluster.answers()) as server:
        result = sent(sink(server), "a line")
        without = sent(sink(server, settings={"manage_template": False}), "a line")
    for one in (result, without):
        assert isinstance(one, ExportResult)
        assert (one.verdict, one.reason) == (Verdict.RETRY, Reason.CONFIGURATION)
        assert "install elasticsearch<" in one.detail


def test_a_forked_child_has_connections_of_its_own() -> None:
    cluster = BulkServer()
    with faulty_server(cluster.answers()) as server:
        made = sink(server)
        assert sent(made, "of the parent") is None
        line = made.encode(record("of the child", sequence=1))
        child = os.fork()
        if child == 0:
            arrived = False
            try:
                own = made.encode(record("of the child", sequence=1))
                # The same number of the same moment, in another process.
                arrived = own != line and made.send(batch(own)) is None
            finally:
                os._exit(0 if arrived else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert made.send(batch(made.encode(record("of the parent", sequence=2)))) is None
        assert server.connections == 2
    assert Counter(messages(cluster)) == {"of the parent": 2, "of the child": 1}


@pytest.mark.parametrize("path", ["/prefix", "/prefix/", "/prefix/_bulk"])
def test_the_apis_own_path_may_be_given(path: str) -> None:
    body = b'{"errors":false,"items":[{"create":{"status":201}}]}'
    good = answer(200, body, content_type="application/json", x_elastic_product="Elasticsearch")
    with faulty_server(good) as server:
        context = sink_context(
            "elasticsearch", server.url + path, settings={"manage_template": False}
        )
        MADE.append(ElasticsearchSink(context))
        assert sent(MADE[-1], "a line") is None
        assert server.requests[0].path.startswith("/prefix/_bulk?")


def test_the_templates_to_be_put_by_hand_are_current() -> None:
    script = Path(__file__).parents[2] / "scripts" / "log_templates.py"
    subprocess.run([sys.executable, str(script), "--check"], check=True, timeout=60)


def test_the_client_says_nothing_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """Else a sink that is sent the root logger's records would feed itself."""
    cluster = BulkServer()

    def warned(request: Any) -> Any:
        status, headers, body = cluster.answers().answer(request)
        return status, {**headers, "Warning": '299 Elasticsearch-9 "old"'}, body

    with (
        faulty_server(answer_by(warned)) as server,
        caplog.at_level(logging.DEBUG),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("error")
        assert sent(sink(server), "a line") is None
    own = {"elastic_transport", "elasticsearch"}
    assert not [one for one in caplog.records if one.name.partition(".")[0] in own]


def test_every_line_arrives_once_through_a_server_that_fails_half_the_time() -> None:
    """Per document and as a whole, by the shipper that sends for every sink."""
    cluster = BulkServer()
    tries: dict[str, int] = {}

    def refuses(name: str, document: Mapping[str, Any]) -> Problem | None:
        if document["message"].endswith("77"):
            return 400, "document_parsing_exception", "never"
        tries[name] = tries.get(name, 0) + 1
        busy = hash(name) % 3 == 0 and tries[name] < 3
        return (429, "es_rejected_execution_exception", "busy") if busy else None

    cluster.refuses = refuses
    count = 0

    def half(request: Any) -> Any:
        nonlocal count
        count += 1
        status, headers, body = cluster.answers().answer(request)
        # Every other time what was done is not told.
        return (status, headers, body) if count % 2 else (503, {}, b"lost")

    with faulty_server(answer_by(half)) as server:
        made = sink(server)
        errors: list[BaseException] = []
        shipper = Shipper(
            "es",
            "elasticsearch",
            "logs",
            made,
            delivery=DeliveryOptions(
                retry=RetryOptions(first_delay="1ms", max_delay="5ms", circuit_breaker_threshold=99)
            ),
            batch_size=100,
            batch_bytes=1024**2,
            timeout=timedelta(seconds=5),
            option="x",
            on_error=lambda _, error: errors.append(error),
        )
        lines = [made.encode(record(f"line {n}", sequence=n)) for n in range(1000)]
        shipper.put(lines)
        for _ in range(100):
            if shipper.flush(10):
                break
        status = shipper.status()
        shipper.close(5)
    assert not errors
    arrived = sorted(messages(cluster), key=lambda text: int(text.split()[1]))
    assert arrived == [f"line {n}" for n in range(1000) if n % 100 != 77]
    assert status.waiting == 0
    assert status.dropped == {Reason.SCHEMA: 10}
    assert status.delivered == 990


def test_what_waited_on_disk_over_the_end_of_the_process_is_there_once(tmp_path: Path) -> None:
    """The server made documents of it, and died before it could say so."""
    cluster = BulkServer()

    def dies(request: Any) -> Any:
        cluster.answers().answer(request)
        return 502, {}, b"gone"

    with faulty_server(answer_by(dies)) as server:
        options = LoggingOptions(
            spool={"directory": tmp_path},
            retry={"first_delay": "1ms", "max_delay": "5ms", "circuit_breaker_threshold": 999},
            sinks=[
                {
                    "type": "elasticsearch",
                    "endpoint": server.url,
                    "batch_size": 10,
                    "settings": {"manage_template": False},
                }
            ],
        )
        (first,) = sinks_of(options, resource=RESOURCE, on_error=lambda *_: None)
        lines = [record(f"line {n}", sequence=n) for n in range(30)]
        first.shipper.put([first.sink.encode(line) for line in lines])
        assert not first.shipper.flush(0.1)
        first.shipper.close(0.1)
        assert cluster.documents
        server.answers = [cluster.answers()]
        (second,) = sinks_of(options, resource=RESOURCE, on_error=lambda *_: None)
        assert second.shipper.flush(10)
        second.shipper.close(5)
    assert Counter(messages(cluster)) == {f"line {n}": 1 for n in range(30)}


def test_without_the_clients_the_extra_is_named() -> None:
    program = """
from metalscope.errors import MissingExtraError
from metalscope.log_options import LoggingOptions
from metalscope.logs.registry import sinks_of

for kind in ("elasticsearch", "opensearch", "splunk"):
    one = {"type": kind, "endpoint": "http://127.0.0.1:1"}
    try:
        sinks_of(LoggingOptions(sinks=[one]), resource={}, on_error=print)[0].shipper.close(0)
    except MissingExtraError as error:
        print(error.extra)
    else:
        print("made")
"""
    packages = ("elasticsearch", "elastic_transport", "opensearchpy")
    env = {**os.environ, **without(*packages)}
    command = [sys.executable, "-c", program]
    said = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, timeout=60).stdout
    assert said.split() == [b"logs", b"logs", b"made"]


def test_the_options_of_the_log_make_it() -> None:
    cluster = BulkServer(product="elasticsearch", major=9)
    errors: list[BaseException] = []
    with faulty_server(cluster.answers()) as server:
        options = LoggingOptions(sinks=[{"type": "elasticsearch", "endpoint": server.url}])
        (running,) = sinks_of(options, resource=RESOURCE, on_error=lambda _, e: errors.append(e))
        running.shipper.put([running.sink.encode(record("a line"))], urgent=True)
        assert running.shipper.flush(10)
        running.shipper.close(5)
    assert not errors
    assert messages(cluster) == ["a line"]
