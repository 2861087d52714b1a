"""What is secret or private by its look. Every pattern takes time in proportion to the text.

None can begin to match within a run of the characters it looks for, and none gives back what it
has taken, so that no text makes one try the same characters over and over. Those that begin with a
digit ask for what is before it afterwards: ``re`` then passes over all other characters fast.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from metalscope.sanitizing.entropy import SHORTEST_RANDOM, looks_random
from metalscope.sanitizing.hashing import Put

__all__ = ["LONG_RUN", "private_looks", "secret_looks"]

LONG_RUN: Final = 13
"""Characters without white space; what is found by a key's beginning or by chance is no shorter."""

_PEM: Final = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----"
    r".*?(?:-----END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----|\Z)",
    re.DOTALL,
)
# RFC 7519: the header of a JSON web token is base64 of `{"`.
_JWT: Final = re.compile(r"eyJ[\w+/=-]{7,}+(?:\.[\w+/=-]*+){0,4}")
_TOKEN: Final = re.compile(r"""(?<![^\s"'<>`])[^\s"'<>`]++""")
_SCHEME: Final = re.compile(
    r"(?<![A-Za-z0-9])(Bearer|Basic|SharedAccessSignature|SharedKey(?:Lite)?|ApiKey|Splunk|GenieKey"
    r"|DPoP)(\s{1,4}+|%20|\+)([\w.~+/=:&%-]{4,}+)",
    re.IGNORECASE,
)
_NOT_AFTER_SCHEME: Final = frozenset(
    {"token", "tokens", "auth", "authentication", "authorization", "credential", "credentials",
     "scheme", "header", "headers", "realm", "prefix"}
)  # fmt: skip

# Beginnings that platforms give their keys so that they can be found; those of which many are
# known are in the documentation. GitHub, GitLab, Slack, Stripe, OpenAI and Anthropic, Hugging Face,
# Grafana, Google, AWS, Azure AD, npm, PyPI, SendGrid, Databricks, Vault, DigitalOcean, Shopify,
# New Relic, Docker, Datadog, Linear, Replicate, Groq, xAI, Telegram, age, Sentry, Twilio, Mailgun.
_PREFIXED: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"gh[oprsu]_[A-Za-z0-9]{12,}+"
    r"|github_pat_\w{16,}+"
    r"|gl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|soat|oas)-[\w.-]{12,}+"
    r"|gl(?:c|sa)_[\w+/=-]{12,}+"
    r"|xox[a-z]-[\w-]{10,}+|xapp-[\w-]{10,}+"
    r"|(?:sk|pk|rk)_(?:live|test)_\w{10,}+|whsec_[\w+/=]{12,}+"
    r"|sk-[\w-]{12,}+"
    r"|hf_[A-Za-z0-9]{16,}+"
    r"|AIza[\w-]{30,}+|ya29\.[\w-]{16,}+|GOCSPX-[\w-]{16,}+"
    r"|A(?:KIA|SIA|BIA|CCA|IDA|ROA)[A-Z0-9]{12,}+"
    r"|npm_[A-Za-z0-9]{30,}+|pypi-[\w-]{16,}+|SG\.[\w-]{12,}+\.[\w-]{12,}+"
    r"|dapi[0-9a-f]{32,}+|hv[brs]\.[\w-]{16,}+|do[opr]_v1_[0-9a-f]{32,}+"
    r"|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{24,}+|NRAK-[A-Z0-9]{20,}+|dckr_pat_[\w-]{16,}+"
    r"|dd(?:pat|app)_\w{16,}+|pub[0-9a-f]{32,}+|lin_api_\w{16,}+|r8_\w{24,}+|gsk_\w{20,}+"
    r"|xai-\w{20,}+|pplx-\w{20,}+|key-[0-9a-f]{32,}+|sntry[su]_[\w+/=-]{16,}+"
    r"|(?:SK|AC)[0-9a-f]{32}+|\d{8,10}:[\w-]{35,}+|AGE-SECRET-KEY-1[A-Z0-9]{20,}+"
    r")"
)
_AZURE_CLIENT: Final = re.compile(r"(?<![\w~.-])[\w~.-]{3}8Q~[\w~.-]{20,}+")
_WEBHOOK: Final = re.compile(
    r"(?i)((?:hooks\.slack(?:-gov)?\.com/(?:services|workflows|triggers)"
    r"|discord(?:app)?\.com/api/webhooks|[\w-]{1,63}\.webhook\.office\.com/webhookb2"
    r"|api\.telegram\.org)/)([^\s\"'<>]{8,}+)"
)

