"""The secret: reads a new OpenWeatherMap key, tries it, and stores it."""

import getpass
import json
import sys
from typing import Any

from commands.aws import member
from commands.setup.look import KEY, NO_KEY, Job, Secret
from commands.setup.step import Step
from commands.terminal import progress
from ingest.errors import AccessError, BlockedError, IngestError, SettingsError, WeatherError
from ingest.observation import MEASURES
from ingest.places import parse_place
from ingest.settings.converters import read_api_key


def secret_steps(job: Job) -> list[Step]:
    if not job.settings.secret_id:
        return [Step("none", "secret", ": WEATHER_SECRET_ID is empty, so a run reads no secret")]
    thing = f"secret {job.settings.secret_id}"
    stored_key = job.secret.texts.get(KEY, "").strip() if job.secret else ""
    if job.options.api_key_stdin:
        try:
            return [_given_key_step(job, thing, stored_key, read_key(job))]
        except IngestError as error:
            return [Step("failed", thing, error=error)]
    if stored_key:
        return [Step("exists", thing, f" with {KEY}")]
    run_key = "" if job.settings.api_key == NO_KEY else job.settings.api_key
    storing = _store_step(job, thing, run_key)
    if not job.secret or job.options.update:
        return [storing]
    without = f" has no {KEY}"
    if not run_key:
        return [Step("differs", thing, without, ("The other members are kept.",)), storing]
    how = "A run takes it from the environment or .env. --update stores it in the secret, too."
    return [Step("differs", thing, without, (how,))]


def _given_key_step(job: Job, thing: str, stored_key: str, key: str) -> Step:
    if key == stored_key:
        return Step("exists", thing, f" with this {KEY}")
    if not job.secret or job.options.update:
        return _store_step(job, thing, key)
    if not stored_key:
        raise SettingsError(f"The {thing} has no {KEY}.", "To add this one, add --update.")
    return Step("differs", thing, f" has another {KEY}", ("--update replaces it.",))


def _store_step(job: Job, thing: str, known_key: str) -> Step:
    """known_key: "" to ask for it."""
    how = "You are asked for the key. It is tested before it is stored."
    if known_key:
        how = "The key is tested before it is stored."

    def store(step: Step) -> Step:
        key = known_key or read_key(job)
        proof = try_key(job, key)
        doing = f"Storing the key in the {thing}"
        if job.secret:
            parameters = {"SecretId": job.secret.arn, **_with_key(job.secret.body, key)}
            job.change("secretsmanager:PutSecretValue", doing, **parameters)
            return step.done(proof)
        members = {KEY: key}
        answer = job.change(
            "secretsmanager:CreateSecret",
            doing,
            Name=job.settings.secret_id,
            Description="Key and settings of ingest_weather.py",
            SecretString=json.dumps(members),
            **job.tags,
        )
        job.secret = Secret(member(answer, "ARN"), "", "", members)
        return step.done(proof, *job.tags_told)

    return Step("update" if job.secret else "create", thing, f" with {KEY}", (how,), store)


def _with_key(body: str | bytes, key: str) -> dict[str, Any]:
    """The secret's new value, as text or binary like the old one."""
    text = body if isinstance(body, str) else body.decode()
    text = json.dumps({**json.loads(text.removeprefix("\ufeff")), KEY: key})
    return {"SecretString": text} if isinstance(body, str) else {"SecretBinary": text.encode()}


def read_key(job: Job) -> str:
    """From the person at the terminal, or from standard input with --api-key-stdin."""
    if sys.stdin.isatty():
        try:
            text = getpass.getpass("OpenWeatherMap API key (it is not shown): ")
        except EOFError:
            text = ""
            print(file=sys.stderr)
        job.patience.restart()
    elif job.options.api_key_stdin:
        text = sys.stdin.buffer.readline().decode("utf-8", "replace")
    else:
        raise SettingsError(
            "There is no terminal to ask for the key on.",
            "Start setup on a terminal, or give the key on standard input with --api-key-stdin.",
        )
    text = text.strip()
    job.options.log.redact.add(text)
    if not text:
        raise SettingsError("No key was entered, so none was stored.")
    try:
        return read_api_key(text)
    except ValueError as error:
        raise SettingsError(f"This is not a key, so it was not stored: {error}.") from None


def try_key(job: Job, key: str) -> str:
    """Make one real request with the key; returns the result as a sentence.

    Raises AccessError if the key is refused, WeatherError if that cannot be known.
    """
    if job.options.no_key_check:
        return "The key was not tested (--no-key-check)."
    from ingest.openweathermap.client import Failure, WeatherClient

    settings = job.settings
    client = WeatherClient(
        url=settings.url,
        api_key=key,
        units=settings.units,
        measures=("CurrentTemp",),
        timeout_s=settings.timeout_s,
        deadline=job.patience,
    )
    with progress(f"Asking {client.host} for London's weather"):
        (result,) = client.fetch([parse_place("London,GB")])
    if not isinstance(result, Failure):
        unit = MEASURES["CurrentTemp"].unit(settings.units)
        reading = result.values.get("CurrentTemp")
        return f"The key works: London has {reading} {unit}." if reading else "The key works."
    if isinstance(result.error, AccessError):
        raise AccessError(f"The key was not stored. {result.error}") from result.error
    if isinstance(result.error, BlockedError):
        return "The key is valid. Its account is blocked for a while (429: too many calls)."
    raise WeatherError(
        f"The key was not stored, because it could not be tested: {result.error}",
        "To store it without a test, add --no-key-check.",
        permanent=True,
    )
