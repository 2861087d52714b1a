"""What is shown of the words of others."""

from __future__ import annotations

import pytest
from contexts import context

from metalscope.sending.http.masking import Mask
from metalscope.sending.http.route import Route


def test_secrets_are_masked_in_each_form_and_before_the_text_is_cut() -> None:
    mask = Mask()
    mask.add_header("Bearer k3y/of+mine")
    mask.add("k3y/of+mine-and-more")
    assert mask.shown("k3y/of+mine k3y%2Fof%2Bmine Bearer k3y/of+mine") == "… … …"
    assert mask.shown("(k3y/of+mine-and-more)") == "(…)"
    cut = mask.shown("." * 195 + "k3y/of+mine")
    assert cut == "." * 195 + "…"
    assert "k3y" not in repr(mask)


def test_what_is_too_short_for_a_key_hides_nothing() -> None:
    mask = Mask()
    mask.add("ns")
    mask.add("")
    assert mask.shown("no points in ns") == "no points in ns"


def test_of_keys_that_change_the_old_are_forgotten_and_those_in_use_are_not() -> None:
    mask = Mask()
    for number in range(100):
        mask.add("always-the-same")
        mask.add(f"key-{number:03}")
        assert mask.shown(f"always-the-same key-{number:03}") == "… …"
    assert mask.shown("key-000") == "key-000"


def test_markup_and_control_characters_are_not_shown() -> None:
    page = b"<html><style>a{}</style><h1>502</h1>\r\n<p>Bad\x00 gateway</p></html>"
    mask = Mask()
    assert mask.shown_body(page, {"content-type": "text/html"}) == "502 Bad\ufffd gateway"
    assert mask.shown_body(b"a < b > c\xff", {}) == "a < b > c\ufffd"


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://h/write?bucket=metal&precision=ns", []),
        ("https://h/in?api_key=abc&x=1", ["abc"]),
        ("https://h/in?sig=a%2Fb", ["a%2Fb", "a/b"]),
        ("https://h/in?x=0123456789abcdef0123", ["0123456789abcdef0123"]),
        ("https://h/services/T0/0123456789abcdef0123", ["0123456789abcdef0123"]),
    ],
)
def test_what_looks_like_a_key_in_a_url_is_secret(url: str, secrets: list[str]) -> None:
    route = Route.of(context(endpoint=url).options, url)
    assert sorted(set(route.secrets)) == secrets
    assert not any(secret in repr(route) for secret in secrets)
