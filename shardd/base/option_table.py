"""The one table of configuration options.

Owns: `OPTIONS`, every option with its kind, default, range and one sentence of help. Does not own parsing (kinds:
base.option_types; files and command lines: base.options) nor what an option does.

Each option is read by some of the programs: `supervisor`, `engine`, `proxy`. The supervisor hands a child the options
that the child reads. Names and defaults are Redis 7.2's where Redis has the option, but that `appendonly` is on
and `save` empty (conf/shardd.conf says why). An option of Redis whose feature does not exist yet is in the table so
that a redis.conf loads: where another value would promise what protects data or access, it takes no such value
(`only`); where it only shapes the feature, it takes every valid value and has no effect (`idle`).

conf/shardd.conf describes the same options for people. Tests hold that the two agree, and that every option is `only`,
`idle`, or named by code that reads it.
"""

from typing import Final, NamedTuple

from shardd.base import limits
from shardd.base.limits import PORT_MAX
from shardd.base.option_types import (Address, AutoInt, Bool, BufferLimits, Clamped, Directory, Enum, FileName, Flags,
                                      HostName, Int, KeyEvents, Kind, Memory, MemoryOrPercent, Octal, Percentiles,
                                      Save, SocketPath, String, TitleTemplate, Words)
from shardd.base.shares import even

INT_MAX: Final = 2**31 - 1
INT64_MAX: Final = 2**63 - 1

SUPERVISOR: Final = frozenset(("supervisor",))
ENGINE: Final = frozenset(("engine",))
PROXY: Final = frozenset(("proxy",))
SERVERS: Final = ENGINE | PROXY
ALL: Final = SUPERVISOR | SERVERS

NOT_YET: Final = "not yet: "


class Option(NamedTuple):
    """One option.

    name: as in a file; kind: reads, checks and prints it; default: as in a file; help: one sentence; section: the
    heading in conf/shardd.conf; readers: the programs that read it; mutable: CONFIG SET may change it; protected:
    only where enable-protected-configs allows; sensitive: its value never goes into a log; aliases: other names;
    only: the values accepted, as text, with the reason for refusing any other; idle: accepted without effect;
    shared_out: of a tree this is the whole, and the supervisor and the proxies give each engine a share; hidden: CONFIG
    GET shows it only by its full name, as Redis does with what is for its own tests.
    """

    name: str
    kind: Kind
    default: str
    help: str
    section: str
    readers: frozenset[str]
    mutable: bool = True
    protected: bool = False
    sensitive: bool = False
    aliases: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    reason: str = ""
    idle: bool = False
    shared_out: bool = False
    hidden: bool = False


def _network() -> list[Option]:
    section = "network"
    return [
        Option("port", Int(0, PORT_MAX), "6379", "TCP port for clients; 0 for none. Under the supervisor this is the "
               "proxy's.", section, ALL, mutable=False),
        Option("bind", Words(16), "* -::*", "Addresses to listen on; a leading - lets the server start where one is "
               "not available.", section, ALL, mutable=False),
        Option("unixsocket", SocketPath(), "", "Path of a Unix socket for clients; empty for none.", section, ALL,
               mutable=False),
        Option("unixsocketperm", Octal(0, 0o777), "0", "Permissions of the Unix socket in octal; 0 leaves what the "
               "umask gives.", section, ALL, mutable=False),
        Option("protected-mode", Bool(), "yes", "Refuses clients from other hosts while no password is set.", section,
               SERVERS),
        Option("tcp-backlog", Int(0, INT_MAX), "511", "Connections the kernel may hold before they are accepted.",
               section, SERVERS, mutable=False),
        Option("timeout", Int(0, INT_MAX), "0", "Seconds after which an idle client is closed; 0 for never.", section,
               SERVERS),
        Option("tcp-keepalive", Int(0, INT_MAX), "300", "Seconds between TCP keepalive probes; 0 for none.", section,
               SERVERS),
        Option("maxclients", Int(1, 2**32 - 1), str(limits.CLIENTS_DEFAULT), "Most clients at once, of all proxies "
               "together.", section, SERVERS),
        Option("proto-max-bulk-len", Memory(limits.BULK_BYTES_MIN, INT64_MAX), "512mb", "Longest argument and longest "
               "string value.", section, SERVERS),
        Option("client-query-buffer-limit", Memory(limits.QUERY_BUFFER_BYTES_MIN, INT64_MAX), "1gb", "Most bytes of "
               "unfinished requests kept for one client.", section, SERVERS),
        Option("client-output-buffer-limit", BufferLimits(), "normal 0 0 0 replica 256mb 64mb 60 pubsub 32mb 8mb 60",
               "Unsent reply bytes at which a client is closed: class, hard limit, soft limit, seconds above the soft "
               "limit.", section, SERVERS),
        Option("bind-source-addr", String(), "", "Address of outgoing connections; no effect, there are none.", section,
               SERVERS, idle=True),
        Option("socket-mark-id", Int(0, 2**32 - 1), "0", "Mark on listening sockets for the packet filter; no effect "
               "yet.", section, ALL, mutable=False, idle=True),
    ]