_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]++(?:@|%40)([\w-]++(?:\.[\w-]++)+)")
_IPV4: Final = re.compile(r"\d(?<![\w.].)\d{0,2}(?:\.\d{1,3}){3}(?!\w|\.\w)")
_IPV6: Final = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]{3,}+(?:%\w++)?(?![\w])")
_MAC: Final = re.compile(
    r"(?<![\w:-])[0-9A-Fa-f]{2}(?:(?::[0-9A-Fa-f]{2}){5}|(?:-[0-9A-Fa-f]{2}){5})(?![\w:-])"
)
_HOME: Final = re.compile(
    r"(?i)(/(?:Users|home)/++|[\\]++Users[\\]++)"
    r"((?<=\\)[^\\/:*?\"<>|\r\n]{1,64}+(?=[\\/])|[^/\\\s:\"'<>|,;)\]}]++)"
)
_HEX: Final = re.compile(r"(?<![A-Za-z0-9])(?:0[xX])?[0-9a-fA-F]{32,}+(?![A-Za-z0-9])")
# The names under which ids are written, and what is around those in a traceparent header.
_BEFORE_ID: Final = re.compile(
    r"(?i)(?:(?:trace|span|parent|request|correlation)[._-]?id\\*[\"']?\s{0,2}[=:]\s{0,2}\\*[\"']?"
    r"|(?<![0-9a-f])[0-9a-f]{2}-)\Z"
)
_CARD: Final = re.compile(
    r"\d(?<![\w.…-].)(?:\d{12,18}+|\d{3}([ -])\d{4}\1\d{4}\1\d{1,7}|\d{3}([ -])\d{6}\2\d{5})"
    r"(?![\w-])"
)
# ISO/IEC 7812: how the numbers of Visa, Mastercard, American Express, Discover, JCB and Diners
# begin; a time in ns begins otherwise.
_ISSUER: Final = re.compile(r"4|5[1-5]|2[2-7]|3[0-9]|6[0245]")
_RUN: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{32,}+={0,2}")
_BASE64: Final = re.compile(r"[\w+/-]++", re.ASCII)
_ONLY_HEX: Final = re.compile(r"[0-9a-fA-F]+")


def secret_looks(text: str, put: Put, *, lowered: str, named: bool, longest: int) -> str:
    """The text without what is certainly a secret.

    Args:
        text: the text.
        put: gives what is put in place of what is found.
        lowered: the text in lower case.
        named: whether it may hold a name of secrets.
        longest: how many characters it has between white space at most.
    """
    if "-----BEGIN" in text:
        text = _PEM.sub(lambda found: put(found[0]), text)
    if "://" in text and "@" in text:
        text = _TOKEN.sub(lambda found: _without_userinfo(found[0], put), text)
    if "eyJ" in text:
        text = _JWT.sub(lambda found: put(found[0]), text)
    # The names of the other schemes are those of secrets.
    if named or "basic" in lowered or "splunk" in lowered or "dpop" in lowered:
        text = _SCHEME.sub(lambda found: _without_credentials(found, put), text)
    if longest >= LONG_RUN:
        text = _PREFIXED.sub(lambda found: put(found[0]), text)
        if "8Q~" in text:
            text = _AZURE_CLIENT.sub(lambda found: put(found[0]), text)
        if ".com/" in lowered or "telegram" in lowered:
            text = _WEBHOOK.sub(lambda found: found[1] + put(found[2]), text)
    return text


