"""Who wins: command line > environment > .env > the secret's JSON > default."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from ingest.errors import IngestError, SettingsError
from ingest.reporting.redaction import Redactor
from ingest.settings import fields
from ingest.settings.converters import with_suggestion
from ingest.settings.env_file import read_env_file
from ingest.settings.fields import DECLARED, PREFIXES, Settings

AWS_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")

# Indexes of layers. Those after .env are not local.
ENVIRONMENT, ENV_FILE = 1, 2


class Layer(NamedTuple):
    """One source. where: its name in messages. texts: by name, as they are written."""

    where: str
    texts: Mapping[str, str]


@dataclass(frozen=True, eq=False, repr=False)  # a repr would show the key
class Sources:
    """Where settings come from; the first layer that has one wins.

    layers: the command line, the environment, .env, and the secret once it is known.
    faults: what is wrong with them, apart from the values of settings.
    """

    layers: tuple[Layer, ...]
    faults: tuple[str, ...] = ()

    def with_secret(self, secret_id: str, texts: Mapping[str, str]) -> "Sources":
        """These sources and the secret, which loses to all of them."""
        layer = Layer(f"the secret {secret_id!r}", dict(texts))
        misplaced = (
            f"{name} is in {layer.where}; move it to the environment or .env."
            for name in layer.texts
            if name in DECLARED and DECLARED[name].metadata["local"]
        )
        faults = (*self.faults, *_unknown_names(layer), *misplaced)
        return replace(self, layers=(*self.layers, layer), faults=faults)

    def secrets(self) -> list[str]:
        """What must never be shown, even of a layer that does not win."""
        ours = [name for name in DECLARED if DECLARED[name].metadata["secret"]]
        names = (*ours, *AWS_SECRETS)
        texts = (layer.texts.get(name, "").strip() for layer in self.layers for name in names)
        return [text for text in texts if text]

    def settings(self, unread: IngestError | None = None) -> Settings:
        """All settings. unread: why there is no secret, if it could not be read.

        Raises SettingsError that lists every problem, or `unread` if it is the only one.
        """
        values, problems = self._read(unread)
        if unread and not problems:
            raise unread
        if unread:
            problems.append(str(unread))
        if len(problems) == 1:
            raise SettingsError(f"The settings are wrong: {problems[0]}")
        if problems:
            lines = "".join(f"\n  - {problem}" for problem in problems)
            raise SettingsError(f"The settings have {len(problems)} problems:{lines}")
        return Settings(**{DECLARED[name].name: value for name, value in values.items()})

    def problems(self, unread: IngestError | None = None) -> list[str]:
        """What is wrong, a sentence each. `unread` itself, which the caller knows, is left out."""
        return self._read(unread)[1]

    def text(self, name: str) -> str:
        """The setting's text, without white space around it. An empty one counts as not set, except
        for WEATHER_SECRET_ID: then no secret is read."""
        return self._find(name)[0]

    def seconds(self, name: str) -> float:
        """As `early`, for a time; its default if it is wrong."""
        return float(self.early(name) or DECLARED[name].metadata["default"])

    def early(self, name: str) -> Any:  # noqa: ANN401  (the setting's own type)
        """A setting that is needed before the secret is read; None if `settings` reports it."""
        try:
            return self._convert(name, self.text(name))
        except ValueError:
            return None

    def export_aws(self) -> None:
        """Give boto3 the AWS_* of .env that the environment does not have: it reads only that."""
        for name, text in self.layers[ENV_FILE].texts.items():
            if name.startswith("AWS_") and text:
                os.environ.setdefault(name, text)

    def only_in_environment(self) -> list[str]:
        """Names of settings, AWS's too, that .env lacks: cron's runs will not have them."""
        names = self.layers[ENVIRONMENT].texts.keys() - self.layers[ENV_FILE].texts.keys()
        return sorted(name for name in names if name in DECLARED or name.startswith("AWS_"))

    def _find(self, name: str) -> tuple[str, str]:
        """The setting's text, and where it is from."""
        declared = DECLARED[name].metadata
        for where, texts in self.layers[: ENV_FILE + 1] if declared["local"] else self.layers:
            text = texts.get(name, "").strip()
            if text or (name in texts and declared["empty_counts"]):
                return text, where
        return declared["default"] or "", "its default"

    def _convert(self, name: str, text: str) -> Any:  # noqa: ANN401  (the setting's own type)
        declared = DECLARED[name].metadata
        environ = [self.layers[ENVIRONMENT].texts] if declared["needs_environ"] else []
        return declared["read"](text, *environ)

    def _read(self, unread: IngestError | None) -> tuple[dict[str, Any], list[str]]:
        """The values by name, and all problems; if there are any, some values are placeholders."""
        values: dict[str, Any] = {}
        problems = list(self.faults)
        for name, each in DECLARED.items():
            text, where = self._find(name)
            values[name] = ""
            try:
                if text:
                    values[name] = self._convert(name, text)
                elif each.metadata["default"] is None and not unread:
                    problems.append(self._missing(name))
            except ValueError as error:
                stop = "" if str(error).endswith((".", "?")) else "."
                problems.append(f"{name} (from {where}): {error}{stop}")
        return values, problems

    def _missing(self, name: str) -> str:
        searched = ", nor in ".join(layer.where for layer in self.layers if layer.texts)
        advice = "Set it in the environment or .env."
        if self.text("WEATHER_SECRET_ID"):
            advice = (
                f'Add it to the secret\'s JSON object, {{"{name}": "..."}}, or type: '
                "ingest_weather.py setup"
            )
        return f"{name} is missing: it is not in {searched}. {advice}"


def read_sources(
    environ: Mapping[str, str],
    env_file: Path | None = None,
    command_line: Mapping[str, str] | None = None,
) -> Sources:
    """All sources but the secret. env_file: None is .env in the program's folder, if it exists."""
    path = env_file or fields.HOME / ".env"
    texts, faults = read_env_file(path) if env_file or path.exists() else ({}, [])
    layers = (
        Layer("the command line", dict(command_line or {})),
        Layer("the environment", dict(environ)),
        Layer(str(path), texts),
    )
    unknown = [fault for layer in layers for fault in _unknown_names(layer)]
    return Sources(layers, (*faults, *unknown))


def load(
    sources: Sources, read_secret: Callable[[str], Mapping[str, str]], redact: Redactor
) -> Settings:
    """All settings, with those of the secret that WEATHER_SECRET_ID names, if it names one.

    read_secret: the secret's texts, by its name or ARN; an IngestError is one of the problems.
    redact: gets all secrets before anything can show them.

    Raises as `Sources.settings` does.
    """
    redact.add(*sources.secrets())
    if secret_id := sources.text("WEATHER_SECRET_ID"):
        try:
            sources = sources.with_secret(secret_id, read_secret(secret_id))
        except IngestError as error:
            return sources.settings(unread=error)
        redact.add(*sources.secrets())
    return sources.settings()


def _unknown_names(layer: Layer) -> Iterable[str]:
    return (
        f"{layer.where} has an unknown setting {with_suggestion(name, DECLARED)}"
        for name in layer.texts
        if name.startswith(PREFIXES) and name not in DECLARED
    )
