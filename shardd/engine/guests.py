"""Guests: values of other engines that a command of this one works with, or that come to stay.

A proxy makes one command of keys on several engines so: it reads the values that are elsewhere, and has the engine of
the destination (or, where nothing is written, of most keys) run the very command, with those values in its database for
as long as the command runs. Nobody else runs meanwhile, so nobody sees them.

    SHARDD READ key [cursor count]        [kind, length, next cursor, count, expiry in Unix ms or -1, piece];
                                          nil: no key
    SHARDD LEND key kind piece            a piece of a guest, kept for the next COMPUTE, STORE or KEEP of the connection
    SHARDD COMPUTE n (key kind piece){n} command ...      run a command that reads, with these guests and those lent
    SHARDD FETCH key [cursor count]       READ of a guest, as COMPUTE may have left it
    SHARDD STORE n (key kind piece){n} command ...        likewise, one that writes keys of ours
    SHARDD KEEP guest key expiry event    the guest takes the key's place, whatever was there
    SHARDD DROP key event                 DEL under another event's name: the key has moved

                        engine 1                      engine 0
    SUNIONSTORE d s t   READ s -> piece --proxy-->    STORE 1 s set <piece> SUNIONSTORE d s t
                                                      [s enters] SUNIONSTORE d s t [s leaves]

The journal is told the outcome, since its readers have no guests: what each written key is now, as one transaction.

Owns: the guests of each connection, until it releases its hold or is lost. Does not own what kinds of values
there are, and what their pieces are made of (engine.pieces).

Invariants: a guest's key is in a slot that is not ours, so it can hide no key of ours; it has no expiry. Outside of
COMPUTE, STORE and LEND no guest is in a database.
"""
import cython
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.libc.string import memset
from cython.cimports.shardd.base.native import bytep
from cython.cimports.shardd.commands.args import arg_bytes, arg_int64
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.hash_forms import hash_expire
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.engine.dispatch import Dispatcher
from cython.cimports.shardd.engine.pieces import (
    KINDS, MAKERS, piece_kind, read_piece, reply_piece, run_within, split_expiries)
from cython.cimports.shardd.engine.words import Words
from cython.cimports.shardd.keyspace.database import Key, key_init
from cython.cimports.shardd.keyspace.entry import (
    ENC_ORDERED, ENC_TABLE, TYPE_STRING, View, entry_body, entry_encoding, entry_expires, entry_expiry, entry_free,
    entry_free_shell, entry_rebuilt, entry_type)
from cython.cimports.shardd.keyspace.events import NOTIFY_GENERIC, NOTIFY_LIST, NOTIFY_SET, NOTIFY_ZSET
from cython.cimports.shardd.net.client import ClientFlag
from cython.cimports.shardd.structures.keyhash import hash_key
from cython.cimports.shardd.structures.slots import key_slot
from cython.cimports.shardd.structures.table import Table, table_prefetch_bucket
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.commands import table
from shardd.commands.table import Row

arg_p = cython.typedef(cython.pointer(Arg))
const_arg_p = cython.typedef(cython.pointer(cython.const[Arg]))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))

_FIRST = cython.declare(dict, {b"set": 2, b"hash": 2, b"zset": 3})      # the first element's place in what makes it
_EVENTS = cython.declare(dict, {b"g": NOTIFY_GENERIC, b"l": NOTIFY_LIST, b"s": NOTIFY_SET, b"z": NOTIFY_ZSET})


# ---- guests

@cython.cfunc
@cython.exceptval(-1, check=False)
def _run_silently(ctx: Context, w: Words) -> cython.int:
    """Run a command about a guest: no event, no effect, and no change as far as the keyspace counts them. Its reply is
    dropped unless it is an error."""
    start: cython.Py_ssize_t = ctx.reply.len
    mask: cython.uint = ctx.keyspace.notify_mask
    active: cython.bint = ctx.journal.active
    dirty: uint64_t = ctx.keyspace.dirty
    ctx.keyspace.notify_mask = 0
    ctx.journal.active = False
    try:
        run_within(ctx, w.argv, w.argc)
    finally:
        ctx.keyspace.notify_mask = mask
        ctx.journal.active = active
        ctx.keyspace.dirty = dirty
    return 0 if ctx.failed else ctx.reply.truncate(start)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _ask_ahead(ctx: Context, k: cython.pointer(Key), w: Words, first: cython.int, step: cython.int) -> cython.int:
    """Ask for the memory that will be looked at for each element of a piece: its bucket, where the guest is a table."""
    i: cython.int
    t: cython.pointer(Table)
    e: bytep = ctx.db.find(k)
    if e == cython.NULL or (entry_encoding(e) != ENC_TABLE and entry_encoding(e) != ENC_ORDERED):
        return 0
    t = cython.cast(cython.pointer(Table), entry_body(e))       # with which either begins
    for i in range(first, w.argc, step):
        table_prefetch_bucket(t, hash_key(w.argv[i].p, w.argv[i].n))
    return 0


