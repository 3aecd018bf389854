"""From an AWS account and a key to a working cron line: `ingest_weather.py setup`.

Looks at everything first, then creates what is missing. What exists stays as it is.
"""

import argparse
import signal
import sys
from collections.abc import Sequence

from commands import crontab
from commands.command_line import COMMANDS
from commands.setup.iam import run_policy
from commands.setup.look import Job, look
from commands.setup.options import make_parser
from commands.setup.secret import secret_steps
from commands.setup.step import Step, apply, report, say
from commands.setup.timestream import database_step, table_step
from commands.terminal import drop_output, print_lines
from ingest.errors import Interrupted, SettingsError, Status, most_urgent
from ingest.settings import PROGRAM


def main(arguments: Sequence[str], overall: argparse.Namespace) -> int:
    """Returns an exit status. overall: the options before the command."""
    options = make_parser().parse_args(arguments, overall)
    # As with Ctrl-C, getpass can then turn the terminal's echo on again.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return int(_set_up(options))
    except KeyboardInterrupt:
        print(file=sys.stderr)
        message = "Interrupted. What is reported above as created stays. Run setup again to go on."
    except BrokenPipeError:
        drop_output()
        message = "The reader of the output has ended, so setup stopped. Run it again to go on."
    raise Interrupted(message)


def _set_up(options: argparse.Namespace) -> Status:
    job = look(options)
    if options.print_iam_policy:
        print(run_policy(job))
        return Status.OK
    report(job, "account", f"{job.number} in {job.account.region}, as {job.identity_arn}")
    apply(job, secret_steps(job))
    apply(job, [database_step(job), table_step(job)])
    if job.statuses:
        say("Fix what failed above, then run setup again: it continues where it stopped.")
        return most_urgent(job.statuses)
    say("IAM policy for a run (setup --print-iam-policy prints only this):")
    print(run_policy(job))
    _cron(job)
    say(_last_words(job))
    return most_urgent(job.statuses)


def _cron(job: Job) -> None:
    """Print the line for the crontab, or install it if --install-cron says so."""
    options, unusable = job.options, None
    try:
        found = crontab.find(PROGRAM, COMMANDS)
    except SettingsError as error:
        found, unusable = crontab.Found([], [], []), error
    when = crontab.schedule(options.every or crontab.USUAL_INTERVAL)
    if found.runs and not options.every:
        when = crontab.schedule_of(found.runs[0])
    line = crontab.run_line(when, PROGRAM, options.env_file)
    if options.install_cron:
        print()
        apply(job, [_crontab_step(found, unusable, line, update=options.update)])
        print(flush=True)
    elif line in found.runs:
        say("Line in the crontab:")
    else:
        say("Line for the crontab (setup --install-cron adds it):")
    print_lines([line])
    if names := job.sources.only_in_environment():
        say(
            "Cron does not have this shell's variables. Put those that a run needs into "
            f"{options.env_file or PROGRAM.with_name('.env')}: {', '.join(names)}."
        )


def _crontab_step(
    found: crontab.Found, unusable: SettingsError | None, line: str, *, update: bool
) -> Step:
    thing, replaced = "line in the crontab", [*found.ours, *found.others]
    if found.others and not update:
        state = ": setup did not write this one, so it stays"
        theirs = map(found.line, found.others)
        return Step("differs", thing, state, (*theirs, "--update replaces it."))
    if found.runs == [line]:
        return Step("exists", thing)

    def install(step: Step) -> Step:
        crontab.install(found, line, replaced)
        return step.done()

    return Step("update" if replaced else "create", thing, apply=install, error=unusable)


def _last_words(job: Job) -> str:
    if job.statuses:
        return "Fix what failed above, then run setup again."
    if job.options.dry_run:
        return "Nothing was changed (--dry-run)."
    if job.words & {"created", "updated"}:
        return "Done. To try it: ingest_weather.py --dry-run, then ingest_weather.py -v"
    if "differs" in job.words:
        without = "" if job.options.update else " without --update"
        return f"Nothing was changed. What differs stays as it is{without}."
    return "Nothing was changed: everything that a run needs exists."
