"""The write rules of the embedded Timestream, which the other tests take as the reference."""

import datetime as dt
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedded.timestream import Outcome, Retention, Row, ServiceError, TimestreamStore, iso_ns

DATABASE, TABLE = "TIMESTREAM-DEMO", "london_weather_information"
NOW_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FUTURE_MS = 15 * 60_000
LONDON = [{"Name": "city", "Value": "London"}, {"Name": "country", "Value": "GB"}]

Record = dict[str, Any]


def store_with_table(*, magnetic_writes: bool = False) -> TimestreamStore:
    store = TimestreamStore()
    store.set_table(DATABASE, TABLE, Retention(24, 365, magnetic_writes))
    return store


def record(**members: object) -> Record:
    """A valid record of now, with some members replaced; None leaves one out."""
    valid = {
        "Dimensions": LONDON,
        "MeasureName": "CurrentTemp",
        "MeasureValue": "9.5",
        "Time": str(NOW_MS),
    }
    return {name: value for name, value in {**valid, **members}.items() if value is not None}


def write(store: TimestreamStore, *records: object, common: Record | None = None) -> Outcome:
    return store.write(DATABASE, TABLE, common, list(records), NOW_MS)


def rows(store: TimestreamStore) -> list[Row]:
    return store.rows(DATABASE, TABLE)


def stored_values(store: TimestreamStore) -> list[tuple[str, int]]:
    return [(row.value, row.version) for row in rows(store)]


def refusal(*records: object, common: Record | None = None) -> ServiceError:
    """The refusal of a whole call, of which nothing may have been stored."""
    store = store_with_table()
    with pytest.raises(ServiceError) as caught:
        write(store, *records, common=common)
    assert rows(store) == []
    return caught.value


def only_reason(outcome: Outcome) -> str:
    (rejected,) = outcome.rejected
    return rejected.reason


# A record that is taken


def test_a_record_is_read_back_as_it_was_written() -> None:
    store = store_with_table()
    assert write(store, record(Version=7)) == Outcome(memory_store=1, magnetic_store=0)
    assert rows(store) == [
        Row({"city": "London", "country": "GB"}, "CurrentTemp", "9.5", "DOUBLE", NOW_MS, 7)
    ]


def test_type_unit_and_version_have_the_documented_defaults() -> None:
    store = store_with_table()
    write(store, record())
    (row,) = rows(store)
    assert (row.value_type, row.time_ms, row.version) == ("DOUBLE", NOW_MS, 1)


