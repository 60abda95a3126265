"""The keyspace against a dict: random commands, expiries, sweeps and exchanges; counts and bounds hold after each."""
import gc
import random
import time

from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shardd.structures import alloc
from unit.inproc import Engine

FAR = 4_000_000_000_000
names = st.one_of(st.integers(0, 12).map(lambda n: b"{t}%d" % n), st.integers(0, 40).map(lambda n: b"k%d" % n),
                  st.just(b""), st.just(b"K" * 300))
values = st.one_of(st.integers(-3, 10**12).map(lambda n: b"%d" % n), st.binary(max_size=60),
                   st.sampled_from([b"v" * 3000, b"v" * 65_536]))
dbs = st.integers(0, 2)


class Keyspace(RuleBasedStateMachine):
    """`model`: per database, key -> [value, expiry in unix ms or -1]. Due keys stay in it until somebody asks for them.
    """

    def __init__(self) -> None:
        super().__init__()
        gc.collect()    # the engine of the last example, and its descriptors
        self.engine = Engine("--databases", "3")
        self.model: list[dict] = [{}, {}, {}]
        self.keyspace = self.engine.server.keyspace
        self.start = int(time.time() * 1000)
        self.rng = random.Random(5)

    def at(self, db: int) -> dict:
        self.engine("SELECT", db)
        live = self.model[db] = {key: held for key, held in self.model[db].items()
                                 if held[1] == -1 or held[1] > self.start - 1}
        return live

    @rule(db=dbs, key=names, value=values, how=st.sampled_from(["", "", "PAST", "FAR", "KEEPTTL"]))
    def set(self, db, key, value, how):
        live = self.at(db)
        words = {"PAST": ["PXAT", 1 + self.rng.randrange(1000)], "FAR": ["PXAT", FAR + self.rng.randrange(1000)],
                 "KEEPTTL": ["KEEPTTL"]}.get(how, [])
        self.engine("SET", key, value, *words)
        kept = live[key][1] if key in live and how == "KEEPTTL" else -1
        live[key] = [value, words[1] if len(words) == 2 else kept]

    @rule(db=dbs, key=names, value=values)
    def append(self, db, key, value):
        live = self.at(db)
        held = live.setdefault(key, [b"", -1])
        held[0] += value
        assert self.engine("APPEND", key, value) == len(held[0])

    @rule(db=dbs, key=names, offset=st.integers(0, 70), value=values.filter(bool))
    def setrange(self, db, key, offset, value):
        live = self.at(db)
        held = live.setdefault(key, [b"", -1])
        old = held[0].ljust(offset, b"\0")
        held[0] = old[:offset] + value + old[offset + len(value):]
        assert self.engine("SETRANGE", key, offset, value) == len(held[0])

    @rule(db=dbs, key=names)
    def incr(self, db, key):
        live = self.at(db)
        held = live.setdefault(key, [b"0", -1])
        reply = self.engine("INCR", key)
        if isinstance(reply, int):
            held[0] = b"%d" % (int(held[0]) + 1)
            assert held[0] == b"%d" % reply
        elif held[0] == b"0":
            raise AssertionError(reply)

    @rule(db=dbs, keys=st.lists(names, min_size=1, max_size=5, unique=True))
    def delete(self, db, keys):
        live = self.at(db)
        assert self.engine("DEL", *keys) == sum(live.pop(key, None) is not None for key in keys)

    @rule(db=dbs, key=names, when=st.sampled_from([-5, 0, 1, FAR, FAR + 7]))
    def expire(self, db, key, when):
        live = self.at(db)
        assert self.engine("PEXPIREAT", key, when) == (key in live)
        if key in live:
            if when > 1:
                live[key][1] = when
            else:
                del live[key]

    @rule(db=dbs, key=names)
    def persist(self, db, key):
        live = self.at(db)
        assert self.engine("PERSIST", key) == (key in live and live[key][1] != -1)
        if key in live:
            live[key][1] = -1

    @rule(db=dbs, key=names, to=names)
    def rename(self, db, key, to):
        live = self.at(db)
        self.engine("RENAME", key, to)
        if key in live:
            live[to] = live.pop(key)

    @rule(db=dbs, other=dbs, key=names, to=names)
    def copy(self, db, other, key, to):
        source, target = self.at(other), self.at(db)
        target = self.at(db)
        source = self.model[other] if other != db else target
        if other == db and key == to:
            return
        self.engine("SELECT", other)
        assert self.engine("COPY", key, to, "DB", db, "REPLACE") == (key in source)
        if key in source:
            target[to] = list(source[key])

    @rule(db=dbs, other=dbs, key=names)
    def move(self, db, other, key):
        if db == other:
            return
        target, source = self.at(other), self.at(db)
        moved = key in source and key not in target
        assert self.engine("MOVE", key, other) == moved
        if moved:
            target[key] = source.pop(key)

    @rule(one=dbs, other=dbs)
    def swap(self, one, other):
        self.engine("SWAPDB", one, other)
        self.model[one], self.model[other] = self.model[other], self.model[one]

    @rule(db=dbs)
    def flush(self, db):
        self.engine("SELECT", db)
        if self.rng.random() < 0.3:
            self.engine("FLUSHDB")
            self.model[db] = {}

    @rule(budget=st.sampled_from([0, 0, 10_000]))
    def sweep(self, budget):
        self.engine.server.expirer.cycle(budget)

    @rule(budget=st.sampled_from([0, 10_000]))
    def sweep_of_the_future(self, budget):
        """Time goes on to where what was far is due, and back: the clock of a machine may be set."""
        self.keyspace.set_time(FAR + 4)
        self.engine.server.expirer.cycle(budget)
        self.keyspace.set_time(self.start)
        for db in range(3):
            there = set(self.engine.content().get(db, {}))
            self.model[db] = {key: held for key, held in self.model[db].items()
                              if key in there or not FAR <= held[1] < FAR + 4}

    @rule(db=dbs)
    def many(self, db):
        """One slot's table grows and shrinks under whatever else goes on."""
        live = self.at(db)
        for n in range(300):
            self.engine("SET", b"{t}many%d" % n, b"m", *(["PXAT", 5] if n % 3 else []))
        for n in range(0, 300, 3):
            if n % 2:
                live[b"{t}many%d" % n] = [b"m", -1]
            else:
                self.engine("DEL", b"{t}many%d" % n)
                live.pop(b"{t}many%d" % n, None)
        for n in range(300):
            if n % 3:
                live.pop(b"{t}many%d" % n, None)

    @invariant()
    def holds(self):
        self.engine.check()
        found = self.engine.content()
        for db in range(3):
            live = {key: tuple(held) for key, held in self.model[db].items() if held[1] == -1 or held[1] > self.start}
            assert found.get(db, {}) == live, db
            assert self.keyspace.databases[db].used >= len(live)

    def teardown(self):
        self.engine("FLUSHALL")
        assert self.engine.check() <= alloc.used_memory()


Keyspace.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None,
                                      suppress_health_check=list(HealthCheck))
TestKeyspace = Keyspace.TestCase
