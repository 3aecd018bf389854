"""One run, from the settings to the summary, in the order that an observation travels."""
