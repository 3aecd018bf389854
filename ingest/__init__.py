"""One run, from the settings to the summary, in the order in which an observation travels."""
