"""One row a destination: its name in WEATHER_DESTINATION, its module, its settings."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from ingest.clients import Clients
    from ingest.deadline import Deadline
    from ingest.destination import Destination


class NamesDestination(Protocol):
    """Settings, which are above this module: they take the names from here."""

    @property
    def destination(self) -> str: ...


class Row(NamedTuple):
    """module: imported when it is used. writer: its class, made of settings, clients, deadline.

    settings: that only this destination has.
    """

    module: str
    writer: str
    settings: tuple[str, ...]


DESTINATIONS = {
    "timestream": Row(
        "timestream_writer",
        "TimestreamWriter",
        ("TIMESTREAM_DATABASE", "TIMESTREAM_TABLE", "TIMESTREAM_ENDPOINT_URL"),
    ),
}


def preload(name: str, clients: "Clients") -> None:
    """Import and make what the destination needs, while there is time for it."""
    row = DESTINATIONS[name]
    getattr(import_module(row.module), row.writer).preload(clients)


def open_destination(
    settings: NamesDestination, clients: "Clients", deadline: "Deadline"
) -> "Destination":
    """The run's destination. Asks nothing of its service yet.

    Raises SettingsError if what the settings say can be no destination.
    """
    row = DESTINATIONS[settings.destination]
    writer = getattr(import_module(row.module), row.writer)
    destination: Destination = writer(settings, clients, deadline)
    return destination


def as_sent(name: str) -> Any:  # noqa: ANN401  (observation -> list of what its service takes)
    """The function that makes of one observation what the destination sends, for --dry-run."""
    return import_module(DESTINATIONS[name].module).as_sent