def _tls() -> list[Option]:
    section = "tls"
    reason = NOT_YET + "there is no TLS"
    off = "About TLS; no effect before it exists."

    def text(name: str, sensitive: bool = False) -> Option:
        return Option(name, String(), "", off, section, SERVERS, sensitive=sensitive, idle=True)

    return [
        Option("tls-port", Int(0, PORT_MAX), "0", "TCP port for TLS clients.", section, SERVERS, mutable=False,
               only=("0",), reason=reason),
        Option("tls-cluster", Bool(), "no", "TLS between nodes.", section, SERVERS, only=("no",), reason=reason),
        Option("tls-replication", Bool(), "no", "TLS to the primary.", section, SERVERS, only=("no",), reason=reason),
        Option("tls-auth-clients", Enum("no", "yes", "optional"), "yes", off, section, SERVERS, idle=True),
        *map(text, ("tls-cert-file", "tls-key-file")), text("tls-key-file-pass", True),
        *map(text, ("tls-client-cert-file", "tls-client-key-file")), text("tls-client-key-file-pass", True),
        *map(text, ("tls-dh-params-file", "tls-ca-cert-file", "tls-ca-cert-dir", "tls-protocols", "tls-ciphers",
                    "tls-ciphersuites")),
        Option("tls-prefer-server-ciphers", Bool(), "no", off, section, SERVERS, idle=True),
        Option("tls-session-caching", Bool(), "yes", off, section, SERVERS, idle=True),
        Option("tls-session-cache-size", Int(0, INT_MAX), "20480", off, section, SERVERS, idle=True),
        Option("tls-session-cache-timeout", Int(0, INT_MAX), "300", off, section, SERVERS, idle=True),
    ]


def _security() -> list[Option]:
    section = "security"
    return [
        Option("requirepass", String(), "", "Password that clients must give; empty for none.", section, ALL,
               sensitive=True),
        Option("enable-protected-configs", Enum("no", "yes", "local"), "no", "Who may change protected options with "
               "CONFIG SET; local: clients on this host.", section, SERVERS, mutable=False),
        Option("enable-debug-command", Enum("no", "yes", "local"), "no", "Who may use DEBUG; local: clients on this "
               "host.", section, SERVERS, mutable=False),
        Option("enable-module-command", Enum("no", "yes", "local"), "no", "Who may use MODULE.", section, SERVERS,
               mutable=False, only=("no",), reason="modules are not supported"),
        Option("aclfile", String(), "", "File of ACL users.", section, SERVERS, mutable=False, only=("",),
               reason=NOT_YET + "the only user is default, with requirepass"),
        Option("acl-pubsub-default", Enum("allchannels", "resetchannels"), "resetchannels", "Which channels a new user "
               "may use; no effect, there is one user.", section, ENGINE, idle=True),
        Option("acllog-max-len", Int(0, INT64_MAX), "128", "Length of the ACL log.", section, SERVERS, idle=True),
    ]


