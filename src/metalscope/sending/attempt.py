"""One try of what may hang, raise or answer nonsense, as a result."""

from __future__ import annotations

from collections.abc import Callable

from metalscope.sending.http.deadline import within
from metalscope.sending.http.outcome import TransportError, result_of_error
from metalscope.sending.result import ExportResult, Reason

__all__ = ["tried"]


def tried(
    send: Callable[[], object], seconds: float, on_error: Callable[[BaseException], None]
) -> ExportResult:
    """What came of ``send``; ``None`` means delivered.

    Args:
        send: what exports, or tells.
        seconds: how long all that it asks for over HTTP may take together.
        on_error: told of what it raises that is no failure of the network.
    """
    try:
        with within(seconds):
            result = send()
    except TransportError as error:
        return result_of_error(error)
    except TimeoutError:
        return ExportResult.retry(Reason.TIMEOUT, f"not done within {seconds:.3g} s")
    except Exception as error:  # noqa: BLE001 - law: whoever sends must not harm the program
        on_error(error)
        said = f"{type(error).__name__} was raised; the log says more"
        return ExportResult.retry(Reason.EXPORTER_ERROR, said)
    if result is None:
        return ExportResult.delivered()
    if not isinstance(result, ExportResult):
        said = f"it returned {type(result).__name__}, not an ExportResult"
        return ExportResult.retry(Reason.EXPORTER_ERROR, said)
    return result
