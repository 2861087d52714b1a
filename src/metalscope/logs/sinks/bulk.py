"""What the sinks for Elasticsearch and OpenSearch share: documents in, a bulk request out."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Protocol

from metalscope.errors import ConfigurationError
from metalscope.logs.sinks.base import LogSink
from metalscope.logs.sinks.bulk_answer import shipment_of
from metalscope.logs.sinks.bulk_http import NotTakenError
from metalscope.logs.sinks.halving import Halving
from metalscope.sending.http.outcome import TransportError, judge, result_of_error
from metalscope.sending.result import ExportResult

if TYPE_CHECKING:
    from metalscope.logs.record import LogRecord
    from metalscope.logs.sinks.base import SinkContext
    from metalscope.logs.sinks.bulk_http import ClientHttp
    from metalscope.logs.sinks.bulk_settings import BulkSettings
    from metalscope.logs.sinks.template_upkeep import TemplateUpkeep
    from metalscope.sending.http.transport import HttpAnswer
    from metalscope.sending.shipping.base import Batch, Shipment

__all__ = ["BulkClient", "BulkSink"]

MOST_DOCUMENTS: Final = 500
"""In one request, so that its answer stays below the most that is read of one."""

_ID_BYTES: Final = 15


class BulkClient(Protocol):
    """An official client, made to send over our transport."""

    http: ClientHttp

    def bulk(self, body: bytes) -> Any:
        """Send lines of NDJSON; the answer as it was read.

        Raises:
            NotTakenError: the whole request was refused.
            TransportError: there was no answer, or none of its API.
        """
        ...

    def refusal(self, answer: HttpAnswer) -> ExportResult | None:
        """What this product means by it; ``None`` for what any server does."""
        ...


class BulkSink(LogSink):
    """Sends records as documents in ECS, each created once under an id of its own.

    The id is made of the process, the moment and the number of the record, and is kept with the
    record: what is sent again, by whichever process, conflicts with what had arrived.
    """

    def __init__(
        self,
        context: SinkContext,
        settings: BulkSettings,
        client: BulkClient,
        upkeep: TemplateUpkeep,
    ) -> None:
        self._settings = settings
        self._client = client
        self._upkeep = upkeep
        self._line = _ecs_line(context)
        self._instance = str(context.resource.get("service.instance.id", ""))
        self._halving = Halving(most=MOST_DOCUMENTS)
        stream = settings.stream
        said = {} if stream is None else {
            "data_stream": {
                "type": stream.type,
                "dataset": stream.dataset,
                "namespace": stream.namespace,
            }
        }  # fmt: skip
        self._tail = "," + json.dumps(said)[1:] if said else "}"

    def encode(self, record: LogRecord) -> bytes:
        """The two lines of one document, without the line break at the end."""
        index = self._settings.target(record.timestamp_ns)
        # Neither holds what JSON would escape.
        action = f'{{"create":{{"_index":"{index}","_id":"{self._id(record)}"}}}}'
        document = self._line(record)[:-1] + self._tail
        return f"{action}\n{document}".encode("utf-8", "replace")

    def send(self, batch: Batch) -> Shipment | ExportResult | None:
        """Send it, in parts where the server takes no more at once."""
        try:
            unready = self._upkeep.ensure()
        except TransportError as error:
            return result_of_error(error)
        if unready is not None:
            return unready
        return self._halving.send(batch.records, self._send)

    def close(self) -> None:
        """Close the connections."""
        self._client.http.close()

    def _send(self, records: Sequence[bytes]) -> Shipment | ExportResult | None:
        http = self._client.http
        try:
            answer = self._client.bulk(b"\n".join(records) + b"\n")
        except NotTakenError as refusal:
            return self._client.refusal(refusal.answer) or judge(refusal.answer)
        return shipment_of(answer, len(records), http.peer, http.shown)

    def _id(self, record: LogRecord) -> str:
        # The pid too: processes may be told to call themselves by one name.
        whose = f"{self._instance}\0{os.getpid()}\0{record.timestamp_ns}\0{record.sequence}"
        digest = blake2b(whose.encode("utf-8", "replace"), digest_size=_ID_BYTES).digest()
        return base64.urlsafe_b64encode(digest).decode()


def _ecs_line(context: SinkContext) -> Callable[[LogRecord], str]:
    if context.options.format == "ecs":
        return context.json_line
    if context.options.format is not None:
        raise ConfigurationError(
            f"{context.options.who}: format must be ecs, the fields of the index template, "
            f"not {context.options.format!r}"
        )
    from metalscope.logs.formats.choosing import line_maker  # noqa: PLC0415 - only where needed

    return line_maker("ecs", context.resource)
