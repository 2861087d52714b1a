"""What a request carries to say who asks: a key, a token or a ticket, and only one of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl

from metalscope.access.keys import PREFIX, GivenKey

__all__ = ["Credential", "CredentialError", "Form", "credential_of"]

LONGEST: Final = 16 * 1024
_TICKET: Final = "ticket"


class Form(StrEnum):
    """What it is, by how it looks."""

    KEY = "key"
    TOKEN = "token"  # noqa: S105 - no secret
    TICKET = "ticket"


class CredentialError(Exception):
    """The request carries what cannot be read, or more than one; the text says which."""


@dataclass(frozen=True, slots=True, repr=False)
class Credential:
    """What was sent.

    Attributes:
        form: what it is.
        text: it itself, which is secret.
        key: the same, where it has the shape of a key.
    """

    form: Form
    text: str
    key: GivenKey | None = None


def credential_of(
    headers: Iterable[tuple[str, str]], query: str = "", *, takes_ticket: bool = False
) -> Credential | None:
    """What a request carries; ``None`` for nothing.

    Args:
        headers: all of its headers, each as often as it was sent.
        query: its query.
        takes_ticket: whether a ticket is looked for in that, which is done where no header is.

    Raises:
        CredentialError: there are several, or one that is neither a bearer's nor a key.
    """
    found: list[str] = []
    for name, value in headers:
        match name.lower():
            case "authorization":
                scheme, _, rest = value.strip().partition(" ")
                if scheme.lower() != "bearer" or not rest.strip():
                    raise CredentialError("the Authorization header must be: Bearer KEY")
                found.append(rest.strip())
            case "x-api-key":
                found.append(value.strip())
    if any(len(one) > LONGEST for one in found):
        raise CredentialError("the key is longer than any")
    if len(found) > 1:
        raise CredentialError("the request must carry one key, in one header")
    if found:
        text = found[0]
        is_token = not text.startswith(PREFIX) and text.count(".") == 2
        if is_token:
            return Credential(Form.TOKEN, text)
        return Credential(Form.KEY, text, GivenKey.parse(text))
    return _ticket(query) if takes_ticket else None


def _ticket(query: str) -> Credential | None:
    if len(query) > LONGEST:
        raise CredentialError("the query is longer than any")
    try:
        pairs = parse_qsl(query, max_num_fields=50, keep_blank_values=True)
    except ValueError:
        raise CredentialError("the query has more parameters than any") from None
    tickets = [value for name, value in pairs if name == _TICKET]
    if len(tickets) > 1:
        raise CredentialError("the request must carry one ticket")
    return Credential(Form.TICKET, tickets[0]) if tickets else None
