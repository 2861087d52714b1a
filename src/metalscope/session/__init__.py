"""Recordings: a telemetry session as a file, its replay, and the snapshots of a running process.

Where snapshots come from, other than a manager in this process::

    with open_session(path) as session:        # Session
        session.header                         # SessionHeader
        for snapshot in session:               # MetalTelemetrySnapshot, oldest first
            ...
        session.damage                         # Damage | None, once the end was reached

    for snapshot in watch("http://127.0.0.1:9464", interval=1.0):   # until it is closed
        ...                                    # or nothing answers: SourceUnavailableError
"""

from metalscope.session.format import Damage, SessionFormatError, SessionHeader
from metalscope.session.reader import Session, open_session
from metalscope.session.watch import SourceUnavailableError, fetch_snapshot, watch
from metalscope.session.writer import SessionFullError, SessionWriter

__all__ = [
    "Damage",
    "Session",
    "SessionFormatError",
    "SessionFullError",
    "SessionHeader",
    "SessionWriter",
    "SourceUnavailableError",
    "fetch_snapshot",
    "open_session",
    "watch",
]