def _tree() -> list[Option]:
    section = "engines and proxies"
    return [
        Option("engines", AutoInt(1, limits.ENGINES_MAX), "auto", "Engine processes to start; auto: one per core.",
               section, SUPERVISOR, mutable=False),
        Option("proxies", Int(1, limits.PROXIES_MAX), "1", "Proxy processes that share the port.", section, SUPERVISOR,
               mutable=False),
        Option("proxy-retry-ms", Int(0, 60_000), str(limits.PROXY_RETRY_MS), "Milliseconds that a command which could "
               "not be sent waits for its engine.", section, PROXY),
        Option("proxy-memory-limit", Memory(0, INT64_MAX), "1gb", "Bytes of requests and replies in one proxy above "
               "which it refuses commands for the engines; 0 for no limit.", section, PROXY),
        Option("proxy-drain-seconds", Int(0, 86_400), "10", "How long the clients of a proxy that shardctl restarts "
               "may go on over it while its successor serves the others.", section, SUPERVISOR),
        Option("engine-base-port", Int(0, PORT_MAX), "0", "TCP port of the first engine, the next ones count up; 0 "
               "takes free ports.", section, SUPERVISOR, mutable=False),
        Option("dir", Directory(), "./", "Directory of everything that is kept on disk.", section, ALL, protected=True),
    ]


def _process() -> list[Option]:
    section = "process and log"
    return [
        Option("daemonize", Bool(), "no", "Run in the background.", section, ALL, mutable=False, only=("no",),
               reason="the server stays in the foreground: leave it to systemd or another service manager"),
        Option("supervised", Enum("no", "auto", "systemd", "upstart"), "no", "Tell the service manager when the server "
               "is ready.", section, SUPERVISOR, mutable=False),
        Option("pidfile", String(), "", "File for the process id; empty for none.", section, ALL, mutable=False),
        Option("loglevel", Enum("debug", "verbose", "notice", "warning", "nothing"), "notice", "The least important "
               "message that is logged.", section, ALL),
        Option("logfile", String(), "", "File for the log; empty for standard output.", section, ALL, mutable=False),
        Option("syslog-enabled", Bool(), "no", "Log to syslog.", section, ALL, mutable=False, only=("no",),
               reason=NOT_YET + "log to a file or to standard output"),
        Option("syslog-ident", String(), "redis", "Name in syslog.", section, ALL, mutable=False, idle=True),
        Option("syslog-facility", Enum("user", *(f"local{number}" for number in range(8))), "local0", "Facility in "
               "syslog.", section, ALL, mutable=False, idle=True),
        Option("crash-log-enabled", Bool(), "yes", "Report on a crash; no effect, Python reports errors.", section, ALL,
               idle=True),
        Option("crash-memcheck-enabled", Bool(), "yes", "Test the memory after a crash; no effect.", section, ALL,
               idle=True),
        Option("set-proc-title", Bool(), "yes", "Show role and address in the process's title; no effect yet.", section,
               ALL, mutable=False, idle=True),
        Option("proc-title-template", TitleTemplate(), "{title} {listen-addr} {server-mode}", "How that title is made; "
               "no effect yet.", section, ALL, idle=True),
        Option("always-show-logo", Bool(), "no", "Accepted for redis.conf's sake; there is no logo.", section,
               SUPERVISOR, mutable=False, idle=True),
        Option("io-threads", Int(1, 128), "1", "Threads of one process.", section, SERVERS, mutable=False, only=("1",),
               reason="an engine has one thread; raise engines instead"),
        Option("io-threads-do-reads", Bool(), "no", "Read in such threads; no effect.", section, SERVERS, mutable=False,
               idle=True),
        Option("hz", Clamped(limits.HZ_MIN, limits.HZ_MAX), "10", "Background ticks of an engine per second.", section,
               SERVERS),
        Option("dynamic-hz", Bool(), "yes", "More ticks while an engine has many clients.", section, ENGINE),
        Option("ignore-warnings", String(), "", "Checks of the host that do not keep the server from starting; no "
               "effect, none does.", section, SERVERS, idle=True),
        *(Option(f"shutdown-on-{signal}", Flags("save", "nosave", "now", "force", apart=("save", "nosave"),
                                                reason="shutdown options SAVE and NOSAVE can't be used simultaneously"),
                 "default", "How such a signal ends the server: save or nosave whatever the save points say, force: "
                 "also where saving fails.", section, ENGINE) for signal in ("sigint", "sigterm")),
        Option("shutdown-timeout", Int(0, INT_MAX), "10", "Seconds SHUTDOWN waits for replicas.", section, ENGINE,
               idle=True),
    ]


