"""The state machine of one child, on a clock of the test's own."""

import signal

import pytest

from shardd.base import limits
from shardd.supervisor.watch import Action, Decision, State, Watch, how_it_ended

NOTHING = Decision()


def up_at(now_ms: int) -> Watch:
    watch = Watch("Engine 0", 0)
    watch.spawned(now_ms)
    watch.ready(now_ms)
    return watch


def test_a_new_child_is_spawned_at_once_and_only_once():
    watch = Watch("Engine 0", 1000)
    assert watch.step(1000) == Decision(Action.SPAWN)
    watch.spawned(1000)
    assert watch.state is State.STARTING and watch.running and not watch.serving
    assert watch.step(1001) == NOTHING


def test_ready_makes_it_serve_and_says_how_long_it_took():
    watch = Watch("Engine 0", 0)
    watch.spawned(100)
    assert watch.ready(350).sentence == "Engine 0 is up after 250 ms"
    assert watch.state is State.UP and watch.serving
    assert watch.ready(360) == NOTHING


def test_a_child_that_never_listens_is_killed_once():
    watch = Watch("Engine 0", 0)
    watch.spawned(0)
    assert watch.step(limits.CHILD_START_MS - 1) == NOTHING
    decision = watch.step(limits.CHILD_START_MS)
    assert decision.action is Action.KILL and "did not listen" in decision.sentence
    assert watch.state is State.DOWN and watch.running
    assert watch.step(limits.CHILD_START_MS + 1) == NOTHING
    sentence = watch.exited(limits.CHILD_START_MS + 2, -9).sentence
    assert sentence.startswith("Engine 0 ended by signal SIGKILL before it was ready")
    assert watch.state is State.BACKOFF


def test_silence_makes_it_suspect_but_it_keeps_serving():
    watch = up_at(0)
    assert watch.step(limits.CHILD_SUSPECT_MS - 1) == NOTHING
    decision = watch.step(limits.CHILD_SUSPECT_MS)
    assert decision.action is Action.NOTHING and "has not answered for 3.0 s" in decision.sentence
    assert watch.state is State.SUSPECT and watch.serving
    assert watch.step(limits.CHILD_SUSPECT_MS + 1) == NOTHING
    assert "answers again after 5.0 s" in watch.answered(5000).sentence
    assert watch.state is State.UP
    assert watch.answered(5001) == NOTHING


def test_a_hung_child_is_killed():
    watch = up_at(0)
    watch.step(limits.CHILD_SUSPECT_MS)
    assert watch.step(limits.CHILD_HUNG_MS - 1) == NOTHING
    assert watch.step(limits.CHILD_HUNG_MS).action is Action.KILL
    assert watch.state is State.DOWN


def test_the_pause_doubles_up_to_its_bound_and_forgets_after_a_steady_time():
    watch = Watch("Engine 0", 0)
    now, pauses = 0, []
    for _ in range(10):
        watch.spawned(now)
        watch.exited(now, 1)
        pauses.append(watch.due_ms - now)
        assert watch.step(watch.due_ms - 1) == NOTHING
        now = watch.due_ms
        assert watch.step(now).action is Action.SPAWN
    assert pauses[:3] == [100, 200, 400] and pauses[-1] == limits.RESTART_BACKOFF_MAX_MS
    assert watch.failures == 10 and watch.restarts == 10
    watch.spawned(now)
    watch.ready(now)
    assert watch.failures == 0
    watch.exited(now + limits.RESTART_STEADY_MS, 0)
    assert watch.due_ms - now - limits.RESTART_STEADY_MS == limits.RESTART_BACKOFF_MIN_MS


def test_a_short_life_does_not_reset_the_pause():
    watch = Watch("Engine 0", 0)
    for expected in (100, 200):
        now = watch.due_ms
        watch.spawned(now)
        watch.ready(now)
        decision = watch.exited(now + limits.RESTART_STEADY_MS - 1, -11)
        assert decision.sentence == f"Engine 0 ended by signal SIGSEGV; it is started again in {expected} ms"
        assert decision.warn


def test_a_child_that_cannot_be_started_is_tried_again():
    watch = Watch("Engine 0", 0)
    assert "Permission denied" in watch.spawn_failed(0, "Permission denied").sentence
    assert watch.state is State.BACKOFF and watch.failures == 1
    assert watch.step(100).action is Action.SPAWN


def test_stopping_terminates_then_kills():
    watch = up_at(0)
    watch.stop(1000, 500)
    assert watch.state is State.STOPPING and not watch.serving
    assert watch.step(1000) == Decision(Action.TERMINATE)
    assert watch.step(1001) == NOTHING
    decision = watch.step(1500)
    assert decision.action is Action.KILL and "did not stop in time" in decision.sentence
    assert watch.step(1501) == NOTHING
    watch.exited(1502, -9)
    assert watch.state is State.STOPPED and not watch.running
    assert watch.step(99999) == NOTHING


def test_a_second_stop_shortens_the_grace_and_never_lengthens_it():
    watch = up_at(0)
    watch.stop(0, 1000)
    watch.step(0)
    watch.stop(100, 0)
    assert watch.step(100).action is Action.KILL
    other = up_at(0)
    other.stop(0, 100)
    other.stop(50, 1000)
    other.step(0)
    assert other.step(100).action is Action.KILL


def test_a_clean_stop_is_reported_and_not_restarted():
    watch = up_at(0)
    watch.stop(0)
    watch.step(0)
    assert watch.exited(10, 0) == Decision(sentence="Engine 0 stopped")
    assert watch.step(10_000) == NOTHING


@pytest.mark.parametrize("state", ["new", "backoff"])
def test_stopping_what_does_not_run_is_immediate(state):
    watch = Watch("Engine 0", 0)
    if state == "backoff":
        watch.spawned(0)
        watch.exited(0, 1)
    watch.stop(0)
    assert watch.state is State.STOPPED
    assert watch.step(10_000) == NOTHING


def test_a_killed_child_can_be_told_to_stop():
    watch = up_at(0)
    watch.step(limits.CHILD_SUSPECT_MS)
    watch.step(limits.CHILD_HUNG_MS)
    watch.stop(limits.CHILD_HUNG_MS)
    watch.exited(limits.CHILD_HUNG_MS, -9)
    assert watch.state is State.STOPPED


@pytest.mark.parametrize("code, words", [(0, "with exit code 0"), (3, "with exit code 3"), (-9, "by signal SIGKILL"),
                                         (-signal.SIGSEGV, "by signal SIGSEGV"), (-200, "by signal 200")])
def test_how_it_ended(code, words):
    assert how_it_ended(code) == words
