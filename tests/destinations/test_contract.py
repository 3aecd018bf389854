"""What every destination promises (`ingest/destination.py`), held against each of them."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ingest.deadline import Deadline
from ingest.destination import Destination, Kind, Outcome, Rejection
from ingest.errors import DeadlineError, DeliveryError, IngestError, Interrupted, ThrottledError
from ingest.observation import MEASURES, Observation
from tests.destinations.sites import Site, spoilt
from tests.support.destinations import (
    FAILS_AS,
    LASTING,
    NEVER_S,
    NOW_MS,
    Trouble,
    deliver_from_memory,
    seen_in,
    seen_with,
    texts_of,
    values_of,
)

all_troubles = pytest.mark.parametrize("trouble", Trouble, ids=lambda each: each.name.lower())
PASSING = [each for each in Trouble if each not in LASTING]
examples = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def cities(count: int) -> list[Observation]:
    return [seen_in(f"city {number}") for number in range(count)]


def write(destination: Destination, observations: Sequence[Observation]) -> Outcome:
    """Write them, and hold the outcome against what every outcome has to be."""
    outcome = destination.write(observations)
    sent = [(id(each), name) for each in observations for name in each.values]
    refused = [(id(each.observation), each.measure) for each in outcome.rejected]
    assert refused == [value for value in sent if value in refused], "once each, and in order"
    known = outcome.stored + len(refused)
    assert known == len(sent) if outcome.failure is None else known <= len(sent)
    if outcome.failure:
        assert str(outcome.failure).isprintable()
        is_end = isinstance(outcome.failure, DeadlineError | Interrupted)
        assert is_end or destination.name in str(outcome.failure)
    return outcome


def calls_in(trouble: Trouble) -> int:
    """How often it is tried before it is said."""
    return 1 if trouble in LASTING else 3


def why(rejection: Rejection) -> tuple[str, Kind, int | None]:
    return rejection.measure, rejection.kind, rejection.existing_version


# Names and sizes


def test_the_same_table_has_the_same_names_each_time(site: Site) -> None:
    one, other = site.open(), site.open()
    assert (one.service, one.name, one.target) == (other.service, other.name, other.target)
    assert all(text and text.isprintable() for text in (one.service, one.name, one.target))


@examples
@given(st.lists(st.sets(st.sampled_from(list(MEASURES)), min_size=1), min_size=1, max_size=60))
@example([set(MEASURES)] * 60)
def test_no_call_holds_more_than_the_capacity(site: Site, measures: list[set[str]]) -> None:
    site.renew()
    observations = [
        seen_with(f"city {number}", dict.fromkeys(sorted(names), str(number)))
        for number, names in enumerate(measures)
    ]
    destination = site.open()
    assert all(1 <= destination.size(each) <= destination.capacity for each in observations)
    summary, _ = deliver_from_memory(destination, observations, writers=2)
    assert summary.stored == len(texts_of(observations))
    sizes = {each.city: destination.size(each) for each in observations}
    for call in site.calls():
        assert sum(sizes[city] for city in {city for city, _, _ in call}) <= destination.capacity
    assert site.rows() == texts_of(observations)


# What is stored


def test_what_is_written_is_stored_in_the_order_it_was_given(site: Site) -> None:
    observations = [*reversed(cities(10)), seen_in("Paris", Condition="Mist", ConditionId="701")]
    assert write(site.ready(), observations) == Outcome(stored=22)
    assert [value for call in site.calls() for value in call] == values_of(observations)
    assert site.rows() == texts_of(observations)


def test_without_a_value_there_is_no_call(site: Site) -> None:
    assert write(site.ready(), []) == Outcome()
    assert write(site.ready(), [seen_with("Paris", {})]) == Outcome()
    assert site.calls() == []


def test_writing_again_is_harmless_and_has_the_same_outcome(site: Site) -> None:
    destination, observations = site.ready(), cities(5)
    for _ in range(3):
        assert write(destination, observations) == Outcome(stored=10)
        assert site.rows() == texts_of(observations)


def test_what_was_written_by_another_run_is_written_again_without_harm(site: Site) -> None:
    assert write(site.ready(), cities(5)) == Outcome(stored=10)
    assert write(site.ready(), cities(7)) == Outcome(stored=14)
    assert site.rows() == texts_of(cities(7))


def test_a_later_version_replaces_the_value(site: Site) -> None:
    destination = site.ready()
    write(destination, [seen_in("Paris")])
    later = seen_in("Paris", version=NOW_MS + 1, CurrentTemp="12", Humidity="93")
    assert write(destination, [later]) == Outcome(stored=2)
    assert site.rows() == texts_of([later])


# What is refused


@pytest.mark.parametrize("kind", Kind)
def test_after_a_partial_refusal_the_refused_values_are_named_and_the_rest_is_stored(
    site: Site, kind: Kind
) -> None:
    if kind not in site.kinds:
        pytest.skip("not known to this service")
    destination = site.ready()
    bad = site.refused(kind)
    observations = [seen_in("Paris"), bad.observation, seen_in("Berlin")]
    outcome = write(destination, observations)
    assert [each.observation for each in outcome.rejected] == [bad.observation] * len(bad.measures)
    expected = [(measure, kind, bad.existing_version) for measure in bad.measures]
    assert [why(each) for each in outcome.rejected] == expected
    assert outcome.failure is None
    assert outcome.stored == 6 - len(bad.measures)
    refused = [(bad.observation.city, bad.observation.time_ms, name) for name in bad.measures]
    stored = {key: text for key, text in texts_of(observations).items() if key not in refused}
    assert site.rows().items() >= stored.items()


def test_a_rejection_belongs_to_the_very_observation_that_was_given(site: Site) -> None:
    """Entries of a queue are found by it."""
    for kind in site.kinds:
        site.renew()
        bad = site.refused(kind).observation
        outcome = write(site.ready(), [seen_in("Paris"), bad])
        assert outcome.rejected, kind
        assert all(each.observation is bad for each in outcome.rejected), kind


def test_a_rejection_is_said_on_one_line_with_advice_to_type(site: Site) -> None:
    for kind in site.kinds:
        site.renew()
        destination = site.ready()
        for rejection in write(destination, [site.refused(kind).observation]).rejected:
            assert rejection.reason.strip()
            assert rejection.reason.isprintable()
            advice = destination.advice(rejection)
            assert advice.isprintable()
            assert "ingest_weather.py" in advice


def test_what_was_refused_is_refused_again_in_the_same_way(site: Site) -> None:
    for kind in site.kinds:
        site.renew()
        destination = site.ready()
        observations = [seen_in("Paris"), site.refused(kind).observation]
        assert write(destination, observations) == write(destination, observations), kind


@examples
@given(st.integers(1, 50), st.sets(st.integers(0, 49), max_size=3))
@example(1, {0})
@example(2, {0, 1})
@example(50, {0})
@example(50, {49})
@example(50, {24, 25})
@example(7, set(range(7)))
def test_when_a_whole_call_is_refused_exactly_the_bad_values_are_rejected(
    site: Site, count: int, positions: set[int]
) -> None:
    site.renew()
    bad = {position % count for position in positions}
    names = [f"city {number}" for number in range(count)]
    observations = [
        spoilt(name) if number in bad else seen_in(name) for number, name in enumerate(names)
    ]
    outcome = write(site.ready(), observations)
    expected = [(observations[each], "Humidity", Kind.RECORD) for each in sorted(bad)]
    assert [(each.observation, each.measure, each.kind) for each in outcome.rejected] == expected
    assert (outcome.stored, outcome.failure) == (2 * count - len(bad), None)
    stored = texts_of(observations)
    for each in bad:
        del stored[names[each], NOW_MS, "Humidity"]
    assert site.rows() == stored


def test_one_bad_value_costs_few_calls(site: Site) -> None:
    destination = site.ready()
    write(destination, [*cities(49), spoilt("Bad")])
    assert len(site.calls()) <= 1 + 2 * 7  # two halves a level, and 2**7 is more than 100


# What cannot be done now


@all_troubles
def test_a_trouble_that_lasts_is_the_failure_and_leaves_everything_for_later(
    site: Site, trouble: Trouble
) -> None:
    destination, observations = site.ready(), cities(3)
    site.always(trouble)
    outcome = write(destination, observations)
    assert type(outcome.failure) is FAILS_AS[trouble]
    assert (outcome.stored, outcome.rejected) == (0, [])
    assert len(site.calls()) == calls_in(trouble)


@all_troubles
def test_after_a_trouble_the_same_is_written_once_and_whole(site: Site, trouble: Trouble) -> None:
    observations = cities(3)
    destination = site.ready()
    site.next(*[trouble] * calls_in(trouble))
    assert write(destination, observations).failure
    for _ in range(2):
        assert write(destination, observations) == Outcome(stored=6)
        assert site.rows() == texts_of(observations)


@pytest.mark.parametrize("trouble", PASSING, ids=lambda each: each.name.lower())
def test_two_troubles_in_a_row_are_overcome(site: Site, trouble: Trouble) -> None:
    destination = site.ready()
    site.next(trouble, trouble)
    assert write(destination, cities(3)) == Outcome(stored=6)
    assert len(site.calls()) == 3
    assert site.rows() == texts_of(cities(3))


def test_throttling_is_distinguished_from_failing(site: Site) -> None:
    destination = site.ready()
    site.always(Trouble.THROTTLED)
    assert isinstance(write(destination, cities(1)).failure, ThrottledError)
    site.always(Trouble.UNAVAILABLE)
    assert not isinstance(write(destination, cities(1)).failure, ThrottledError)


@all_troubles
def test_a_trouble_during_a_refused_call_counts_only_what_was_stored(
    site: Site, trouble: Trouble
) -> None:
    destination = site.ready()
    observations = [*cities(3), spoilt("Bad")]

    def after_the_first_half() -> None:
        if len(site.calls()) == 3:
            site.always(trouble)

    site.on_call = after_the_first_half
    outcome = write(destination, observations)
    # A refusal that is cut off can be any.
    assert type(outcome.failure) is FAILS_AS[trouble] or trouble == Trouble.CUT_OFF
    assert outcome.failure
    assert (outcome.stored, outcome.rejected) == (4, [])
    assert site.rows().items() >= texts_of(observations[:2]).items()


@settings(
    max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    status=st.sampled_from([200, 204, 301, 400, 401, 403, 404, 408, 413, 418, 419, 429, 500, 503]),
    body=st.one_of(
        st.binary(max_size=40),
        st.sampled_from([b"", b"{}", b"[]", b"null", b"1", b'"x"', b"\xff\xfe", b"{" * 2000]),
        st.sampled_from([b"<html>no</html>", b'{"__type":7}', b'{"Error":[]}', b'{"message":{}}']),
    ),
)
@example(418, b'{"__type":"RejectedRecordsException","RejectedRecords":7}')
@example(418, b'{"__type":"RejectedRecordsException","RejectedRecords":["x"]}')
@example(418, b'{"__type":{"a":1},"Message":["x"]}')
@example(400, b'{"__type":"ValidationException","Message":null}')
def test_no_odd_answer_raises(site: Site, status: int, body: bytes) -> None:
    site.renew()
    destination = site.ready()
    if not site.answers(status, body):
        return
    outcome = write(destination, cities(1))
    assert outcome.stored == 0
    assert outcome.failure or len(outcome.rejected) == 2


# Time


def test_after_the_deadline_nothing_is_asked(site: Site) -> None:
    deadline = Deadline(NEVER_S)
    destination = site.ready(deadline)
    deadline.seconds = 0.0
    outcome = write(destination, cities(1))
    assert isinstance(outcome.failure, DeadlineError)
    assert (outcome.stored, outcome.rejected, site.calls()) == (0, [], [])


def test_a_deadline_that_is_reached_during_a_call_ends_the_attempts(site: Site) -> None:
    deadline = Deadline(NEVER_S)
    destination = site.ready(deadline)

    def be_late() -> None:
        deadline.seconds = 0.0

    site.on_call = be_late
    site.always(Trouble.RESET)
    outcome = write(destination, cities(1))
    assert isinstance(outcome.failure, DeadlineError)
    assert len(site.calls()) == 1


def test_an_answer_that_comes_at_the_deadline_still_counts(site: Site) -> None:
    deadline = Deadline(NEVER_S)
    destination = site.ready(deadline)

    def be_late() -> None:
        deadline.seconds = 0.0

    site.on_call = be_late
    assert write(destination, cities(2)) == Outcome(stored=4)


def test_a_signal_ends_the_attempts(site: Site) -> None:
    deadline = Deadline(NEVER_S)
    destination = site.ready(deadline)
    site.on_call = lambda: deadline.stop("SIGTERM")
    site.always(Trouble.UNAVAILABLE)
    assert isinstance(write(destination, cities(1)).failure, Interrupted)
    assert len(site.calls()) == 1


# Threads


def test_calls_of_several_threads_are_under_way_at_once_and_each_has_its_own_outcome(
    site: Site,
) -> None:
    all_there = threading.Barrier(4)
    arrived = threading.Semaphore(4)

    def meet() -> None:
        if arrived.acquire(blocking=False):  # the halves of a refused call come later
            all_there.wait(NEVER_S)

    destination = site.ready()
    site.on_call = meet
    batches = [
        [spoilt(f"Bad {number}"), *(seen_in(f"city {number} {each}") for each in range(5))]
        for number in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda batch: write(destination, batch), batches))
    assert [outcome.stored for outcome in outcomes] == [11] * 4
    for outcome, batch in zip(outcomes, batches, strict=True):
        assert [each.observation for each in outcome.rejected] == [batch[0]]
    good = texts_of([each for batch in batches for each in batch])
    assert site.rows() == {key: text for key, text in good.items() if text != "not a number"}


# The way to the table


@all_troubles
def test_a_prepare_that_fails_says_why_and_nothing_is_written(site: Site, trouble: Trouble) -> None:
    if not site.prepare_meets(trouble):
        pytest.skip("it asks nothing")
    destination = site.open()
    with pytest.raises(IngestError) as caught:
        destination.prepare()
    if trouble in (Trouble.ANSWER_LOST, Trouble.CUT_OFF, Trouble.PAGE):
        assert isinstance(caught.value, DeliveryError)
    else:
        assert isinstance(caught.value, FAILS_AS[trouble])
    assert destination.name in str(caught.value)
    assert str(caught.value).isprintable()
    assert site.calls() == []
    site.renew()
    assert write(site.ready(), cities(1)) == Outcome(stored=2)


def test_a_prepare_after_a_signal_asks_nothing_and_says_so(site: Site) -> None:
    deadline = Deadline(NEVER_S)
    deadline.stop("SIGTERM")
    destination = site.open(deadline)
    if site.prepare_meets(Trouble.RESET):
        with pytest.raises(Interrupted):
            destination.prepare()


# Bugs


def test_a_bug_is_not_taken_for_a_fault_of_the_service(site: Site) -> None:
    with pytest.raises(KeyError):
        site.ready().write([seen_in("Paris", NoSuchMeasure="1")])
    assert site.rows() == {}
