"""The door: who asks, whether they may, and the line of it in the audit log.

Keys, roles and tickets are :mod:`metalscope.access`; here they meet HTTP. What may be asked stands
in the table of :mod:`metalscope.access.roles`, and what is not in it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from metalscope.access.decision import UNKNOWN_ROUTE, Decision
from metalscope.access.roles import find
from metalscope.server.files import load_assets
from metalscope.server.security import problem

if TYPE_CHECKING:
    from metalscope.access.audit import AuditLog
    from metalscope.access.gate import Gate
    from metalscope.access_options import AccessOptions
    from metalscope.server.source import Asker

__all__ = ["Access", "Door", "decision_of"]

REFUSALS: Final = frozenset({403, 421})

_STATE: Final = "metalscope_access"


@dataclass(frozen=True, slots=True)
class Access:
    """Who is asked for what at the door.

    Args:
        gate: asks for keys; ``None`` lets everybody in, as on this machine's own addresses.
        audit: is told of each request; ``None`` for no log.
        open_paths: the page's own files.
    """

    gate: Gate | None = None
    audit: AuditLog | None = None
    open_paths: Collection[str] = ()

    @classmethod
    def of(
        cls, options: AccessOptions | None, *, on_error: Callable[[BaseException], None]
    ) -> Access:
        """What the options ask for.

        Raises:
            ConfigurationError: the keys, the provider's or the audit log's file cannot be used.
            MissingExtraError: tokens are to be taken and their library is not installed.
        """
        if options is None or not (options.is_on or options.audit_file):
            return cls()
        from metalscope.access.audit import AuditLog  # noqa: PLC0415 - where it is wanted
        from metalscope.access.gate import Gate  # noqa: PLC0415

        open_paths = frozenset(f"/{path}" for path in load_assets())
        gate = Gate.of(options, open_paths=open_paths, on_error=on_error)
        try:
            audit = AuditLog.of(options, on_error=on_error)
        except BaseException:
            if gate is not None:
                gate.close()
            raise
        return cls(gate, audit, open_paths)

    @property
    def is_on(self) -> bool:
        """Whether somebody stands at the door at all."""
        return self.gate is not None or self.audit is not None

    def close(self) -> None:
        """Let go of the gate's keys, and write what the audit log still has to."""
        if self.gate is not None:
            self.gate.close()
        if self.audit is not None:
            self.audit.close()

    def refused(self, scope: Scope, status: int, reason: str) -> None:
        """Note a request that was refused before anybody was asked who they are."""
        if self.audit is not None:
            known = self._without_gate(scope["method"], _path(scope))
            decision = _refusal(status, reason, known.route, changes=known.changes)
            self.note(decision, scope["method"], _address(scope), status)

    def malformed(self, address: str | None) -> None:
        """Note what was no HTTP."""
        if self.audit is not None:
            decision = _refusal(400, "the request is not HTTP/1.1", UNKNOWN_ROUTE, changes=False)
            self.note(decision, "", address, 400)

    def note(
        self,
        decision: Decision,
        method: str,
        address: str | None,
        status: int,
        certificate: str | None = None,
    ) -> None:
        """Write a request into the audit log, with whom a client's certificate is for."""
        if self.audit is None:
            return
        if decision.allowed and status in REFUSALS:
            # By what it asked of, which knows more than the table of roles.
            reason = HTTPStatus(status).phrase
            decision = replace(decision, allowed=False, status=status, reason=reason)
        if certificate is not None:
            said = f"certificate {certificate}"
            if decision.principal is not None:
                name = f"{decision.principal.name}, {said}"
                decision = replace(decision, principal=replace(decision.principal, name=name))
            else:
                address = f"{address}, {said}"
        self.audit.record(decision, method=method, address=address, status=status)

    def _without_gate(self, method: str, path: str) -> Decision:
        match = find(path, method, self.open_paths)
        return Decision(
            allowed=True,
            status=200,
            route=match.rule.pattern if match else UNKNOWN_ROUTE,
            target=match.target if match else None,
            is_open=match.rule.is_open if match else False,
            changes=match.rule.changes if match else False,
        )

    async def decide(self, scope: Scope, asker: Asker) -> Decision:
        """Whether this request may pass."""
        method, path = scope["method"], _path(scope)
        if self.gate is None:
            return self._without_gate(method, path)
        gate = self.gate
        headers = Headers(scope=scope).items()
        query = scope.get("query_string", b"").decode("latin-1")
        address = _address(scope)
        if gate.may_block(headers):
            return await asker.ask(lambda: gate.decide(method, path, headers, address, query))
        return gate.decide(method, path, headers, address, query)


def _refusal(status: int, reason: str, route: str, *, changes: bool) -> Decision:
    return Decision(allowed=False, status=status, reason=reason, route=route, changes=changes)


class Door:
    """Lets through whom :class:`Access` lets through, and has each request noted once."""

    def __init__(self, app: ASGIApp, access: Access, asker: Asker) -> None:
        self._app = app
        self._access = access
        self._asker = asker

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        decision = await self._access.decide(scope, self._asker)
        noted = False

        def note(status: int) -> None:
            nonlocal noted
            if not noted:
                noted = True
                name = scope.get("state", {}).get("client_certificate")
                self._access.note(decision, scope["method"], _address(scope), status, name)

        async def send_noted(message: Message) -> None:
            # When it begins: an event stream may end tomorrow.
            if message["type"] == "http.response.start":
                note(message["status"])
            await send(message)

        if not decision.allowed:
            await _answer(decision)(scope, receive, send_noted)
            return
        scope.setdefault("state", {})[_STATE] = decision
        try:
            await self._app(scope, receive, send_noted)
        except Exception as error:
            note(503 if isinstance(error, TimeoutError) else 500)
            raise
        finally:
            # One that went before it was answered: nginx's word for it.
            note(499)


def decision_of(request: Request) -> Decision | None:
    """What was decided at the door; ``None`` where nobody stands there."""
    found = request.scope.get("state", {}).get(_STATE)
    return found if isinstance(found, Decision) else None


def _answer(decision: Decision) -> JSONResponse:
    title = HTTPStatus(decision.status).phrase
    return problem(decision.status, title, decision.reason, decision.headers)


def _path(scope: Scope) -> str:
    """The path below the mount."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root else path


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None
