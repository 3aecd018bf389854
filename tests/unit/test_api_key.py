"""The API key is taken out of whatever a server repeats."""

import json
from urllib.parse import quote, quote_plus

from hypothesis import given
from hypothesis import strategies as st

from ingest.openweathermap.api_key import key_forms, without_key

KEY = 'a+b/c"d\\e f=0123456789'


def hidden(body: bytes, key: str = KEY) -> bytes:
    return without_key(body, key_forms(key))


def test_the_key_is_replaced_however_it_is_written() -> None:
    in_json = json.dumps(KEY)[1:-1]
    needless = in_json.replace("a", "\\u0061").replace("f", "\\u0066")
    forms = (KEY, quote_plus(KEY), in_json, in_json.replace("/", "\\/"), needless)
    shown = {form: hidden(f'{{"asked": "{form}"}}'.encode()) for form in forms}
    assert shown == dict.fromkeys(forms, b'{"asked": "(redacted)"}')


def test_the_key_is_replaced_wherever_it_stands() -> None:
    key = "0123456789abcdef"
    assert hidden(f"{key}, {key}{key}".encode(), key) == b"(redacted), (redacted)(redacted)"


def test_a_text_too_short_for_a_key_is_no_reason_to_change_a_reply() -> None:
    assert key_forms("1234567") == []
    assert key_forms("12345678") == [b"12345678"]
    assert hidden(b'{"temp": 1234567}', "1234567") == b'{"temp": 1234567}'


def test_an_escape_that_json_needs_is_left() -> None:
    for escape in ("\\u0022", "\\u005c", "\\u005C", '\\"', "\\\\", "\\n", "\\u00e9"):
        body = f'{{"name": "a{escape}b"}}'
        assert json.loads(hidden(body.encode())) == json.loads(body)


@given(st.recursive(st.text() | st.integers() | st.booleans(), st.lists, max_leaves=5))
def test_what_does_not_hold_the_key_means_what_it_meant(value: object) -> None:
    for ascii_only in (True, False):
        body = json.dumps(value, ensure_ascii=ascii_only).encode(errors="replace")
        assert json.loads(hidden(body)) == json.loads(body)


@given(st.text('abc/\\"+ %&é', min_size=8), st.text())
def test_no_form_of_the_key_is_left(key: str, around: str) -> None:
    body = json.dumps({"url": f"{around}{key}{around}", "q": quote(key), "p": quote_plus(key)})
    shown = hidden(body.encode(errors="replace"), key)
    for form in key_forms(key):
        assert form not in shown.replace(b"(redacted)", b"\0")
