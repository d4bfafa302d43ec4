"""Makes external text safe to show: without secrets and control characters, and limited in length.

Text from outside is whatever the service, a task, a user or a file supplies and that may end in a log, an Event or a status. The
service echoes what it was sent: URLs with SAS signatures, property values, and in authentication errors the signature it
received. A task prints what it likes: escape sequences, right-to-left overrides, its own credentials.

`safe_text` is the one function for it. It stands at both ends: where a response of the service is read (`responses`, members marked
`Prose` in the models) and where a status or an Event leaves (`kube.status`, `kube.events`). Stands below `errors` and `responses`;
nothing here knows about HTTP.
"""

import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any
from urllib.parse import quote

REDACTED = "…"
LONGEST = 16_384
"""Characters of one text; a status has 16 KiB in all."""

# A URL's query is where SAS signatures live; the rest of the URL is what a person needs. Bounded, so that no text is quadratic.
_URL_QUERY = re.compile(r"(?P<url>https?://[^\s?'\"<>]{1,2048})\?[^\s'\"<>]*", re.IGNORECASE)
_NAMES = r"sig|signature|client_secret|client_assertion|password|sharedaccesskey|sharedaccesssignature|accountkey|access_token"
_SPACED = (
    re.compile(r"(?P<keep>-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----).*?(?=-----END|\Z)", re.DOTALL),
    re.compile(r"(?P<keep>MAC signature found in the HTTP request ')[^']*", re.IGNORECASE),
    re.compile(r"(?P<keep>\bSharedKey(?:Lite)?\s{1,8}[^\s:]{1,256}:)[A-Za-z0-9+/=]+", re.IGNORECASE),
    re.compile(r"(?P<keep>\bBearer\s{1,8})[A-Za-z0-9._~+/=-]+", re.IGNORECASE),
    re.compile(r"(?P<keep>\bBasic\s{1,8})[A-Za-z0-9+/]{8,}={0,2}", re.IGNORECASE),
)
"""Secrets that follow a space. They come first: what cuts up to the next space could take their beginning and leave the secret."""
_PATTERNS = (
    re.compile(rf"(?P<keep>(?<![A-Za-z])(?:{_NAMES})(?:=|%3d))[^\s&;'\"]+", re.IGNORECASE),
    # An authorization code is long; an exit code is not.
    re.compile(r"(?P<keep>\bcode=)[A-Za-z0-9._~-]{16,}", re.IGNORECASE),
    # Also of JSON within JSON, whose quotes have backslashes.
    re.compile(rf"(?P<keep>[\"'](?:{_NAMES})\\{{0,8}}[\"']\s{{0,8}}:\s{{0,8}}\\{{0,8}}[\"'])[^\"'\\]+", re.IGNORECASE),
    re.compile(r"(?P<keep>\b[a-z][a-z0-9+.-]{1,16}://[^\s/:@'\"]{1,256}:)[^\s/@'\"]{1,256}(?=@)", re.IGNORECASE),
)
# It is looked for once per run of its characters, from the first place in it: from each one, a text of many would be quadratic.
_JWT = re.compile(
    r"(?<![A-Za-z0-9_-])(?P<keep>(?:(?!eyJ)[A-Za-z0-9_-])*+)eyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"
)
_MAY_HOLD_A_SECRET = re.compile(
    r"[=?@]|%3d|bearer|basic|eyJ|sharedkey|signature|private key|[\"']\s{0,8}:", re.IGNORECASE
)
"""What every pattern above needs; most texts have none of it."""
_SAS_URL = re.compile(
    r"(?P<public>https?://[^\s?'\"<>@]{1,2048}\?)(?=[^\s'\"<>]*\bsv=\d{4}-\d\d-\d\d)(?=[^\s'\"<>]*\bsig=)[^\s'\"<>]*",
    re.IGNORECASE,
)
"""The URL of something in Azure Storage with its signature, of which only the query is secret. Of another URL the path may be, too,
such as of a webhook."""
_PEM_EDGE = re.compile(r"-----(?:BEGIN|END)(?: |%20)(?:[A-Z0-9 ]|%20){0,64}-----")
_PUBLIC_START = re.compile(rf"[a-z][a-z0-9+.-]{{1,16}}(?::|%3A)(?://|%2F%2F)|{_PEM_EDGE.pattern}", re.IGNORECASE)
"""What many values begin with, and texts without any secret as well."""
_SECRET_PROPERTIES = frozenset(
    {
        "accountkey",
        "data",
        "identityreference.password",
        "password",
        "protectedsettings",
        "saskey",
        "sshprivatekey",
        "environmentsettings",
    }
)
_ESCAPES = re.compile(
    r"\x1b\[[0-?]{0,64}[ -/]{0,8}[@-~]?|\x1b[\]P^_X][^\x07\x1b\n]{0,512}(?:\x07|\x1b\\)?|\x1b.?|\x9b[0-?]{0,64}[@-~]?"
)
"""ECMA-48 sequences, whole: without their first character the rest would be left as noise."""
_INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u00ad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
    "]"
)
"""Controls and format characters (Cc, Cf): zero widths, bidirectional marks, embeddings, overrides and isolates, tags."""
_NO_CHARACTERS = re.compile("[\ud800-\udfff]")
"""Halves of surrogate pairs: JSON text cannot hold them, so they would end whoever writes it."""
_SHORT = 64
"""Characters up to which a result is kept, so that the memory for them is bounded."""
_LINES = re.compile("[\n\u2028\u2029]")
"""Where `safe_text` leaves the end of a line; what else Python takes for one, it removes."""
_MIN_SECRET = 4
"""Characters; a shorter value would be cut out of everything."""


