"""SHARDD READ: a key as another engine can make it again."""
import time

import pytest

from harness.resp import Error
from shardd.net.client import ClientFlag
from unit.inproc import Caller, Engine


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def proxy(engine):
    caller = Caller(engine)
    caller.session.flags |= ClientFlag.INTERNAL
    return caller


def test_a_key_is_read_as_a_whole(proxy):
    proxy("SET", "k", "v")
    assert proxy("SHARDD", "READ", "k") == [b"string", b"v", -1]
    proxy("SET", "k", "12", "PXAT", "1900000000000")
    assert proxy("SHARDD", "READ", "k") == [b"string", b"12", 1_900_000_000_000]
    proxy("SELECT", "3")
    assert proxy("SHARDD", "READ", "k") is None
    proxy("SET", "k", b"x" * 100_000)
    assert proxy("SHARDD", "READ", "k") == [b"string", b"x" * 100_000, -1]
    proxy("SET", "k", "1")
    proxy("APPEND", "k", "2")
    assert proxy("SHARDD", "READ", "k") == [b"raw", b"12", -1]
    proxy("INCRBYFLOAT", "k", "1")
    assert proxy("SHARDD", "READ", "k") == [b"embstr", b"13", -1]


def test_a_key_that_is_due_is_none(proxy):
    proxy("SET", "k", "v", "PX", "1")
    time.sleep(0.01)
    assert proxy("SHARDD", "READ", "k") is None


def test_clients_do_not_have_it(engine):
    assert Caller(engine)("SHARDD", "READ", "k") == Error(
        "ERR unknown command 'SHARDD', with args beginning with: 'READ' 'k' ")
