"""Writes config.example.env and README.md's table of settings from ingest/settings/fields.py.

From the project's folder: python -m deploy.make_settings (or: make docs)
"""

import textwrap
from typing import Any

from ingest.settings import DECLARED, HOME

README = HOME / "README.md"
EXAMPLE = HOME / "config.example.env"

# README's table stands between these lines.
BEGIN = "<!-- settings: written by `make docs` from ingest/settings/fields.py -->"
END = "<!-- end of settings -->"

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


def readme_table() -> str:
    """Name, default and meaning of every setting, in Markdown."""
    rows = ["| name | default | meaning |", "|---|---|---|"]
    for name, each in DECLARED.items():
        default = each.metadata["default"]
        shown = f"`{default}`" if default else ""
        rows.append(f"| `{name}` | {shown} | {meaning(each.metadata)} |".replace("|  |", "| |"))
    return "\n".join(rows) + "\n"


def readme(now: str) -> str:
    """README.md with a new table. now: its text."""
    before, begin, rest = now.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"README.md has no lines {BEGIN} and {END}: put them around the table.")
    return f"{before}{begin}\n{readme_table()}\n{end}{after}"


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
