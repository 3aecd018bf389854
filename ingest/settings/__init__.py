"""The settings of a run: environment, .env file and secret, checked as one."""
