"""API keys: made, shown once, kept as hashes, rotated, revoked, read anew."""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from access_at_hand import Errors
from hypothesis import example, given
from hypothesis import strategies as st

from metalscope.access import key_file
from metalscope.access.key_changes import KeyChanges, UnknownKeyError
from metalscope.access.key_file import MOST_KEYS, KeysFileError
from metalscope.access.key_store import KeyStore
from metalscope.access.keys import ApiKey, GivenKey, Hashed, masked, new_id, new_secret
from metalscope.access.roles import Role
from metalscope.moments import utc_now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def store_of(path: Path) -> KeyStore:
    return KeyStore(path, on_error=Errors())


def wait_for_use(path: Path) -> datetime:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for key in KeyChanges(path).listed():
            if key.last_used_at is not None:
                return key.last_used_at
        time.sleep(0.005)
    raise AssertionError("the use was not written")


def test_a_key_is_found_by_itself_and_kept_only_as_a_hash(path: Path):
    key, given_key = KeyChanges(path).create("grafana", Role.VIEWER)
    assert given_key.text.startswith(f"msk_{key.id}_")
    parsed = GivenKey.parse(given_key.text)
    assert parsed == given_key
    found = store_of(path).find(given_key)
    assert found is not None
    assert (found.id, found.name, found.role) == (key.id, "grafana", Role.VIEWER)
    assert given_key.secret not in path.read_text()
    for shown in (repr(key), repr(given_key), str(found), repr(key.hashed)):
        assert given_key.secret not in shown


def test_the_file_is_for_its_owner_alone(path: Path):
    KeyChanges(path).create("one", Role.ADMIN)
    assert path.stat().st_mode & 0o777 == 0o600
    left = sorted(one.name for one in path.parent.iterdir())
    assert left == ["keys.json", "keys.json.lock"]


def test_a_wrong_secret_an_unknown_id_and_an_ended_key_are_all_refused(path: Path):
    changes = KeyChanges(path)
    key, given_key = changes.create("one", Role.VIEWER)
    _, short = changes.create("two", Role.VIEWER, expires_in=timedelta(microseconds=1))
    store = store_of(path)
    assert store.find(GivenKey(key.id, new_secret())) is None
    assert store.find(GivenKey(new_id(), given_key.secret)) is None
    assert store.find(short) is None
    assert store.find(given_key) is not None


def test_a_server_sees_a_revoked_key_with_the_next_request(path: Path):
    changes = KeyChanges(path)
    key, given_key = changes.create("one", Role.VIEWER)
    store = store_of(path)
    assert store.find(given_key)
    assert store.is_active(key.id)
    changes.revoke(key.id)
    assert store.find(given_key) is None
    assert not store.is_active(key.id)
    _, later = changes.create("two", Role.ADMIN)
    assert store.find(later)


def test_rotation_keeps_name_role_and_life_and_the_old_key_for_the_grace(path: Path):
    changes = KeyChanges(path)
    old, old_given = changes.create("scraper", Role.SCRAPER, expires_in=timedelta(days=90))
    new, new_given = changes.rotate(old.id[:6], grace=timedelta(hours=1))
    assert (new.name, new.role) == (old.name, old.role)
    assert new.expires_at is not None
    assert new.expires_at - new.created_at == timedelta(days=90)
    store = store_of(path)
    assert store.find(old_given)
    assert store.find(new_given)
    kept = {key.id: key for key in changes.listed()}[old.id]
    assert kept.replaced_by == new.id
    assert kept.expires_at is not None
    assert timedelta() < kept.expires_at - utc_now() <= timedelta(hours=1)
    with pytest.raises(KeysFileError, match="rotated already"):
        changes.rotate(old.id, grace=timedelta())
    _, newest = changes.rotate(new.id, grace=timedelta())
    assert store.find(new_given) is None
    assert store.find(newest)


def test_a_grace_never_makes_a_key_live_longer(path: Path):
    changes = KeyChanges(path)
    old, _ = changes.create("one", Role.VIEWER, expires_in=timedelta(minutes=1))
    changes.rotate(old.id, grace=timedelta(days=1))
    assert changes.listed()[0].expires_at == old.expires_at


