"""From an AWS account and a key to a working cron line: `ingest_weather.py setup`.

Looks at everything first, then makes what is missing. What is there stays as it is.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from commands import crontab
from commands.command_line import COMMANDS
from commands.setup.iam import run_policy
from commands.setup.look import Job, look
from commands.setup.options import make_parser
from commands.setup.secret import secret_steps
from commands.setup.step import Execution, Step, say
from commands.setup.timestream import database_step, table_step
from commands.terminal import drop_output, print_lines
from ingest.errors import Interrupted, SettingsError, Status, most_urgent
from ingest.reporting.logs import RunLog
from ingest.settings import PROGRAM

__all__ = ["main", "make_parser"]


def main(arguments: Sequence[str], overall: argparse.Namespace) -> int:
    """Returns an exit status. overall: the options in front of the command."""
    options = make_parser().parse_args(arguments)
    options.dry_run = options.dry_run or overall.dry_run
    # The end by a signal gives the terminal its echo back, as the end by Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(_set_up(options, overall.env_file, overall.log))
    except KeyboardInterrupt:
        print(file=sys.stderr)
        message = "Interrupted. What is reported above as made stays; run setup again to go on."
    except BrokenPipeError:
        drop_output()
        message = "Whoever read the output has gone, so setup ended. Run it again to go on."
    raise Interrupted(message)


def _set_up(options: argparse.Namespace, env_file: Path | None, log: RunLog) -> Status:
    job = look(options, env_file, log)
    if options.print_iam_policy:
        print(_policy(job))
        return Status.OK
    execution = Execution(job)
    execution.line("account", f"{job.number} in {job.account.region}, as {job.identity_arn}")
    plan = [secret_steps(job), [database_step(job), table_step(job)]]
    for chain in plan:
        execution.carry_out(chain)
    if execution.statuses:
        say("Fix what is reported above, then run setup again: it goes on where it stopped.")
        return most_urgent(execution.statuses)
    say("IAM policy for the run (setup --print-iam-policy prints it alone):")
    print(_policy(job))
    _cron(job, env_file, execution)
    say(_last_words(execution, options))
    return most_urgent(execution.statuses)


def _policy(job: Job) -> str:
    settings, secret = job.settings, job.secret
    return run_policy(
        identity_arn=job.identity_arn,
        account=job.number,
        region=job.account.region,
        secret_id=settings.secret_id,
        secret_arn=secret.arn if secret else "",
        kms_key_id=secret.kms_key_id if secret else "",
        database=settings.database,
        table=settings.table,
        discovers=not settings.endpoint_url,
    )


def _cron(job: Job, env_file: Path | None, execution: Execution) -> None:
    """The line for the crontab, which is put there if that is asked for."""
    options, unusable = job.options, None
    try:
        found = crontab.find(PROGRAM, COMMANDS)
    except SettingsError as error:
        found, unusable = crontab.Found([], [], []), error
    when = crontab.schedule(options.every or crontab.USUAL_INTERVAL)
    if found.runs and not options.every:
        when = crontab.schedule_of(found.runs[0])
    line = crontab.run_line(when, PROGRAM, env_file)
    if options.install_cron:
        print_lines([""])
        execution.carry_out([_crontab_step(found, unusable, line, update=options.update)])
        print_lines([""])
    elif line in found.runs:
        say("Line in the crontab:")
    else:
        say("Line for the crontab (setup --install-cron puts it there):")
    print_lines([line])
    if names := job.sources.only_in_environment():
        say(
            "Cron starts with none of this shell's variables. What the run needs of these belongs "
            f"into {env_file or PROGRAM.with_name('.env')}: {', '.join(names)}."
        )


def _crontab_step(
    found: crontab.Found, unusable: SettingsError | None, line: str, *, update: bool
) -> Step:
    thing, replaced = "line in the crontab", [*found.ours, *found.others]
    if found.others and not update:
        state = ": one that setup did not write is left as it is"
        theirs = map(found.line, found.others)
        return Step("differs", thing, state, (*theirs, "--update replaces it."))
    if found.runs == [line]:
        return Step("exists", thing)

    def install(step: Step) -> Step:
        crontab.install(found, line, replaced)
        return step.done()

    return Step("update" if replaced else "create", thing, apply=install, error=unusable)


def _last_words(execution: Execution, options: argparse.Namespace) -> str:
    if execution.statuses:
        return "Fix what is reported above, then run setup again."
    if options.dry_run:
        return "Nothing was changed (--dry-run)."
    if execution.words & {"created", "updated"}:
        return "Done. To see it work: ingest_weather.py --dry-run, then ingest_weather.py -v"
    if "differs" in execution.words:
        without = "" if options.update else " without --update"
        return f"Nothing was changed. What differs stays as it is{without}."
    return "Nothing was changed: all that a run needs is there."
