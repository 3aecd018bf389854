"""Writes config.example.env and README.md's tables from the code.

From the project's folder: python -m deploy.make_docs (or: make docs)
"""

import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from ingest.errors import Status
from ingest.observation import MEASURES, TEXT, TIME, Measure, field_name
from ingest.settings import DECLARED, HOME

README = HOME / "README.md"
EXAMPLE = HOME / "config.example.env"

# Each of README's tables stands between these lines; {} is its name.
BEGIN = "<!-- {}: written by `make docs` -->"
END = "<!-- end of {} -->"

WIDTH = 100  # columns of config.example.env
LOCAL = "Environment or `.env` only."
REQUIRED = "Required."

# The first setting of each section of config.example.env, and the section's heading.
SECTIONS = {
    "OPENWEATHERMAP_API_KEY": "OpenWeatherMap",
    "WEATHER_DESTINATION": "Destination",
    "TIMESTREAM_DATABASE": "Timestream",
    "WEATHER_JOURNAL": "Journal",
    "WEATHER_CONCURRENCY": "Limits",
    "HEALTHCHECK_URL": "Reporting",
}

HEAD = """\
Settings of ingest_weather.py. Copy to .env next to it, and remove the '#' from what you change.

If a setting is in several places, the first of these counts:
  command line > environment > .env > the secret's JSON object > default
Every setting can be in the secret, under the same name. Not in the secret, because they are
needed before it is read: {local}.
An unknown WEATHER_*, OPENWEATHERMAP_*, TIMESTREAM_* or INFLUXDB_* name is an error.
Each setting is listed here with its default.
"""

AWS_HEADING = "AWS (boto3's own settings; cron starts without your shell's)"
AWS = """
# AWS_REGION=us-east-1
# AWS_PROFILE=default
"""


def meaning(declared: Any) -> str:  # noqa: ANN401  (metadata of a field)
    """A setting's help, with what follows from how it is declared."""
    required = [REQUIRED] if declared["default"] is None else []
    local = [LOCAL] if declared["local"] else []
    return " ".join([*required, declared["meaning"], *local])


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """In Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join("|" + "|".join(map(_cell, line)) + "|\n" for line in lines)


def _cell(text: str) -> str:
    return text if text == "---" else f" {text} " if text else " "


def settings_table() -> str:
    rows = []
    for name, each in DECLARED.items():
        default = each.metadata["default"]
        rows.append((f"`{name}`", f"`{default}`" if default else "", meaning(each.metadata)))
    return table(("name", "default", "meaning"), rows)


def measures_table() -> str:
    rows = [
        (f"`{each.name}`", f"`{field_name(each.path)}`", unit(each)) for each in MEASURES.values()
    ]
    return table(("measure", "field of the reply", "unit (standard, metric, imperial)"), rows)


def unit(measure: Measure) -> str:
    """One unit, if it is the same in all systems, or what the value is instead of an amount."""
    if measure.kind == TEXT:
        return "a word (VARCHAR)"
    if measure.kind == TIME:
        return "epoch ms; left out in polar day and night"
    units = measure.units if len(set(measure.units)) > 1 else measure.units[:1]
    return ", ".join(units) or "a code"


def statuses_table() -> str:
    rows = []
    for each in sorted(Status):
        name = "" if each in (Status.OK, Status.USAGE) else f"`EX_{each.name}`"
        rows.append((str(int(each)), name, each.meaning))
    return table(("status", "name", "meaning"), rows)


TABLES = {"settings": settings_table, "measures": measures_table, "statuses": statuses_table}


def readme(text: str) -> str:
    """README.md with new tables. text: what it is now."""
    for name, made in TABLES.items():
        first, last = BEGIN.format(name), END.format(name)
        before, begin, rest = text.partition(f"{first}\n")
        _, end, after = rest.partition(last)
        if not (begin and end):
            raise SystemExit(f"README.md has no lines {first} and {last}: put them back.")
        text = f"{before}{begin}\n{made()}\n{end}{after}"
    return text


def example() -> str:
    """config.example.env: every setting with its default, commented out."""
    local = " and ".join(name for name, each in DECLARED.items() if each.metadata["local"])
    parts = [_commented(HEAD.format(local=local))]
    for name, each in DECLARED.items():
        if name in SECTIONS:
            parts.append(_heading(SECTIONS[name]))
        text = meaning(each.metadata).replace("`", "")
        lines = textwrap.wrap(
            text, WIDTH - len("# "), break_long_words=False, break_on_hyphens=False
        )
        parts.append(_commented("\n".join(lines)) + f"# {name}={each.metadata['default'] or ''}\n")
    return "\n".join(parts) + "\n" + _heading(AWS_HEADING) + AWS


def _commented(text: str) -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines())


def _heading(text: str) -> str:
    return f"# --- {text} ".ljust(WIDTH, "-") + "\n"


def main() -> None:
    """Write both files."""
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
    EXAMPLE.write_text(example(), encoding="utf-8")


if __name__ == "__main__":
    main()
