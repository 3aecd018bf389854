"""This machine's clock next to those of the services, by the Date headers of their answers."""

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from commands.check.findings import FAILED, OK, WARNING, Finding, NeedError
from commands.terminal import span
from ingest.errors import Status

AWS = "AWS"

# NTP keeps a clock closer than this. Timestream refuses an observation that is more than 15 minutes
# ahead of its own clock; some services refuse a signature after 5.
SKEW_TO_WARN_OF_S = 60
SKEW_THAT_BREAKS_S = 15 * 60

# The header has whole seconds.
SAME_S = 2


class Clock:
    """Reads the Date headers as they come: how far is this machine's clock from them?"""

    def __init__(self) -> None:
        self._skews_s: dict[str, float] = {}

    def hear_aws(self, headers: Mapping[str, str]) -> None:
        self._hear(AWS, headers.get("date", ""))

    def hear_openweathermap(self, line: bytes) -> None:
        """One line of the head of an answer."""
        name, _, value = line.decode("latin-1").partition(":")
        if name.strip().lower() == "date":
            self._hear("OpenWeatherMap", value.strip())

    def _hear(self, service: str, date: str) -> None:
        """The least skew of a service counts: a slow answer seems to be from an earlier time."""
        try:
            skew_s = time.time() - parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return
        self._skews_s[service] = min(self._skews_s.get(service, skew_s), skew_s, key=abs)

    def finding(self) -> Finding:
        """A run can fail only because of AWS's clock; another one that disagrees is a warning."""
        if not self._skews_s:
            raise NeedError("an answer from AWS or OpenWeatherMap")
        skews_s = dict(sorted(self._skews_s.items()))
        least_s, worst_s = (pick(skews_s.values(), key=abs) for pick in (min, max))
        step = "Turn NTP on: timedatectl set-ntp true"
        if max(skews_s.values()) - min(skews_s.values()) < SAME_S:
            services = " and ".join(f"{service}'s" for service in skews_s)
            fact = f"{_distance(least_s)} {services}"
        else:
            facts = (f"{_distance(skew_s)} {service}'s" for service, skew_s in skews_s.items())
            fact = "; ".join(facts)
            step = f"A cache may have answered with an old time; if not: {step}"
        if abs(worst_s) <= SKEW_TO_WARN_OF_S:
            return Finding(OK, fact)
        if abs(self._skews_s.get(AWS, worst_s)) > SKEW_THAT_BREAKS_S:
            fact += "; AWS refuses its signatures"
            return Finding(FAILED, fact, step, Status.CONFIG)
        return Finding(WARNING, fact, step)


def _distance(skew_s: float) -> str:
    if abs(skew_s) < SAME_S:
        return f"within {SAME_S} s of"
    return f"{span(abs(skew_s))} {'ahead of' if skew_s > 0 else 'behind'}"
