"""What the crew does with the messages of its workers, and with an interrupt among them."""
import multiprocessing
import os
import signal
import struct
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler

import pytest

from bench.load import crew, options, workload
from bench.load.crew import Outcome
from bench.load.driver import DIGITS, HIGHEST_NS, LIVE_DIGITS
from bench.load.worker import Live, Report
from shardd.structures.histogram import Histogram

SETTINGS = options.settings(options.parser().parse_args([]))
LOAD = workload.reads_and_writes(0.5)


def report() -> Report:
    nothing = Histogram(DIGITS, HIGHEST_NS).dump()
    return Report(seconds=1.0, done=7, latencies=[nothing, nothing], lateness=nothing)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.05)        # the main thread has met it


def conducted(work: Callable[[Connection], None]) -> Outcome:
    """What comes of one worker, which is a thread."""
    ours, theirs = multiprocessing.Pipe()
    thread = threading.Thread(target=work, args=(theirs,))
    thread.start()
    try:
        return crew._conduct(SETTINGS, LOAD, [ours], None)
    finally:
        ours.close()
        thread.join()
        theirs.close()


def test_an_interrupt_amid_a_message_does_not_tear_it():
    told = []

    def work(pipe: Connection) -> None:
        pipe.send(("ready", None))
        told.append(pipe.recv()[0])
        message = bytes(ForkingPickler.dumps(("live", Live(1, 0, Histogram(LIVE_DIGITS, HIGHEST_NS).dump()))))
        os.write(pipe.fileno(), struct.pack("!i", len(message)))
        time.sleep(0.05)    # its length has been read
        interrupt()
        os.write(pipe.fileno(), message)
        told.append(pipe.recv()[0])
        pipe.send(("done", report()))

    found = conducted(work)
    assert told == ["go", "stop"] and found.interrupted and found.done == 7


def test_without_an_interrupt_nobody_is_stopped():
    def work(pipe: Connection) -> None:
        pipe.send(("ready", None))
        assert pipe.recv()[0] == "go"
        pipe.send(("done", report()))

    before = signal.getsignal(signal.SIGINT)
    assert not conducted(work).interrupted and signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_before_the_start_is_the_end():
    with pytest.raises(KeyboardInterrupt):
        conducted(lambda pipe: interrupt())


def test_a_second_interrupt_waits_for_nobody():
    def work(pipe: Connection) -> None:
        pipe.send(("ready", None))
        assert pipe.recv()[0] == "go"
        interrupt()
        assert pipe.recv()[0] == "stop"
        interrupt()

    with pytest.raises(KeyboardInterrupt):
        conducted(work)


def test_who_is_deaf_to_interrupts_stays_so():
    def work(pipe: Connection) -> None:
        pipe.send(("ready", None))
        assert pipe.recv()[0] == "go"
        interrupt()
        pipe.send(("done", report()))

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert not conducted(work).interrupted
    finally:
        signal.signal(signal.SIGINT, before)
