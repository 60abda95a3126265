"""WATCH: who watches which keys, and whose transaction a change spoils.

Owns: the watched keys of every client, and ClientFlag.DIRTY_CAS. Does not own EXEC, which looks at that flag
(engine.transactions), or the choke point that tells of changes (keyspace.database, `touched`).

    tables[db]:  key -> {client: Watch, client: Watch}          by_client:  client -> [Watch, Watch]

As in Redis: a client whose transaction is spoilt watches nothing any more; the expiry of a watched key is a change, but
one that was due already when it was watched and is only now deleted is none; a key that is due when EXEC runs counts
as changed, whether or not anybody has deleted it.

Invariants: a Watch is in both tables or in neither, and each one is counted by Keyspace.observe. Client and Watch
refer to each other; `drop`, which every session calls at its end, breaks that cycle.
"""
import cython
from cython.cimports.libc.stdint import uint8_t
from cython.cimports.shardd.keyspace.database import Database, Key, KeyObserver, Keyspace, key_init
from cython.cimports.shardd.net.client import Client, ClientFlag

from shardd.base import limits

key_p = cython.typedef(cython.pointer(Key))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

WATCH_BYTES = cython.declare(cython.Py_ssize_t, limits.WATCH_BYTES)


@cython.cfunc
@cython.exceptval(check=False)
def _key_of(k: key_p, key: bytes) -> cython.void:
    key_init(k, cython.cast(const_bytes, cython.cast(cython.p_char, key)), len(key))


@cython.final
@cython.cclass
class Watch:
    """One client watches one key."""


@cython.final
@cython.cclass
class Watches(KeyObserver):
    """All watched keys of one engine."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.keyspace = keyspace
        self.tables = [{} for _ in range(len(keyspace.databases))]
        self.by_client = {}
        keyspace.observers.append(self)

    @property
    def clients(self) -> int:
        """How many clients watch something."""
        return len(self.by_client)

    @property
    def keys(self) -> int:
        """How many keys are watched, each once."""
        return sum([len(table) for table in self.tables])

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def watch(self, client: Client, db: cython.int, k: key_p) -> cython.int:
        """From now on a change of the key spoils the client's transaction. Watching a key twice is watching it once."""
        key: bytes = k.p[:k.n]
        table: dict = self.tables[db]
        watchers: dict = table.get(key)
        home: Database = self.keyspace.databases[db]
        watch: Watch
        if watchers is not None and client in watchers:
            return 0
        self.keyspace.observe(k.slot)
        watch = Watch()
        watch.client = client
        watch.db = db
        watch.slot = k.slot
        watch.key = key
        watch.expired = home.place_of(k) != cython.NULL and not home.is_live(k)
        if watchers is None:
            watchers = table[key] = {}
        watchers[client] = watch
        self.by_client.setdefault(client, []).append(watch)
        client.watch_count += 1
        client.keep(0, WATCH_BYTES + k.n)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def drop(self, client: Client) -> cython.int:
        """The client watches nothing any more."""
        watch: Watch
        watchers: dict
        if client.watch_count == 0:
            return 0
        for watch in self.by_client.pop(client):
            watchers = self.tables[watch.db][watch.key]
            del watchers[client]
            if not watchers:
                del self.tables[watch.db][watch.key]
            self.keyspace.stop_observing(watch.slot)
            client.keep(0, -WATCH_BYTES - len(watch.key))
            watch.client = None
        client.watch_count = 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def has_expired(self, client: Client) -> cython.bint:
        """Whether a key that the client watches is due, and was not when it began to watch it."""
        watch: Watch
        k: Key
        db: Database
        if client.watch_count == 0:
            return False
        for watch in self.by_client[client]:
            if watch.expired:
                continue
            _key_of(cython.address(k), watch.key)
            db = self.keyspace.databases[watch.db]
            if db.place_of(cython.address(k)) != cython.NULL and not db.is_live(cython.address(k)):
                return True
        return False

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def slots_gone(self, owned: cython.pointer(cython.const[cython.uchar])) -> cython.int:
        """Some slots may be another engine's now. owned: 16,384 bytes, 1 where the slot is ours."""
        client: Client
        watch: Watch
        spoilt: list = []
        for client, watches in self.by_client.items():
            for watch in watches:
                if not owned[watch.slot]:
                    spoilt.append(client)
                    break
        for client in spoilt:
            self.spoil(client)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def spoil(self, client: Client) -> cython.int:
        client.flags |= ClientFlag.DIRTY_CAS
        return self.drop(client)

    # --- what the keyspace tells ------------------------------------------------------------------------------------

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def key_touched(self, db: Database, k: key_p) -> cython.int:
        table: dict = self.tables[db.id]
        watch: Watch
        if not table:
            return 0
        watchers: dict = table.get(k.p[:k.n])
        if watchers is None:
            return 0
        for watch in list(watchers.values()):
            if watch.expired:
                # deleted only now: as it was when it was watched
                watch.expired = db.is_live(k)
            else:
                self.spoil(watch.client)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def clearing(self, db: Database) -> cython.int:
        return self.exchange(db, None)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def swapping(self, one: Database, other: Database) -> cython.int:
        self.exchange(one, other)
        return self.exchange(other, one)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def exchange(self, db: Database, to: Database | None) -> cython.int:
        """The content of `db` is about to become that of `to`, or nothing where that is None."""
        watch: Watch
        k: Key
        key: bytes
        spoilt: list = []
        is_there: cython.bint
        will_be: cython.bint
        for key, watchers in cython.cast(dict, self.tables[db.id]).items():
            _key_of(cython.address(k), key)
            is_there = db.place_of(cython.address(k)) != cython.NULL
            will_be = to is not None and to.place_of(cython.address(k)) != cython.NULL
            if not is_there and not will_be:
                continue
            for watch in watchers.values():
                if watch.expired and not (will_be and to.is_live(cython.address(k))):
                    watch.expired = will_be         # due before and gone or due now: no change
                elif not is_there and not to.is_live(cython.address(k)):
                    watch.expired = True            # absent before, due now: no change
                else:
                    spoilt.append(watch.client)
        for client in spoilt:
            self.spoil(client)
        return 0
