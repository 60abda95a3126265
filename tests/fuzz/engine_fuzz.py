"""A hostile crowd on an engine in this process: commands that are valid, absurd or broken, cut anywhere, from several.

    python tests/fuzz/engine_fuzz.py [--commands 300000] [--seed 1] [--variant asan]

Between the bytes memory runs out, time jumps, expiry and freeing take their steps, clients leave and options change.
Whatever comes, the engine lives, each reply is well-formed RESP, every invariant of the keyspace holds and used_memory
is the sum of what is there. On an ASan build an overrun or a stale pointer ends the run.
"""
import argparse
import os
import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 6
CHECK_EVERY = 40        # rounds
ROUND_COMMANDS_MAX = 60
# what would end or stop the process, or leave it: the rest of the list is fair game
SPARED = {"client|pause", "shutdown", "debug", "config|rewrite", "config|set", "shardd", "replicaof", "slaveof"}

KEYS = [b"", b"a", b"b", b"{t}a", b"{t}b", b"{t}c", b"k" * 255, b"k" * 256, b"k" * 5000, b"\x00\r\n", b"*3\r\n$3\r\n"]
NUMBERS = [b"0", b"1", b"-1", b"7", b"15", b"16383", b"-0", b"00", b"+1", b"9223372036854775807",
           b"-9223372036854775808",
           b"9223372036854775808", b"18446744073709551615", b"4294967296", b"2147483648", b"-2147483649", b"1e400",
           b"1.5", b"nan",
           b"inf", b"0x10", b"", b" 1", b"536870912", b"1000000"]
WORDS = [b"EX", b"PX", b"EXAT", b"PXAT", b"KEEPTTL", b"NX", b"XX", b"GT", b"LT", b"GET", b"PERSIST", b"LEN", b"IDX",
         b"MINMATCHLEN",
         b"WITHMATCHLEN", b"DB", b"REPLACE", b"MATCH", b"COUNT", b"TYPE", b"string", b"ASYNC", b"SYNC", b"ON", b"OFF",
         b"SKIP", b"*",
         b"a*", b"[", b"[^a-", b"\\", b"{t}*", b"HELP", b"ID", b"LIST", b"AUTH", b"SETNAME", b"default", b"yes", b"no"]
OPTIONS = [(b"maxmemory", [b"0", b"1", b"100mb"]),
           (b"maxmemory-policy", [b"allkeys-lfu", b"noeviction", b"volatile-lru"]),
           (b"proto-max-bulk-len", [b"1mb", b"512mb", b"1tb"]), (b"slowlog-log-slower-than", [b"0", b"-1", b"10000"]),
           (b"slowlog-max-len", [b"0", b"3", b"128"]), (b"lfu-log-factor", [b"0", b"10"]),
           (b"lfu-decay-time", [b"0", b"1"]),
           (b"client-query-buffer-limit", [b"1mb", b"1gb"]), (b"maxmemory-clients", [b"0", b"0", b"3mb"]),
           (b"notify-keyspace-events", [b"", b"KEA", b"AKEmn"]), (b"lazyfree-lazy-user-del", [b"yes", b"no"]),
           (b"hash-max-listpack-entries", [b"0", b"3", b"512", b"9223372036854775807"]),
           (b"hash-max-listpack-value", [b"0", b"64", b"9223372036854775807"]),
           (b"set-max-intset-entries", [b"0", b"5", b"512"]), (b"set-max-listpack-entries", [b"0", b"5", b"128"]),
           (b"set-max-listpack-value", [b"0", b"64", b"9223372036854775807"]),
           (b"zset-max-listpack-entries", [b"0", b"5", b"128"]), (b"zset-max-listpack-value", [b"0", b"64"]),
           (b"list-max-listpack-size", [b"-5", b"-1", b"1", b"3", b"128", b"2147483647"]),
           (b"list-compress-depth", [b"0", b"1", b"2147483647"])]

