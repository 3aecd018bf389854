"""Takes the API key out of what a server repeats of a request. Pure."""

import json
import re
from collections.abc import Sequence
from urllib.parse import quote_plus

from ingest.reporting.redaction import REDACTED

# OpenWeatherMap's keys are longer. A shorter text could stand in a reply by chance.
SHORTEST_KEY = 8

# What JSON can write in two ways: printable ASCII, and the slash.
_ESCAPE = re.compile(rb"\\(?:u00([2-7][0-9a-fA-F])|(.))", re.DOTALL)

_REDACTED = REDACTED.encode()


def key_forms(api_key: str) -> list[bytes]:
    """Forms of the key that a reply can repeat: plain, URL-encoded, in JSON; longest first."""
    if len(api_key) < SHORTEST_KEY:
        return []
    forms = {api_key, quote_plus(api_key), json.dumps(api_key)[1:-1]}
    return sorted((form.encode() for form in forms), key=len, reverse=True)


def without_key(body: bytes, forms: Sequence[bytes]) -> bytes:
    """The body with every form of the key replaced, also if needless escapes hide it."""
    if b"\\" in body:
        body = _ESCAPE.sub(_plain, body)
    for form in forms:
        body = body.replace(form, _REDACTED)
    return body


def _plain(escape: re.Match[bytes]) -> bytes:
    """The character itself, if json.dumps, which made the forms, would not have escaped it."""
    char: bytes = bytes.fromhex(escape[1].decode()) if escape[1] else escape[2]
    is_needless = (escape[1] or char == b"/") and char not in b'"\\'
    return char if is_needless else b"\\" + char
