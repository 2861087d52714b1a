"""The gate: who is let through, who is not, and what each is told."""

from __future__ import annotations

import os
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from access_at_hand import Errors, Provider, bearer, gate_of, jwt_options, keys_of_all_roles
from hypothesis import given
from hypothesis import strategies as st

from metalscope.access.failures import MOST_BUCKETS, FailureLimit, network_of
from metalscope.access.gate import Gate, Principal
from metalscope.access.key_changes import KeyChanges
from metalscope.access.keys import new_id, new_secret
from metalscope.access.roles import Role
from metalscope.access.tickets import LIFE_SECONDS, MOST_EACH, MOST_TICKETS, Tickets
from metalscope.access_options import AccessOptions
from metalscope.errors import ConfigurationError
from metalscope.export_options import Audience
from metalscope.moments import utc_now

EVENTS = "/api/v1/events"
HERE = "10.0.0.1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def keys(path: Path) -> dict[Role, str]:
    return keys_of_all_roles(path)


def wrong_key(identity: str | None = None) -> list[tuple[str, str]]:
    return bearer(f"msk_{identity or new_id()}_{new_secret()}")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_without_keys_and_tokens_there_is_no_gate(path: Path):
    assert Gate.of(AccessOptions(audit_file=path), on_error=Errors()) is None
    assert not AccessOptions().is_on


@pytest.mark.parametrize("name", ["authorization", "AUTHORIZATION", "X-API-Key", "x-api-key"])
def test_a_key_is_taken_from_either_header_in_any_case(
    path: Path, keys: dict[Role, str], name: str
):
    value = keys[Role.VIEWER] if "key" in name.lower() else f"bEARER  {keys[Role.VIEWER]} "
    decision = gate_of(keys_file=path).decide("GET", "/metrics", [(name, value)], HERE)
    assert decision.allowed
    assert decision.principal is not None
    assert (decision.principal.name, decision.principal.role) == ("viewer", Role.VIEWER)
    assert (decision.route, decision.status, decision.reason) == ("/metrics", 200, "")


@pytest.mark.parametrize(
    "headers",
    [
        [("authorization", "Basic YTpi")],
        [("authorization", "Bearer")],
        [("authorization", "")],
        [("authorization", "Bearer a"), ("authorization", "Bearer a")],
        [("authorization", "Bearer a"), ("x-api-key", "b")],
        [("x-api-key", "k" * 20_000)],
    ],
)
def test_a_credential_that_cannot_be_read_or_two_of_them_are_a_bad_request(
    path: Path, keys: dict[Role, str], headers: list[tuple[str, str]]
):
    decision = gate_of(keys_file=path).decide("GET", "/metrics", headers, HERE)
    assert (decision.allowed, decision.status) == (False, 400)


def test_who_sends_nothing_is_asked_for_a_key_and_may_ask_as_often_as_they_like(
    path: Path, keys: dict[Role, str]
):
    gate = gate_of(keys_file=path)
    for _ in range(50):
        decision = gate.decide("GET", "/metrics", [("cookie", f"key={keys[Role.ADMIN]}")], HERE)
        assert decision.status == 401
    assert decision.headers == {"www-authenticate": 'Bearer realm="metalscope"'}


def test_all_that_may_be_wrong_with_a_key_has_one_answer(path: Path, keys: dict[Role, str]):
    changes = KeyChanges(path)
    revoked, revoked_given = changes.create("r", Role.ADMIN)
    changes.revoke(revoked.id)
    _, expired = changes.create("e", Role.ADMIN, expires_in=timedelta(microseconds=1))
    gate = gate_of(keys_file=path, failures_per_minute=1000)
    answers = {
        repr(gate.decide("GET", "/metrics", headers, HERE))
        for headers in (
            wrong_key(),
            wrong_key(revoked.id),
            bearer(revoked_given.text),
            bearer(expired.text),
            bearer("msk_"),
            bearer("x"),
            bearer("é" * 9),
            [("x-api-key", "")],
        )
    }
    assert len(answers) == 1
    assert "401" in answers.pop()


