from __future__ import annotations

from streams import HOUR, MINUTE, Program, Watch

from metalscope.operation import Component, ErrorSeverity


def watched() -> Watch:
    watch = Watch(Program(1))
    watch.program.breaker("device", is_open=False, opened=0)
    watch.run(10 * MINUTE)
    return watch


def test_a_breaker_that_opens_three_times_in_the_window_is_a_pattern():
    watch = watched()
    for opened in (1, 2, 3):
        assert watch.told == []
        watch.program.breaker("device", is_open=True, opened=opened)
        watch.run(2 * MINUTE)
        watch.program.breaker("device", is_open=False, opened=opened)
        watch.run(MINUTE)
    (told,) = watch.told
    assert (told.anomaly.kind, told.anomaly.subject) == ("breaker", "device")
    assert told.anomaly.component is Component.SYSTEM
    assert "opened 3 times" in told.anomaly.reason
    watch.run(25 * MINUTE)
    assert told.over


def test_openings_that_are_far_apart_are_none():
    watch = watched()
    for opened in range(1, 6):
        watch.program.breaker("device", is_open=True, opened=opened)
        watch.run(2 * MINUTE)
        watch.program.breaker("device", is_open=False, opened=opened)
        watch.run(20 * MINUTE)
    assert watch.told == []


def test_a_breaker_that_does_not_close_is_an_anomaly_until_it_does():
    watch = watched()
    watch.program.breaker("device", is_open=True, opened=1)
    watch.run(4 * MINUTE)
    assert watch.told == []
    watch.run(HOUR)
    (told,) = watch.told
    assert told.anomaly.severity is ErrorSeverity.HIGH
    assert not told.over
    watch.program.breaker("device", is_open=False, opened=1)
    watch.run(5 * MINUTE)
    assert told.over
