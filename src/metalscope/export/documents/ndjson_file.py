"""Snapshots as lines of a file (NDJSON) that is rotated by size, for log shippers to read.

Every line is whole, whatever happens: it is written under a lock that other processes writing the
same file take as well, and what a full disk or a killed process left half-written is taken back.
"""

from __future__ import annotations

import errno
import fcntl
import gzip
import os
import re
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from metalscope.errors import ConfigurationError
from metalscope.export.base import MetricsExporter, ReadBack
from metalscope.export.documents.json_document import SCHEMA, Document, strict_json
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
_BLOCK: Final = 64 * 1024
_LOCK_RETRY_SECONDS: Final = 0.01


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
        self._path = _path(context)
        self._view = context.view
        self._timeout = context.timeout.total_seconds()
        self._max_bytes = settings.whole("max_bytes", DEFAULT_MAX_BYTES, least=4096, most=2**50)
        self._backups = settings.whole("backups", DEFAULT_BACKUPS, least=0, most=1000)
        self._compress = settings.flag("compress")
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
            with self._locked() as file:
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
            with self._locked() as file:
                found = _last_id(file, os.fstat(file).st_size)
        except OSError as error:
            return ReadBack(False, f"{self._path} cannot be read: {error.strerror or error}")
        if found == wanted:
            return ReadBack(True, f"{self._path} ends with its line")
        return ReadBack(False, f"{self._path} does not end with its line")

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The file that has the name now, held against all others who would write or move it."""
        deadline = time.monotonic() + self._timeout
        while True:
            # O_NONBLOCK: should it have become a pipe, opening it must not wait for a reader.
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
            file = os.open(self._path, flags, 0o600)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    raise OSError(errno.EINVAL, "it is no regular file")
                _lock(file, deadline)
                if not self._is_named(file):
                    continue  # It was moved away while the lock was waited for.
                yield file
                return
            finally:
                os.close(file)

    def _is_named(self, file: int) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(os.fstat(file), there)

    def _append(self, file: int, line: bytes, document_id: str) -> None:
        size = _mend(file)
        # After a failure it may be there all the same, by this process or one before it.
        if document_id in {self._last_id, _last_id(file, size)}:
            return
        if size and size + len(line) > self._max_bytes:
            self._rotate()
            with self._locked() as fresh:
                _write(fresh, line, _mend(fresh))
        else:
            _write(file, line, size)
        self._last_id = document_id

    def _rotate(self) -> None:
        """Move the file, which is locked, out of the way; its name goes last and at once."""
        if not self._backups:
            self._path.unlink()
            return
        packed = _compressed(self._path) if self._compress else None
        for number in range(self._backups, 0, -1):
            for suffix in ("", ".gz"):
                old = self._backup(number, suffix)
                if not old.exists():
                    continue
                if number == self._backups:
                    old.unlink()
                else:
                    old.rename(self._backup(number + 1, suffix))
        if packed is None:
            self._path.rename(self._backup(1))
        else:
            packed.rename(self._backup(1, ".gz"))
            self._path.unlink()

    def _backup(self, number: int, suffix: str = "") -> Path:
        return self._path.with_name(f"{self._path.name}.{number}{suffix}")


def _path(context: ExporterContext) -> Path:
    endpoint = context.options.endpoint or ""
    parts = urlsplit(endpoint)
    # RFC 8089: an absolute path, percent-encoded.
    path = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc or parts.query or parts.fragment or not path.name:
        raise ConfigurationError(
            f"exporter {context.name!r}: a file needs an endpoint such as "
            "'file:///var/log/metalscope.ndjson'"
        )
    if not path.parent.is_dir():
        raise ConfigurationError(
            f"exporter {context.name!r}: the directory of endpoint, {path.parent}, is not there"
        )
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"exporter {context.name!r}: endpoint {path} is no regular file")
    return path


def _lock(file: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError from None
            time.sleep(_LOCK_RETRY_SECONDS)
        else:
            return


def _write(file: int, line: bytes, size: int) -> None:
    """Append ``line`` to a file of ``size`` bytes, or leave it as it was."""
    try:
        written = os.write(file, line)
        while written < len(line):
            # A disk that is full takes a part, then says so.
            written += os.write(file, line[written:])
    except BaseException:
        os.ftruncate(file, size)
        raise


def _mend(file: int) -> int:
    """Take a half-written line back; return the size of the file, in bytes."""
    size = os.fstat(file).st_size
    if not size or os.pread(file, 1, size - 1) == b"\n":
        return size
    begin = _begin_of_last_line(file, size)
    if os.pread(file, len(_OURS), begin) == _OURS[: size - begin]:
        os.ftruncate(file, begin)
        return begin
    # Not of this exporter: it is left, and what follows is a line of its own.
    return size + os.write(file, b"\n")


def _begin_of_last_line(file: int, size: int) -> int:
    end = size
    while end:
        begin = max(0, end - _BLOCK)
        found = os.pread(file, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _last_id(file: int, size: int) -> str:
    begin = max(0, size - _LONGEST_END)
    found = _END_OF_LINE.search(os.pread(file, _LONGEST_END, begin))
    return found[1].decode() if found else ""


def _compressed(source: Path) -> Path:
    target = source.with_name(f"{source.name}.gz.tmp")
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with (
            source.open("rb") as plain,
            os.fdopen(descriptor, "wb") as file,
            gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed,
        ):
            shutil.copyfileobj(plain, packed)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target
