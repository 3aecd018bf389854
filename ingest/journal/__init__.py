"""What was fetched, in one SQLite file, until it is known to be stored."""