def test_no_secret_is_in_a_decision(path: Path, keys: dict[Role, str]):
    gate = gate_of(keys_file=path)
    for key in (*keys.values(), f"msk_{new_id()}_{new_secret()}"):
        for address in ("/metrics", f"/api/v1/alerts/{'x' * 9}", "/none"):
            shown = repr(gate.decide("GET", address, bearer(key), HERE))
            assert key.split("_", 2)[2] not in shown
            assert key not in shown


def test_too_many_wrong_keys_from_an_address_are_answered_with_429_even_for_a_good_one(
    path: Path, keys: dict[Role, str]
):
    gate = gate_of(keys_file=path, failures_per_minute=5)
    for _ in range(5):
        assert gate.decide("GET", "/metrics", wrong_key(), HERE).status == 401
    for headers in (wrong_key(), bearer(keys[Role.ADMIN])):
        decision = gate.decide("GET", "/metrics", headers, HERE)
        assert decision.status == 429
        assert 1 <= int(decision.headers["retry-after"]) <= 12
    # Elsewhere nobody notices, probes here go on, and who sends no key is asked for one.
    assert gate.decide("GET", "/metrics", bearer(keys[Role.ADMIN]), "10.0.0.2").allowed
    assert gate.decide("GET", "/livez", bearer("x"), HERE).allowed
    assert gate.decide("GET", "/metrics", [], HERE).status == 401


def test_wrong_secrets_for_one_key_from_everywhere_are_limited_and_its_owner_is_not(
    path: Path, keys: dict[Role, str]
):
    identity = keys[Role.VIEWER].split("_")[1]
    gate = gate_of(keys_file=path, failures_per_minute=3)
    statuses = [
        gate.decide("GET", "/metrics", wrong_key(identity), f"10.1.0.{n % 4}").status
        for n in range(8)
    ]
    assert statuses[:4] == [401] * 4
    assert set(statuses[4:]) == {429}
    assert gate.decide("GET", "/metrics", bearer(keys[Role.VIEWER]), "10.9.9.9").allowed


def test_a_bucket_fills_again_with_time():
    clock = Clock()
    limit = FailureLimit(6, clock=clock)
    for _ in range(6):
        assert limit.wait(HERE, None) == 0
        limit.failed(HERE, None)
    assert limit.wait(HERE, None) == pytest.approx(10)
    clock.now += 10
    assert limit.wait(HERE, None) == 0
    limit.failed(HERE, None)
    assert limit.wait(HERE, None) > 0
    clock.now += 3600
    for _ in range(6):
        assert limit.wait(HERE, None) == 0
        limit.failed(HERE, None)


def test_what_is_remembered_of_a_crowd_is_bounded_and_forgotten():
    clock = Clock()
    limit = FailureLimit(2, clock=clock)
    for number in range(3 * MOST_BUCKETS):
        limit.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", f"{number:012x}")
    assert limit.remembered <= 2 * (MOST_BUCKETS + 1)
    assert limit.wait("172.16.0.1", None) > 0  # one of the crowd
    assert limit.wait("10.0.0.1", None) == 0  # has a bucket of its own, with one token left
    clock.now += 120
    limit.failed("172.16.0.1", None)
    assert limit.remembered <= MOST_BUCKETS + 3
    assert limit.wait("172.16.0.1", None) == 0


