"""Takes secrets out of text that was written by others and may end in a log, an event or a status.

The service echoes what it was sent: URLs with SAS signatures, property values, and in authentication errors the
signature it received. Stands below `errors` and `answers`; nothing here knows about HTTP.
"""

import re

REDACTED = "…"

# A URL's query is where SAS signatures live; the rest of the URL is what a person needs.
_URL_QUERY = re.compile(r"(?P<url>\bhttps?://[^\s?'\"<>]+)\?[^\s'\"<>]*", re.IGNORECASE)
_PATTERNS = (
    re.compile(
        r"(?P<keep>\b(?:sig|signature|code|client_secret|client_assertion|password|sharedaccesskey|accountkey)=)[^\s&;'\"]+",
        re.IGNORECASE,
    ),
    re.compile(r"(?P<keep>\bSharedKey(?:Lite)?\s+[^\s:]+:)[A-Za-z0-9+/=]+", re.IGNORECASE),
    re.compile(r"(?P<keep>\bBearer\s+)[A-Za-z0-9._~+/=-]+", re.IGNORECASE),
    re.compile(r"(?P<keep>MAC signature found in the HTTP request ')[^']*", re.IGNORECASE),
)
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?")
_SECRET_PROPERTIES = frozenset(
    {
        "accountkey",
        "data",
        "identityreference.password",
        "password",
        "protectedsettings",
        "sasKey".lower(),
        "sshprivatekey",
        "environmentsettings",
    }
)


def redact(text: str) -> str:
    """Replace what looks like a signature, key, token or URL query in `text` by an ellipsis."""
    text = _URL_QUERY.sub(rf"\g<url>?{REDACTED}", text)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<keep>{REDACTED}", text)
    return _JWT.sub(REDACTED, text)


def redact_values(values: dict[str, str]) -> dict[str, str]:
    """Redact the values of an error; the echoed value of a secret property goes entirely."""
    secret = values.get("PropertyName", "").rsplit(".", 1)[-1].lower() in _SECRET_PROPERTIES
    return {name: REDACTED if secret and name == "PropertyValue" else redact(value) for name, value in values.items()}
