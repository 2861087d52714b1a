"""A stand-in for Grafana's HTTP API of dashboards and folders.

No Grafana: it holds requests to what Grafana's documentation says of them
(docs/sources/developers/http_api/dashboard.md and folder.md, version 11), and refuses all else.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "glsa_a-token-that-nobody-may-read"
VIEWER = "glsa_one-that-may-only-look"
UID = re.compile(r"[a-zA-Z0-9_-]{1,40}")
_OF_DASHBOARD = {"dashboard", "folderUid", "message", "overwrite"}


@dataclass
class GrafanaStandIn:
    """What it holds. ``prefix`` is the path before ``/api``."""

    prefix: str = ""
    url: str = ""
    folders: dict[str, str] = field(default_factory=dict)
    dashboards: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)

    def answer(  # noqa: PLR0911 - an answer each
        self, method: str, path: str, headers: Any, body: bytes
    ) -> tuple[int, Any]:
        self.requests.append(f"{method} {path}")
        token = (
            headers["Authorization"].removeprefix("Bearer ") if "Authorization" in headers else ""
        )
        if not path.startswith(f"{self.prefix}/api/"):
            return 404, {"message": "Not found"}
        if token not in {TOKEN, VIEWER}:
            return 401, {"message": "Invalid API key", "messageId": "api-key.invalid"}
        if method == "POST" and token == VIEWER:
            return 403, {"message": "You'll need additional permissions to perform this action."}
        if method == "POST" and headers["Content-Type"] != "application/json":
            return 400, {"message": "bad request data"}
        path = path.removeprefix(self.prefix)
        if method == "GET" and path.startswith("/api/folders/"):
            return self._folder(path.removeprefix("/api/folders/"))
        if (method, path) == ("POST", "/api/folders"):
            return self._make_folder(json.loads(body))
        if (method, path) == ("POST", "/api/dashboards/db"):
            return self._save(json.loads(body))
        return 404, {"message": "Not found"}

    def _folder(self, uid: str) -> tuple[int, Any]:
        if uid not in self.folders:
            return 404, {"message": "folder not found", "status": "not-found"}
        return 200, {"id": 1, "uid": uid, "title": self.folders[uid]}

    def _make_folder(self, asked: dict[str, Any]) -> tuple[int, Any]:
        uid, title = asked["uid"], asked["title"]
        if not UID.fullmatch(uid) or not title or asked.keys() - {"uid", "title"}:
            return 400, {"message": "invalid folder"}
        if uid in self.folders or uid in self.dashboards:
            return 409, {"message": "a folder with that uid already exists"}
        self.folders[uid] = title
        return self._folder(uid)

    def _save(self, asked: dict[str, Any]) -> tuple[int, Any]:  # noqa: PLR0911 - an answer each
        dashboard = asked["dashboard"]
        uid = dashboard["uid"]
        if asked.keys() - _OF_DASHBOARD or not isinstance(asked["overwrite"], bool):
            return 400, {"message": "bad request data"}
        if not dashboard["title"] or not UID.fullmatch(uid):
            return 400, {"message": "Dashboard title cannot be empty", "status": "empty-name"}
        # "id = null to create a new dashboard"
        if dashboard["id"] is not None:
            return 404, {"message": "Dashboard not found", "status": "not-found"}
        if asked.get("folderUid", "") not in {"", *self.folders}:
            return 400, {"message": "folder not found", "status": "not-found"}
        # Folders and dashboards have their uids in one table.
        if uid in self.folders:
            return 400, {"message": "Dashboard cannot be changed to a folder"}
        there = self.dashboards.get(uid)
        if there and not asked["overwrite"] and dashboard.get("version") != there["version"]:
            said = "The dashboard has been changed by someone else"
            return 412, {"message": said, "status": "version-mismatch"}
        version = (there["version"] if there else 0) + 1
        self.dashboards[uid] = {**asked, "version": version}
        url = f"{self.prefix}/d/{uid}/{uid}"
        return 200, {
            "id": 1, "uid": uid, "url": url, "status": "success", "version": version, "slug": uid,
        }  # fmt: skip


@contextmanager
def grafana_standin(
    *, prefix: str = "", tls: ssl.SSLContext | None = None
) -> Iterator[GrafanaStandIn]:
    """Serve one on a loopback port."""
    grafana = GrafanaStandIn(prefix)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, said = grafana.answer(self.command, self.path, self.headers, body)
            text = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "https" if tls else "http"
        grafana.url = f"{scheme}://127.0.0.1:{server.server_port}{prefix}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield grafana
        finally:
            server.shutdown()
            thread.join()