def test_an_id_may_be_short_but_not_ambiguous_or_unknown(path: Path):
    changes = KeyChanges(path)
    key, given_key = changes.create("one", Role.VIEWER)
    with pytest.raises(UnknownKeyError, match="no key has an id"):
        changes.revoke("zz")
    with pytest.raises(UnknownKeyError):
        changes.revoke("")
    assert changes.revoke(given_key.text).id == key.id  # its id is meant
    for part in (f"msk_zzz_{given_key.secret}", f"zzz_{given_key.secret[:20]}"):
        with pytest.raises(UnknownKeyError) as caught:
            changes.revoke(part)
        assert given_key.secret[:8] not in str(caught.value)
    ids = [changes.create(str(n), Role.VIEWER)[0].id for n in range(17)]
    twice = next(a for a in "0123456789abcdef" if sum(one.startswith(a) for one in ids) > 1)
    with pytest.raises(UnknownKeyError, match="several keys"):
        changes.revoke(twice)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 101, "\x1b[31m", "a\0", "\ud800"])
def test_a_name_that_cannot_be_shown_is_refused(path: Path, name: str):
    with pytest.raises(KeysFileError, match="name must be 1 to 100 printable"):
        KeyChanges(path).create(name, Role.VIEWER)
    assert not path.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "version 1"),
        (b'{"version": 2, "keys": []}', "version 1"),
        (b'{"version": 1}', "list"),
        (b'{"version": 1, "keys": [{}]}', r"keys\[0\] must have"),
    ],
)
def test_a_damaged_file_is_named_and_nothing_in_it_is_lost(path: Path, content: bytes, said: str):
    path.write_bytes(content)
    path.chmod(0o600)
    changes = KeyChanges(path)
    for act in (
        changes.listed,
        lambda: changes.create("one", Role.VIEWER),
        lambda: changes.revoke("a"),
        store_of(path).check,
    ):
        with pytest.raises(KeysFileError, match=said) as caught:
            act()
        assert str(path) in str(caught.value)
    assert path.read_bytes() == content


@given(st.data())
def test_a_file_with_any_field_spoiled_is_refused_with_a_clear_error_or_read(data: st.DataObject):
    key = ApiKey(new_id(), "one", Role.VIEWER, utc_now(), Hashed.of(new_secret()))
    whole = json.loads(key_file.dump([key]))
    field = data.draw(st.sampled_from(sorted(whole["keys"][0])))
    whole["keys"][0][field] = data.draw(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.lists(st.integers())
    )
    said = ""
    try:
        key_file.load(json.dumps(whole).encode())
    except ValueError as error:
        said = str(error)
    assert not said or "keys[0]" in said


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=100),
            st.sampled_from(Role),
            st.none() | st.datetimes(timezones=st.just(utc_now().tzinfo)),
        ),
        max_size=5,
    )
)
def test_what_is_written_is_read_back(made: list[tuple[str, Role, datetime | None]]):
    keys = {
        (identity := new_id()): ApiKey(
            identity, name, role, utc_now(), Hashed(b"s" * 16, b"h" * 32), expires
        )
        for name, role, expires in made
    }
    read = key_file.load(key_file.dump(keys.values()))
    assert read == keys


def test_a_server_lets_nobody_through_while_its_file_is_damaged_and_goes_on_after(path: Path):
    _, given_key = KeyChanges(path).create("one", Role.VIEWER)
    good = path.read_bytes()
    errors = Errors()
    store = KeyStore(path, on_error=errors)
    assert store.find(given_key)
    wait_for_use(path)
    path.write_bytes(good[:-20])
    for _ in range(3):
        with pytest.raises(KeysFileError):
            store.find(given_key)
    assert len(errors) == 1
    path.write_bytes(good)
    assert store.find(given_key)
    path.unlink()
    assert store.find(given_key) is None


def test_a_file_that_others_may_write_is_refused(path: Path):
    KeyChanges(path).create("one", Role.VIEWER)
    path.chmod(0o660)
    with pytest.raises(KeysFileError, match="chmod 600"):
        store_of(path).check()
    path.chmod(0o644)  # as Kubernetes mounts it
    assert store_of(path).check() == 1


