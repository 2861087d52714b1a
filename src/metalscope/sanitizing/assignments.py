"""Secrets in text by the name before them: ``password=…``, ``"token": "…"``, ``--api-key …``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from metalscope.sanitizing.hashing import Put, is_mask
from metalscope.sanitizing.keys import Naming

__all__ = ["may_assign", "may_name_a_secret", "without_assigned"]

_ASSIGNED: Final = re.compile(
    r"""(?<![\w.-])-*+(?P<name>[^\W\d][\w.-]*+)(?P<quote>\\*+["'`])?+\]?+\s{0,4}+"""
    r"""(?P<sep>=>|:=|=(?!=)|:(?!:)|%3[ADad]|>(?!=)|,(?=\s?[bB]?\\*["']))\s{0,8}+"""
)
# In a command line, also as a list of its arguments.
_OPTION: Final = re.compile(
    r"""(?<![\w-])--?(?P<name>[A-Za-z][\w.-]*+)(?:\\*+["'`],)?+[ \t]{1,8}+(?![-\s])"""
)
_OPEN: Final = re.compile(
    r"""(?:[bBrRuUfF]{1,2}(?=["']))?(?P<escapes>\\*+)(?P<quote>\"""|'''|["'`])"""
)
_QUOTE: Final = re.compile(r"""(\\*+)(["'`])""")
# A text of several lines in YAML (1.2.2, 8.1).
_BLOCK: Final = re.compile(r"[|>][+-]?[ \t]*+\r?\n[ \t]++([^\n]*+(?:\n[ \t]++[^\n]*+)*+)")
_BRACKET: Final = re.compile(r"""[\[\]{}()]|"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+'""", re.DOTALL)
_WORD: Final = re.compile(r"\S++")
_LINE: Final = re.compile(r"[^\r\n]++")
_SCHEME: Final = re.compile(
    r"(?i)(?:Bearer|Basic|Token|Digest|ApiKey|Splunk|Negotiate)\s{1,4}+\S++"
)
_CLOSING: Final = "\"'`)]},;>"
_TELLS_NOTHING: Final = frozenset({"none", "null", "true", "false", "undefined", "nil"})
_NUMBER: Final = re.compile(r"[+-]?\d[\d_,.]*+(?:[eE][+-]?\d++)?(?:%|[A-Za-zµ/]{1,6})?+")
_NUMBERS: Final = re.compile(r"[\[({]?[\d\s.,+-]++[\])}]?")
_TO_THE_END: Final = ("authorization", "authorisation", "cookie")
_WITH_WORD_BEFORE: Final = frozenset(
    {"key", "keys", "string", "id", "code", "number", "phrase", "is", "was", "value"}
)


def may_name_a_secret(lowered: str) -> bool:
    """Whether a text, given in lower case, has a part of any of our names of secrets in it."""
    # Written out, as this is done for every text: a loop takes three times as long.
    return (
        "key" in lowered or "tok" in lowered or "pass" in lowered or "sec" in lowered
        or "auth" in lowered or "pwd" in lowered or "cred" in lowered or "cookie" in lowered
        or "hook" in lowered
        or "ses" in lowered or "sig" in lowered or "bearer" in lowered or "jwt" in lowered
        or "otp" in lowered or "cv" in lowered or "card" in lowered or "dsn" in lowered
        or "srf" in lowered or "conn" in lowered or "iban" in lowered or "ssn" in lowered
        or "code" in lowered or "share" in lowered or "kenn" in lowered or "contra" in lowered
    )  # fmt: skip


def may_assign(lowered: str) -> bool:
    """Whether a text, given in lower case, has what stands between a name and its value."""
    return (
        "=" in lowered or ":" in lowered or "-" in lowered or ">" in lowered or "%3" in lowered
        or "'," in lowered or '",' in lowered
    )  # fmt: skip


def without_assigned(text: str, naming: Callable[[str], Naming], put: Put) -> str:
    """The text with something in place of each value whose name is that of a secret."""
    text = _without(text, _ASSIGNED, naming, put)
    return _without(text, _OPTION, naming, put) if "-" in text else text


def _without(text: str, pattern: re.Pattern[str], naming: Callable[[str], Naming], put: Put) -> str:
    parts: list[str] = []
    done = 0
    found = pattern.search(text)
    while found is not None:
        begin = found.end()
        name = found["name"]
        said = _said(text, found, naming)
        if said is not Naming.NOTHING:
            begin, end = _value(text, begin, name.lower(), tag=found.groupdict().get("sep") == ">")
            value = text[begin:end]
            if value and not _stays(value, said):
                parts += (text[done:begin], put(value))
                done = end
            begin = max(begin, end)
        found = pattern.search(text, begin)
    return "".join(parts) + text[done:] if parts else text


def _said(text: str, found: re.Match[str], naming: Callable[[str], Naming]) -> Naming:
    name = found["name"]
    groups = found.groupdict()
    separator = groups.get("sep")
    start = found.start("name")
    before = text[start - 1] if start else ""
    if separator == ">" and before != "<":
        return Naming.NOTHING
    if separator == ",":
        # A header as a pair, as Python shows it.
        head = text[max(0, start - 8) : start].rstrip("\"'`\\bB")
        pair = groups.get("quote") is not None and head.endswith(("(", "["))
        return naming(name) if pair else Naming.NOTHING
    said = naming(name)
    if said is Naming.NOTHING and name.lower() in _WITH_WORD_BEFORE:
        if before in "?&" and separator == "=" and name == "key" and before:
            return Naming.SECRET
        word = text[max(0, start - 24) : start]
        if word.endswith((" ", "-")):
            said = naming(word.rstrip(" -").rpartition(" ")[2] + " " + name)
    if said is Naming.WEAK and separator == ":" and groups.get("quote") is None:
        # "session: closed" is a sentence.
        return Naming.NOTHING
    return said


def _stays(value: str, said: Naming) -> bool:
    bare = value.strip("\"'` ")
    if is_mask(bare) or bare.lower() in _TELLS_NOTHING:
        return True
    number = _NUMBER.fullmatch(bare) or _NUMBERS.fullmatch(bare)
    return number is not None and said in {Naming.MEASURE, Naming.WEAK}


def _value(text: str, begin: int, name: str, *, tag: bool) -> tuple[int, int]:
    """Where the value begins and ends, without its quotes."""
    if tag:
        end = text.find("<", begin)
        return begin, len(text) if end < 0 else end
    block = _BLOCK.match(text, begin)
    if block is not None:
        return block.span(1)
    opened = _OPEN.match(text, begin)
    if opened is not None:
        return opened.end(), _closed(text, opened)
    if text[begin : begin + 1] in {"[", "{", "("}:
        return begin, _balanced(text, begin)
    if name.endswith(_TO_THE_END):
        found = _LINE.match(text, begin)
    else:
        found = _SCHEME.match(text, begin) or _WORD.match(text, begin)
    if found is None:
        return begin, begin
    value = found[0].rstrip()
    bare = value.rstrip(_CLOSING)
    # What closes something stays, unless there is nothing else.
    return begin, begin + len(bare or value)


def _closed(text: str, opened: re.Match[str]) -> int:
    quote, escapes = opened["quote"], len(opened["escapes"])
    if len(quote) == 3:
        end = text.find(quote, opened.end())
        return len(text) if end < 0 else end
    for found in _QUOTE.finditer(text, opened.end()):
        if found[2] != quote:
            continue
        if escapes == 0 and len(found[1]) % 2 == 0:
            return found.start(2)
        if escapes and len(found[1]) <= escapes:
            return found.start(1)
    return len(text)


def _balanced(text: str, begin: int) -> int:
    depth = 0
    for found in _BRACKET.finditer(text, begin):
        if found[0] in "[{(":
            depth += 1
        elif found[0] in ")}]":
            depth -= 1
        if depth == 0:
            return found.end()
    return len(text)
