"""Reading the records of one WriteRecords call, and the limits of a single record."""

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

MAX_RECORDS = 100
MAX_DIMENSIONS = 128
MAX_DIMENSION_NAME_BYTES = 60
MAX_MEASURE_NAME_BYTES = 256
MAX_SERIES_BYTES = 2048
MAX_RECORD_BYTES = 2048
MAX_VALUE_CHARACTERS = 2048
MAX_TIME_CHARACTERS = 256
MAX_INT64 = 2**63 - 1
METERED_TIME_BYTES = METERED_NUMBER_BYTES = 8

NS_PER_UNIT = {"SECONDS": 10**9, "MILLISECONDS": 10**6, "MICROSECONDS": 10**3, "NANOSECONDS": 1}
RESERVED_NAMES = frozenset({"time", "measure_value", "ts_non_existent_col"})
RESERVED_PREFIXES = ("ts_", "measure_name")

DIMENSION_NAME = re.compile(r"[a-zA-Z]([a-zA-Z0-9_]*[a-zA-Z0-9])?")
INTEGER = re.compile(r"[+-]?[0-9]+")
DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")

DoubleOrText = float | int | bool | str


class ServiceError(Exception):
    """An error as the service answers it; extra holds further members of its body."""

    def __init__(
        self, code: str, status: int, message: str, extra: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.status = status
        self.message = message
        self.extra = dict(extra or {})


@dataclass(frozen=True, slots=True)
class RejectedRecord:
    """One record that was not stored; the index is 0-based within its call."""

    index: int
    reason: str
    existing_version: int | None = None

    def as_json(self) -> dict[str, object]:
        """The service's own form, without ExistingVersion if there is no version."""
        members: dict[str, object] = {"RecordIndex": self.index, "Reason": self.reason}
        if self.existing_version is not None:
            members["ExistingVersion"] = self.existing_version
        return members


@dataclass(frozen=True, slots=True)
class ParsedRecord:
    """A well-formed record, common attributes merged; compared is the value by its type."""

    dimensions: Mapping[str, str]
    measure_name: str
    value: str
    value_type: str
    time_ns: int
    version: int
    compared: DoubleOrText = field(repr=False)


def parse_records(common_attributes: object, records: object) -> list[ParsedRecord]:
    """Read all records of a call.

    Raises ServiceError for the whole call: SerializationException where a member has the
    wrong JSON type, ValidationException where anything else about it is malformed.
    """
    common = {} if common_attributes is None else _structure(common_attributes)
    if not isinstance(records, list):
        raise _invalid("Records must be a list of 1 to 100 records.")
    if not 1 <= len(records) <= MAX_RECORDS:
        raise _invalid(f"A call holds 1 to {MAX_RECORDS} records, this one {len(records)}.")
    return [_parse_record(common, _structure(record)) for record in records]


def limit_exceeded(record: ParsedRecord) -> str | None:
    """The reason for which a well-formed record is rejected on its own, or None."""
    if len(record.dimensions) > MAX_DIMENSIONS:
        return f"The record has more than {MAX_DIMENSIONS} dimensions."
    if any(_size(name) > MAX_DIMENSION_NAME_BYTES for name in record.dimensions):
        return f"A dimension name is longer than {MAX_DIMENSION_NAME_BYTES} bytes."
    if _size(record.measure_name) > MAX_MEASURE_NAME_BYTES:
        return f"The measure name is longer than {MAX_MEASURE_NAME_BYTES} bytes."
    series = sum(_size(name) + _size(value) for name, value in record.dimensions.items())
    if series > MAX_SERIES_BYTES:
        return f"The dimensions' names and values exceed {MAX_SERIES_BYTES} bytes."
    value = _size(record.value) if record.value_type == "VARCHAR" else METERED_NUMBER_BYTES
    if series + METERED_TIME_BYTES + _size(record.measure_name) + value > MAX_RECORD_BYTES:
        return f"The record exceeds {MAX_RECORD_BYTES} bytes."
    return None


def _parse_record(common: Mapping[str, object], own: Mapping[str, object]) -> ParsedRecord:
    members = {**common, **own}
    dimensions = _dimensions(common.get("Dimensions"), own.get("Dimensions"))
    measure_name = _required_text(members, "MeasureName")
    _check_name(measure_name)
    value = _required_text(members, "MeasureValue")
    if len(value) > MAX_VALUE_CHARACTERS:
        raise _invalid(f"MeasureValue is longer than {MAX_VALUE_CHARACTERS} characters.")
    value_type = _text(members.get("MeasureValueType", "DOUBLE"), "MeasureValueType")
    return ParsedRecord(
        dimensions,
        measure_name,
        value,
        value_type,
        _time_ns(members),
        _version(members.get("Version", 1)),
        _compared(value, value_type),
    )


def _dimensions(common: object, own: object) -> dict[str, str]:
    dimensions: dict[str, str] = {}
    for dimension in [*_listed(common), *_listed(own)]:
        members = _structure(dimension)
        name, value = _required_text(members, "Name"), _required_text(members, "Value")
        _check_dimension_name(name)
        if members.get("DimensionValueType", "VARCHAR") != "VARCHAR":
            raise _invalid(f"The type of dimension {name} must be VARCHAR.")
        if name in dimensions:
            raise _invalid(f"The dimension name {name} is given more than once.")
        dimensions[name] = value
    if not dimensions:
        raise _invalid("At least one dimension is required for a record.")
    return dimensions


def _time_ns(members: Mapping[str, object]) -> int:
    time = _required_text(members, "Time")
    unit = _text(members.get("TimeUnit", "MILLISECONDS"), "TimeUnit")
    if unit not in NS_PER_UNIT:
        raise _invalid(f"TimeUnit {unit} is none of {', '.join(NS_PER_UNIT)}.")
    if len(time) > MAX_TIME_CHARACTERS or not INTEGER.fullmatch(time):
        raise _invalid("Invalid time for record.")
    time_ns = int(time) * NS_PER_UNIT[unit]
    if abs(time_ns) > MAX_INT64:
        raise _invalid("Invalid time for record.")
    return time_ns


def _version(version: object) -> int:
    if isinstance(version, bool) or not isinstance(version, int):
        raise ServiceError("SerializationException", 400, "Version is not a number.")
    if not 1 <= version <= MAX_INT64:
        raise _invalid("Version must be 1 or greater.")
    return version


def _compared(value: str, value_type: str) -> DoubleOrText:
    match value_type:
        case "VARCHAR":
            return value
        case "DOUBLE" if DECIMAL.fullmatch(value) and math.isfinite(float(value)):
            return float(value)
        case "BIGINT" if INTEGER.fullmatch(value) and abs(int(value)) <= MAX_INT64:
            return int(value)
        case "BOOLEAN" if value.lower() in ("true", "false"):
            return value.lower() == "true"
    if value_type in ("DOUBLE", "BIGINT", "BOOLEAN"):
        raise _invalid(f"MeasureValue is not a {value_type}.")
    raise _invalid(f"{value_type} is an invalid measure value type.")


@functools.lru_cache(maxsize=4096)
def _check_name(name: str) -> None:
    if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES):
        raise _invalid(f"The name {name} is reserved.")


@functools.lru_cache(maxsize=4096)
def _check_dimension_name(name: str) -> None:
    _check_name(name)
    if not DIMENSION_NAME.fullmatch(name):
        raise _invalid(
            "The dimension name is invalid. Dimension name can only contain alphanumeric "
            "characters and underscores. It can only start with an alphabet and cannot end "
            "with an underscore."
        )


def _required_text(members: Mapping[str, object], name: str) -> str:
    text = _text(members.get(name, ""), name)
    if not text:
        raise _invalid(f"{name} is missing or empty.")
    return text


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ServiceError("SerializationException", 400, f"{name} is not a string.")
    return value


def _structure(value: object) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise ServiceError("SerializationException", 400, "A structure was expected.")
    return value


def _listed(value: object) -> Sequence[object]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ServiceError("SerializationException", 400, "Dimensions is not a list.")
    return value


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _invalid(message: str) -> ServiceError:
    return ServiceError("ValidationException", 400, message)