def _memory() -> list[Option]:
    section = "keyspace and memory"
    defrag = "How active defragmentation works; no effect before it exists."
    policies = ("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "allkeys-lru", "allkeys-lfu",
                "allkeys-random", "noeviction")
    return [
        Option("databases", Int(1, limits.DATABASES_MAX), "16", "Number of databases for SELECT.", section, SERVERS,
               mutable=False),
        Option("maxmemory", Memory(0, INT64_MAX), "0", "Memory of data and clients, of all engines "
               "together, above which keys are evicted or writes refused; 0 for no limit.", section, SERVERS,
               shared_out=True),
        Option("maxmemory-policy", Enum(*policies), "noeviction", "What goes when maxmemory is "
               "reached.", section, ENGINE),
        Option("maxmemory-samples", Int(1, INT_MAX), "5", "Keys of each database that are sampled for an "
               "eviction.", section, ENGINE),
        Option("maxmemory-eviction-tenacity", Int(0, 100), "10", "How long one command may evict: 0 a single key, 10 "
               "500 us, 100 as long as it takes.", section, ENGINE),
        Option("lfu-log-factor", Int(0, INT_MAX), "10", "How slowly the LFU counter grows.", section, ENGINE),
        Option("lfu-decay-time", Int(0, INT_MAX), "1", "Minutes after which the LFU counter of an idle key drops by "
               "one.", section, ENGINE),
        Option("active-expire-effort", Int(1, 10), "1", "Effort of removing expired keys before anybody asks, 1 to 10.",
               section, ENGINE),
        Option("lazyfree-lazy-eviction", Bool(), "no", "Tell the journal of evicted keys as UNLINK; they are freed in "
               "steps in any case.", section, ENGINE),
        Option("lazyfree-lazy-expire", Bool(), "no", "Tell the journal of expired keys as UNLINK; they are freed in "
               "steps in any case.", section, ENGINE),
        Option("lazyfree-lazy-server-del", Bool(), "no", "Free overwritten values in small steps.", section, ENGINE,
               idle=True),
        Option("lazyfree-lazy-user-del", Bool(), "no", "DEL frees like UNLINK.", section, ENGINE, idle=True),
        Option("lazyfree-lazy-user-flush", Bool(), "no", "FLUSHALL and FLUSHDB without a word free in steps; large "
               "ones always do.", section, ENGINE, idle=True),
        Option("activerehashing", Bool(), "yes", "Grow and shrink tables between commands, not only within them.",
               section, ENGINE),
        Option("activedefrag", Bool(), "no", "Move values together in the background.", section, ENGINE, only=("no",),
               reason=NOT_YET + "nothing defragments"),
        Option("active-defrag-ignore-bytes", Memory(1), "100mb", defrag, section, ENGINE, idle=True),
        Option("active-defrag-threshold-lower", Int(0, 1000), "10", defrag, section, ENGINE, idle=True),
        Option("active-defrag-threshold-upper", Int(0, 1000), "100", defrag, section, ENGINE, idle=True),
        Option("active-defrag-cycle-min", Int(1, 99), "1", defrag, section, ENGINE, idle=True),
        Option("active-defrag-cycle-max", Int(1, 99), "25", defrag, section, ENGINE, idle=True),
        Option("active-defrag-max-scan-fields", Int(1, INT64_MAX), "1000", defrag, section, ENGINE, idle=True),
        Option("maxmemory-clients", MemoryOrPercent(INT64_MAX), "0", "Memory of all clients of one process, or "
               "a percentage of maxmemory, above which those that take most are disconnected; 0 for no limit.", section,
               SERVERS),
        Option("tracking-table-max-keys", Int(0, INT64_MAX), "1000000", "Keys remembered for client-side caching; no "
               "effect before it exists.", section, ENGINE, idle=True),
        Option("notify-keyspace-events", KeyEvents(), "", "Which keyspace events are published, as letters.", section,
               ENGINE),
    ]


