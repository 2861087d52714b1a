"""Dashboards sent to a Grafana over its HTTP API.

https://grafana.com/docs/grafana/latest/developers/http_api/dashboard/ and ``…/folder/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from pydantic import Field

from metalscope.errors import MetalscopeError
from metalscope.option_types import Endpoint
from metalscope.peer_options import ReachingOptions
from metalscope.sending.http.transport import HttpAnswer, HttpTransport, TransportError, judge

__all__ = ["Grafana", "GrafanaOptions", "PushFailed", "Pushed"]

_JSON: Final = "application/json"
_THERE: Final = {"version-mismatch", "name-exists"}


class PushFailed(MetalscopeError):  # noqa: N818 - says what happened
    """Grafana did not take something; the text says what, why, and what to do.

    ``is_there`` where that is only because there is one of that uid already.
    """

    def __init__(self, message: str, *, is_there: bool = False) -> None:
        super().__init__(message)
        self.is_there = is_there


class GrafanaOptions(ReachingOptions):
    """Where Grafana is, and who one is to it."""

    endpoint: Endpoint = Field(description="Its address, a path before `/api` included.")

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return "grafana"

    @property
    def who(self) -> str:
        """How errors begin that are about it."""
        return "dashboards push"


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a dashboard. ``path`` is its page's, after the address of Grafana."""

    name: str
    path: str
    version: int | None


class Grafana:
    """A Grafana that dashboards are sent to.

    Args:
        options: where it is, its token, TLS and proxy.
        timeout: how long one request may take.

    Raises:
        ConfigurationError: the address or a file of TLS is not usable.
    """

    def __init__(self, options: GrafanaOptions, *, timeout: timedelta) -> None:
        self._transport = HttpTransport.of(options, timeout=timeout)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def make_folder(self, uid: str, title: str) -> bool:
        """Make the folder; False where it is there already.

        Raises:
            PushFailed: it is not there, and cannot be made.
        """
        what = f"the folder {uid}"
        answer = self._ask(what, "GET", f"/api/folders/{quote(uid, safe='')}")
        if answer.status == 200:
            return False
        if answer.status != 404:
            raise self._refused(what, answer)
        answer = self._ask(what, "POST", "/api/folders", {"uid": uid, "title": title})
        if answer.status in {409, 412} and _status_of(answer) != "name-exists":
            # Somebody else made it meanwhile.
            return False
        if answer.status != 200:
            raise self._refused(what, answer)
        return True

    def push(self, name: str, text: str, *, folder: str, overwrite: bool, message: str) -> Pushed:
        """Send one dashboard.

        Args:
            name: its uid, for errors.
            text: its JSON.
            folder: the uid of the folder; the top where it is empty.
            overwrite: take the place of one that is there and differs.
            message: what Grafana's history of versions says.

        Raises:
            PushFailed: Grafana did not take it.
        """
        # An id is one Grafana's own; by the uid it is found again in any.
        document = {**json.loads(text), "id": None}
        body: dict[str, Any] = {"dashboard": document, "overwrite": overwrite, "message": message}
        if folder:
            body["folderUid"] = folder
        answer = self._ask(name, "POST", "/api/dashboards/db", body)
        if answer.status != 200:
            raise self._refused(name, answer)
        said = _document(answer)
        if said.get("status") != "success" or said.get("uid") != document["uid"]:
            raise PushFailed(
                f"{name}: {self._transport.peer} answered 200 with what is no answer of Grafana's; "
                "is this its address?"
            )
        version = said.get("version")
        path = said.get("url")
        return Pushed(
            name,
            self._transport.shown(path) if isinstance(path, str) else "",
            version if isinstance(version, int) else None,
        )

    def _ask(
        self, what: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> HttpAnswer:
        try:
            if body is None:
                return self._transport.get(path)
            return self._transport.send(
                json.dumps(body).encode(), content_type=_JSON, method=method, path=path
            )
        except TransportError as error:
            raise PushFailed(f"{what}: {error.detail}") from None

    def _refused(self, what: str, answer: HttpAnswer) -> PushFailed:
        said = self._transport.shown(str(_document(answer).get("message", "")))
        quoted = f" ({said})" if said else ""
        peer = answer.peer
        is_there = answer.status == 412 and _status_of(answer) in _THERE
        match answer.status:
            case 401:
                why = f"{peer} does not know the token{quoted}; see --token-from"
            case 403:
                why = (
                    f"the token may not do this at {peer}{quoted}; its service account needs the "
                    "role Editor"
                )
            case 404:
                why = f"{peer} has no such thing{quoted}; is this Grafana's address?"
            case 412 if is_there:
                why = (
                    f"there is one already{quoted}; --overwrite takes its place, "
                    "and Grafana keeps the old version"
                )
            case _:
                why = judge(answer).detail or f"{peer} answered {answer.status}"
        return PushFailed(f"{what}: {why}", is_there=is_there)


def _document(answer: HttpAnswer) -> dict[str, Any]:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _status_of(answer: HttpAnswer) -> str:
    return str(_document(answer).get("status", ""))
