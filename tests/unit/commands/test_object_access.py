"""Who counts as an access of a key: OBJECT IDLETIME and OBJECT FREQ tell."""
import time

from harness.resp import Error
from shardd.net.client import ClientFlag
from unit.inproc import Caller, Engine


def test_idle_time():
    """Looking at a key is no access, reading it is; TOUCH is one even from a client that does not want to touch."""
    engine = Engine()
    for name in ("looked", "got", "touched", "renamed", "untouched"):
        engine("SET", f"{{t}}{name}", "v")
    shy = Caller(engine)
    shy.session.flags |= ClientFlag.NO_TOUCH
    time.sleep(3.1)
    for look in ("EXISTS", "TYPE", "TTL", "PTTL", "EXPIRETIME", "OBJECT ENCODING", "OBJECT REFCOUNT"):
        engine(*look.split(), "{t}looked")
    engine("SCAN 0 TYPE string")
    engine("KEYS *")
    engine("RANDOMKEY")
    engine("GET {t}got")
    engine("RENAME {t}renamed {t}renamed2")
    shy("GET {t}untouched")
    shy("TOUCH {t}touched")
    assert shy("GET {t}untouched") == b"v"
    idle = {name: engine("OBJECT", "IDLETIME", f"{{t}}{name}")
            for name in ("looked", "got", "touched", "renamed2", "untouched")}
    assert idle["looked"] >= 3 and idle["untouched"] >= 3
    assert idle["got"] < 3 and idle["touched"] < 3 and idle["renamed2"] < 3


def test_frequency():
    engine = Engine("--maxmemory-policy", "allkeys-lfu")
    engine("SET {t}k v")
    assert engine("OBJECT FREQ {t}k") == 5
    for _ in range(300):
        engine("GET {t}k")
    often = engine("OBJECT FREQ {t}k")
    assert often > 5
    engine("EXISTS {t}k")
    engine("COPY {t}k {t}copy")
    engine("RENAME {t}k {t}moved")
    assert engine("OBJECT FREQ {t}copy") == 5, "a copy begins as a new key"
    assert engine("OBJECT FREQ {t}moved") >= often
    assert engine("OBJECT FREQ nokey") is None
    assert isinstance(engine("OBJECT IDLETIME {t}copy"), Error)