def test_a_pipe_or_a_directory_in_the_place_of_the_file_is_refused_at_once(path: Path):
    os.mkfifo(path)
    with pytest.raises(KeysFileError, match="regular file"):
        store_of(path).check()
    path.unlink()
    path.mkdir()
    with pytest.raises(KeysFileError):
        store_of(path).check()


def test_the_last_use_is_kept_to_the_hour(path: Path):
    _, given_key = KeyChanges(path).create("one", Role.VIEWER)
    store = store_of(path)
    for _ in range(20):
        assert store.find(given_key)
    used = wait_for_use(path)
    assert (used.minute, used.second, used.microsecond) == (0, 0, 0)
    assert timedelta() <= utc_now() - used < timedelta(hours=2)
    before = path.stat().st_mtime_ns
    assert store.find(given_key)
    assert path.stat().st_mtime_ns == before


def test_threads_that_change_at_once_lose_nothing(path: Path):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: KeyChanges(path).create(f"k{n}", Role.VIEWER), range(24)))
    assert {key.id for key, _ in made} == {key.id for key in KeyChanges(path).listed()}
    store = store_of(path)
    assert all(store.find(one) for _, one in made)


def _create_some(path: str) -> None:
    for number in range(5):
        KeyChanges(Path(path)).create(f"{os.getpid()}-{number}", Role.VIEWER)


def test_processes_that_change_at_once_lose_nothing(path: Path):
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_create_some, args=(str(path),)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(KeyChanges(path).listed()) == 20


def test_a_forked_child_finds_keys_even_where_a_thread_held_the_lock(path: Path):
    _, given_key = KeyChanges(path).create("one", Role.VIEWER)
    store = store_of(path)
    assert store.find(given_key)
    wait_for_use(path)
    inside, done = threading.Event(), threading.Event()

    def hold() -> None:
        with store._lock:
            inside.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(30)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if store.find(given_key) else 1)
    done.set()
    holder.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_full_file_forgets_the_key_that_ended_first_and_none_that_is_good(path: Path):
    now = utc_now()
    keys = [
        ApiKey(f"{n:012x}", "k", Role.VIEWER, now, Hashed(b"s" * 16, b"h" * 32))
        for n in range(MOST_KEYS)
    ]
    path.write_bytes(key_file.dump(keys))
    path.chmod(0o600)
    changes = KeyChanges(path)
    with pytest.raises(KeysFileError, match="none of which has ended"):
        changes.create("more", Role.VIEWER)
    changes.revoke(keys[7].id)
    made, _ = changes.create("more", Role.VIEWER)
    left = {key.id for key in changes.listed()}
    assert made.id in left
    assert keys[7].id not in left
    assert len(left) == MOST_KEYS


@given(st.text(max_size=150))
@example("msk_0123456789ab_" + "A" * 43 + "\n")
@example("msk_0123456789ab_" + "A" * 44)
def test_what_is_no_key_is_not_read_as_one(text: str):
    found = GivenKey.parse(text)
    assert found is None or found.text == text


def test_keys_and_tokens_are_masked_wherever_they_stand():
    secret = new_secret()
    token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2ln"
    for text in (f"msk_0123456789ab_{secret}", f"/x/msk_0123456789ab_{secret[:20]}", token):
        shown = masked(f"before {text} after")
        assert secret[:12] not in shown
        assert token[4:20] not in shown
        assert shown.startswith("before ")
        assert shown.endswith(" after")


def test_an_unknown_id_takes_as_long_as_a_known_one(path: Path):
    key, _ = KeyChanges(path).create("one", Role.VIEWER)
    store = store_of(path)
    known, unknown = GivenKey(key.id, new_secret()), GivenKey(new_id(), new_secret())

    def took(given_key: GivenKey) -> int:
        begin = time.thread_time_ns()
        store.find(given_key)
        return time.thread_time_ns() - begin

    pairs = [(took(known), took(unknown)) for _ in range(3000)]
    ratio = statistics.median(one for one, _ in pairs) / statistics.median(two for _, two in pairs)
    assert 0.67 < ratio < 1.5
