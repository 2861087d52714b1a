"""The HTTP server: the page, `/metrics`, health, the report and the live events.

:func:`start_server` runs it beside the program on a thread of its own. To serve the same from an
ASGI application that already runs, mount :func:`metalscope.server.app.create_app`.
"""

from __future__ import annotations

from metalscope.server.runner import RunningServer, start_server

__all__ = ["RunningServer", "start_server"]
