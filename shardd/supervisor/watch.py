"""What to do with one child, decided from what is known about it: a state machine, as a value.

Owns: the states, which may follow which, the pauses between restarts and the sentences that explain each decision. Does
not own the process (child.py) or the clock: every event is told the time, in ms of one monotonic clock.

    BACKOFF            -- spawned ------------------------------> STARTING
    STARTING           -- loading ------------------------------> LOADING       it reads its data
    STARTING, LOADING  -- ready --------------------------------> UP
    UP                 -- no answer for CHILD_SUSPECT_MS -------> SUSPECT       -- answered --> UP
    STARTING           -- not ready within CHILD_START_MS ------> DOWN          killed, its end not seen yet
    SUSPECT, LOADING   -- no answer for CHILD_HUNG_MS ----------> DOWN
    all of these       -- exited -------------------------------> BACKOFF       started again after a pause
    UP, SUSPECT        -- drain --------------------------------> DRAINING      a proxy whose successor serves
    DRAINING           -- its time is over ---------------------> STOPPING
    any with a process -- stop, restart ------------------------> STOPPING      SIGTERM, later SIGKILL; while its
                                                                                files grow it saves, and has time
    STOPPING           -- exited -------------------------------> STOPPED, or BACKOFF where it was a restart
    BACKOFF            -- stop ---------------------------------> STOPPED

A Watch is never changed: an event returns the next one, whose `said` tells what is to be done and what to say.

    watch = watch.exited(now_ms, -9)
    watch.state, watch.due_ms           BACKOFF, when to start it again
    watch.said.sentence                 "Engine 0 ended by signal SIGKILL; it is started again in 100 ms"

Invariants: a process exists in every state but BACKOFF and STOPPED; a change of state is one of TRANSITIONS; step() is
idempotent between events, so it may be called at any time and as often as one likes; each change has one sentence.
"""

import signal
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple

from shardd.base import limits


class State(str, Enum):
    """A child's state; the value is what STATUS and the log show."""

    BACKOFF = "backoff"
    STARTING = "starting"
    LOADING = "loading"
    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    DRAINING = "draining"
    STOPPING = "stopping"
    STOPPED = "stopped"


TRANSITIONS: dict[State, frozenset[State]] = {
    State.BACKOFF: frozenset((State.BACKOFF, State.STARTING, State.STOPPED)),
    State.STARTING: frozenset((State.LOADING, State.UP, State.DOWN, State.STOPPING, State.BACKOFF)),
    State.LOADING: frozenset((State.UP, State.DOWN, State.STOPPING, State.BACKOFF)),
    State.UP: frozenset((State.SUSPECT, State.DRAINING, State.STOPPING, State.BACKOFF)),
    State.SUSPECT: frozenset((State.UP, State.DOWN, State.DRAINING, State.STOPPING, State.BACKOFF)),
    State.DOWN: frozenset((State.STOPPING, State.BACKOFF)),
    State.DRAINING: frozenset((State.STOPPING, State.STOPPED)),
    State.STOPPING: frozenset((State.STOPPED, State.BACKOFF)),
    State.STOPPED: frozenset(),
}
"""State -> those that may follow it."""


class Action(Enum):
    """What the owner of the process shall do."""

    NOTHING = "nothing"
    SPAWN = "spawn"
    TERMINATE = "terminate"  # SIGTERM
    KILL = "kill"  # SIGKILL


class Decision(NamedTuple):
    """action, and the sentence for the log; None where nothing changed that anyone wants to read."""

    action: Action = Action.NOTHING
    sentence: str | None = None
    warn: bool = False


NOTHING = Decision()


