"""What is known in the course of a check, and the time that is left to learn more."""

from typing import Any

from commands.aws import Account, Retention, StepDeadline
from commands.check.clock import Clock
from commands.check.findings import NeedError
from ingest.deadline import Deadline
from ingest.errors import IngestError
from ingest.openweathermap.client import Result
from ingest.reporting.redaction import Redactor
from ingest.settings import DECLARED, Sources

# For what is on this machine, also if the services took all the time.
LOCAL_S = 2.0

SILENT = "Try again. If it goes on, check the network: a firewall may block the connection."


class Known:
    """Filled by checks, for those that need them.

    lacking: what is not there -> what a check that needs it says instead.
    replies: an action, as IAM names it -> AWS's answer to it, or the error.
    """

    account: Account  # from the check of credentials on, ...
    weather: Result  # API key
    retention: Retention  # table

    def __init__(self, sources: Sources, redact: Redactor) -> None:
        self.sources = sources
        self.redact = redact
        self.clock = Clock()
        self.timeout_s = sources.seconds("WEATHER_TIMEOUT_SECONDS")
        self.deadline = Deadline(sources.seconds("WEATHER_DEADLINE_SECONDS"))
        self.region = ""
        self.replies: dict[str, Any] = {}
        self.observation_ms = 0
        self.lacking = {"AWS session": "credentials"}

    def require(self, *needs: str) -> None:
        """Raise NeedError if a setting among these cannot be used, or another need is lacking."""
        unusable = [name for name in needs if name in DECLARED and not self._is_usable(name)]
        if "secret" in self.lacking and not all(map(self.sources.text, unusable)):
            raise NeedError("the secret")
        if unusable:
            raise NeedError(f"valid settings ({', '.join(unusable)})")
        for need in needs:
            if need in self.lacking:
                raise NeedError(self.lacking[need])

    def _is_usable(self, name: str) -> bool:
        text = self.sources.text(name)
        if not text:
            return DECLARED[name].metadata["default"] is not None
        is_off = (name, text) == ("WEATHER_JOURNAL", "off")
        return is_off or self.sources.early(name) is not None

    def source_of(self, name: str) -> str:
        """What a message calls the source of a setting of ours or of AWS; "" if it has none."""
        counts_empty = name in DECLARED and DECLARED[name].metadata["empty_counts"]
        for layer in self.sources.layers:
            if layer.texts.get(name, "").strip() or (counts_empty and name in layer.texts):
                return layer.where
        return ""

    @property
    def table_names(self) -> tuple[str, str]:
        """Of the database and the table."""
        return self.sources.text("TIMESTREAM_DATABASE"), self.sources.text("TIMESTREAM_TABLE")

    def one_call(self) -> Deadline:
        """The time that one call has from now, with all its attempts."""
        return self._call(self.deadline)

    def local_call(self) -> Deadline:
        return self._call(Deadline(max(LOCAL_S, self.deadline.remaining_s())))

    def _call(self, overall: Deadline) -> Deadline:
        limit = f"{self.timeout_s:g} seconds (WEATHER_TIMEOUT_SECONDS)"
        if (left_s := overall.remaining_s()) < self.timeout_s:
            limit = f"{overall.seconds:g} seconds (WEATHER_DEADLINE_SECONDS)"
        return StepDeadline(min(left_s, self.timeout_s), limit, SILENT)

    def ask(self, action: str, doing: str, **parameters: Any) -> Any:  # noqa: ANN401  (botocore's)
        """The answer, or the error."""
        try:
            self.replies[action] = self.account.ask(action, doing, **parameters)
        except IngestError as error:
            self.replies[action] = error
        return self.replies[action]
