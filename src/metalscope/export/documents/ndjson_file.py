"""Snapshots as lines of a file (NDJSON) that is rotated by size, for log shippers to read.

Every line is whole, whatever happens: it is written under a lock that other processes writing the
same file take as well, and what a full disk or a killed process left half-written is taken back.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from metalscope.export.base import MetricsExporter, ReadBack
from metalscope.export.documents.json_document import SCHEMA, Document, strict_json
from metalscope.sending.files.lines import append, begin_of_last_line, ends_whole
from metalscope.sending.files.place import path_of
from metalscope.sending.files.rotation import Rotation
from metalscope.sending.files.shared import SharedFile
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.settings import Settings

if TYPE_CHECKING:
    from metalscope.export.base import ExporterContext
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["NdjsonFileExporter"]

DEFAULT_MAX_BYTES: Final = 64 * 1024**2
DEFAULT_BACKUPS: Final = 5

_OURS: Final = f'{{"schema":"{SCHEMA}"'.encode()
_END_OF_LINE: Final = re.compile(rb'"document_id":"([0-9a-f-]{36})"\}\n\Z')
_LONGEST_END: Final = 64


class NdjsonFileExporter(MetricsExporter):
    """Appends each snapshot to a file as one document of ``metalscope.export/v1`` a line.

    The endpoint is ``file:///path/of/the/file.ndjson``. The file is made where there is none, for
    its owner only. It is opened anew for each line, so a file that ``logrotate`` or a person moved
    away or deleted is begun again. A line is given to the operating system at once; it is not
    waited for until it is on the disk.

    Settings:
        ``max_bytes``: size past which the file is moved to ``.1``, that to ``.2`` and so on.
        ``backups``: how many of those are kept.
        ``compress``: whether they are compressed, as ``.1.gz``.

    Raises:
        ConfigurationError: the endpoint is no file URL, its directory is not there, it is no
            regular file, or a setting is wrong.
    """

    def __init__(self, context: ExporterContext) -> None:
        settings = Settings(context.options, {"max_bytes", "backups", "compress"})
        self._path = path_of(
            context.options.endpoint,
            f"exporter {context.name!r}",
            such_as="file:///var/log/metalscope.ndjson",
        )
        self._file = SharedFile(self._path, timeout=context.timeout.total_seconds())
        self._view = context.view
        self._max_bytes = settings.whole("max_bytes", DEFAULT_MAX_BYTES, least=4096, most=2**50)
        self._rotation = Rotation(
            settings.whole("backups", DEFAULT_BACKUPS, least=0, most=1000),
            settings.flag("compress"),
        )
        self._delivered: MetalTelemetrySnapshot | None = None
        self._last_id = ""

    def resume(self, delivered: MetalTelemetrySnapshot) -> None:
        """Write no event again that was in ``delivered``."""
        self._delivered = delivered

    def export(self, snapshot: MetalTelemetrySnapshot) -> ExportResult:
        """Append the snapshot's line, unless it is the last one there already."""
        document = Document(snapshot, self._view, self._delivered)
        made = document.to_dict()
        line = strict_json(made).encode() + b"\n"
        try:
            with self._file.held() as file:
                self._append(file, line, made["document_id"])
        except TimeoutError:
            return ExportResult.retry(
                Reason.TIMEOUT, f"another process holds {self._path.name} locked"
            )
        except OSError as error:
            why = error.strerror or type(error).__name__
            return ExportResult.retry(Reason.DISK, f"{self._path} cannot be written: {why}")
        self._delivered = snapshot
        return ExportResult.delivered(len(document.points))

    def read_back(self, snapshot: MetalTelemetrySnapshot) -> ReadBack:
        """Look whether the file ends with the line of this snapshot."""
        wanted = Document(snapshot, self._view).to_dict()["document_id"]
        try:
            with self._file.held() as file:
                found = _last_id(file, os.fstat(file).st_size)
        except OSError as error:
            return ReadBack(False, f"{self._path} cannot be read: {error.strerror or error}")
        if found == wanted:
            return ReadBack(True, f"{self._path} ends with its line")
        return ReadBack(False, f"{self._path} does not end with its line")

    def _append(self, file: int, line: bytes, document_id: str) -> None:
        size = _mend(file)
        # After a failure it may be there all the same, by this process or one before it.
        if document_id in {self._last_id, _last_id(file, size)}:
            return
        if size and size + len(line) > self._max_bytes:
            self._rotation.move(self._path)
            with self._file.held() as fresh:
                append(fresh, line, _mend(fresh))
        else:
            append(file, line, size)
        self._last_id = document_id


def _mend(file: int) -> int:
    """Take a half-written line back; return the size of the file, in bytes."""
    size = os.fstat(file).st_size
    if ends_whole(file, size):
        return size
    begin = begin_of_last_line(file, size)
    if os.pread(file, len(_OURS), begin) == _OURS[: size - begin]:
        os.ftruncate(file, begin)
        return begin
    # Not of this exporter: it is left, and what follows is a line of its own.
    return size + os.write(file, b"\n")


def _last_id(file: int, size: int) -> str:
    begin = max(0, size - _LONGEST_END)
    found = _END_OF_LINE.search(os.pread(file, _LONGEST_END, begin))
    return found[1].decode() if found else ""