@pytest.mark.parametrize(
    ("unit", "time"),
    [
        ("SECONDS", NOW_MS // 1000),
        ("MILLISECONDS", NOW_MS),
        ("MICROSECONDS", NOW_MS * 1000),
        ("NANOSECONDS", NOW_MS * 1_000_000),
    ],
)
def test_time_is_read_in_its_unit(unit: str, time: int) -> None:
    store = store_with_table()
    write(store, record(Time=str(time), TimeUnit=unit))
    assert [row.time_ms for row in rows(store)] == [NOW_MS]


@pytest.mark.parametrize(
    ("value_type", "value"),
    [
        ("DOUBLE", "93"),
        ("DOUBLE", "-0.5e-3"),
        ("BIGINT", "-12"),
        ("BOOLEAN", "true"),
        ("VARCHAR", "mist, \N{UMBRELLA WITH RAIN DROPS}"),
    ],
)
def test_each_scalar_type_is_taken(value_type: str, value: str) -> None:
    store = store_with_table()
    write(store, record(MeasureValueType=value_type, MeasureValue=value))
    assert [(row.value_type, row.value) for row in rows(store)] == [(value_type, value)]


def test_rows_differ_by_dimensions_measure_and_time_alone() -> None:
    store = store_with_table()
    other_city = [{"Name": "city", "Value": "Paris"}, {"Name": "country", "Value": "FR"}]
    reordered = list(reversed(LONDON))
    outcome = write(
        store,
        record(),
        record(Dimensions=reordered),
        record(Dimensions=other_city),
        record(MeasureName="Humidity"),
        record(Time=str(NOW_MS - 1)),
    )
    assert outcome.total == 5
    assert len(rows(store)) == 4


def test_tables_of_one_name_in_two_databases_are_apart() -> None:
    store = store_with_table()
    store.set_table("other", TABLE, Retention(24, 365))
    write(store, record())
    assert store.rows("other", TABLE) == []


def test_changing_the_retention_keeps_the_rows_and_dropping_the_table_does_not() -> None:
    store = store_with_table()
    write(store, record())
    store.set_table(DATABASE, TABLE, Retention(48, 365))
    assert len(rows(store)) == 1
    assert write(store, record(Time=str(NOW_MS - 36 * HOUR_MS))).total == 1
    store.drop_table(DATABASE, TABLE)
    store.set_table(DATABASE, TABLE, Retention(48, 365))
    assert rows(store) == []


# Common attributes


def test_common_attributes_are_merged_into_each_record() -> None:
    store = store_with_table()
    own = {"MeasureValue": "1", "Dimensions": LONDON[:1]}
    common = record(Dimensions=LONDON[1:], MeasureName=None, MeasureValue=None, Version=3)
    write(store, {**own, "MeasureName": "a"}, {**own, "MeasureName": "b"}, common=common)
    assert [(row.measure_name, dict(row.dimensions), row.version) for row in rows(store)] == [
        ("a", {"city": "London", "country": "GB"}, 3),
        ("b", {"city": "London", "country": "GB"}, 3),
    ]


def test_a_records_own_attribute_wins_over_the_common_one() -> None:
    store = store_with_table()
    write(store, record(Version=9), common={"Version": 3, "MeasureValue": "0"})
    assert stored_values(store) == [("9.5", 9)]


def test_a_dimension_in_both_places_refuses_the_call() -> None:
    error = refusal(record(), common={"Dimensions": LONDON[:1]})
    assert (error.code, error.status) == ("ValidationException", 400)


@given(st.data())
def test_it_does_not_matter_which_attributes_are_common(data: st.DataObject) -> None:
    whole = record(Version=5, TimeUnit="MILLISECONDS", MeasureValueType="DOUBLE")
    shared = data.draw(st.sets(st.sampled_from(sorted(whole))))
    common = {name: value for name, value in whole.items() if name in shared}
    own = {name: value for name, value in whole.items() if name not in shared}
    split, unsplit = store_with_table(), store_with_table()
    write(split, own, common=common)
    write(unsplit, whole)
    assert rows(split) == rows(unsplit)


# What refuses the whole call


@pytest.mark.parametrize("count", [0, 101])
def test_fewer_than_1_or_more_than_100_records_refuse_the_call(count: int) -> None:
    records = [record(Time=str(NOW_MS - index)) for index in range(count)]
    assert refusal(*records).code == "ValidationException"


def test_100_records_are_taken() -> None:
    store = store_with_table()
    assert write(store, *[record(Time=str(NOW_MS - i)) for i in range(100)]).total == 100
    assert len(rows(store)) == 100


def dimension(name: str = "city", value: str = "London") -> list[Record]:
    return [{"Name": name, "Value": value}]


@pytest.mark.parametrize(
    "malformed",
    [
        pytest.param(record(Dimensions=dimension(value="")), id="empty dimension value"),
        pytest.param(record(Dimensions=dimension(name="")), id="empty dimension name"),
        pytest.param(record(Dimensions=[{"Name": "city"}]), id="no dimension value"),
        pytest.param(record(Dimensions=[]), id="empty dimensions"),
        pytest.param(record(Dimensions=None), id="no dimensions"),
        pytest.param(record(Dimensions=LONDON + LONDON), id="repeated dimension"),
        pytest.param(record(Dimensions=dimension("time")), id="dimension time"),
        pytest.param(record(Dimensions=dimension("measure_value")), id="dimension measure_value"),
        pytest.param(record(Dimensions=dimension("ts_a")), id="dimension ts_"),
        pytest.param(record(Dimensions=dimension("measure_name2")), id="dimension measure_name"),
        pytest.param(record(Dimensions=dimension("city-id")), id="dimension with a dash"),
        pytest.param(record(Dimensions=dimension("1city")), id="dimension with a digit first"),
        pytest.param(record(Dimensions=dimension("city_")), id="dimension with underscore last"),
        pytest.param(
            record(Dimensions=[{**LONDON[0], "DimensionValueType": "DOUBLE"}]), id="typed dimension"
        ),
        pytest.param(record(MeasureName=None), id="no measure name"),
        pytest.param(record(MeasureName=""), id="empty measure name"),
        pytest.param(record(MeasureName="time"), id="measure time"),
        pytest.param(record(MeasureName="ts_non_existent_col"), id="measure ts_non_existent_col"),
        pytest.param(record(MeasureName="measure_name"), id="measure measure_name"),
        pytest.param(record(MeasureValue=None), id="no value"),
        pytest.param(record(MeasureValue=""), id="empty value"),
        pytest.param(record(MeasureValue="9,5"), id="decimal comma"),
        pytest.param(record(MeasureValue=" 9.5"), id="space before"),
        pytest.param(record(MeasureValue="1_0"), id="underscore"),
        pytest.param(record(MeasureValue="\u0661"), id="digit of another script"),
        pytest.param(record(MeasureValue="nan"), id="nan"),
        pytest.param(record(MeasureValue="NaN"), id="NaN"),
        pytest.param(record(MeasureValue="Infinity"), id="Infinity"),
        pytest.param(record(MeasureValue="-inf"), id="-inf"),
        pytest.param(record(MeasureValue="1e999"), id="beyond a double"),
        pytest.param(record(MeasureValueType="BIGINT"), id="fraction as BIGINT"),
        pytest.param(
            record(MeasureValueType="BIGINT", MeasureValue=str(2**63)), id="beyond a BIGINT"
        ),
        pytest.param(record(MeasureValueType="BOOLEAN"), id="number as BOOLEAN"),
        pytest.param(
            record(MeasureValueType="TIMESTAMP", MeasureValue="1"), id="TIMESTAMP outside MULTI"
        ),
        pytest.param(record(MeasureValueType="double"), id="type in lower case"),
        pytest.param(
            record(MeasureValueType="VARCHAR", MeasureValue="x" * 2049), id="2049 characters"
        ),
        pytest.param(record(Time=None), id="no time"),
        pytest.param(record(Time="1.5"), id="fraction as time"),
        pytest.param(record(Time="2026-09-21T13:46:40Z"), id="ISO time"),
        pytest.param(record(Time=str(2**63), TimeUnit="NANOSECONDS"), id="time beyond 64 bits"),
        pytest.param(record(TimeUnit="ms"), id="unknown time unit"),
        pytest.param(record(Version=0), id="version 0"),
        pytest.param(record(Version=-1), id="negative version"),
        pytest.param(record(Version=2**63), id="version beyond 64 bits"),
    ],
)
def test_one_malformed_record_refuses_the_whole_call(malformed: Record) -> None:
    good = record(MeasureName="good")
    error = refusal(good, malformed, good)
    assert (error.code, error.status) == ("ValidationException", 400)


@pytest.mark.parametrize(
    "mistyped",
    [
        record(Time=NOW_MS),
        record(MeasureValue=9.5),
        record(MeasureName=5),
        record(MeasureValueType=1),
        record(TimeUnit=1),
        record(Version="1"),
        record(Version=True),
        record(Version=1.0),
        record(Dimensions={"city": "London"}),
        record(Dimensions=["London"]),
        record(Dimensions=[{"Name": "city", "Value": 1}]),
        "a record",
    ],
)
def test_a_member_of_the_wrong_json_type_is_a_serialization_error(mistyped: object) -> None:
    error = refusal(record(MeasureName="good"), mistyped)
    assert (error.code, error.status) == ("SerializationException", 400)


def test_records_that_are_no_list_refuse_the_call() -> None:
    with pytest.raises(ServiceError, match="ValidationException"):
        store_with_table().write(DATABASE, TABLE, None, None, NOW_MS)


@given(position=st.integers(0, 99), count=st.integers(0, 99))
def test_a_refused_call_changes_nothing(position: int, count: int) -> None:
    store = store_with_table()
    write(store, record(Version=1))
    before = rows(store)
    records = [record(Time=str(NOW_MS - i), Version=2) for i in range(count)]
    records.insert(position, record(Dimensions=dimension(value="")))
    with pytest.raises(ServiceError):
        write(store, *records)
    assert rows(store) == before


@pytest.mark.parametrize(("database", "table"), [("other", TABLE), (DATABASE, "other")])
def test_a_missing_database_or_table_is_not_found(database: str, table: str) -> None:
    with pytest.raises(ServiceError) as caught:
        store_with_table().write(database, table, None, [record()], NOW_MS)
    assert (caught.value.code, caught.value.status) == ("ResourceNotFoundException", 404)
    with pytest.raises(ServiceError):
        store_with_table().rows(database, table)


# What rejects one record


@pytest.mark.parametrize(
    ("at_the_limit", "over_it", "word"),
    [
        pytest.param(
            record(Dimensions=[{"Name": f"d{i}", "Value": "x"} for i in range(128)]),
            record(Dimensions=[{"Name": f"d{i}", "Value": "x"} for i in range(129)]),
            "128 dimensions",
            id="dimensions",
        ),
        pytest.param(
            record(Dimensions=dimension("n" * 60)),
            record(Dimensions=dimension("n" * 61)),
            "dimension name",
            id="dimension name",
        ),
        pytest.param(
            record(MeasureName="\N{DEGREE SIGN}" * 128),
            record(MeasureName="\N{DEGREE SIGN}" * 128 + "C"),
            "measure name",
            id="measure name, in bytes",
        ),
        pytest.param(
            record(Dimensions=dimension("city", "v" * (2048 - 4 - 8 - 8 - 11))),
            record(Dimensions=dimension("city", "v" * (2049 - 4))),
            "names and values",
            id="series",
        ),
        pytest.param(
            record(MeasureValueType="VARCHAR", MeasureValue="x" * (2048 - 19 - 8 - 2)),
            record(MeasureValueType="VARCHAR", MeasureValue="x" * (2049 - 19 - 8 - 2)),
            "The record exceeds",
            id="record",
        ),
    ],
)
def test_a_record_over_a_limit_is_rejected_alone(
    at_the_limit: Record, over_it: Record, word: str
) -> None:
    if at_the_limit.get("MeasureValueType") == "VARCHAR":
        at_the_limit, over_it = (
            {**at_the_limit, "MeasureName": "mn"},
            {**over_it, "MeasureName": "mn"},
        )
    store = store_with_table()
    outcome = write(store, at_the_limit, over_it, record(MeasureName="good"))
    assert [rejected.index for rejected in outcome.rejected] == [1]
    assert word in only_reason(outcome)
    assert outcome.total == len(rows(store)) == 2


def test_a_measure_keeps_the_type_it_was_first_stored_with() -> None:
    store = store_with_table()
    write(store, record())
    whole_number = record(MeasureValueType="BIGINT", MeasureValue="9", Time=str(NOW_MS + 1))
    reason = only_reason(write(store, whole_number))
    assert "BIGINT" in reason
    assert "DOUBLE" in reason
    assert stored_values(store) == [("9.5", 1)]


def test_a_rejected_record_does_not_fix_its_measures_type() -> None:
    store = store_with_table()
    write(store, record(MeasureValueType="BIGINT", MeasureValue="9", Time="1"))
    assert write(store, record()).rejected == ()


# Time


@given(st.one_of(st.integers(-2 * DAY_MS, DAY_MS), st.sampled_from([-DAY_MS, FUTURE_MS])))
def test_the_memory_store_takes_its_retention_and_15_minutes_ahead(offset_ms: int) -> None:
    store = store_with_table()
    outcome = write(store, record(Time=str(NOW_MS + offset_ms)))
    assert bool(outcome.total) == (-DAY_MS <= offset_ms < FUTURE_MS)
    assert len(rows(store)) == outcome.total


@pytest.mark.parametrize(
    ("offset_ms", "taken"),
    [(-DAY_MS - 1, False), (-DAY_MS, True), (FUTURE_MS - 1, True), (FUTURE_MS, False)],
)
def test_the_window_includes_its_start_and_excludes_its_end(offset_ms: int, taken: bool) -> None:
    outcome = write(store_with_table(), record(Time=str(NOW_MS + offset_ms)))
    assert bool(outcome.total) == taken


def test_a_record_outside_the_memory_store_is_told_the_range() -> None:
    reason = only_reason(write(store_with_table(), record(Time="1604870976000")))
    start = dt.datetime.fromtimestamp(NOW_MS / 1000 - 86400, dt.UTC)
    end = dt.datetime.fromtimestamp(NOW_MS / 1000 + 900, dt.UTC)
    assert reason == (
        "The record timestamp is outside the time range "
        f"[{start:%Y-%m-%dT%H:%M:%S}.000000000, {end:%Y-%m-%dT%H:%M:%S}.000000000) "
        "of the memory store."
    )


def test_seconds_sent_as_milliseconds_are_out_of_range() -> None:
    assert "time range" in only_reason(write(store_with_table(), record(Time=str(NOW_MS // 1000))))


@pytest.mark.parametrize(
    ("offset_ms", "memory", "magnetic"),
    [
        (FUTURE_MS, 0, 0),
        (-DAY_MS, 1, 0),
        (-DAY_MS - 1, 0, 1),
        (-365 * DAY_MS, 0, 1),
        (-365 * DAY_MS - 1, 0, 0),
    ],
)
def test_magnetic_writes_take_records_back_to_the_magnetic_retention(
    offset_ms: int, memory: int, magnetic: int
) -> None:
    store = store_with_table(magnetic_writes=True)
    outcome = write(store, record(Time=str(NOW_MS + offset_ms)))
    assert (outcome.memory_store, outcome.magnetic_store) == (memory, magnetic)
    if not outcome.total:
        assert only_reason(outcome).endswith("of the data ingestion window.")


def test_a_version_conflict_in_the_magnetic_store_is_not_reported_and_changes_nothing() -> None:
    store = store_with_table(magnetic_writes=True)
    old = str(NOW_MS - 2 * DAY_MS)
    write(store, record(Time=old, Version=5))
    outcome = write(store, record(Time=old, Version=4, MeasureValue="1"))
    assert (outcome.magnetic_store, outcome.rejected) == (1, ())
    assert stored_values(store) == [("9.5", 5)]
    assert [rejected.existing_version for rejected in store.unreported] == [5]


@pytest.mark.parametrize(
    ("time_ns", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000"),
        (1_604_870_976_000_000_001, "2020-11-08T21:29:36.000000001"),
        (-1, "1969-12-31T23:59:59.999999999"),
    ],
)
def test_times_are_written_with_nine_decimals(time_ns: int, text: str) -> None:
    assert iso_ns(time_ns) == text


# Versions


def test_a_higher_version_overwrites() -> None:
    store = store_with_table()
    assert write(store, record(), record(Version=2, MeasureValue="8")).total == 2
    assert stored_values(store) == [("8", 2)]


def test_a_higher_version_of_the_same_value_raises_the_version() -> None:
    store = store_with_table()
    write(store, record(Version=1), record(Version=2))
    reason = only_reason(write(store, record(Version=1, MeasureValue="8")))
    assert "lower than the existing version 2" in reason


def test_an_identical_record_is_taken_again() -> None:
    store = store_with_table()
    write(store, record())
    assert write(store, record(), record()).total == 2
    assert stored_values(store) == [("9.5", 1)]


def test_the_same_number_written_otherwise_is_the_same_value() -> None:
    store = store_with_table()
    write(store, record(MeasureValue="9.5"))
    assert write(store, record(MeasureValue="9.50")).rejected == ()
    assert stored_values(store) == [("9.5", 1)]


def test_the_same_version_with_another_value_is_rejected_without_existing_version() -> None:
    store = store_with_table()
    write(store, record())
    (rejected,) = write(store, record(MeasureValue="8")).rejected
    assert rejected.as_json() == {
        "RecordIndex": 0,
        "Reason": (
            "A record already exists with the same time, dimensions, measure name, and record "
            "version. A higher record version must be specified in order to update the measure "
            "value. Specifying record version is supported by the latest SDKs."
        ),
    }
    assert stored_values(store) == [("9.5", 1)]


def test_a_lower_version_with_another_value_is_told_the_existing_one() -> None:
    store = store_with_table()
    write(store, record(Version=200))
    (rejected,) = write(store, record(Version=2, MeasureValue="8")).rejected
    assert rejected.as_json() == {
        "RecordIndex": 0,
        "Reason": (
            "The record version 2 is lower than the existing version 200. "
            "A higher version is required to update the measure value."
        ),
        "ExistingVersion": 200,
    }


def test_a_lower_version_with_the_same_value_is_taken_and_keeps_the_higher_version() -> None:
    store = store_with_table()
    write(store, record(Version=200))
    assert write(store, record(Version=2)).rejected == ()
    assert stored_values(store) == [("9.5", 200)]


def test_duplicates_within_a_call_are_taken_in_order() -> None:
    store = store_with_table()
    outcome = write(
        store,
        record(Version=2, MeasureValue="1"),
        record(Version=2, MeasureValue="2"),
        record(Version=3, MeasureValue="3"),
        record(Version=1, MeasureValue="4"),
    )
    assert [rejected.index for rejected in outcome.rejected] == [1, 3]
    assert stored_values(store) == [("3", 3)]


# Partial success


def test_a_partly_rejected_call_is_a_419_that_lists_the_rejected_records() -> None:
    store = store_with_table()
    outcome = write(store, record(), record(Time="1"), record(MeasureName="b"), record(Time="2"))
    with pytest.raises(ServiceError) as caught:
        outcome.raise_for_rejected()
    error = caught.value
    assert (error.code, error.status) == ("RejectedRecordsException", 419)
    assert error.message == (
        "One or more records have been rejected. See RejectedRecords for details."
    )
    listed = json.loads(json.dumps(error.extra))["RejectedRecords"]
    assert [each["RecordIndex"] for each in listed] == [1, 3]
    assert [row.measure_name for row in rows(store)] == ["CurrentTemp", "b"]


def test_a_call_without_rejections_raises_nothing() -> None:
    write(store_with_table(), record()).raise_for_rejected()


# Properties of any series of calls

VALUES = st.sampled_from(["1", "2", "3"])
OFFSETS_MS = st.sampled_from([0, -HOUR_MS, -2 * DAY_MS, DAY_MS])
ANY_RECORD = st.builds(
    lambda name, value, offset, version: record(
        MeasureName=name, MeasureValue=value, Time=str(NOW_MS + offset), Version=version
    ),
    st.sampled_from(["a", "b"]),
    VALUES,
    OFFSETS_MS,
    st.integers(1, 4),
)
CALLS = st.lists(st.lists(ANY_RECORD, min_size=1, max_size=8), max_size=8)
Kept = dict[tuple[str, str], tuple[int, str]]


def expected_rows(calls: Sequence[Sequence[Record]]) -> tuple[Kept, list[list[int]]]:
    """What a reader must see and what each call must reject, worked out independently."""
    kept: Kept = {}
    rejected: list[list[int]] = []
    for call in calls:
        rejected.append([])
        for index, one in enumerate(call):
            key, version = (one["MeasureName"], one["Time"]), one["Version"]
            in_time = NOW_MS - DAY_MS <= int(one["Time"]) < NOW_MS + FUTURE_MS
            existing_version, existing_value = kept.get(key, (0, ""))
            if in_time and version > existing_version:
                kept[key] = (version, one["MeasureValue"])
            elif not in_time or one["MeasureValue"] != existing_value:
                rejected[-1].append(index)
    return kept, rejected


@given(CALLS)
def test_any_series_of_calls_leaves_the_highest_versions_and_rejects_the_rest(
    calls: list[list[Record]],
) -> None:
    store = store_with_table()
    outcomes = [write(store, *call) for call in calls]
    kept, rejected = expected_rows(calls)
    assert [[r.index for r in outcome.rejected] for outcome in outcomes] == rejected
    assert {(r.measure_name, str(r.time_ms)): (r.version, r.value) for r in rows(store)} == kept


@given(CALLS)
def test_every_record_is_either_counted_or_listed(calls: list[list[Record]]) -> None:
    store = store_with_table()
    for call in calls:
        outcome = write(store, *call)
        assert outcome.total + len(outcome.rejected) == len(call)


@given(CALLS)
def test_sending_a_call_again_changes_no_row(calls: list[list[Record]]) -> None:
    store = store_with_table()
    for call in calls:
        write(store, *call)
        before = rows(store)
        write(store, *call)
        assert rows(store) == before


@given(st.lists(ANY_RECORD, max_size=12), st.randoms(use_true_random=False))
def test_with_versions_all_different_the_order_of_calls_does_not_matter(
    records: list[Record], random: Any
) -> None:
    versioned = [{**one, "Version": index + 1} for index, one in enumerate(records)]
    shuffled = random.sample(versioned, len(versioned))
    ordered, disordered = store_with_table(), store_with_table()
    for one, other in zip(versioned, shuffled, strict=True):
        write(ordered, one)
        write(disordered, other)
    assert stored_values(ordered) == stored_values(disordered)