_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORDS = frozenset(
    {
        "secret", "password", "passwd", "pwd", "passphrase", "token", "credential", "credentials", "sas", "sig",
        "signature", "apikey", "accountkey", "accesskey", "privatekey", "sharedkey", "storagekey", "connectionstring",
        "clientsecret", "sastoken", "accesstoken",
    }
)  # fmt: skip
_SECRET_PAIRS = frozenset(
    {(first, "key") for first in ("account", "access", "api", "private", "shared", "storage")}
    | {("connection", "string")}
)
_POINTERS = frozenset({"id", "uri", "url", "ref", "name", "reference", "expiry", "lifetime", "ttl"})
"""Last words of names of what leads to a secret, or tells of it, and is none."""


def names_secret(name: str) -> bool:
    """Whether a text under this name seems to be a secret, where nothing else tells: free JSON and variables.

    Words count, not letters: `maxTokens` and `keyVaultId` name none, and `STORAGE_ACCOUNT_KEY` and `apiToken` do.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _POINTERS:
        return False
    return not _SECRET_WORDS.isdisjoint(words) or any(pair in _SECRET_PAIRS for pair in pairwise(words))


def redact(text: str) -> str:
    """Replace what looks like a signature, key, token or URL query in `text` by an ellipsis."""
    if not _MAY_HOLD_A_SECRET.search(text):
        return text
    for pattern in _SPACED:
        text = pattern.sub(rf"\g<keep>{REDACTED}", text)
    text = _URL_QUERY.sub(rf"\g<url>?{REDACTED}", text)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<keep>{REDACTED}", text)
    return _JWT.sub(rf"\g<keep>{REDACTED}", text)


def redact_values(values: Mapping[str, str]) -> dict[str, str]:
    """The values of an error, safe to show; the echoed value of a secret property goes entirely."""
    secret = values.get("PropertyName", "").rsplit(".", 1)[-1].lower() in _SECRET_PROPERTIES
    return {
        safe_text(name): REDACTED if secret and name == "PropertyValue" else safe_text(value)
        for name, value in values.items()
    }


def safe_text(text: str) -> str:
    """The text without secrets, control and format characters, cut to `LONGEST` characters; tabs and newlines stay.

    Idempotent, so that it does no harm to pass it twice.
    """
    return _safe_short(text) if len(text) <= _SHORT else _safe(text)


# Statuses repeat the same short texts in each pass: reasons, phases, names of images.
@lru_cache(maxsize=4096)
def _safe_short(text: str) -> str:
    return _safe(text)


def _safe(text: str) -> str:
    return redact(_clean(text))[:LONGEST]


def _clean(text: str) -> str:
    text = text[:LONGEST]
    if not (text.isascii() and text.isprintable()):
        text = text.replace("\r\n", "\n").replace("\u2028", "\n").replace("\u2029", "\n")
        text = _NO_CHARACTERS.sub("\ufffd", _INVISIBLE.sub("", _ESCAPES.sub("", text)))
    return text


def safe(value: Any, raw: Collection[str] = ()) -> Any:
    """A JSON value with `safe_text` applied to every text in it.

    Args:
        raw: names of members of the outermost object that stay as they are.
    """
    if isinstance(value, str):
        return safe_text(value)
    # Nearly all objects are plain; the abstract class is slow to ask.
    if type(value) is dict or isinstance(value, Mapping):
        return {_safe_name(name): item if name in raw else safe(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [safe(item) for item in value]
    return value


def _safe_name(name: str) -> str:
    """The name of a member; nearly all are words, which need no filter."""
    return name if name.isascii() and name.isidentifier() else safe_text(name)


class SecretValues(Collection[str]):
    """Values that no text may show, with the forms in which they come back, which are computed once per value.

    Forms are found by four characters of theirs, so a text that holds none of these costs the same whatever the number of values
    (test_secret_values.py, `test_a_text_that_quotes_nothing_is_compared_with_no_form`).
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms: dict[str, tuple[str, ...]] = {}
        self._by_mark: dict[str, list[str]] = {}
        """Forms by their marks; a form that two values share is in it twice."""
        for value in values:
            self.add(value)

    def __contains__(self, value: object) -> bool:
        return value in self._forms

    def __iter__(self) -> Iterator[str]:
        return iter(self._forms)

    def __len__(self) -> int:
        return len(self._forms)

    def add(self, value: str) -> None:
        """Hide this value from now on."""
        if value not in self._forms:
            forms = self._forms[value] = tuple(_shown_as(value))
            for form in forms:
                for mark in _marks(form):
                    self._by_mark.setdefault(mark, []).append(form)

    def discard(self, value: str) -> None:
        """Hide this value no longer, and keep nothing of it."""
        gone: defaultdict[str, set[str]] = defaultdict(set)
        for form in self._forms.pop(value, ()):
            for mark in _marks(form):
                gone[mark].add(form)
        for mark, forms in gone.items():
            left = []
            for form in self._by_mark.pop(mark):
                if form in forms:
                    # Once: another value may have it, too.
                    forms.remove(form)
                else:
                    left.append(form)
            if left:
                self._by_mark[mark] = left

    def near(self, text: str) -> set[str]:
        """The forms that may be in the text, in whole or cut off at one of its ends."""
        by_mark = self._by_mark
        if not by_mark:
            return set()
        pieces = {text[at : at + _MIN_SECRET] for at in range(len(text) - _MIN_SECRET + 1)}
        return {form for piece in pieces if piece in by_mark for form in by_mark[piece]}