# Commands of collections, transactions and waits with arguments that make sense: keys l s z h k (any); m a member or
# field, i an integer, c a count, f a score, b and x bounds of scores and of members, t a time, w a wait. m+: several.
FORMS = """
LPUSH l m+|RPUSH l m+|RPUSHX l m+|LPUSHX l m+|LINSERT l BEFORE m m|LPOS l m RANK i COUNT c MAXLEN c|LTRIM l i i
LRANGE l i i|LREM l i m|LSET l i m|LPOP l c|RPOP l c|LINDEX l i|LMOVE l l LEFT RIGHT|RPOPLPUSH l l
LMPOP 2 l l LEFT COUNT c|BLPOP l l w|BRPOP l w|BLMOVE l l RIGHT LEFT w|BLMPOP w 1 l RIGHT COUNT c|BRPOPLPUSH l l w
SADD s m+|SADD s i i i|SREM s m+|SPOP s c|SRANDMEMBER s i|SMOVE s s m|SINTERSTORE s s s|SUNIONSTORE s s s
SDIFFSTORE s s s|SINTERCARD 2 s s LIMIT c|SMISMEMBER s m+|SSCAN s 0 COUNT c|SINTER s s|SUNION s z|SMEMBERS s
ZADD z f m f m f m|ZADD z GT CH f m|ZADD z NX f m f m|ZADD z INCR f m|ZINCRBY z f m|ZREM z m+|ZRANGE z i i WITHSCORES
ZRANGE z b b BYSCORE LIMIT i i|ZRANGE z x x BYLEX REV|ZRANGESTORE z z i i|ZREVRANGEBYSCORE z b b|ZLEXCOUNT z x x
ZCOUNT z b b|ZREMRANGEBYRANK z i i|ZREMRANGEBYSCORE z b b|ZREMRANGEBYLEX z x x|ZRANK z m WITHSCORE|ZPOPMIN z c
ZPOPMAX z c|ZMPOP 2 z z MIN COUNT c|BZPOPMIN z z w|BZPOPMAX z w|BZMPOP w 1 z MAX COUNT c|ZRANDMEMBER z i WITHSCORES
ZUNIONSTORE z 2 z s WEIGHTS f f AGGREGATE MAX|ZINTERSTORE z 2 z z|ZDIFFSTORE z 2 z z|ZINTERCARD 2 z z LIMIT c
ZUNION 2 z z WEIGHTS f f WITHSCORES|ZSCAN z 0 COUNT c|ZMSCORE z m+|ZDIFF 2 z s
HSET h m m m m m m|HSETNX h m m|HDEL h m+|HINCRBY h m i|HINCRBYFLOAT h m f|HRANDFIELD h i WITHVALUES|HSCAN h 0 COUNT c
HGETALL h|HMGET h m+|HEXPIRE h t FIELDS 1 m|HPEXPIRE h t FIELDS 2 m m|HPEXPIREAT h t GT FIELDS 1 m|HTTL h FIELDS 1 m
HPERSIST h FIELDS 1 m|HGETEX h PX t FIELDS 1 m|HSETEX h FNX PX t FIELDS 1 m m|HSETEX h KEEPTTL FIELDS 2 m m m m
HGETDEL h FIELDS 2 m m|MSETEX 2 k m k m PX t|MSETEX 1 k m NX|SET k m IFEQ m|DELIFEQ k m|SORT l ALPHA LIMIT i i
SORT s BY {t}* GET # GET {t}* STORE l|SORT_RO z DESC ALPHA|SORT h|MULTI|MULTI|EXEC|EXEC|DISCARD|WATCH l s z h|UNWATCH
SUBSCRIBE m|PSUBSCRIBE *|UNSUBSCRIBE|PUNSUBSCRIBE|PUBLISH m m|CLIENT UNBLOCK i ERROR|CLIENT UNBLOCK c|COPY k k REPLACE
RENAME k k|UNLINK k k k|DEL k|OBJECT ENCODING k|MEMORY USAGE k SAMPLES c|PEXPIRE k t|MOVE k 1|SWAPDB 0 1|RANDOMKEY
"""
FORMS = [form.split() for form in FORMS.replace("\n", "|").split("|") if form]
FORM_SHARE = 0.5
COLLECTIONS = {letter: [b"{t}" + letter.encode() + b"%d" % n for n in range(3)] for letter in "lszh"}
MEMBERS = [b"", b"a", b"b", b"c", b"1", b"-7", b"9223372036854775807", b"m" * 63, b"m" * 64, b"m" * 65, b"\xff" * 300]
SCORES = [b"0", b"-0", b"1", b"1.5", b"-1e308", b"1e308", b"inf", b"-inf", b"1e-320", b"nan", b"x"]
BOUNDS = [*SCORES, b"(1", b"(-inf", b"+inf", b"("]
LEX_BOUNDS = [b"-", b"+", b"[a", b"(a", b"[m", b"(", b"x"]
INTEGERS = [b"0", b"1", b"-1", b"3", b"-3", b"200", b"9223372036854775807", b"-9223372036854775808", b"x"]
COUNTS = [b"0", b"1", b"2", b"10", b"1000", b"9223372036854775807", b"-1"]
TIMES = [b"0", b"1", b"50", b"100000", b"4000000000000", b"9223372036854775807", b"-1"]
WAITS = [b"0.001", b"0.001", b"1e300", b"-1", b"nan"]


