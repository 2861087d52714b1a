"""Whatever the text, the time it takes grows with its length and no faster."""

from __future__ import annotations

import re
import time

import pytest

from metalscope.sanitizing.hashing import redacted
from metalscope.sanitizing.keys import SecretNames
from metalscope.sanitizing.people import KnownNames
from metalscope.sanitizing.sanitizer import Sanitizer
from metalscope.sanitizing.secrets import KnownSecrets
from metalscope.sanitizing.texts import TextCleaner
from metalscope.sanitizing_options import SanitizingOptions

HARD = [
    "-", "--", "-a", "a-", "token,", "'token', ", "('token', '", "password: |\n a", "token is ",
    "a", "0", "f", "@", "a@", "a.", "a@a.", "a@1.", "://", "a://", "a://b:", "a://b@",
    "http://a:b@ ",
    "1.", "1.1.1.1.", ":", "a:", "::1", "f::", "ff:", "0-", "00-", "4111 ", "4", "4111-",
    "eyJ", "eyJ.", "password", "password=", 'password="', "password='", "password=[",
    'password=\\"',
    "password = ", "password:\n", "--password ", "--a ", "token: {", "<password>", "key ",
    "api key=",
    "Bearer ", "Bearer Bearer", "Basic AA", "/home/", "/Users//", "\\Users\\", "\\\\Users\\\\a b",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN A A A A ", "sk-", "ghp_", "xoxb-", "SG.a", "1:",
    "aB3/", "aB3", "a_", "\\", "\\\"", "\"", "'", "a'", "%3D", "%40", "a%40", "=", "a=b ", "x: y, ",
    "…", "…0123456789ab", " ", "\n", "\ud800", "anna", "anna_", "K\u017f",
]  # fmt: skip


def seconds(cleaner: TextCleaner, text: str) -> float:
    times = []
    for _ in range(3):
        begin = time.thread_time()
        cleaner.cleaned(text, most=10**9)
        times.append(time.thread_time() - begin)
    return min(times)


@pytest.mark.parametrize("hard", HARD)
def test_the_time_grows_with_the_length(hard: str) -> None:
    known = KnownSecrets()
    known.add("hunter2-of-mine")
    cleaner = TextCleaner(redacted, known, SecretNames(["x_*"]), KnownNames(["anna"]))
    for text in (hard, "a@b.co ://: = -- eyJ Bearer token " + hard):
        size = 20_000 // len(hard)
        small, large = (seconds(cleaner, text[: -len(hard)] + hard * n) for n in (size // 8, size))
        # Eight times as long: 8 where it grows with the length, 64 with its square.
        assert large < max(24 * small, 0.02), (small, large)


def test_a_text_is_looked_at_within_bounds() -> None:
    cleaner = Sanitizer(SanitizingOptions.defaults())._inside
    for text in ("ab ", "token=x "):
        begin = time.thread_time()
        cleaner.cleaned(text * 5000)
        some = time.thread_time() - begin
        begin = time.thread_time()
        cleaner.cleaned(text * 1_000_000)
        assert time.thread_time() - begin < max(20 * some, 0.05)


def test_what_was_not_clean_is_not_remembered() -> None:
    sanitizer = Sanitizer(SanitizingOptions.defaults())
    texts = [f"plain text {n}" for n in range(5000)] + ["token=abcdefgh", "x" * 300]
    for text in texts:
        sanitizer.text(text)
    remembered = {**sanitizer._inside._young, **sanitizer._inside._old}
    assert len(remembered) <= 2048
    assert not [text for text in remembered if re.search("token|x{9}", text)]
    sanitizer.attributes({"password_Zq9abcdefg=": "x"}, "internal")  # type: ignore[arg-type]
    assert "Zq9abcdefg" not in str(sanitizer._names._known)
