"""What commands ask an AWS account: one operation at a time, each with a deadline."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ingest.aws.errors import code_of
from ingest.aws.session import Aws
from ingest.deadline import Deadline, Task
from ingest.errors import DeadlineError, DeliveryError, IngestError
from timestream_writer import timestream_error

# Error codes that are answers: it does not exist, or it exists already.
ABSENT = "ResourceNotFound"
CONFLICT = "Conflict"


class StepDeadline(Deadline):
    """Of one step of a command. limit: what a message calls it; advice: what to do then."""

    def __init__(self, seconds: float, limit: str, advice: str) -> None:
        super().__init__(seconds)
        self._step_s, self._limit, self._advice = seconds, limit, advice

    def restart(self) -> None:
        """The next step begins."""
        self.seconds = self.elapsed_s() + self._step_s

    def error(self, doing: str) -> IngestError:
        return DeadlineError(f"The time limit of {self._limit} ended {doing}.", self._advice)


class Account:
    """The account that the credentials belong to, in one region.

    deadline: returns the deadline of an operation that starts now.
    endpoint_url: of Timestream, "" to look it up.
    """

    def __init__(self, aws: Aws, deadline: Callable[[], Deadline]) -> None:
        self.aws = aws
        self._deadline = deadline
        self.endpoint_url = ""

    @property
    def region(self) -> str:
        return self.aws.region

    def identity(self) -> tuple[str, str]:
        """The account's number, and the ARN of whoever the credentials belong to."""
        answer = self.ask("sts:GetCallerIdentity", "Asking STS whose credentials these are")
        return member(answer, "Account"), member(answer, "Arn")

    def ask(self, action: str, doing: str, tolerated: str = "", **parameters: Any) -> Any:  # noqa: ANN401
        """The operation's answer; None if it fails with the tolerated error code.

        action: as IAM names it. Raises IngestError, caused by botocore's.
        """
        deadline = self._deadline()

        def bounded() -> Any:  # noqa: ANN401
            with self.aws.within(deadline):
                return self._operation(action)(**parameters)

        try:
            return Task(bounded, f"before {action} was answered").result(deadline)
        except IngestError:
            raise
        except Exception as error:
            if tolerated and tolerated == code_of(error):
                return None
            what = f"{doing} in region {self.region} ({action})"
            raise timestream_error(error, what, self.region) from error

    def _operation(self, action: str) -> Any:  # noqa: ANN401
        from botocore import xform_name

        service, _, name = action.partition(":")
        if service == "sts":
            return self.aws.caller_identity
        client: Any = self.aws.secrets_manager()
        if service == "timestream":
            client = self.aws.timestream_write(self.endpoint_url)
        return getattr(client, xform_name(name))


def member(answer: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401  (botocore's answers)
    """Raises DeliveryError if it is missing: botocore parses a truncated body as empty."""
    if not answer.get(name):
        raise DeliveryError(f"AWS's answer is incomplete: it has no {name}.", "Try again.")
    return answer[name]


@dataclass(frozen=True)
class Retention:
    """How long a table keeps records, and whether it takes older ones than its memory store."""

    memory_hours: int
    magnetic_days: int
    magnetic_writes: bool

    @staticmethod
    def of(described: Mapping[str, Any]) -> "Retention":
        """described: the table, as DescribeTable has it."""
        kept = described.get("RetentionProperties") or {}
        magnetic = described.get("MagneticStoreWriteProperties") or {}
        return Retention(
            kept.get("MemoryStoreRetentionPeriodInHours", 0),
            kept.get("MagneticStoreRetentionPeriodInDays", 0),
            bool(magnetic.get("EnableMagneticStoreWrites")),
        )

    def __str__(self) -> str:
        kept = f"memory {self.memory_hours} h, magnetic {self.magnetic_days} d"
        return f"{kept}, magnetic writes {'on' if self.magnetic_writes else 'off'}"
