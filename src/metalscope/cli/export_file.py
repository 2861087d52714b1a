"""The telemetry of a running program as a file: JSON, CSV, Parquet or Prometheus text."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from metalscope.cli.exit_codes import CommandFailed, ExitCode
from metalscope.cli.output import emit

if TYPE_CHECKING:
    from metalscope.export.view import MetricView
    from metalscope.options import MetalTelemetryOptions
    from metalscope.snapshot import MetalTelemetrySnapshot

__all__ = ["ExportFormat", "fetched", "write_export"]

STANDARD_OUTPUT: Final = Path("-")


class ExportFormat(StrEnum):
    """Forms of a file: what exporters send as JSON, a table, or what a scrape gets."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    PROMETHEUS = "prometheus"


_SUFFIXES: Final = {
    ".json": ExportFormat.JSON,
    ".csv": ExportFormat.CSV,
    ".parquet": ExportFormat.PARQUET,
    ".prom": ExportFormat.PROMETHEUS,
}


def write_export(
    options: MetalTelemetryOptions,
    base: str,
    timeout: float,
    *,
    form: ExportFormat | None,
    output: Path | None,
) -> int:
    """Write what the program at ``base`` has; return the exit code.

    Args:
        options: of these, the name of the service.
        base: where it serves its telemetry.
        timeout: how many s it may take to answer.
        form: the format; where it is ``None`` the suffix tells, and on standard output it is JSON.
        output: the file; standard output where it is ``None`` or ``-``.

    Raises:
        CommandFailed: the format is not known or the file cannot be written, which is said before
            anything is fetched; or nothing can be fetched.
        MissingExtraError: pyarrow is not installed.
    """
    from metalscope.export.view import MetricView  # noqa: PLC0415

    if output == STANDARD_OUTPUT:
        output = None
    form = form or (ExportFormat.JSON if output is None else _format_of(output))
    view = MetricView(service_name=options.export.service_name)
    if output is not None:
        with _replaced(output) as file:
            snapshot = fetched(base, timeout)
            try:
                _write(snapshot, view, form, file)
            except OSError as error:
                raise _unwritable(output, error) from error
        return ExitCode.OK
    if form is ExportFormat.PARQUET:
        raise CommandFailed("--format parquet needs an --output file", ExitCode.USAGE)
    text = _text(fetched(base, timeout), view, form)
    if sys.stdout is not None and hasattr(sys.stdout, "reconfigure"):
        # For programs: the same bytes as in a file, whatever the locale.
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    return emit(text)


def fetched(base: str, timeout: float) -> MetalTelemetrySnapshot:
    """The snapshot of the program that serves at ``base``.

    Raises:
        CommandFailed: there is none.
    """
    from metalscope.session.watch import SourceUnavailableError, fetch_snapshot  # noqa: PLC0415

    try:
        return fetch_snapshot(base, timeout=timeout)
    except SourceUnavailableError as error:
        hint = (
            "is the program running under `metalscope run`, and on this port?"
            if error.refused
            else "is this the address of a metalscope server?"
        )
        raise CommandFailed(f"{error}; {hint}", ExitCode.UNREACHABLE) from error


def _format_of(path: Path) -> ExportFormat:
    form = _SUFFIXES.get(path.suffix.lower())
    if form is None:
        raise CommandFailed(
            f"the suffix of {path} stands for no format: use {', '.join(_SUFFIXES)}, "
            "or name one with --format",
            ExitCode.USAGE,
        )
    return form


def _write(
    snapshot: MetalTelemetrySnapshot, view: MetricView, form: ExportFormat, file: Path
) -> None:
    if form is ExportFormat.PARQUET:
        from metalscope.export.documents.tables import write_parquet  # noqa: PLC0415 - loads pyarrow

        write_parquet([snapshot], view, file)
    else:
        file.write_bytes(_text(snapshot, view, form).encode())


def _text(snapshot: MetalTelemetrySnapshot, view: MetricView, form: ExportFormat) -> str:
    """It has no lone surrogate in it."""
    match form:
        case ExportFormat.CSV:
            from metalscope.export.documents.tables import to_csv  # noqa: PLC0415

            text = to_csv([snapshot], view)
        case ExportFormat.PROMETHEUS:
            from metalscope.export.prometheus import render  # noqa: PLC0415

            text = render(snapshot)[0].decode()
        case _:
            import json  # noqa: PLC0415

            from metalscope.export.documents.json_document import Document  # noqa: PLC0415

            made = Document(snapshot, view).to_dict()
            text = json.dumps(made, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "replace").decode("utf-8")


@contextmanager
def _replaced(path: Path) -> Iterator[Path]:
    """A file to write to, which takes the place of ``path`` when all went well.

    Until then, and where it did not, what is there stays as it is. What is no regular file, such
    as ``/dev/stdout`` or a pipe, is written to.
    """
    target = path.resolve()
    unfinished = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        if target.is_dir():
            raise IsADirectoryError("it is a directory")
        plain = target.is_file() or not target.exists()
        if target.is_file():
            target.open("ab").close()  # It may be protected; its directory need not be.
        unfinished = unfinished if plain else _temporary()
        unfinished.open("xb").close()
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield unfinished
        try:
            if not plain:
                target.write_bytes(unfinished.read_bytes())
                return
            if target.exists():
                unfinished.chmod(target.stat().st_mode & 0o7777)
            unfinished.replace(target)
        except OSError as error:
            raise _unwritable(path, error) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _temporary() -> Path:
    import tempfile  # noqa: PLC0415 - seldom

    return Path(tempfile.gettempdir()) / f"metalscope-{os.getpid()}-{os.urandom(8).hex()}.tmp"


def _unwritable(path: Path, error: OSError) -> CommandFailed:
    return CommandFailed(f"cannot write {path}: {error.strerror or error}", ExitCode.USAGE)
