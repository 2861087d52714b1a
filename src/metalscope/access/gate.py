"""The gate: who asks, and whether they may."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from metalscope.access.credential import Credential, CredentialError, Form, credential_of
from metalscope.access.decision import UNKNOWN_ROUTE, Decision
from metalscope.access.failures import FailureLimit
from metalscope.access.key_file import KeysFileError
from metalscope.access.key_set import KeySetError
from metalscope.access.key_store import KeyStore
from metalscope.access.principal import Principal
from metalscope.access.roles import Match, Role, find, methods_at
from metalscope.access.tickets import Ticket, Tickets
from metalscope.access.tokens import NoRoleError, TokenError, Tokens
from metalscope.errors import ConfigurationError
from metalscope.export_options import Audience
from metalscope.moments import utc_now

if TYPE_CHECKING:
    from metalscope.access_options import AccessOptions

__all__ = ["TICKET_ROUTES", "Decision", "Gate", "Principal", "Ticket"]

TICKET_ROUTES: Final = frozenset({"/api/v1/events"})
"""The only addresses at which a ticket is good."""

_BEARER: Final = 'Bearer realm="metalscope"'


class _RefusedError(Exception):
    """The one who asks is not known, or is not heard."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str]) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers


@dataclass(frozen=True, slots=True)
class _Who:
    """Where a request is from, and what it carries."""

    address: str | None
    credential: Credential

    @property
    def key_id(self) -> str | None:
        key = self.credential.key
        return None if key is None else key.id


