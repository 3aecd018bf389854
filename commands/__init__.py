"""The operator's commands, one module each. None of them is on cron's path."""
