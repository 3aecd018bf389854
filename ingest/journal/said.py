"""Which warnings were given in the last day: cron mails each line."""

from ingest.journal.schema import JournalFile
from ingest.observation import DAY_S

DAY_MS = DAY_S * 1000


def say_once(file: JournalFile, cause: str, now_ms: int) -> bool:
    """Whether a warning for this cause is due; from now on, and for a day, it is not.

    Survives this process, not a power cut.
    """
    said = file.rows("SELECT said_ms FROM said WHERE cause = ?", cause)
    if said and abs(now_ms - said[0][0]) < DAY_MS:  # also if the clock went back a little
        return False
    with file.transaction(durable=False) as db:
        db.execute("DELETE FROM said WHERE abs(? - said_ms) >= ?", (now_ms, DAY_MS))
        db.execute("INSERT INTO said (cause, said_ms) VALUES (?, ?)", (cause, now_ms))
    return True
