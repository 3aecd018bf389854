"""Numbers in sentences."""


def plural(count: int, noun: str, several: str = "") -> str:
    """1 record, 2 records; several: a plural that is not the noun and an s."""
    return f"{count} {noun if count == 1 else several or f'{noun}s'}"
