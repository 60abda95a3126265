"""The state machine of one child, on a clock of the test's own."""

import signal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shardd.base import limits
from shardd.supervisor.watch import NOTHING, TRANSITIONS, Action, Decision, State, Watch, how_it_ended


def new(now_ms: int = 0) -> Watch:
    return Watch.new("Engine 0", now_ms)


def up_at(now_ms: int) -> Watch:
    return new().spawned(now_ms).ready(now_ms)


def silent_from(now_ms: int) -> Watch:
    """Up, and sent a PING then that it does not answer."""
    return up_at(now_ms).asked(now_ms)


def test_a_new_child_is_spawned_at_once_and_only_once():
    watch = new(1000)
    assert watch.step(1000).said == Decision(Action.SPAWN)
    watch = watch.spawned(1000)
    assert watch.state is State.STARTING and watch.running and not watch.serving
    assert watch.step(1001).said == NOTHING


def test_an_event_changes_nothing_but_gives_the_next_value():
    watch = up_at(0)
    watch.exited(5, -9)
    watch.stop(5)
    assert watch == up_at(0)
    with pytest.raises(AttributeError):
        watch.state = State.DOWN


def test_ready_makes_it_serve_and_says_how_long_it_took():
    watch = new().spawned(100).ready(350)
    assert watch.said.sentence == "Engine 0 is up after 250 ms"
    assert watch.state is State.UP and watch.serving
    assert watch.ready(360).said == NOTHING


def test_a_child_that_loads_has_time_as_long_as_it_answers():
    watch = new().spawned(0).loading(100).asked(100)
    assert watch.said == NOTHING
    watch = new().spawned(0).loading(100)
    assert watch.state is State.LOADING and not watch.serving and watch.running
    assert watch.said.sentence == "Engine 0 loads its data"
    assert watch.loading(101).said == NOTHING
    late = limits.CHILD_START_MS + limits.CHILD_HUNG_MS
    assert watch.asked(200).answered(late - 1).step(late).said == NOTHING
    assert watch.answered(late - 1).ready(late).state is State.UP
    hung = watch.asked(100).step(100 + limits.CHILD_HUNG_MS)
    assert hung.said.action is Action.KILL and hung.state is State.DOWN
    assert watch.exited(200, 1).said.sentence.startswith("Engine 0 ended with exit code 1 before it was ready")


def test_a_child_that_never_listens_is_killed_once():
    watch = new().spawned(0)
    assert watch.step(limits.CHILD_START_MS - 1).said == NOTHING
    watch = watch.step(limits.CHILD_START_MS)
    assert watch.said.action is Action.KILL and "did not listen" in watch.said.sentence
    assert watch.state is State.DOWN and watch.running
    assert watch.step(limits.CHILD_START_MS + 1).said == NOTHING
    watch = watch.exited(limits.CHILD_START_MS + 2, -9)
    assert watch.said.sentence.startswith("Engine 0 ended by signal SIGKILL before it was ready")
    assert watch.state is State.BACKOFF


def test_silence_makes_it_suspect_but_it_keeps_serving():
    watch = silent_from(0)
    assert watch.step(limits.CHILD_SUSPECT_MS - 1).said == NOTHING
    watch = watch.step(limits.CHILD_SUSPECT_MS)
    assert watch.said.action is Action.NOTHING and "has not answered for 3.0 s" in watch.said.sentence
    assert watch.state is State.SUSPECT and watch.serving
    assert watch.trouble(4000) == "Engine 0 has not answered for 4.0 s"
    assert watch.step(limits.CHILD_SUSPECT_MS + 1).said == NOTHING
    watch = watch.answered(5000)
    assert "answers again after 5.0 s" in watch.said.sentence
    assert watch.state is State.UP and watch.trouble(5000) is None
    assert watch.answered(5001).said == NOTHING


def test_silence_counts_from_the_oldest_question_that_is_not_answered():
    watch = up_at(0)
    assert watch.silent_ms(10_000) == 0, "nobody has asked"
    watch = watch.asked(10_000).asked(11_000)
    assert watch.silent_ms(12_000) == 2_000
    watch = watch.answered(12_000)
    assert watch.silent_ms(20_000) == 0 and watch.step(20_000).state is State.UP
    assert watch.asked(20_000).exited(21_000, 1).spawned(21_100).silent_ms(30_000) == 0


def test_while_nobody_listens_nobody_is_silent():
    watch = up_at(0).asked(10_000)
    assert watch.excused(30_000, 19_000).silent_ms(30_000) == 1_000
    assert watch.excused(30_000, 99_000).silent_ms(30_000) == 0, "asked meanwhile"
    assert up_at(0).excused(30_000, 19_000).silent_ms(30_000) == 0
    hung = silent_from(0).step(limits.CHILD_SUSPECT_MS)
    assert hung.excused(limits.CHILD_HUNG_MS, 1000).step(limits.CHILD_HUNG_MS).said == NOTHING


