"""What can outlive a run, so that the next one in the same process need not make it again."""

from ingest.aws.session import Aws
from ingest.reporting.redaction import Redactor


class Clients:
    """The AWS session, made when it is first used, and the ways to destinations.

    routes: what a destination's `prepare` found, by its target, and until when (monotonic, in
    seconds) it may be used.
    """

    def __init__(self) -> None:
        self.aws = Aws()
        self.routes: dict[str, tuple[str, float]] = {}

    def serve(self, redact: Redactor, timeout_s: float) -> None:
        """Work for this run from here on.

        redact: is given the credentials, as soon as they are known.
        timeout_s: time limit for one answer to come.
        """
        self.aws.serve(redact, timeout_s)