def private_looks(text: str, put: Put, *, lowered: str, words: Sequence[str], longest: int) -> str:
    """The text without what may point to a person, a machine or an account, or be a key.

    Args:
        text: the text.
        put: gives what is put in place of what is found.
        lowered: the text in lower case.
        words: what is between white space.
        longest: how many characters the longest of them has.
    """
    if "@" in text or "%40" in text:
        text = _EMAIL.sub(lambda found: _without_email(found, put), text)
    if (":" in text and text.count(":") >= 2) or text.count("-") >= 5:
        text = _MAC.sub(lambda found: put(found[0]), text)
        text = _IPV6.sub(lambda found: _without_ipv6(found[0], put), text)
    if text.count(".") >= 3:
        text = _IPV4.sub(lambda found: _without_ipv4(found[0], put), text)
    if "users" in lowered or "/home/" in lowered:
        text = _HOME.sub(lambda found: found[1] + put(found[2]), text)
    # In one, or in groups with blanks between, of which the middle ones stand alone.
    if longest >= LONG_RUN or (len(words) > 2 and any(map(str.isdigit, words))):
        text = _CARD.sub(lambda found: _without_card(found[0], put), text)
    if longest >= SHORTEST_RANDOM:
        text = _HEX.sub(lambda found: _without_hex(found, put), text)
        text = _RUN.sub(lambda found: _without_random(found[0], put), text)
    return text


def _without_userinfo(token: str, put: Put) -> str:
    # RFC 3986, 3.2.1. A password may itself hold "@" and, wrongly written, "/" or "?".
    begin = token.find("://") + 3
    end = token.rfind("@")
    if begin < 3 or end < begin:
        return token
    userinfo = token[begin:end]
    if not userinfo or (":" not in userinfo and re.search(r"[/?#]", userinfo)):
        return token
    return token[:begin] + put(userinfo) + token[end:]


def _without_credentials(found: re.Match[str], put: Put) -> str:
    scheme, blank, credentials = found.groups()
    if credentials.lower().rstrip(".:,") in _NOT_AFTER_SCHEME:
        return found[0]
    if scheme.lower() == "basic" and not _is_basic(credentials):
        return found[0]
    if scheme.lower() in {"splunk", "apikey"} and not re.search(r"\d", credentials):
        return found[0]
    return scheme + blank + put(credentials)


def _is_basic(credentials: str) -> bool:
    # RFC 7617: base64 of user, colon, password; "basic operations" is not.
    found = _BASE64.match(credentials)
    text = found[0].replace("-", "+").replace("_", "/") if found else ""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return False
    return b":" in raw and min(raw) >= 0x20  # no control characters


def _without_email(found: re.Match[str], put: Put) -> str:
    # A version after "@" is that of a package.
    return found[0] if found[1].rpartition(".")[2][:1].isdigit() else put(found[0])


def _without_ipv4(text: str, put: Put) -> str:
    if any(int(part) > 255 for part in text.split(".")):
        return text
    # Those of every machine say nothing of this one.
    return text if text.startswith("127.") or text == "0.0.0.0" else put(text)  # noqa: S104


def _without_ipv6(text: str, put: Put) -> str:
    address = text.partition("%")[0]
    # Half of a C++ name such as c10::add is an address too; those of machines begin so.
    if "::" in address and not re.match(r"(?i)[23f][0-9a-f]{3}:|64:ff9b:", address):
        return text
    if not re.search(r"\d", address):
        return text
    end = len(address) - len(address.rstrip(":")) if not address.endswith("::") else 0
    bare = address[: len(address) - end]
    try:
        ipaddress.IPv6Address(bare)
    except ValueError:
        return text
    return put(text) if not end else put(bare) + text[len(bare) :]


def _without_hex(found: re.Match[str], put: Put) -> str:
    before = found.string[max(0, found.start() - 24) : found.start()]
    # A trace's id has 32, by W3C.
    if len(found[0]) == 32 and _BEFORE_ID.search(before):
        return found[0]
    return put(found[0])


def _without_card(text: str, put: Put) -> str:
    digits = [int(digit) for digit in text if digit.isdigit()]
    if not 13 <= len(digits) <= 19 or not _ISSUER.match(text):
        return text
    # ISO/IEC 7812-1, annex B, Luhn: every second digit from the right counts double.
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return put(text) if (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 else text


def _without_random(run: str, put: Put) -> str:
    if looks_random(run):
        # Whether it is an id was asked already.
        return run if _ONLY_HEX.fullmatch(run) else put(run)
    if "/" not in run:
        return run
    # A path, of which one part may be a key.
    return "/".join(put(part) if looks_random(part) else part for part in run.split("/"))