def test_a_hung_child_is_killed():
    watch = silent_from(0).step(limits.CHILD_SUSPECT_MS)
    assert watch.step(limits.CHILD_HUNG_MS - 1).said == NOTHING
    watch = watch.step(limits.CHILD_HUNG_MS)
    assert watch.said.action is Action.KILL and watch.state is State.DOWN


def test_the_pause_doubles_up_to_its_bound_and_forgets_after_a_steady_time():
    watch, now, pauses = new(), 0, []
    for _ in range(10):
        watch = watch.spawned(now).exited(now, 1)
        pauses.append(watch.due_ms - now)
        assert watch.step(watch.due_ms - 1).said == NOTHING
        now = watch.due_ms
        assert watch.step(now).said.action is Action.SPAWN
    assert pauses[:3] == [100, 200, 400] and pauses[-1] == limits.RESTART_BACKOFF_MAX_MS
    assert watch.failures == 10 and watch.restarts == 10
    watch = watch.spawned(now).ready(now)
    assert watch.failures == 0
    watch = watch.exited(now + limits.RESTART_STEADY_MS, 0)
    assert watch.due_ms - now - limits.RESTART_STEADY_MS == limits.RESTART_BACKOFF_MIN_MS


def test_a_short_life_does_not_reset_the_pause():
    watch = new()
    for expected in (100, 200):
        now = watch.due_ms
        watch = watch.spawned(now).ready(now).exited(now + limits.RESTART_STEADY_MS - 1, -11)
        assert watch.said.sentence == f"Engine 0 ended by signal SIGSEGV; it is started again in {expected} ms"
        assert watch.said.warn


def test_deaths_in_a_row_are_a_crash_loop_until_it_stays_up():
    watch, now = new(), 0
    for death in range(1, 6):
        watch = watch.spawned(now).ready(now).exited(now, -11)
        assert watch.in_crash_loop(now) is (death >= limits.CRASH_LOOP_DEATHS)
        assert ("a crash loop" in watch.said.sentence) is (death >= limits.CRASH_LOOP_DEATHS)
        assert watch.trouble(now)
        now = watch.due_ms
    assert watch.trouble(now + 1000) == (
        f"Engine 0 is in a crash loop: it ended 5 times in a row, the last time by signal SIGSEGV, "
        f"{(now + 1000 - watch.last_exit_ms) // 1000} s ago")
    watch = watch.spawned(now).ready(now)
    assert watch.in_crash_loop(now + limits.RESTART_STEADY_MS - 1)
    assert not watch.in_crash_loop(now + limits.RESTART_STEADY_MS)
    assert watch.trouble(now + limits.RESTART_STEADY_MS) is None
    assert watch.exited(now + limits.RESTART_STEADY_MS, 1).deaths == 1


def test_a_child_that_cannot_be_started_is_tried_again():
    watch = new().spawn_failed(0, "Permission denied")
    assert "Permission denied" in watch.said.sentence
    assert watch.state is State.BACKOFF and watch.failures == 1
    assert watch.step(100).said.action is Action.SPAWN


def test_a_slow_start_is_trouble():
    watch = new().spawned(0)
    assert watch.trouble(limits.CHILD_SLOW_START_MS - 1) is None
    assert watch.trouble(limits.CHILD_SLOW_START_MS) == "Engine 0 has been starting for 5 s"


def test_stopping_terminates_then_kills():
    watch = up_at(0).stop(1000, 500)
    assert watch.state is State.STOPPING and not watch.serving
    watch = watch.step(1000)
    assert watch.said == Decision(Action.TERMINATE)
    watch = watch.step(1001)
    assert watch.said == NOTHING
    watch = watch.step(1500)
    assert watch.said.action is Action.KILL and "did not stop in time" in watch.said.sentence
    watch = watch.step(1501)
    assert watch.said == NOTHING
    watch = watch.exited(1502, -9)
    assert watch.state is State.STOPPED and not watch.running
    assert watch.step(99999).said == NOTHING


def test_a_second_stop_shortens_the_grace_and_never_lengthens_it():
    watch = up_at(0).stop(0, 1000).step(0).stop(100, 0)
    assert watch.step(100).said.action is Action.KILL
    other = up_at(0).stop(0, 100).stop(50, 1000).step(0)
    assert other.step(100).said.action is Action.KILL


def test_who_saves_while_it_stops_is_not_killed_for_it():
    stall = limits.STOP_STALL_MS
    watch = up_at(0).stop(0, 1000).step(0).wrote(10, 500)
    assert watch.step(999).said == NOTHING and watch.step(1000).said.action is Action.KILL
    watch = watch.wrote(900, 500)
    assert watch.step(1000).said.action is Action.KILL, "nothing was written"
    watch = watch.wrote(990, 501)
    assert watch.step(990 + stall - 1).said == NOTHING and watch.step(990 + stall).said.action is Action.KILL
    watch = watch.wrote(5000, 2)        # a smaller file has the old one's place
    assert watch.step(5000 + stall - 1).said == NOTHING
    hurried = watch.stop(6000, 0).wrote(6001, 9)
    assert hurried.step(6001).said.action is Action.KILL, "a second signal is the last word"
    assert up_at(0).wrote(10, 500) == up_at(0)


