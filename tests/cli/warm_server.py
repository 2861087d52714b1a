"""A Python that has loaded what the command needs, and becomes ``python -m metalscope`` by forking.

It is told on a socket, one line of JSON and three files a command, and answers with the process's
id and, in the end, its wait status. The child is the command from its first line to the end of the
interpreter; only what it imports is there already.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import socket
import sys
from types import ModuleType
from typing import Any, Final

# No library that starts threads when it is loaded: they are not in a child.
LOADED: Final = (
    "pydantic", "prometheus_client", "psutil", "rich.console", "starlette.applications",
    "typer.rich_utils", "urllib3", "uvicorn", "yaml",
    "metalscope.cli", "metalscope.cli.fetch", "metalscope.manager", "metalscope.options",
    "metalscope.export.exporter", "metalscope.session",
)  # fmt: skip


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    for name in LOADED:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    while True:
        message, files, _, _ = socket.recv_fds(channel, 65536, 3)
        while message and not message.endswith(b"\n"):
            message += channel.recv(65536)
        if not message:
            os._exit(0)
        process = os.fork()
        if not process:
            channel.close()
            become(json.loads(message), files)
            return
        for file in files:
            os.close(file)
        channel.sendall(b"%d\n" % process)
        _, status = os.waitpid(process, 0)
        channel.sendall(b"%d\n" % status)


def become(order: dict[str, Any], files: list[int]) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.path[0] = order["cwd"]
    sys.argv[:] = ["-m", *order["args"]]
    sys.orig_argv[:] = [sys.executable, "-m", "metalscope", *order["args"]]
    sys.modules["__main__"] = ModuleType("__main__")
    runpy._run_module_as_main("metalscope")  # type: ignore[attr-defined]


if __name__ == "__main__":
    main()
