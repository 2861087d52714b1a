"""A file of lines as a log sink, moved away when it is full or old.

Every line is whole, whatever happens: lines are written under a lock that other processes writing
the same file take as well, and what a full disk or a killed process left half-written is taken
back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from metalscope.logs.sinks.base import LogSink
from metalscope.sending.files.lines import append, ends_whole
from metalscope.sending.files.place import path_of
from metalscope.sending.files.rotation import Rotation
from metalscope.sending.files.shared import SharedFile
from metalscope.sending.result import ExportResult, Reason
from metalscope.sending.settings import Settings
from metalscope.sending.shipping.base import Shipment

if TYPE_CHECKING:
    from metalscope.logs.record import LogRecord
    from metalscope.logs.sinks.base import SinkContext
    from metalscope.sending.shipping.base import Batch

__all__ = ["FileSink"]

DEFAULT_MAX_BYTES: Final = 64 * 1024**2
DEFAULT_BACKUPS: Final = 5

_SECONDS: Final = {"never": 0, "hour": 3600, "day": 86_400}
_SHORTEST_HINT: Final = 64


class FileSink(LogSink):
    """Appends lines to the file that the endpoint ``file:///path/of/the/file.log`` names.

    The file is opened anew for each batch, so one that ``logrotate`` or a person moved away or
    deleted is begun again. Lines are given to the operating system at once.

    Settings:
        ``max_bytes``: size past which the file is moved to ``.1``, that to ``.2`` and so on.
        ``every``: ``day`` or ``hour`` moves it at the first line of a new one, in UTC, too.
        ``backups``: how many of those are kept.
        ``compress``: whether they are compressed, as ``.1.gz``.
        ``mode``: who may read and write a new file, in octal digits, less what the umask takes.
        ``sync``: whether each batch is waited for until it is on the disk.

    Raises:
        ConfigurationError: the endpoint is no file URL, its directory is not there, it is no
            regular file, or a setting is wrong.
    """

    def __init__(self, context: SinkContext) -> None:
        options = context.options
        settings = Settings(options, {"max_bytes", "every", "backups", "compress", "mode", "sync"})
        path = path_of(options.endpoint, options.who, such_as="file:///var/log/app.log")
        mode = settings.text("mode", "0?[0-7]{3}", such_as="0640") or "0600"
        self._file = SharedFile(
            path, timeout=options.timeout.total_seconds(), mode=int(mode, base=8)
        )
        self._max_bytes = settings.whole("max_bytes", DEFAULT_MAX_BYTES, least=4096, most=2**50)
        self._every = _SECONDS[settings.choice("every", tuple(_SECONDS))]
        self._rotation = Rotation(
            settings.whole("backups", DEFAULT_BACKUPS, least=0, most=1000),
            settings.flag("compress"),
        )
        self._syncs = settings.flag("sync")
        self._line = context.line
        # A process before this one may have written lines and been killed before it knew.
        self._is_unsure = True

    def encode(self, record: LogRecord) -> bytes:
        """Its line."""
        return self._line(record).encode(errors="backslashreplace") + b"\n"

    def send(self, batch: Batch) -> Shipment | ExportResult | None:
        """Append the lines; what there is no room for is to be sent again."""
        records, at = batch.records, 0
        try:
            while at < len(records):
                with self._file.held() as file:
                    at += self._fill(file, records[at:])
                    if self._syncs:
                        os.fsync(file)
        except TimeoutError:
            reason = Reason.TIMEOUT
            detail = f"another process holds {self._file.path.name} locked"
        except OSError as error:
            reason, why = Reason.DISK, error.strerror or type(error).__name__
            detail = f"{self._file.path} cannot be written: {why}"
        else:
            return None
        if not at:
            return ExportResult.retry(reason, detail)
        return Shipment(again=range(at, len(records)), reason=reason, detail=detail)

    def close(self) -> None:
        """Have the disk itself hold the lines."""
        if self._file.path.exists():
            with self._file.held() as file:
                os.fsync(file)

    def _fill(self, file: int, records: Sequence[bytes]) -> int:
        """Write what the file takes of these; how many. 0 where it was moved away for them."""
        size = os.fstat(file).st_size
        if self._is_unsure:
            size, there = _continued(file, size, records)
            self._is_unsure = False
            if there:
                return there
        if not ends_whole(file, size):
            # Not of this sink: it is left, and what follows is a line of its own.
            size += os.write(file, b"\n")
        if size and (size + len(records[0]) > self._max_bytes or self._is_old(file)):
            self._rotation.move(self._file.path)
            return 0
        count, most = 0, max(self._max_bytes - size, len(records[0]))
        while count < len(records) and len(records[count]) <= most:
            most -= len(records[count])
            count += 1
        try:
            append(file, b"".join(records[:count]), size)
        except OSError:
            self._is_unsure = os.fstat(file).st_size != size
            raise
        return count

    def _is_old(self, file: int) -> bool:
        if not self._every:
            return False
        return os.fstat(file).st_mtime // self._every < time.time() // self._every


def _continued(file: int, size: int, records: Sequence[bytes]) -> tuple[int, int]:
    """Take back the half of a line of these that is at the end of the file.

    Returns:
        The size of the file then, and how many of the records are there already, at its end.
    """
    data = b"".join(records)
    begin = max(0, size - len(data))
    # With the byte before it, which must be the end of a line.
    before = min(1, begin)
    tail = b"\n" * (1 - before) + os.pread(file, len(data) + before, begin - before)
    common = _overlap(tail, data)
    whole = there = 0
    for record in records:
        if whole + len(record) > common:
            break
        whole += len(record)
        there += 1
    if common > whole:
        os.ftruncate(file, size - (common - whole))
    return size - (common - whole), there


def _overlap(tail: bytes, data: bytes) -> int:
    """How many bytes ``data`` begins with are the end of ``tail``, from the begin of a line on."""
    hint = b"\n" + data[:_SHORTEST_HINT]
    at = tail.find(hint)
    while at >= 0:
        if data.startswith(tail[at + 1 :]):
            return len(tail) - at - 1
        at = tail.find(hint, at + 1)
    for length in range(min(len(data), _SHORTEST_HINT) - 1, 0, -1):
        if tail.endswith(b"\n" + data[:length]):
            return length
    return 0