class Crowd:
    """One engine, its clients and the dice."""

    def __init__(self, seed: int) -> None:
        from shardd.structures import alloc
        from unit.engine.raw import Raw
        from unit.inproc import Engine
        self.rng = random.Random(seed)
        self.make = Raw
        cluster = seed % 4 == 3
        self.engine = Engine("--databases", "3", "--client-output-buffer-limit", "normal", "0", "0", "0",
                             "--cluster-enabled", "yes" if cluster else "no")
        self.engine.server.log.set_level("nothing")
        self.engine.settle()
        self.outside = alloc.used_memory() - self.engine.check()
        if cluster:
            self.own_some_slots()
        self.crashes: list[BaseException] = []
        self.engine.server.reactor.on_error = lambda where, error: self.crashes.append(error)
        self.names = sorted(name for name in self.engine.server.built
                            if name not in SPARED and name.partition("|")[0] not in SPARED)
        self.rows = {row.name: row for row in self.engine.server.registry.rows}
        self.clients = [Raw(self.engine) for _ in range(CONNECTIONS)]
        self.pending = [b""] * CONNECTIONS
        self.counts = {"commands": 0, "replies": 0, "errors": 0, "closed": 0, "oom": 0}

    def own_some_slots(self) -> None:
        """Two engines share the slots, and this is one of them."""
        from shardd.cluster.topology import UP, EngineInfo, Topology, new_id
        infos = [EngineInfo(new_id(), new_id(), n, "127.0.0.1", 7000 + n, "", UP) for n in range(2)]
        self.engine.server.node_id = infos[0].id
        self.engine.server.install_topology(Topology.even(infos))

    # --- what is sent -------------------------------------------------------------------------------------------------

    def argument(self) -> bytes:
        rng = self.rng
        pick = rng.random()
        if pick < 0.4:
            return rng.choice(KEYS)
        if pick < 0.65:
            return rng.choice(NUMBERS)
        if pick < 0.85:
            word = rng.choice(WORDS)
            return word.lower() if rng.random() < 0.5 else word
        if pick < 0.97:
            return rng.randbytes(rng.choice([0, 1, 8, 44, 45, 100, 300]))
        return rng.randbytes(8) * rng.choice([250, 600, 8192, 20_000])

    def form(self) -> list[bytes]:
        """A command of FORMS."""
        words: list[bytes] = []
        choices = {"k": [key for keys in COLLECTIONS.values() for key in keys] + [b"a", b"{t}a"], **COLLECTIONS,
                   "m": MEMBERS, "i": INTEGERS, "c": COUNTS, "f": SCORES, "b": BOUNDS, "x": LEX_BOUNDS, "t": TIMES,
                   "w": WAITS}
        for word in self.rng.choice(FORMS):
            if word == "m+":
                words += [self.member() for _ in range(self.rng.choice([1, 2, 20, 300]))]
            elif word == "m":
                words.append(self.member())
            else:
                words.append(self.rng.choice(choices[word]) if word in choices else word.encode())
        return words

    def member(self) -> bytes:
        rng = self.rng
        pick = rng.random()
        if pick < 0.4:
            return rng.choice(MEMBERS)
        return b"%d" % rng.randrange(1000) if pick < 0.7 else b"member:%d" % rng.randrange(500)

    def command(self) -> list[bytes]:
        rng = self.rng
        if rng.random() < FORM_SHARE:
            return self.form()
        name = rng.choice(self.names)
        row = self.rows[name]
        words = [word.encode() for word in name.split("|")]
        arity = abs(row.arity)
        count = max(0,
                    arity - len(words) + (rng.choice([0, 0, 0, 1, 2, 3,
                                                      8]) if row.arity < 0 else rng.choice([0] * 8 + [-1, 1])))
        arguments = [self.argument() for _ in range(count)]
        if row.first_key and rng.random() < 0.8:
            for at in range(row.first_key - len(words), len(arguments), max(1, row.key_step)):
                if at >= 0 and (row.last_key < 0 or at <= row.last_key - len(words)):
                    arguments[at] = rng.choice(KEYS)
        if name in ("set", "getex") and rng.random() < 0.3:
            arguments = [rng.choice(KEYS), *([self.argument()] if name == "set" else []), b"PXAT",
                         rng.choice([b"1", b"4000000000000"])]
        if name in ("quit", "client|kill", "reset", "client|reply", "auth", "hello") and rng.random() < 0.8:
            return [b"PING"]
        if name in ("setrange",) and len(arguments) == 3 and rng.random() < 0.9:
            arguments[1] = b"%d" % rng.choice([0, 1, 50, 300, 70_000, 3_000_000])
        if rng.random() < 0.02:
            option, values = rng.choice(OPTIONS)
            return [b"CONFIG", b"SET", option, rng.choice(values)]
        if rng.random() < 0.01:
            return [rng.randbytes(rng.randrange(12)), *arguments]
        return [word.upper() if rng.random() < 0.5 else word for word in words] + arguments

    def broken(self) -> bytes:
        rng = self.rng
        return rng.choice([
            b"*1\r\n$4\r\nPING\r\n" * 3, b"*-1\r\n", b"*0\r\n", b"\r\n", b"*2147483648\r\n", b"*1\r\n$-1\r\n",
            b"*1\r\n!4\r\n", b"*a\r\n",
            b"*2\r\n$3\r\nGET\r\n$99999999999\r\n", b"PING\r\n", b"GET \"a\\x00\" 'b'\r\n", b"SET a \"unbalanced\r\n",
            rng.randbytes(20),
            b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1048576\r\n" + b"x" * 100, b"A" * 70_000, b"*" + b"1" * 70_000])

    # --- a round ------------------------------------------------------------------------------------------------------

    def round(self) -> None:
        from shardd.structures import alloc
        rng = self.rng
        at = rng.randrange(CONNECTIONS)
        commands = [self.command() for _ in range(rng.choice([1, 3, 10, ROUND_COMMANDS_MAX]))]
        data = b"".join(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(w),
                                                                               w) for w in words) for words in commands)
        if rng.random() < 0.05:
            data += self.broken()
        elif rng.random() < 0.05 and data:
            data = data[:rng.randrange(len(data))] + bytes([rng.randrange(256)]) + data[rng.randrange(len(data)):]
        self.counts["commands"] += len(commands)
        if rng.random() < 0.35:
            alloc.set_limit(alloc.used_memory() + rng.choice([1, 64, 500, 5000, 70_000]))
        client = self.clients[at]
        try:
            out = b""
            if rng.random() < 0.3:
                while data:
                    size = rng.choice([1, 2, 7, 50, 1000, 40_000])
                    out += client(data[:size])
                    data = data[size:]
            else:
                out = client(data)
        finally:
            alloc.set_limit(0)
        self.read(at, out)
        if client.closed or rng.random() < 0.01:
            client.sock.close()
            client.turn_only()
            self.clients[at], self.pending[at] = self.make(self.engine), b""
            self.counts["closed"] += 1
        self.background()

    def read(self, at: int, out: bytes) -> None:
        """All that came must be whole replies, but for an end that is cut."""
        from hiredis import HiredisError, Reader
        reader = Reader(replyError=lambda text: ("error", text), notEnoughData=Ellipsis, protocolError=RuntimeError)
        reader.feed(out)
        try:
            while (reply := reader.gets()) is not Ellipsis:
                self.counts["replies"] += 1
                if isinstance(reply, tuple):
                    self.counts["errors"] += 1
                    self.counts["oom"] += reply[1].startswith("OOM")
        except HiredisError as error:
            raise AssertionError(f"no RESP: {out[:2000]!r}") from error
        assert not reader.has_data() or self.clients[at].closed, out[-300:]

    def background(self) -> None:
        rng = self.rng
        server = self.engine.server
        if rng.random() < 0.1:
            if rng.random() < 0.2:
                server.keyspace.set_time(rng.choice([4_000_000_000_001, 1]))
            server.expirer.cycle(rng.choice([0, 0, 1000]))
            server.keyspace.set_time(int(time.time() * 1000))
        if rng.random() < 0.1:
            server.keyspace.free_step(rng.choice([1, 100, 10_000]))
        if rng.random() < 0.02:
            if server.journal.active:
                server.journal.remove_reader(self)
            else:
                server.journal.add_reader(self)
        if rng.random() < 0.2:
            server.journal.flush()
        for client in self.clients:
            if rng.random() < 0.3:
                client.session.unblock(rng.random() < 0.5)
        server.dispatcher.end_of_batch()
        if rng.random() < 0.005:
            self.engine("FLUSHALL")

    def feed(self, data: bytes) -> None:
        """The journal's reader: whole effects only."""
        from shardd.wire.plain import Decoder
        decoder = Decoder()
        effects = list(decoder.feed(data))
        assert all(effects), "an effect is cut"

    def check(self) -> None:
        from shardd.structures import alloc
        assert not self.crashes, self.crashes
        held = self.engine.check()
        clients = self.engine.server.clients
        lost = alloc.used_memory() - self.outside - held - (clients.kept_bytes - clients.object_bytes)
        assert not lost or self.engine.server.keyspace.pending_free(), f"{lost} bytes are lost"
        alloc.check()
        assert all(not isinstance(reply, Exception) for reply in [self.engine("PING")])


def run(seed: int, commands: int) -> dict[str, int]:
    """So many commands by one crowd; what was counted."""
    crowd = Crowd(seed)
    rounds = 0
    while crowd.counts["commands"] < commands:
        crowd.round()
        rounds += 1
        if rounds % CHECK_EVERY == 0:
            crowd.check()
    crowd.check()
    assert all(crowd.counts.values()), crowd.counts
    return crowd.counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commands", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variant", choices=["release", "debug", "asan"], default="asan")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    if os.environ.get("SHARDD_TEST_VARIANT") != options.variant:
        os.environ["SHARDD_TEST_VARIANT"] = options.variant
        from harness import build
        os.execve(sys.executable, [sys.executable, *sys.argv], build.environment())
    seed = options.seed
    left = options.commands
    start = time.monotonic()
    while left > 0:
        print(f"seed {seed} ...", end=" ", flush=True)
        print(run(seed, min(left, 20_000)), f"{time.monotonic() - start:.0f} s", flush=True)
        left -= 20_000
        seed += 1


if __name__ == "__main__":
    main()