@cython.final
@cython.cclass
class Guests:
    """Values by key."""

    def __cinit__(self):
        self.keys = []
        self.texts = {}

    def __dealloc__(self):
        i: cython.int
        for i in range(self.cap):
            if self.entries[i] != cython.NULL:
                entry_free(self.entries[i])
        free(self.entries)

    @cython.cfunc
    @cython.exceptval(-2, check=False)
    def place_of(self, key: bytes) -> cython.int:
        return self.keys.index(key) if key in self.keys else -1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put(self, key: bytes) -> cython.int:
        """Make room for a key that is not here yet, as one that is absent; its place."""
        cap: cython.int = 2 * self.cap + 8
        grown: cython.p_void
        if len(self.keys) == self.cap:
            grown = realloc(self.entries, cap * cython.sizeof(bytep))
            if grown == cython.NULL:
                raise MemoryError
            self.entries = cython.cast(cython.pointer(bytep), grown)
            memset(self.entries + self.cap, 0, (cap - self.cap) * cython.sizeof(bytep))
            self.cap = cap
        self.keys.append(key)
        return cython.cast(cython.int, len(self.keys)) - 1

    @cython.cfunc
    def take(self, key: bytes) -> bytep:
        """A guest's value, the caller's from now on; NULL where there is none."""
        e: bytep
        place: cython.int = self.place_of(key)
        if place < 0:
            return cython.NULL
        e = self.entries[place]
        self.entries[place] = cython.NULL
        return e

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def build(self, ctx: Context, key: const_arg_p, kind: const_arg_p, piece: const_arg_p) -> cython.int:
        """Add a piece to a guest, which begins with the first one. MemoryError, CommandError."""
        w: Words = Words()
        again: Words = None
        expiries: Words = None
        name: bytes = arg_bytes(key)
        what: bytes = arg_bytes(kind)
        place: cython.int
        k: Key
        e: bytep
        dispatcher: Dispatcher = ctx.server.dispatcher
        if dispatcher.cluster and dispatcher.owned[key_slot(key.p, key.n)]:
            raise CommandError(errors.GUEST_AT_HOME)
        place = self.place_of(name)
        if place < 0:
            place = self.put(name)
        if what == b"none":
            e = self.take(name)
            if e != cython.NULL:
                entry_free(e)
            return 0
        if what in MAKERS:
            w.add_bytes(MAKERS[what])
            w.add(key.p, key.n)
            w.add_piece(piece, what == b"zset")
            if what == b"hash":
                expiries = split_expiries(w, 2)
        else:
            w.add_bytes(b"SET" if self.entries[place] == cython.NULL else b"APPEND")
            w.add(key.p, key.n)
            w.add(piece.p, piece.n)
        if what == b"raw" or what == b"embstr":     # what was changed in place stays raw; INCRBYFLOAT leaves a text
            again = Words()
            again.add_bytes(b"SETRANGE" if what == b"raw" else b"INCRBYFLOAT")
            again.add(key.p, key.n)
            again.add_bytes(b"0")
            if what == b"raw":
                again.add(piece.p, 1 if piece.n else 0)
        key_init(cython.address(k), key.p, key.n)
        if ctx.db.find(cython.address(k)) != cython.NULL:
            raise CommandError(errors.GUEST_AT_HOME)
        self.go_in(ctx, place)
        if what in _FIRST:
            _ask_ahead(ctx, cython.address(k), w, _FIRST[what], 1 if what == b"set" else 2)
        try:
            _run_silently(ctx, w)
            if again is not None and not ctx.failed:
                _run_silently(ctx, again)
            if expiries is not None and not ctx.failed:
                self.expire_fields(ctx, cython.address(k), expiries)
        finally:
            self.entries[place] = ctx.db.take(cython.address(k))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def expire_fields(self, ctx: Context, k: cython.pointer(Key), w: Words) -> cython.int:
        """Give fields of a guest that is in the database their expiry."""
        i: cython.int
        expiry: int64_t
        e: bytep = ctx.db.find(k)
        key: Key = ctx.key
        ctx.key = k[0]              # whose table is told
        try:
            for i in range(0, w.argc, 2):
                if arg_int64(w.argv + i + 1, cython.address(expiry)):
                    hash_expire(ctx, e, w.argv + i, expiry)
        finally:
            ctx.key = key
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def go_in(self, ctx: Context, place: cython.int) -> cython.int:
        """Put a value into the database, unless it is absent. MemoryError: it is lost."""
        k: Key
        key: bytes = self.keys[place]
        e: bytep = self.entries[place]
        mask: cython.uint = ctx.keyspace.notify_mask
        if e == cython.NULL:
            return 0
        self.entries[place] = cython.NULL
        key_init(cython.address(k), cython.cast(const_bytes, cython.cast(cython.p_char, key)), len(key))
        ctx.keyspace.notify_mask = 0
        try:
            ctx.db.add(cython.address(k), e)
        finally:
            ctx.keyspace.notify_mask = mask
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def enter(self, ctx: Context) -> cython.int:
        """Put all into the database; MemoryError, and none is there then."""
        i: cython.int = 0
        try:
            while i < len(self.keys):
                self.go_in(ctx, i)
                i += 1
        except MemoryError:
            self.leave(ctx, i)
            raise
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def leave(self, ctx: Context, count: cython.int) -> cython.int:
        """Take the first `count` out of the database again."""
        k: Key
        key: bytes
        i: cython.int
        for i in range(count):
            key = self.keys[i]
            key_init(cython.address(k), cython.cast(const_bytes, cython.cast(cython.p_char, key)), len(key))
            self.entries[i] = ctx.db.take(cython.address(k))
        return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def only_internal(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """CommandError for whoever is no proxy."""
    i: cython.int
    if not ctx.client.flags & ClientFlag.INTERNAL:
        raise CommandError(errors.unknown_command(arg_bytes(argv), [arg_bytes(argv + i) for i in range(1, argc)]))
    return 0


@cython.cfunc
def guests_of(ctx: Context) -> Guests:
    """The guests of this connection, which holds the engine. CommandError where it does not."""
    dispatcher: Dispatcher = ctx.server.dispatcher
    if dispatcher.holder is not ctx.client:
        raise CommandError(errors.HOLD_OVER)
    return dispatcher.hold.guests.setdefault(ctx.client, Guests())


@cython.cfunc
@cython.exceptval(-1, check=False)
def read_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SHARDD READ key [cursor count]"""
    only_internal(ctx, argv, argc)
    return read_piece(ctx, cython.address(ctx.key), argv, argc)


@cython.cfunc
@cython.exceptval(-1, check=False)
def lend_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SHARDD LEND key kind piece"""
    only_internal(ctx, argv, argc)
    guests_of(ctx).build(ctx, argv + 2, argv + 3, argv + 4)
    return 0 if ctx.failed else ctx.reply.ok()


@cython.cfunc
@cython.exceptval(-1, check=False)
def fetch_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SHARDD FETCH key [cursor count]: READ of a guest, which a command may have made."""
    k: Key
    guests: Guests
    place: cython.int
    only_internal(ctx, argv, argc)
    guests = guests_of(ctx)
    place = guests.place_of(arg_bytes(argv + 2))
    if place < 0:
        return ctx.reply.null()
    key_init(cython.address(k), argv[2].p, argv[2].n)
    guests.go_in(ctx, place)
    try:
        read_piece(ctx, cython.address(k), argv, argc)
    finally:
        guests.entries[place] = ctx.db.take(cython.address(k))
    return 0


# ---- commands with guests

@cython.cfunc
@cython.exceptval(-1, check=False)
def _is_ours(ctx: Context, argv: arg_p, argc: cython.int, one: Guests, other: Guests, written: list) -> cython.bint:
    """Whether every key of a command is a guest's or in one of our slots; the client is told where not. The keys that
    it writes are appended to `written`."""
    i: cython.int
    dispatcher: Dispatcher = ctx.server.dispatcher
    words: list = [arg_bytes(argv + i) for i in range(argc)]
    row: object = table.lookup(words)
    if row is None:
        ctx.error(errors.unknown_command(words[0], words[1:]))
        return False
    try:
        keys = table.keys_of(row, words)
    except CommandError:        # the command itself says what is wrong
        keys = []
    for place, flags in keys:
        i = place
        if "update" in flags:
            written.append(words[i])
        if words[i] in one.keys or words[i] in other.keys or not dispatcher.cluster:
            continue
        if not dispatcher.owned[key_slot(argv[i].p, argv[i].n)]:
            ctx.error(dispatcher.announce(ctx.client, key_slot(argv[i].p, argv[i].n)))
            return False
    return True


@cython.cfunc
@cython.exceptval(-1, check=False)
def _run_with_guests(ctx: Context, argv: arg_p, argc: cython.int, written: list, quiet: cython.bint) -> cython.int:
    """SHARDD COMPUTE and STORE: n (key kind piece){n} command ..."""
    n: int64_t
    i: cython.int
    first: cython.int
    mask: cython.uint = ctx.keyspace.notify_mask
    one: Guests = Guests()
    dispatcher: Dispatcher = ctx.server.dispatcher
    other: Guests = dispatcher.hold.guests.get(ctx.client) or Guests()
    only_internal(ctx, argv, argc)
    if not arg_int64(argv + 2, cython.address(n)) or n < 0 or n > (argc - 4) // 3:
        return ctx.error(errors.SYNTAX)
    first = 3 + 3 * cython.cast(cython.int, n)
    for i in range(3, first, 3):
        one.build(ctx, argv + i, argv + i + 1, argv + i + 2)
        if ctx.failed:
            return 0
    if not _is_ours(ctx, argv + first, argc - first, one, other, written):
        return 0
    one.enter(ctx)
    try:
        other.enter(ctx)
        try:
            if quiet and written:
                ctx.keyspace.notify_mask = 0
            ctx.texts = other.texts
            run_within(ctx, argv + first, argc - first)
        finally:
            ctx.texts = None
            ctx.keyspace.notify_mask = mask
            other.leave(ctx, len(other.keys))
    finally:
        one.leave(ctx, len(one.keys))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def compute_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SHARDD COMPUTE n (key kind piece){n} command ...

    What it writes, if it does, is a guest, which nobody here may hear of."""
    dirty: uint64_t = ctx.keyspace.dirty
    try:
        return _run_with_guests(ctx, argv, argc, [], True)
    finally:
        ctx.keyspace.dirty = dirty


@cython.cfunc
@cython.exceptval(-1, check=False)
def store_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SHARDD STORE n (key kind piece){n} command ..."""
    key: bytes
    written: list = []
    dirty: uint64_t = ctx.keyspace.dirty
    ctx.rewritten = True
    _run_with_guests(ctx, argv, argc, written, False)
    if ctx.keyspace.dirty != dirty and ctx.journal.active:
        for key in written:
            _tell(ctx, key)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _tell(ctx: Context, key: bytes) -> cython.int:
    """The effect of all that was done to a key: what it is now."""
    w: Words = Words()
    k: Key
    view: View
    piece: Arg
    at: int64_t = 0
    count: int64_t = 0
    start: cython.Py_ssize_t = ctx.reply.len
    i: cython.int
    e: bytep
    elements: bytes
    w.add_bytes(key)
    key_init(cython.address(k), w.argv[0].p, w.argv[0].n)
    e = ctx.db.find(cython.address(k))
    if e == cython.NULL:
        return ctx.effect((b"DEL", key))
    expiry: tuple = (b"%d" % entry_expiry(e),) if entry_expires(e) else ()
    if entry_type(e) == TYPE_STRING:
        piece_kind(e, cython.address(view))
        return ctx.effect((b"SET", key, view.p[:view.n], *((b"PXAT", *expiry) if expiry else ())))
    kind: bytes = KINDS[entry_type(e)]
    ctx.effect((b"DEL", key))
    while True:
        at = reply_piece(ctx, w.argv, e, at, cython.address(count))
        elements = (ctx.reply.buf + start)[:ctx.reply.len - start]
        ctx.reply.truncate(start)
        piece.p = cython.cast(bytep, cython.cast(cython.p_char, elements))
        piece.n = len(elements)
        words: Words = Words()
        words.add_bytes(MAKERS[kind])
        words.add_bytes(key)
        words.add_piece(cython.address(piece), kind == b"zset")
        expiries: Words = split_expiries(words, 2) if kind == b"hash" else Words()
        if words.argc > 2:          # a step of a scan may find nothing
            ctx.journal.append(ctx.db.id, words.argv, words.argc)
        for i in range(0, expiries.argc, 2):
            ctx.effect((b"HPEXPIREAT", key, arg_bytes(expiries.argv + i + 1), b"FIELDS", b"1",
                        arg_bytes(expiries.argv + i)))
        if at == 0:
            break
    if expiry:
        ctx.effect((b"PEXPIREAT", key, *expiry))
    return 0


# ---- values that stay

@cython.cfunc
@cython.exceptval(-1, check=False)
def _told(ctx: Context, k: cython.pointer(Key), event: bytes) -> cython.int:
    """A keyspace event: its class's letter, and its name."""
    return ctx.notify(_EVENTS[event[:1]], event[1:], k)


@cython.cfunc
@cython.exceptval(-1, check=False)
def keep_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SHARDD KEEP guest key expiry event"""
    k: Key
    expiry: int64_t
    e: bytep
    fresh: bytep
    guests: Guests
    only_internal(ctx, argv, argc)
    ctx.rewritten = True
    guests = guests_of(ctx)
    if not arg_int64(argv + 4, cython.address(expiry)):
        return ctx.error(errors.NOT_INTEGER)
    key_init(cython.address(k), argv[3].p, argv[3].n)
    e = guests.take(arg_bytes(argv + 2))
    if e == cython.NULL:
        return ctx.error(errors.NO_SUCH_KEY)
    fresh = entry_rebuilt(e, k.p, k.n, expiry)
    if fresh == cython.NULL:
        entry_free(e)
        raise MemoryError
    entry_free_shell(e)
    if ctx.db.find(cython.address(k)) != cython.NULL:
        ctx.db.replace(cython.address(k), fresh)
    else:
        ctx.db.add(cython.address(k), fresh)
    ctx.db.touched(cython.address(k))
    _told(ctx, cython.address(k), arg_bytes(argv + 5))
    if ctx.journal.active:
        _tell(ctx, arg_bytes(argv + 3))
    return ctx.reply.ok()


@cython.cfunc
@cython.exceptval(-1, check=False)
def drop_command(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SHARDD DROP key event"""
    k: Key
    only_internal(ctx, argv, argc)
    key_init(cython.address(k), argv[2].p, argv[2].n)
    if not ctx.db.remove(cython.address(k)):
        return ctx.reply.integer(0)
    _told(ctx, cython.address(k), arg_bytes(argv + 3))
    ctx.effect((b"DEL", arg_bytes(argv + 2)))
    return ctx.reply.integer(1)


@cython.cfunc
def guest_row(name: str, arity: cython.int, flags: str, key_specs: str) -> object:
    """The row of a SHARDD command."""
    return Row("\t".join((f"shardd|{name}", "server", "0.1.0", str(arity), f"admin,skip_slowlog,{flags}", "-", "-",
                          key_specs, "-", "-", "-")))


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_guests(registry: Registry) -> cython.int:
    """Register the commands; behind their container."""
    third: str = "index:2|range:0,1,0|rw+access"
    registry.add(guest_row("read", -3, "readonly", third), read_command, None)
    registry.add(guest_row("lend", 5, "readonly", "-"), lend_command, None)
    registry.add(guest_row("compute", -4, "readonly", "-"), compute_command, None)
    registry.add(guest_row("store", -4, "write,denyoom", "-"), store_command, None)
    registry.add(guest_row("keep", 6, "write,denyoom", "index:3|range:0,1,0|ow+update"), keep_command, None)
    registry.add(guest_row("fetch", -3, "readonly", "-"), fetch_command, None)
    return registry.add(guest_row("drop", 4, "write", third), drop_command, None)
