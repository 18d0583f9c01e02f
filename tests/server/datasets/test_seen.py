"""Repetitions are found, and next to nothing else."""

from server.datasets.seen import Seen


def test_a_line_is_known_from_the_second_time_on():
    seen = Seen()
    assert [seen.add(b"a"), seen.add(b"b"), seen.add(b"a")] == [False, False, True]


def test_of_many_different_lines_none_is_taken_for_a_repetition():
    seen = Seen()
    assert not any(seen.add(b"%d" % index) for index in range(50_000))
    assert all(seen.add(b"%d" % index) for index in range(50_000))