def test_a_clean_stop_is_reported_and_not_restarted():
    watch = up_at(0).stop(0).step(0).exited(10, 0)
    assert watch.said == Decision(sentence="Engine 0 stopped")
    assert watch.step(10_000).said == NOTHING


@pytest.mark.parametrize("watch", [new(), new().spawned(0).exited(0, 1)])
def test_stopping_what_does_not_run_is_immediate(watch):
    watch = watch.stop(0)
    assert watch.state is State.STOPPED
    assert watch.step(10_000).said == NOTHING


def test_a_killed_child_can_be_told_to_stop():
    watch = silent_from(0).step(limits.CHILD_SUSPECT_MS).step(limits.CHILD_HUNG_MS).stop(limits.CHILD_HUNG_MS)
    assert watch.exited(limits.CHILD_HUNG_MS, -9).state is State.STOPPED


def test_a_restart_is_no_death():
    watch = up_at(0).restart(100)
    assert watch.said.sentence == "Engine 0 stops" and not watch.serving
    watch = watch.step(100)
    assert watch.said.action is Action.TERMINATE
    watch = watch.exited(150, 0)
    assert watch.state is State.BACKOFF and watch.step(150).said.action is Action.SPAWN
    assert (watch.restarts, watch.deaths, watch.pause_ms, watch.trouble(150)) == (0, 0, 0, None)
    watch = watch.spawned(150).ready(200)
    assert watch.exited(250, 1).restarts == 1, "the next end is one again"


def test_a_restart_does_not_wait_for_the_pause_and_a_stop_takes_it_back():
    waiting = new().spawned(0).exited(0, 1).restart(10)
    assert waiting.step(10).said.action is Action.SPAWN
    stopped = up_at(0).restart(10).stop(20)
    assert stopped.exited(30, 0).state is State.STOPPED
    assert up_at(0).stop(0).restart(5).exited(10, 0).state is State.STOPPED


def test_a_draining_child_has_its_time_and_is_stopped_then():
    watch = up_at(0).drain(100, 2000)
    assert watch.state is State.DRAINING and watch.running and not watch.serving
    assert watch.said.sentence == "Engine 0 lets its clients finish"
    assert watch.step(2099).said == NOTHING
    assert watch.exited(500, 0).state is State.STOPPED
    watch = watch.step(2100)
    assert watch.state is State.STOPPING and watch.said.action is Action.TERMINATE
    assert watch.step(2101).said == NOTHING
    assert watch.step(2100 + limits.STOP_GRACE_MS).said.action is Action.KILL
    assert new().spawned(0).drain(1, 2000).state is State.STOPPING, "nothing to hand over yet"


EVENTS = st.sampled_from([
    lambda w, now: w.spawned(now) if w.step(now).said.action is Action.SPAWN else w,
    lambda w, now: w.exited(now, 0) if w.running else w,
    lambda w, now: w.exited(now, -9) if w.running else w,
    lambda w, now: w.ready(now), lambda w, now: w.loading(now), lambda w, now: w.answered(now),
    lambda w, now: w.asked(now), lambda w, now: w.stop(now), lambda w, now: w.restart(now),
    lambda w, now: w.drain(now, 500), lambda w, now: w.wrote(now, now // 1000),
    lambda w, now: w.step(now), lambda w, now: w.step(now),
])


@given(st.lists(st.tuples(EVENTS, st.integers(0, 40_000)), max_size=60))
@settings(max_examples=300)
def test_whatever_happens_it_goes_only_where_it_may(history):
    watch, now = new(), 0
    for event, passed_ms in history:
        now += passed_ms
        before, watch = watch, event(watch, now)
        assert watch.state is before.state or watch.state in TRANSITIONS[before.state]
        if watch.state is not before.state:
            assert watch.since_ms == now
        assert watch.running == (watch.state not in (State.BACKOFF, State.STOPPED))
        assert (watch.said.action is Action.SPAWN) <= (watch.state is State.BACKOFF)
        assert (watch.said.action in (Action.TERMINATE, Action.KILL)) <= watch.running
        watch.trouble(now)
        settled = watch.step(now)
        assert settled.step(now).said.action in (Action.NOTHING, Action.SPAWN), "nothing is done twice"


@pytest.mark.parametrize("code, words", [(0, "with exit code 0"), (3, "with exit code 3"), (-9, "by signal SIGKILL"),
                                         (-signal.SIGSEGV, "by signal SIGSEGV"), (-200, "by signal 200")])
def test_how_it_ended(code, words):
    assert how_it_ended(code) == words