def test_addresses_of_one_host_share_a_bucket():
    assert network_of("2001:db8:1:2:3::9") == network_of("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert network_of("::ffff:10.0.0.1") == network_of("10.0.0.1") == "10.0.0.1"
    assert network_of("fe80::1%eth0") == "fe80::/64"
    assert network_of(None) == network_of("a socket") == "unknown"


def test_a_ticket_opens_one_stream_once(path: Path, keys: dict[Role, str]):
    gate = gate_of(keys_file=path)
    asked = gate.decide("POST", "/api/v1/tickets", bearer(keys[Role.VIEWER]), HERE)
    assert asked.allowed
    assert asked.principal is not None
    ticket = gate.mint_ticket(asked.principal)
    assert ticket.text not in repr(ticket)
    assert ticket.expires_in == 30
    for other in ("/metrics", "/api/v1/snapshot", "/none"):
        assert gate.decide("GET", other, [], HERE, f"ticket={ticket.text}").status == 401
    used = gate.decide("GET", EVENTS, [], HERE, f"x=1&ticket={ticket.text}")
    assert used.allowed
    assert used.principal == asked.principal
    assert gate.decide("GET", EVENTS, [], HERE, f"ticket={ticket.text}").status == 401


@pytest.mark.parametrize(
    "query",
    ["ticket=", "ticket=x", "ticket=a&ticket=b", "ticket", "ticket=%ff", "ticket=" + "a" * 20_000,
     "&".join(["a=b"] * 60), "TICKET=x"],
)  # fmt: skip
def test_a_query_without_a_good_ticket_opens_nothing(path: Path, keys: dict[Role, str], query: str):
    decision = gate_of(keys_file=path).decide("GET", EVENTS, [], HERE, query)
    assert decision.status in {400, 401}


def test_a_scraper_gets_no_ticket_and_a_ticket_gives_no_more_than_its_owner_may(
    path: Path, keys: dict[Role, str]
):
    gate = gate_of(keys_file=path)
    scraper = bearer(keys[Role.SCRAPER])
    assert gate.decide("POST", "/api/v1/tickets", scraper, HERE).status == 403
    ticket = gate.mint_ticket(Principal("key", keys[Role.SCRAPER].split("_")[1], "s", Role.SCRAPER))
    assert gate.decide("GET", EVENTS, [], HERE, f"ticket={ticket.text}").status == 403


def test_the_ticket_of_a_key_that_was_revoked_meanwhile_is_void(path: Path, keys: dict[Role, str]):
    gate = gate_of(keys_file=path)
    who = gate.decide("GET", EVENTS, bearer(keys[Role.VIEWER]), HERE).principal
    assert who is not None
    ticket = gate.mint_ticket(who)
    assert gate.still_allowed(who)
    KeyChanges(path).revoke(who.id)
    assert not gate.still_allowed(who)
    assert gate.decide("GET", EVENTS, [], HERE, f"ticket={ticket.text}").status == 401


def test_tickets_end_are_bounded_and_are_good_once_for_threads_that_race():
    clock = Clock()
    tickets = Tickets(clock=clock)
    ann = Principal("key", "a", "ann", Role.VIEWER)
    ticket = tickets.mint(ann)
    clock.now += LIFE_SECONDS
    assert tickets.redeem(ticket.text) is None
    own = [tickets.mint(ann) for _ in range(MOST_EACH + 1)]
    assert tickets.redeem(own[0].text) is None
    assert tickets.redeem(own[1].text) == ann
    for number in range(MOST_TICKETS + 10):
        tickets.mint(Principal("jwt", str(number), "x", Role.VIEWER))
    assert len(tickets) == MOST_TICKETS
    last = tickets.mint(ann)
    found: list[Principal | None] = []
    threads = [
        threading.Thread(target=lambda: found.append(tickets.redeem(last.text))) for _ in range(8)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found.count(ann) == 1
    assert found.count(None) == 7


def test_in_a_forked_child_the_tickets_of_the_parent_are_void_and_keys_are_good(
    path: Path, keys: dict[Role, str]
):
    gate = gate_of(keys_file=path)
    who = gate.decide("GET", EVENTS, bearer(keys[Role.VIEWER]), HERE).principal
    assert who is not None
    ticket = gate.mint_ticket(who)
    pid = os.fork()
    if pid == 0:
        void = gate.decide("GET", EVENTS, [], HERE, f"ticket={ticket.text}").status == 401
        good = gate.decide("GET", EVENTS, bearer(keys[Role.VIEWER]), HERE).allowed
        os._exit(0 if void and good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert gate.decide("GET", EVENTS, [], HERE, f"ticket={ticket.text}").allowed


def test_a_role_can_be_given_the_metrics_of_outsiders(path: Path, keys: dict[Role, str]):
    gate = gate_of(keys_file=path, external_roles=("scraper",))
    audiences = {
        role: gate.decide("GET", "/metrics", bearer(key), HERE).audience
        for role, key in keys.items()
    }
    assert audiences.pop(Role.SCRAPER) is Audience.EXTERNAL
    assert set(audiences.values()) == {Audience.INTERNAL}


def test_keys_that_cannot_be_read_let_nobody_through_and_are_told_of(
    path: Path, keys: dict[Role, str]
):
    errors = Errors()
    gate = gate_of(errors, keys_file=path)
    path.write_text("{")
    decision = gate.decide("GET", "/metrics", bearer(keys[Role.ADMIN]), HERE)
    assert (decision.status, str(path) in decision.reason) == (503, False)
    assert str(path) in str(errors[0])
    with pytest.raises(ConfigurationError, match=r"server\.access\.keys_file"):
        gate_of(keys_file=path)


def test_a_file_without_a_key_is_refused_at_the_start_with_the_command_that_makes_one(path: Path):
    with pytest.raises(ConfigurationError, match=r"metalscope keys create --file .*keys\.json"):
        gate_of(keys_file=path)


def test_tokens_and_keys_are_told_apart_and_both_let_through(path: Path, tmp_path: Path):
    provider = Provider(tmp_path / "jwks.json")
    provider.add("k", "EdDSA")
    keys = keys_of_all_roles(path)
    gate = gate_of(keys_file=path, jwt=jwt_options(provider.path))
    by_token = gate.decide("GET", "/metrics", bearer(provider.token("k")), HERE)
    by_key = gate.decide("GET", "/metrics", bearer(keys[Role.VIEWER]), HERE)
    assert by_token.principal is not None
    assert by_key.principal is not None
    assert (by_token.principal.kind, by_key.principal.kind) == ("jwt", "key")
    assert gate.still_allowed(by_token.principal)
    over = Principal("jwt", "ann", "ann", Role.VIEWER, utc_now())
    assert not gate.still_allowed(over)
    expired = provider.token("k", exp=utc_now() - timedelta(hours=1))
    refused = gate.decide("GET", "/metrics", bearer(expired), HERE)
    assert (refused.status, refused.reason) == (401, "the token has expired")
    nobody = gate.decide("GET", "/metrics", bearer(provider.token("k", roles=[])), HERE)
    assert nobody.status == 403
    assert not gate.may_block(bearer(provider.token("k")))
    at_url = jwt_options(provider.path) | {"jwks": "http://127.0.0.1:9/jwks"}
    far = gate_of(jwt=at_url)
    assert far.may_block(bearer(provider.token("k")))
    assert not far.may_block(bearer(keys[Role.VIEWER]))
    away = far.decide("GET", "/metrics", bearer(provider.token("k")), HERE)
    assert (away.status, away.headers) == (503, {"retry-after": "30"})
    far.close()


def test_whatever_goes_wrong_inside_nobody_is_let_through_by_it(path: Path, keys: dict[Role, str]):
    errors = Errors()
    gate = gate_of(errors, keys_file=path)

    def broken() -> Any:
        yield from bearer(keys[Role.ADMIN])
        raise RuntimeError("a header that breaks")

    decision = gate.decide("GET", "/metrics", broken(), HERE)
    assert (decision.allowed, decision.status) == (False, 503)
    assert isinstance(errors[0], RuntimeError)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    path = tmp_path_factory.mktemp("gate") / "keys.json"
    keys_of_all_roles(path)
    return gate_of(keys_file=path, failures_per_minute=1_000_000)


NAMES = st.sampled_from(["authorization", "x-api-key", "host", "cookie"])


@given(
    method=st.sampled_from(["GET", "POST", "DELETE"]) | st.text(max_size=8),
    path=st.sampled_from(["/metrics", EVENTS, "/api/v1/tickets"]) | st.text(max_size=40),
    headers=st.lists(st.tuples(NAMES, st.text(max_size=80) | st.just("Bearer a.b.c")), max_size=4),
    address=st.none() | st.text(max_size=20),
    query=st.text(max_size=80) | st.text(max_size=40).map("ticket={}".format),
)
def test_no_request_without_a_key_is_let_through_to_what_asks_for_one(
    *,
    shared: Gate,
    method: str,
    path: str,
    headers: list[tuple[str, str]],
    address: str | None,
    query: str,
):
    decision = shared.decide(method, path, headers, address, query)
    assert decision.allowed == decision.is_open
    assert decision.principal is None
    assert decision.allowed or decision.status in {400, 401}
    assert len(decision.reason) < 200
