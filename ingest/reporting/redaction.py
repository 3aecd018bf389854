"""What may be shown: text from outside on one line, and without any secret in it."""

import urllib.parse

REDACTED = "(redacted)"

# Redacting one or two letters would hide half of every message, and protect nothing.
SHORTEST_SECRET = 3


class Redactor:
    """Replaces every secret that was added, in its plain and its URL-encoded form."""

    def __init__(self) -> None:
        self._secrets: list[str] = []

    def add(self, *secrets: str | None) -> None:
        """Hide these from now on; None and what is too short are ignored."""
        forms = set(self._secrets)
        for secret in secrets:
            if secret and len(secret) >= SHORTEST_SECRET:
                forms |= {secret, urllib.parse.quote(secret, errors="replace")}
                forms.add(urllib.parse.quote_plus(secret, errors="replace"))
        self._secrets = sorted(forms, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text


def one_line(text: str) -> str:
    """Text from outside, fit for a terminal: one line, nothing that moves the cursor."""
    return "".join(char if char.isprintable() else " " for char in text)