def _encodings() -> list[Option]:
    section = "encodings"
    where = "Thresholds of streams and HyperLogLogs; no effect before these types exist."

    def size(name: str, default: str, low: int = 0, high: int = INT64_MAX, alias: str = "") -> Option:
        return Option(name, Int(low, high), default, where, section, ENGINE, aliases=(alias,) if alias else (),
                      idle=True)

    return [
        Option("hash-max-listpack-entries", Int(0, INT64_MAX), "512", "Fields of a packed hash.", section, ENGINE,
               aliases=("hash-max-ziplist-entries",)),
        Option("hash-max-listpack-value", Memory(0, INT64_MAX), "64", "Bytes of a packed hash's longest field or "
               "value.", section, ENGINE, aliases=("hash-max-ziplist-value",)),
        Option("list-max-listpack-size", Int(-INT_MAX - 1, INT_MAX), "-2", "Elements, or (negative) class of size, of "
               "a packed list and of a node of another one.", section, ENGINE, aliases=("list-max-ziplist-size",)),
        Option("list-compress-depth", Int(0, INT_MAX), "0", "Nodes at each end of a list that stay uncompressed; 0: "
               "all.", section, ENGINE),
        Option("set-max-intset-entries", Int(0, INT64_MAX), "512", "Members of a set kept as sorted integers.", section,
               ENGINE),
        Option("set-max-listpack-entries", Int(0, INT64_MAX), "128", "Members of another packed set.", section, ENGINE),
        Option("set-max-listpack-value", Memory(0, INT64_MAX), "64", "Bytes of a packed set's longest member.", section,
               ENGINE),
        Option("zset-max-listpack-entries", Int(0, INT64_MAX), "128", "Members of a packed sorted set.", section,
               ENGINE, aliases=("zset-max-ziplist-entries",)),
        Option("zset-max-listpack-value", Memory(0, INT64_MAX), "64", "Bytes of a packed sorted set's longest member.",
               section, ENGINE, aliases=("zset-max-ziplist-value",)),
        Option("hll-sparse-max-bytes", Memory(0, INT64_MAX), "3000", where, section, ENGINE, idle=True),
        Option("stream-node-max-bytes", Memory(0, INT64_MAX), "4096", where, section, ENGINE, idle=True),
        size("stream-node-max-entries", "100"),
    ]


def _observing() -> list[Option]:
    section = "slow log and latency"
    return [
        Option("slowlog-log-slower-than", Int(-1, INT64_MAX), "10000", "Microseconds from which a command is logged; 0 "
               "logs all, -1 none.", section, SERVERS),
        Option("slowlog-max-len", Int(0, INT64_MAX), "128", "Entries the slow log keeps.", section,
               SERVERS),
        Option("latency-monitor-threshold", Int(0, INT64_MAX), "0", "Milliseconds from which an event is sampled.",
               section, SERVERS),
        Option("latency-tracking", Bool(), "yes", "Keep a histogram of the latency of each command.", section, SERVERS),
        Option("latency-tracking-info-percentiles", Percentiles(), "50 99 99.9", "Which percentiles of it INFO shows.",
               section, SERVERS),
    ]


def _metrics() -> list[Option]:
    section = "metrics"
    return [
        Option("metrics-port", Int(0, PORT_MAX), "0", "TCP port of the metrics for Prometheus; 0 for none.", section,
               SUPERVISOR, mutable=False),
        Option("metrics-bind", Words(16), "127.0.0.1 -::1", "Addresses of that port; everybody who reaches it may read "
               "the metrics.", section, SUPERVISOR, mutable=False),
        Option("proxy-latency-sample", Int(0, 1_000_000), str(limits.LATENCY_SAMPLE), "A proxy measures one command in "
               "so many on its way to an engine and back; 0 for none.", section, PROXY),
    ]