class Gate:
    """Decides on requests; made by :meth:`of`. For all threads, and in forked children.

    Nobody is known by a cookie or by an address, so no foreign page can have a browser ask in
    its user's name.

    Args:
        options: what is asked for.
        keys: the keys, where there are any.
        tokens: checks tokens, where they are accepted.
        open_paths: addresses of the page's own files.
        on_error: told of what goes wrong on our side.
    """

    def __init__(
        self,
        options: AccessOptions,
        *,
        keys: KeyStore | None,
        tokens: Tokens | None,
        open_paths: Collection[str],
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._keys = keys
        self._tokens = tokens
        self._open_paths = frozenset(open_paths)
        self._external = frozenset(options.external_roles)
        self._on_error = on_error
        self._failures = FailureLimit(options.failures_per_minute)
        self._tickets = Tickets()

    @classmethod
    def of(
        cls,
        options: AccessOptions,
        *,
        open_paths: Collection[str] = (),
        on_error: Callable[[BaseException], None],
    ) -> Gate | None:
        """The gate the options ask for; ``None`` where they ask for none.

        Args:
            options: the options.
            open_paths: addresses of the page's own files, which hold no telemetry.
            on_error: told of what goes wrong later on.

        Raises:
            ConfigurationError: the keys cannot be read, or there are none.
            MissingExtraError: tokens need the extra ``oidc``.
        """
        if not options.is_on:
            return None
        tokens = None
        if options.jwt is not None:
            tokens = Tokens(options.jwt, on_error=on_error)
            tokens.keys.check()
        keys = None
        if options.keys_file is not None:
            keys = KeyStore(options.keys_file, on_error=on_error)
            _check(keys, options, tokens)
        return cls(options, keys=keys, tokens=tokens, open_paths=open_paths, on_error=on_error)

    def decide(
        self,
        method: str,
        path: str,
        headers: Iterable[tuple[str, str]],
        address: str | None,
        query: str = "",
    ) -> Decision:
        """Whether a request is answered. Never raises.

        Who asks is looked at before what is asked for, so that one who is not known learns nothing
        of what there is.

        Args:
            method: its method, in upper case.
            path: its address, below where the application is mounted.
            headers: all its headers, each as often as it was sent.
            address: the other end of the connection.
            query: its query, not decoded.
        """
        match = find(path, method, self._open_paths)
        if match is not None and match.rule.is_open:
            return Decision(True, route=match.rule.pattern, target=match.target, is_open=True)
        try:
            principal = self._principal(headers, address, query, match)
        except _RefusedError as error:
            return _refusal(error.status, error.reason, error.headers, match, None)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong, nobody is let through by it
            self._on_error(error)
            said = "who asks could not be found out; the log of the server says more"
            return _refusal(503, said, {"retry-after": "5"}, match, None)
        if match is None:
            return self._nothing_there(path, principal)
        if principal.role not in match.rule.roles:
            said = f"the role {principal.role} may not do this"
            return _refusal(403, said, {}, match, principal)
        return Decision(
            True,
            principal,
            route=match.rule.pattern,
            target=match.target,
            changes=match.rule.changes,
            audience=self.audience_of(principal.role),
        )

    def may_block(self, headers: Iterable[tuple[str, str]]) -> bool:
        """Whether :meth:`decide` may take seconds: keys for a token are fetched over a network."""
        if self._tokens is None or not self._tokens.keys.may_block:
            return False
        try:
            credential = credential_of(headers)
        except CredentialError:
            return False
        return credential is not None and credential.form is Form.TOKEN

    def mint_ticket(self, principal: Principal) -> Ticket:
        """A ticket by which a browser opens one event stream as ``principal``."""
        return self._tickets.mint(principal)

    def still_allowed(self, principal: Principal) -> bool:
        """Whether one who was let through still would be, not expired and not revoked.

        Never raises.
        """
        if principal.expires_at is not None and principal.expires_at <= utc_now():
            return False
        if principal.kind == "jwt":
            return True
        try:
            return self._keys is not None and self._keys.is_active(principal.id)
        except KeysFileError:
            return False

    def audience_of(self, role: Role) -> Audience:
        """For whom the metrics are that a role is given."""
        return Audience.EXTERNAL if role in self._external else Audience.INTERNAL

    def close(self) -> None:
        """Close the connections to the identity provider."""
        if self._tokens is not None:
            self._tokens.keys.close()

    def _principal(
        self,
        headers: Iterable[tuple[str, str]],
        address: str | None,
        query: str,
        match: Match | None,
    ) -> Principal:
        takes_ticket = match is not None and match.rule.pattern in TICKET_ROUTES
        try:
            credential = credential_of(headers, query, takes_ticket=takes_ticket)
        except CredentialError as error:
            raise _RefusedError(400, str(error), {}) from None
        if credential is None:
            raise _RefusedError(401, "a key is asked for", {"www-authenticate": _BEARER})
        who = _Who(address, credential)
        wait = self._failures.wait(address, who.key_id)
        if wait > 0:
            said = "too many wrong keys from this address, or for this key"
            raise _RefusedError(429, said, {"retry-after": str(math.ceil(wait))})
        match credential.form:
            case Form.TICKET:
                return self._by_ticket(who)
            case Form.TOKEN:
                return self._by_token(who)
            case Form.KEY:
                return self._by_key(who)

    def _by_key(self, who: _Who) -> Principal:
        given = who.credential.key
        if given is None or self._keys is None:
            raise self._wrong(who, "the key is not known, or is no longer good")
        try:
            key = self._keys.find(given)
        except KeysFileError:  # told already, by the store
            said = "the keys cannot be read; the log of the server says more"
            raise _RefusedError(503, said, {"retry-after": "30"}) from None
        if key is None:
            # One answer for all that may be wrong with it.
            raise self._wrong(who, "the key is not known, or is no longer good")
        return Principal("key", key.id, key.name, key.role, key.expires_at)

    def _by_token(self, who: _Who) -> Principal:
        if self._tokens is None:
            raise self._wrong(who, "no tokens are accepted here")
        try:
            return self._tokens.check(who.credential.text)
        except TokenError as error:
            raise self._wrong(who, str(error)) from None
        except NoRoleError as error:
            raise _RefusedError(403, str(error), {}) from None
        except KeySetError as error:
            self._on_error(error)
            said = "the keys of the identity provider cannot be had"
            raise _RefusedError(503, said, {"retry-after": "30"}) from None

    def _by_ticket(self, who: _Who) -> Principal:
        principal = self._tickets.redeem(who.credential.text)
        if principal is None or not self.still_allowed(principal):
            raise self._wrong(who, "the ticket is not good, or was used already")
        return principal

    def _wrong(self, who: _Who, reason: str) -> _RefusedError:
        """Count it; return the refusal."""
        self._failures.failed(who.address, who.key_id)
        # RFC 6750, 3.1.
        challenge = f'{_BEARER}, error="invalid_token"'
        return _RefusedError(401, reason, {"www-authenticate": challenge})

    def _nothing_there(self, path: str, principal: Principal) -> Decision:
        methods = methods_at(path, self._open_paths)
        if not methods:
            return _refusal(404, "nothing is served at this address", {}, None, principal)
        names = ", ".join(sorted(methods))
        said = f"this address serves {names}"
        return _refusal(405, said, {"allow": names}, None, principal)


def _refusal(
    status: int,
    reason: str,
    headers: Mapping[str, str],
    match: Match | None,
    principal: Principal | None,
) -> Decision:
    return Decision(
        False,
        principal,
        status,
        reason,
        headers,
        route=UNKNOWN_ROUTE if match is None else match.rule.pattern,
        target=None if match is None else match.target,
        changes=match is not None and match.rule.changes,
    )


def _check(keys: KeyStore, options: AccessOptions, tokens: Tokens | None) -> None:
    try:
        known = keys.check()
    except KeysFileError as error:
        raise ConfigurationError(f"server.access.keys_file = {error}") from None
    if not known and tokens is None:
        path = options.keys_file
        raise ConfigurationError(
            f"server.access.keys_file = {path}: must hold a key, or nobody could ask for anything; "
            f"run: metalscope keys create --file {path} --name NAME --role viewer"
        )
