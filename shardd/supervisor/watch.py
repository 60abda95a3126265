"""What to do with one child, decided from what is known about it: a state machine without input or output.

Owns: the states, the pauses between restarts and the sentences that explain each decision. Does not own the process
(child.py) or the clock: every function is told the time, in ms of one monotonic clock.

              spawn()            ready()             no answer for CHILD_SUSPECT_MS
    BACKOFF ----------> STARTING --------> UP <===========================> SUSPECT
       ^                   |               |           answered()              |
       | exited()          | not ready     | exited()                          | no answer for CHILD_HUNG_MS
       |                   v in time       v                                   v
       '----------------- DOWN <------ (BACKOFF)                              DOWN

    DOWN: killed, its end not seen yet

    any state -- stop() --> STOPPING -- exited() --> STOPPED          (BACKOFF goes to STOPPED at once)

Invariants: a process exists in STARTING, UP, SUSPECT, DOWN and STOPPING, and only there; step() is idempotent between
events, so it may be called at any time and as often as one likes; each change of state has one sentence.
"""

import signal
from enum import Enum
from typing import NamedTuple

from shardd.base import limits


class State(str, Enum):
    """A child's state; the value is what STATUS and the log show."""

    BACKOFF = "backoff"
    STARTING = "starting"
    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    STOPPING = "stopping"
    STOPPED = "stopped"


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


class Watch:
    """One child. name: how sentences call it, "engine 0".

    Times are ms of the caller's monotonic clock.
    """

    def __init__(self, name: str, now_ms: int) -> None:
        self.name = name
        self.state = State.BACKOFF
        self.since_ms = now_ms
        self.due_ms = now_ms
        """BACKOFF: when to start. STOPPING: when SIGKILL follows."""
        self.answered_ms = now_ms
        self.pause_ms = 0
        """The pause before the latest restart; doubled by the next death unless the child was up long enough."""
        self.restarts = 0
        self.failures = 0
        """Deaths in a row before it was ever ready."""
        self._up_since_ms: int | None = None
        self._told_to_stop = False
        self._killed = False

    @property
    def running(self) -> bool:
        """Whether a process exists."""
        return self.state not in (State.BACKOFF, State.STOPPED)

    @property
    def serving(self) -> bool:
        """Whether clients may be sent to it. A suspect child may only be busy, and its slots have no other owner."""
        return self.state in (State.UP, State.SUSPECT)

    def silent_ms(self, now_ms: int) -> int:
        """How long it has not answered."""
        return now_ms - self.answered_ms

    # --- events ---------------------------------------------------------------------------------------------------

    def spawned(self, now_ms: int) -> None:
        """The process was started."""
        assert self.state is State.BACKOFF, self.state
        self.answered_ms = now_ms
        self._up_since_ms = None
        self._killed = False
        self._go(State.STARTING, now_ms)

    def ready(self, now_ms: int) -> Decision:
        """It says that it listens."""
        if self.state is not State.STARTING:
            return Decision()
        took_ms = now_ms - self.since_ms
        self.failures = 0
        self.answered_ms = self._up_since_ms = now_ms
        self._go(State.UP, now_ms)
        return Decision(sentence=f"{self.name} is up after {took_ms} ms")

    def answered(self, now_ms: int) -> Decision:
        """It answered a PING."""
        silent_ms = self.silent_ms(now_ms)
        self.answered_ms = now_ms
        if self.state is not State.SUSPECT:
            return Decision()
        self._go(State.UP, now_ms)
        return Decision(sentence=f"{self.name} answers again after {silent_ms / 1000:.1f} s")

    def exited(self, now_ms: int, returncode: int) -> Decision:
        """The process ended. returncode: as subprocess gives it, negative for a signal."""
        if self.state is State.STOPPING:
            self._go(State.STOPPED, now_ms)
            return Decision(sentence=f"{self.name} stopped" if returncode == 0
                            else f"{self.name} ended {how_it_ended(returncode)}", warn=returncode != 0)
        if not self.running:
            return Decision()
        was_up = self._up_since_ms is not None
        if was_up and now_ms - self._up_since_ms >= limits.RESTART_STEADY_MS:
            self.pause_ms = 0
        self.failures = 0 if was_up else self.failures + 1
        self.restarts += 1
        return self._pause(now_ms, f"{self.name} ended {how_it_ended(returncode)}"
                           + ("" if was_up else " before it was ready"))

    def spawn_failed(self, now_ms: int, reason: str) -> Decision:
        """The process could not even be started."""
        self.failures += 1
        self.restarts += 1
        return self._pause(now_ms, f"{self.name} cannot be started ({reason})")

    def stop(self, now_ms: int, grace_ms: int = limits.STOP_GRACE_MS) -> None:
        """It shall end: SIGTERM with the next step, SIGKILL after `grace_ms`. A second call can shorten the grace."""
        if self.state is State.STOPPED:
            return
        if not self.running:
            self._go(State.STOPPED, now_ms)
            return
        due_ms = now_ms + grace_ms
        self.due_ms = min(self.due_ms, due_ms) if self.state is State.STOPPING else due_ms
        if self.state is not State.STOPPING:
            self._go(State.STOPPING, now_ms)

    # --- the decision ---------------------------------------------------------------------------------------------

    def step(self, now_ms: int) -> Decision:
        """What to do now."""
        silent_ms = self.silent_ms(now_ms)
        if self.state is State.BACKOFF and now_ms >= self.due_ms:
            return Decision(Action.SPAWN)
        if self.state is State.STARTING and now_ms - self.since_ms >= limits.CHILD_START_MS:
            return self._kill(now_ms, f"{self.name} did not listen within {limits.CHILD_START_MS // 1000} s")
        if self.state is State.UP and silent_ms >= limits.CHILD_SUSPECT_MS:
            self._go(State.SUSPECT, now_ms)
            return Decision(sentence=f"{self.name} has not answered for {silent_ms / 1000:.1f} s; it keeps its slots",
                            warn=True)
        if self.state is State.SUSPECT and silent_ms >= limits.CHILD_HUNG_MS:
            return self._kill(now_ms, f"{self.name} has not answered for {silent_ms // 1000} s")
        if self.state is State.STOPPING:
            return self._step_stopping(now_ms)
        return Decision()

    def _step_stopping(self, now_ms: int) -> Decision:
        if now_ms >= self.due_ms and not self._killed:
            self._killed = True
            return Decision(Action.KILL, f"{self.name} did not stop in time; it is killed", warn=True)
        if not self._told_to_stop and not self._killed:
            self._told_to_stop = True
            return Decision(Action.TERMINATE)
        return Decision()

    def _kill(self, now_ms: int, reason: str) -> Decision:
        self._killed = True
        self._go(State.DOWN, now_ms)
        return Decision(Action.KILL, f"{reason}; it is killed and started again", warn=True)

    def _pause(self, now_ms: int, reason: str) -> Decision:
        self.pause_ms = min(max(self.pause_ms * 2, limits.RESTART_BACKOFF_MIN_MS), limits.RESTART_BACKOFF_MAX_MS)
        self.due_ms = now_ms + self.pause_ms
        self._up_since_ms = None
        self._go(State.BACKOFF, now_ms)
        return Decision(sentence=f"{reason}; it is started again in {self.pause_ms} ms", warn=True)

    def _go(self, state: State, now_ms: int) -> None:
        self.state, self.since_ms = state, now_ms


def how_it_ended(returncode: int) -> str:
    """"with exit code 1", "by signal SIGKILL"."""
    if returncode >= 0:
        return f"with exit code {returncode}"
    try:
        return f"by signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"by signal {-returncode}"