def _cluster() -> list[Option]:
    section = "cluster"
    no_bus = "About the cluster bus; no effect, the supervisor takes its place."
    no_replicas = "About failover to replicas; no effect before they exist."
    return [
        Option("cluster-enabled", Bool(), "no", "An engine started by itself answers as one node of a cluster; under "
               "the supervisor all engines do.", section, SERVERS, mutable=False),
        Option("cluster-slot-stats-enabled", Bool(), "no", "Count time and traffic per slot for CLUSTER SLOT-STATS.",
               section, SERVERS),
        Option("cluster-announce-ip", Address(), "", "Address that CLUSTER SLOTS and redirects name; empty for the one "
               "the client came to.", section, ALL),
        Option("cluster-announce-port", Int(0, PORT_MAX), "0", "Port that CLUSTER SLOTS and redirects name for "
               "the first engine, the next ones count up; 0 for the real ones.", section, ALL),
        Option("cluster-announce-hostname", HostName(), "", "Host name that CLUSTER SLOTS and SHARDS add.", section,
               ALL),
        Option("cluster-announce-human-nodename", String(), "", "A name for people; no effect, logs name engines by "
               "number.", section, SERVERS, idle=True),
        Option("cluster-announce-tls-port", Int(0, PORT_MAX), "0", "Port for TLS clients; no effect, there is no TLS.",
               section, SERVERS, idle=True),
        Option("cluster-preferred-endpoint-type", Enum("ip", "hostname", "unknown-endpoint"), "ip", "What CLUSTER "
               "SLOTS and redirects name: the address, the host name, or nothing.", section, ALL),
        Option("cluster-require-full-coverage", Bool(), "yes", "Refuse all keys while any slot has had no engine for "
               "cluster-node-timeout.", section, SERVERS),
        Option("cluster-allow-reads-when-down", Bool(), "no", "Read even while all keys are refused.", section, ENGINE),
        Option("cluster-node-timeout", Int(0, INT64_MAX), "15000", "Milliseconds after which an engine that does not "
               "answer counts as down.", section, ALL),
        Option("cluster-config-file", String(), "nodes.conf", "Where a node keeps what it knows of the cluster; no "
               "effect, the supervisor keeps the topology in dir.", section, SERVERS, mutable=False, idle=True),
        Option("cluster-port", Int(0, PORT_MAX), "0", no_bus, section, SERVERS, mutable=False, idle=True),
        Option("cluster-announce-bus-port", Int(0, PORT_MAX), "0", no_bus, section, SERVERS, idle=True),
        Option("cluster-link-sendbuf-limit", Memory(0, 2**64 - 1), "0", no_bus, section, SERVERS, idle=True),
        Option("cluster-allow-pubsubshard-when-down", Bool(), "yes", "Sharded pub/sub while the cluster is down.",
               section, ENGINE),
        Option("cluster-migration-barrier", Int(), "1", no_replicas, section, SERVERS, idle=True),
        Option("cluster-allow-replica-migration", Bool(), "yes", no_replicas, section, SERVERS, idle=True),
        Option("cluster-replica-validity-factor", Int(), "10", no_replicas, section, SERVERS,
               aliases=("cluster-slave-validity-factor",), idle=True),
        Option("cluster-replica-no-failover", Bool(), "no", no_replicas, section, SERVERS,
               aliases=("cluster-slave-no-failover",), idle=True),
    ]