@dataclass(frozen=True)
class Watch:
    """One child. Times are ms of the caller's monotonic clock.

    name: how sentences call it, "Engine 0". since_ms: when the state began. due_ms: in BACKOFF when to start, in
    DRAINING when to stop, in STOPPING when SIGKILL follows. pause_ms: the latest pause before a restart, doubled by
    the next death unless the child was up long enough. restarts: deaths that nobody asked for. failures: deaths in a
    row before it was ever ready. deaths: in a row without a steady time between. last_exit: "by signal SIGKILL".
    asked_ms: when the oldest PING was sent that it has not answered, None where it owes nothing.
    """

    name: str
    since_ms: int
    due_ms: int
    answered_ms: int
    state: State = State.BACKOFF
    asked_ms: int | None = None
    pause_ms: int = 0
    restarts: int = 0
    failures: int = 0
    deaths: int = 0
    last_exit: str | None = None
    last_exit_ms: int = 0
    up_since_ms: int | None = None
    told_to_stop: bool = False
    killed: bool = False
    again: bool = False
    """STOPPING: it is started again afterwards."""
    written: int | None = None
    """STOPPING: bytes in its files when they were looked at last."""
    urgent: bool = False
    """STOPPING: whatever it does."""
    said: Decision = field(default=NOTHING, compare=False)

    @classmethod
    def new(cls, name: str, now_ms: int) -> "Watch":
        """A child that is to be started at once."""
        return cls(name, now_ms, now_ms, now_ms)

    @property
    def running(self) -> bool:
        """Whether a process exists."""
        return self.state not in (State.BACKOFF, State.STOPPED)

    @property
    def serving(self) -> bool:
        """Whether clients may be sent to it. A suspect child may only be busy, and its slots have no other owner."""
        return self.state in (State.UP, State.SUSPECT)

    def silent_ms(self, now_ms: int) -> int:
        """How long it has owed an answer."""
        return 0 if self.asked_ms is None else now_ms - self.asked_ms

    def in_crash_loop(self, now_ms: int) -> bool:
        """Whether it died again and again and has not yet proved that it no longer does."""
        steady = self.up_since_ms is not None and now_ms - self.up_since_ms >= limits.RESTART_STEADY_MS
        return self.deaths >= limits.CRASH_LOOP_DEATHS and not steady

    def trouble(self, now_ms: int) -> str | None:
        """What is wrong with the child, as a sentence for people; None where nothing is."""
        ended = f"the last time {self.last_exit}, {(now_ms - self.last_exit_ms) // 1000} s ago"
        if self.in_crash_loop(now_ms):
            return f"{self.name} is in a crash loop: it ended {self.deaths} times in a row, {ended}"
        if self.state is State.BACKOFF and self.last_exit is not None:
            return f"{self.name} ended {self.last_exit}; it is started again in {max(0, self.due_ms - now_ms)} ms"
        if self.state is State.STARTING and now_ms - self.since_ms >= limits.CHILD_SLOW_START_MS:
            return f"{self.name} has been starting for {(now_ms - self.since_ms) // 1000} s"
        if self.state in (State.SUSPECT, State.DOWN):
            return f"{self.name} has not answered for {self.silent_ms(now_ms) / 1000:.1f} s"
        return None

    # --- events ---------------------------------------------------------------------------------------------------

    def spawned(self, now_ms: int) -> "Watch":
        """The process was started."""
        return self._go(State.STARTING, now_ms, answered_ms=now_ms, asked_ms=None, up_since_ms=None, killed=False,
                        told_to_stop=False, again=False, written=None, urgent=False)

    def loading(self, now_ms: int) -> "Watch":
        """It says that it loads its data: it may take as long as it likes, as long as it answers."""
        if self.state is not State.STARTING:
            return self._quiet()
        return self._go(State.LOADING, now_ms, Decision(sentence=f"{self.name} loads its data"), answered_ms=now_ms,
                        asked_ms=None)

    def ready(self, now_ms: int) -> "Watch":
        """It says that it listens."""
        if self.state not in (State.STARTING, State.LOADING):
            return self._quiet()
        sentence = f"{self.name} is up after {now_ms - self.since_ms} ms"
        return self._go(State.UP, now_ms, Decision(sentence=sentence), failures=0, answered_ms=now_ms,
                        asked_ms=None, up_since_ms=now_ms)

    def asked(self, now_ms: int) -> "Watch":
        """It is sent a PING, or cannot even be sent one."""
        return self._quiet(asked_ms=now_ms) if self.asked_ms is None else self._quiet()

    def answered(self, now_ms: int) -> "Watch":
        """It answered a PING."""
        if self.state is not State.SUSPECT:
            return self._quiet(answered_ms=now_ms, asked_ms=None)
        sentence = f"{self.name} answers again after {self.silent_ms(now_ms) / 1000:.1f} s"
        return self._go(State.UP, now_ms, Decision(sentence=sentence), answered_ms=now_ms, asked_ms=None)

    def excused(self, now_ms: int, late_ms: int) -> "Watch":
        """Nobody has listened for so long: what it answered meanwhile has still to be read."""
        return self._quiet(asked_ms=None if self.asked_ms is None else min(now_ms, self.asked_ms + late_ms))

    def exited(self, now_ms: int, returncode: int) -> "Watch":
        """The process ended. returncode: as subprocess gives it, negative for a signal."""
        ended = how_it_ended(returncode)
        if self.state in (State.STOPPING, State.DRAINING):
            sentence = f"{self.name} stopped" if returncode == 0 else f"{self.name} ended {ended}"
            said = Decision(sentence=sentence, warn=returncode != 0)
            if self.again:
                return self._go(State.BACKOFF, now_ms, said, due_ms=now_ms, up_since_ms=None)
            return self._go(State.STOPPED, now_ms, said, up_since_ms=None)
        if not self.running:
            return self._quiet()
        steady = self.up_since_ms is not None and now_ms - self.up_since_ms >= limits.RESTART_STEADY_MS
        was_up = self.up_since_ms is not None
        seen = replace(self, last_exit=ended, last_exit_ms=now_ms, pause_ms=0 if steady else self.pause_ms,
                       deaths=0 if steady else self.deaths, failures=0 if was_up else self.failures)
        return seen._died(now_ms, f"{self.name} ended {ended}" + ("" if was_up else " before it was ready"), was_up)

    def spawn_failed(self, now_ms: int, reason: str) -> "Watch":
        """The process could not even be started."""
        seen = replace(self, last_exit=f"at once ({reason})", last_exit_ms=now_ms)
        return seen._died(now_ms, f"{self.name} cannot be started ({reason})", False)

    def stop(self, now_ms: int, grace_ms: int = limits.STOP_GRACE_MS) -> "Watch":
        """It shall end: SIGTERM with the next step, SIGKILL after `grace_ms`. A second call can shorten the grace."""
        if self.state is State.STOPPED:
            return self._quiet()
        if not self.running:
            return self._go(State.STOPPED, now_ms)
        due_ms = now_ms + grace_ms
        if self.state is State.STOPPING:
            return self._quiet(due_ms=min(self.due_ms, due_ms), again=False, urgent=grace_ms == 0)
        return self._go(State.STOPPING, now_ms, due_ms=due_ms, again=False, written=None, urgent=grace_ms == 0)

    def wrote(self, now_ms: int, written: int) -> "Watch":
        """STOPPING: so many bytes are in its files now. While that changes it saves, and nobody ends it."""
        if self.state is not State.STOPPING or self.urgent or written == self.written:
            return self._quiet()
        if self.written is None:
            return self._quiet(written=written)
        return self._quiet(written=written, due_ms=max(self.due_ms, now_ms + limits.STOP_STALL_MS))

    def restart(self, now_ms: int, grace_ms: int = limits.STOP_GRACE_MS) -> "Watch":
        """It shall end and be started again at once; where it waits to be started, it waits no longer."""
        if self.state is State.BACKOFF:
            return self._quiet(due_ms=now_ms)
        if self.state in (State.STOPPED, State.STOPPING):
            return self._quiet()
        return replace(self.stop(now_ms, grace_ms), again=True, said=Decision(sentence=f"{self.name} stops"))

    def drain(self, now_ms: int, grace_ms: int) -> "Watch":
        """Another process has its place: it lets its clients finish for `grace_ms` and is stopped then."""
        if not self.serving:
            return self.stop(now_ms)
        sentence = f"{self.name} lets its clients finish"
        return self._go(State.DRAINING, now_ms, Decision(sentence=sentence), due_ms=now_ms + grace_ms)

    # --- the decision ---------------------------------------------------------------------------------------------

    def step(self, now_ms: int) -> "Watch":
        """The clock: what to do now."""
        silent_ms = self.silent_ms(now_ms)
        if self.state is State.BACKOFF and now_ms >= self.due_ms:
            return replace(self, said=Decision(Action.SPAWN))
        if self.state is State.STARTING and now_ms - self.since_ms >= limits.CHILD_START_MS:
            return self._kill(now_ms, f"{self.name} did not listen within {limits.CHILD_START_MS // 1000} s")
        if self.state is State.UP and silent_ms >= limits.CHILD_SUSPECT_MS:
            sentence = f"{self.name} has not answered for {silent_ms / 1000:.1f} s; it keeps its slots"
            return self._go(State.SUSPECT, now_ms, Decision(sentence=sentence, warn=True))
        if self.state in (State.SUSPECT, State.LOADING) and silent_ms >= limits.CHILD_HUNG_MS:
            return self._kill(now_ms, f"{self.name} has not answered for {silent_ms // 1000} s")
        if self.state is State.DRAINING and now_ms >= self.due_ms:
            sentence = f"{self.name} still had clients after its time; they are disconnected"
            return self._go(State.STOPPING, now_ms, Decision(Action.TERMINATE, sentence), told_to_stop=True,
                            due_ms=now_ms + limits.STOP_GRACE_MS)
        if self.state is State.STOPPING:
            return self._step_stopping(now_ms)
        return self._quiet()

    def _step_stopping(self, now_ms: int) -> "Watch":
        if now_ms >= self.due_ms and not self.killed:
            sentence = f"{self.name} did not stop in time; it is killed"
            return replace(self, killed=True, said=Decision(Action.KILL, sentence, warn=True))
        if not self.told_to_stop and not self.killed:
            return replace(self, told_to_stop=True, said=Decision(Action.TERMINATE))
        return self._quiet()

    def _kill(self, now_ms: int, reason: str) -> "Watch":
        said = Decision(Action.KILL, f"{reason}; it is killed and started again", warn=True)
        return self._go(State.DOWN, now_ms, said, killed=True)

    def _died(self, now_ms: int, reason: str, was_up: bool) -> "Watch":
        pause_ms = min(max(self.pause_ms * 2, limits.RESTART_BACKOFF_MIN_MS), limits.RESTART_BACKOFF_MAX_MS)
        deaths = self.deaths + 1
        loop = f", {deaths} times in a row: a crash loop" if deaths >= limits.CRASH_LOOP_DEATHS else ""
        said = Decision(sentence=f"{reason}{loop}; it is started again in {pause_ms} ms", warn=True)
        return self._go(State.BACKOFF, now_ms, said, pause_ms=pause_ms, due_ms=now_ms + pause_ms, deaths=deaths,
                        restarts=self.restarts + 1, failures=self.failures + (not was_up), up_since_ms=None)

    def _quiet(self, **changes: Any) -> "Watch":
        return replace(self, said=NOTHING, **changes)

    def _go(self, state: State, now_ms: int, said: Decision = NOTHING, **changes: Any) -> "Watch":
        assert state in TRANSITIONS[self.state], (self.state, state)
        return replace(self, state=state, since_ms=now_ms, said=said, **changes)


def how_it_ended(returncode: int) -> str:
    """"with exit code 1", "by signal SIGKILL"."""
    if returncode >= 0:
        return f"with exit code {returncode}"
    try:
        return f"by signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"by signal {-returncode}"
