"""The .env file, as names and texts."""

import io
from pathlib import Path


def read_env_file(path: Path) -> tuple[dict[str, str], list[str]]:
    """Names and texts of the file, and what is wrong with it: then there are no names."""
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe could be read for ever
        return {}, [f"{path} is not a file."]
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        return {}, [f"{path} cannot be read: {error.strerror}."]
    except UnicodeDecodeError as error:
        return {}, [f"{path} is not UTF-8 (byte {error.start})."]
    if "\0" in text:
        return {}, [f"{path} contains a NUL character: it is not a text file."]
    return _parse(text, path)


def _parse(text: str, path: Path) -> tuple[dict[str, str], list[str]]:
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    # dotenv_values only warns of such a line: a setting would be lost.
    bad = [
        f"{path}, line {binding.original.line}: write NAME=value."
        for binding in parse_stream(io.StringIO(text))
        if binding.error or (binding.key is not None and binding.value is None)
    ]
    if bad:
        return {}, bad
    values = dotenv_values(stream=io.StringIO(text))
    if odd := [f"{path}: {name!r} is not a name." for name in values if "=" in name]:
        return {}, odd
    return {name: value or "" for name, value in values.items()}, []