def _persistence() -> list[Option]:
    section = "persistence"
    return [
        Option("save", Save(), "", "When a snapshot is written: seconds and changes, both of which must have come; "
               "empty for never.", section, SERVERS),
        Option("appendonly", Bool(), "yes", "Log every write to disk.", section, SERVERS),
        Option("appendfsync", Enum("everysec", "always", "no"), "everysec", "When the log reaches the disk.", section,
               ENGINE),
        Option("dbfilename", FileName(), "dump.rdb", "Name of the snapshot file in dir.", section, ENGINE,
               protected=True),
        Option("appendfilename", FileName(), "appendonly.aof", "Base name of the log files.", section, ENGINE,
               mutable=False),
        Option("appenddirname", FileName(), "appendonlydir", "Directory of the log files.", section, ENGINE,
               mutable=False),
        Option("stop-writes-on-bgsave-error", Bool(), "yes", "Refuse writes after a snapshot failed, where there are "
               "save points.", section, ENGINE),
        Option("rdbcompression", Bool(), "yes", "Compress strings in snapshots.", section, ENGINE),
        Option("rdbchecksum", Bool(), "yes", "End snapshots with a checksum, and compare it when one is loaded.",
               section, ENGINE, mutable=False),
        Option("rdb-skip-unsupported", Bool(), "no", "Load a snapshot without what this server cannot hold yet, "
               "instead of refusing it.", section, ENGINE),
        Option("rdb-del-sync-files", Bool(), "no", "Delete snapshots made for replicas.", section, ENGINE, idle=True),
        Option("rdb-save-incremental-fsync", Bool(), "yes", "Sync a growing snapshot in steps.", section, ENGINE),
        Option("no-appendfsync-on-rewrite", Bool(), "no", "No syncing during a rewrite.", section, ENGINE),
        Option("auto-aof-rewrite-percentage", Int(0, INT_MAX), "100", "Growth at which the log is rewritten.", section,
               ENGINE),
        Option("auto-aof-rewrite-min-size", Memory(), "64mb", "Size under which the log is not rewritten.", section,
               ENGINE),
        Option("aof-load-truncated", Bool(), "yes", "Load a log whose end is missing.", section, ENGINE),
        Option("aof-use-rdb-preamble", Bool(), "yes", "A rewritten log starts with a snapshot.", section, ENGINE),
        Option("aof-timestamp-enabled", Bool(), "no", "Time stamps in the log.", section, ENGINE),
        Option("aof-rewrite-incremental-fsync", Bool(), "yes", "Sync a growing rewrite in steps.", section, ENGINE),
        Option("aof-disable-auto-gc", Bool(), "no", "Keep the log's old files.", section, ENGINE),
        Option("sanitize-dump-payload", Enum("no", "yes", "clients"), "no", "Check loaded values thoroughly; no "
               "effect, they always are.", section, ENGINE, idle=True),
    ]


def _replication() -> list[Option]:
    section = "replication"

    def shaping(name: str, kind: Kind, default: str, text: str, alias: str = "", sensitive: bool = False) -> Option:
        return Option(name, kind, default, text, section, ENGINE, aliases=(alias,) if alias else (), idle=True,
                      sensitive=sensitive)

    return [
        Option("replicaof", Words(2), "", "The primary to copy from.", section, SERVERS, mutable=False,
               aliases=("slaveof",), only=("",), reason=NOT_YET + "replication does not exist"),
        shaping("masteruser", String(), "", "Who to be for the primary."),
        shaping("masterauth", String(), "", "The primary's password.", sensitive=True),
        shaping("replica-announce-ip", String(), "", "Address that a primary shows.", "slave-announce-ip"),
        shaping("replica-announce-port", Int(0, PORT_MAX), "0", "Port that a primary shows.", "slave-announce-port"),
        shaping("replica-announced", Bool(), "yes", "Shown by the primary at all."),
        shaping("replica-ignore-maxmemory", Bool(), "yes", "A replica leaves eviction to its primary.",
                "slave-ignore-maxmemory"),
        shaping("replica-serve-stale-data", Bool(), "yes", "A replica without its primary answers.",
                "slave-serve-stale-data"),
        shaping("replica-read-only", Bool(), "yes", "A replica refuses writes.", "slave-read-only"),
        shaping("repl-diskless-sync", Bool(), "yes", "Send the first copy without a file."),
        shaping("repl-diskless-sync-delay", Int(), "5", "Seconds to wait for further replicas."),
        shaping("repl-diskless-sync-max-replicas", Int(), "0", "Replicas that end the wait."),
        shaping("repl-diskless-load", Enum("disabled", "on-empty-db", "swapdb"), "disabled", "Load without a file."),
        shaping("repl-disable-tcp-nodelay", Bool(), "no", "Larger, later packets to replicas."),
        shaping("repl-backlog-size", Memory(1, floor=16 * 1024), "1mb", "Bytes kept for replicas that come back."),
        shaping("repl-backlog-ttl", Int(0, INT64_MAX), "3600", "Seconds the backlog lives without replicas."),
        shaping("repl-timeout", Int(1), "60", "Seconds after which a replication link is dead."),
        shaping("repl-ping-replica-period", Int(1), "10", "Seconds between pings to replicas.",
                "repl-ping-slave-period"),
        shaping("replica-priority", Int(), "100", "Rank for promotion.", "slave-priority"),
        shaping("replica-lazy-flush", Bool(), "no", "A replica frees its old data in steps.", "slave-lazy-flush"),
        shaping("propagation-error-behavior", Enum("ignore", "panic", "panic-on-replicas"), "ignore", "What happens "
                "when a copied command fails."),
        shaping("replica-ignore-disk-write-errors", Bool(), "no", "A replica goes on when its disk is full."),
        shaping("min-replicas-to-write", Int(), "0", "Replicas a write needs.", "min-slaves-to-write"),
        shaping("min-replicas-max-lag", Int(), "10", "Seconds a replica may lag.", "min-slaves-max-lag"),
    ]


