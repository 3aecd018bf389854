"""This machine's clock beside those of the services, by the Date headers of their answers."""

import time
from email.utils import parsedate_to_datetime

from commands.findings import Finding, failure, fine, needs, span, warning
from ingest.errors import Status

AWS = "AWS"
OPENWEATHERMAP = "OpenWeatherMap"

# Beyond this a clock is not kept by NTP. Beyond 15 minutes Timestream refuses an observation as
# lying in its future, and beyond 5 some services refuse the signature.
SKEW_TO_WARN_OF_S = 60
SKEW_THAT_BREAKS_S = 15 * 60

# The header has whole seconds.
SAME_S = 2


class Clock:
    """Hears the Date headers as they come, and tells how far this machine's clock is from them."""

    def __init__(self) -> None:
        self._skews_s: dict[str, float] = {}

    def hear(self, service: str, date: str) -> None:
        """The header's value. Of a service's answers that with the least skew counts: one that
        took its time is no clock's fault."""
        try:
            skew_s = time.time() - parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):  # none that can be read
            return
        least_s = self._skews_s.get(service, skew_s)
        self._skews_s[service] = min(least_s, skew_s, key=abs)

    def hear_openweathermap(self, line: bytes) -> None:
        """One line of the head of an answer."""
        name, _, value = line.decode("latin-1").partition(":")
        if name.strip().lower() == "date":
            self.hear(OPENWEATHERMAP, value.strip())

    def finding(self) -> Finding:
        """AWS's clock is what a run can fail by; another one that disagrees is worth a look."""
        name = "clock"
        if not self._skews_s:
            return needs(name, "an answer from AWS or OpenWeatherMap")
        worst_s = max(self._skews_s.values(), key=abs)
        fact = self._told()
        if abs(worst_s) <= SKEW_TO_WARN_OF_S:
            return fine(name, fact)
        step = "Have NTP set it: timedatectl set-ntp true"
        if not self._agree():
            step = f"{step}. Where it does, a cache may have answered with an old time."
        if abs(self._skews_s.get(AWS, worst_s)) > SKEW_THAT_BREAKS_S:
            fact += "; signatures expire, and observations seem to lie in the future"
            return failure(name, fact, step, Status.CONFIG)
        return warning(name, fact, step)

    def _agree(self) -> bool:
        return max(self._skews_s.values()) - min(self._skews_s.values()) < SAME_S

    def _told(self) -> str:
        """Services that agree are told of together."""
        if self._agree():
            names = " and ".join(f"{service}'s" for service in sorted(self._skews_s))
            return f"{_distance(min(self._skews_s.values(), key=abs))} {names}"
        return "; ".join(
            f"{_distance(skew_s)} {service}'s" for service, skew_s in sorted(self._skews_s.items())
        )


def _distance(skew_s: float) -> str:
    if abs(skew_s) < SAME_S:
        return f"within {SAME_S} s of"
    return f"{span(abs(skew_s))} {'ahead of' if skew_s > 0 else 'behind'}"