def without(text: str, *secrets: Collection[str]) -> str:
    """The text with the given secret values cut out, also one whose beginning or end the text has lost.

    Values of several lines are cut line by line. What is shorter than four characters stays: it would be cut out of everything.
    """
    known = [values if isinstance(values, SecretValues) else SecretValues(values) for values in secrets]
    # The longest first, of all collections: a short value may be a part of a long one.
    for form in sorted({form for values in known for form in values.near(text)}, key=len, reverse=True):
        text = _without_ends(text.replace(form, REDACTED), form)
    return text


def _without_ends(text: str, form: str) -> str:
    """The text without the end of a value at its beginning, and without the beginning of one at its end: where it was cut."""
    start, end = _shortest(form)
    first, last = text[:_MIN_SECRET], text[-_MIN_SECRET:]
    before = len(form) - end + _MIN_SECRET
    at = form.find(first, 1, before)
    while at > 0 and len(first) == _MIN_SECRET:
        if text.startswith(form[at:]):
            text = REDACTED + text[len(form) - at :]
            break
        at = form.find(first, at + 1, before)
    after = start - _MIN_SECRET
    at = form.rfind(last, after, -1)
    while at >= 0 and len(last) == _MIN_SECRET:
        if text.endswith(form[: at + _MIN_SECRET]):
            return text[: -at - _MIN_SECRET] + REDACTED
        at = form.rfind(last, after, at + _MIN_SECRET - 1)
    return text


def _marks(form: str) -> set[str]:
    """Characters of a form of which a text has some that holds the form, or its beginning, or its end."""
    start, end = _shortest(form)
    at = len(form) - end
    return {form[start - _MIN_SECRET : start], form[at : at + _MIN_SECRET]}


def _shortest(form: str) -> tuple[int, int]:
    """How many characters a beginning of a form has at least, and an end, to be cut: more than what is public of it."""
    start = end = 0
    if found := _SAS_URL.match(form):
        start = found.end("public")
    elif found := _PUBLIC_START.match(form):
        start = found.end()
    last = form.rfind("-----END") if form.endswith("-----") else -1
    if last >= 0 and _PEM_EDGE.fullmatch(form, last):
        end = len(form) - last
    # A form of which all is public is cut as any other.
    start, end = (public if public < len(form) else 0 for public in (start, end))
    return max(_MIN_SECRET, start + 1), max(_MIN_SECRET, end + 1)


def _shown_as(secret: str) -> frozenset[str]:
    """The forms in which a value comes back: as it is, as `safe_text` leaves it, in JSON and in a URL; each also line by line.

    A text was made safe before anything is cut out of it, so a value with characters that `safe_text` removes is not in it
    (test_redaction.py, `test_values_are_cut_out_of_texts_that_were_made_safe`).
    """
    lines = {secret, *secret.splitlines(), *_LINES.split(secret)}
    # No text that quotes a value is longer; the forms of a large one would take memory for nothing.
    forms = (str, _in_json, _in_ascii_json, _in_path, _in_query) if len(secret) <= LONGEST else (str,)
    quoted = {form(line.strip()).strip() for line in lines for form in forms}
    shown = {form for form in quoted if not _PEM_EDGE.fullmatch(form)}
    # Not by `safe_text`, which would keep them in a memory that all share.
    cleaned = {_clean(form) for form in shown}
    shown |= {redact(form)[:LONGEST].strip() for form in cleaned if not _is_public_once_redacted(form)}
    return frozenset(part for part in shown if len(part) >= _MIN_SECRET)


def _is_public_once_redacted(text: str) -> bool:
    """Whether `redact` leaves nothing of it but what a person needs, such as the address of a container."""
    if not _MAY_HOLD_A_SECRET.search(text):
        return False
    for pattern in (*_SPACED, _PEM_EDGE, _SAS_URL, *_PATTERNS, _JWT):
        text = pattern.sub("", text)
    return len(text.strip()) < _MIN_SECRET


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _in_ascii_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def _in_path(text: str) -> str:
    return quote(text, errors="replace")


def _in_query(text: str) -> str:
    return quote(text, safe="", errors="replace")