def _host() -> list[Option]:
    section = "host"
    cores = ", as \"0,2-4,8-15:2\"; empty: no change."
    cpulists = {
        "server": "Cores of the tree, or of an engine by itself" + cores,
        "bio": "Cores of background threads; no effect.",
        "aof_rewrite": "Cores of a child that writes a new base of the append only file" + cores,
        "bgsave": "Cores of a child that writes a snapshot" + cores}

    def for_tests(name: str, kind: Kind, default: str) -> Option:
        return Option(name, kind, default, "For Redis's own tests; no effect.", section, ENGINE, idle=True, hidden=True)

    def delay(name: str, what: str) -> Option:
        return Option(name, Int(-INT_MAX - 1, INT_MAX), "0", f"For tests: microseconds of rest behind each key that is "
                      f"{what}; -n: one behind every n-th.", section, ENGINE, hidden=True)

    return [
        Option("oom-score-adj", Enum("no", "yes", "relative", "absolute"), "no", "Adjust the kernel's out-of-memory "
               "score.", section, SUPERVISOR, only=("no",), reason=NOT_YET + "the score is not touched"),
        Option("oom-score-adj-values", Words(3), "0 200 800", "The scores for it.", section, SUPERVISOR, idle=True),
        Option("locale-collate", String(), "", "Locale for comparing strings; no effect yet.", section, ENGINE,
               idle=True),
        Option("disable-thp", Bool(), "yes", "No transparent huge pages behind the keys.", section, ENGINE,
               mutable=False),
        Option("jemalloc-bg-thread", Bool(), "yes", "Accepted for redis.conf's sake; jemalloc is not used.", section,
               ENGINE, idle=True),
        Option("busy-reply-threshold", Int(0, INT64_MAX), "5000", "Milliseconds after which a script counts as busy.",
               section, ENGINE, aliases=("lua-time-limit",), idle=True),
        *(Option(f"{who}_cpulist", String(), "", doc, section, ALL, mutable=False, idle=who == "bio",
                 aliases=(f"{who.replace('_', '-')}-cpulist",)) for who, doc in cpulists.items()),
        for_tests("watchdog-period", Int(0, INT_MAX), "0"),
        delay("rdb-key-save-delay", "saved"), delay("key-load-delay", "loaded"),
        for_tests("loading-process-events-interval-bytes", Int(1024, INT_MAX), "2097152"),
        for_tests("use-exit-on-panic", Bool(), "no"),
    ]


OPTIONS: Final[dict[str, Option]] = {
    option.name: option
    for part in (_network, _tls, _security, _tree, _process, _memory, _encodings, _observing, _metrics, _cluster,
                 _persistence, _replication, _host)
    for option in part()}
"""Every option by its name, in the order of conf/shardd.conf."""

BY_NAME: Final[dict[str, Option]] = OPTIONS | {
    alias: option for option in OPTIONS.values() for alias in option.aliases}
"""The same, with the aliases."""


def engine_share(name: str, text: str, engines: int, index: int = 0) -> str:
    """What engine `index` of so many gets of an option's value: an even share where it is shared out, else all of it.

    name: or an alias; text: as CONFIG SET takes it, and valid.
    """
    option = BY_NAME[name]
    if not option.shared_out:
        return text
    whole = option.kind.parse([text])
    assert isinstance(whole, int)
    return str(even(whole, engines)[index])


UNSUPPORTED: Final[dict[str, str]] = {
    "rename-command": NOT_YET + "commands cannot be renamed",
    "user": NOT_YET + "the only user is default, with requirepass",
    "loadmodule": "modules are not supported",
}
"""Directives of redis.conf that are no options, with the reason to give."""

assert not [o.name for o in OPTIONS.values() if o.only and o.default not in o.only]
