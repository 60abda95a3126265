"""The bounds the server keeps: their values, units (last in the name) and why they are what they are.

Owns: what clients, users, tests or several modules meet. Does not own what a user may change: those are options
(base.option_table), whose ranges come from here; nor the step sizes of one algorithm, which stand at its head.
Compiled modules read a bound once, when they are imported, and keep it as a C constant.
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# --- identity -----------------------------------------------------------------------------------------------------

REDIS_VERSION: Final = "7.2.6"
"""What HELLO and INFO say: the release whose behaviour, texts and defaults we follow. Clients switch features by it."""

# --- protocol -----------------------------------------------------------------------------------------------------

INLINE_BYTES_MAX: Final = 64 * KIB
"""Longest inline request and longest count line; Redis's PROTO_INLINE_MAX_SIZE."""

MULTIBULK_ITEMS_MAX: Final = 2**31 - 1
"""Most arguments of one request. Redis 7: INT_MAX; memory is bounded by client-query-buffer-limit long before."""

UNAUTH_MULTIBULK_ITEMS_MAX: Final = 10
"""Before AUTH nobody may make us reserve memory: Redis's bound on the arguments of a request."""

UNAUTH_BULK_BYTES_MAX: Final = 16 * KIB
"""Before AUTH: Redis's bound on one argument."""

BULK_BYTES_MIN: Final = MIB
"""Lowest proto-max-bulk-len that can be set, as in Redis."""

QUERY_BUFFER_BYTES_MIN: Final = MIB
"""Lowest client-query-buffer-limit that can be set, as in Redis."""

STRING_BYTES_MAX: Final = 2**31 - 1 - KIB
"""Longest value an entry can hold: its length field has 31 bits, and the header needs room beside it."""

REQUEST_ARGS_KEPT: Final = 64 * KIB
"""Room for arguments (16 bytes each) that the parser keeps from one read to the next; a giant request's is freed."""

REPLY_BYTES_SENT: Final = 64 * KIB
"""So many bytes of replies are sent before the next command of a pipeline runs."""

REPLY_BYTES_FIRST: Final = REPLY_BYTES_SENT + 4 * KIB
"""First size of a reply buffer. The short reply of a write then always has room: a command that has changed something
cannot fail in its reply, before the journal hears of it."""

LINK_UNSENT_BYTES_MAX: Final = 8 * MIB
"""Replies that a proxy may leave unread on one connection before its next command waits: it does so on behalf of a
client that does not read, whose further replies must not be made before. One reply may be larger."""

REPLY_BYTES_KEPT: Final = MIB
"""Reply buffer kept after it was sent: most replies fit, and a giant one must not stay as idle memory."""

REPLY_DEPTH_MAX: Final = 64
"""Deepest nesting of a plain handler's value: COMMAND DOCS needs about ten, and the writer recurses."""

SCAN_ITEMS_MAX: Final = 2**32
"""Most elements one aggregate of a reply may announce: a bound for sums, far beyond what memory could hold."""

# --- reactor ------------------------------------------------------------------------------------------------------

READ_BUFFER_BYTES: Final = 64 * KIB
"""The one buffer that all connections read into: two pipelines of 64 large commands, and it stays in the L2 cache."""

EVENTS_PER_WAIT: Final = 512
"""Ready descriptors taken from the kernel at once: 6 KiB of events, and a fair turn for the rest of the loop."""

ACCEPTS_PER_EVENT_MAX: Final = 128
"""Connections accepted in a row, about 1 ms of work. The reactor asks again at once, so a burst still gets in fast."""

ACCEPT_PAUSE_MS: Final = 100
"""Rest of a listener after the process ran out of descriptors: level-triggered, it would spin otherwise."""

POLL_US_MAX: Final = 1000
"""Longest time the reactor goes on asking the kernel for more events before timers and signals get their turn."""

CPU_MARK_US: Final = 500
"""How old the reactor's reading of the thread's CPU clock may be: what it says of a pause is too high by that much at
most, and the readings, half a microsecond each, cost a thousandth of the time."""

LISTEN_BACKLOG: Final = 511
"""Connections the kernel completes for us before we accept them (tcp-backlog's default, as in Redis)."""

# --- keyspace -----------------------------------------------------------------------------------------------------

SLOTS: Final = 16384
"""Hash slots of the cluster protocol."""

DATABASES_MAX: Final = 4096
"""Most numbered databases: one in use takes 1 MiB for its slots alone, and SELECT's number 12 bits."""

LFU_COUNTER_INITIAL: Final = 5
"""LFU counter of a new key: enough to survive its first minutes (Redis's LFU_INIT_VAL)."""

EVICTION_POOL_KEYS: Final = 16
"""Candidates for eviction that are kept from one sampling to the next, as in Redis (EVPOOL_SIZE)."""

EVICTION_TURN_US: Final = 2_500
"""Time for evictions in one turn of the reactor: half of the longest pause that is allowed. A pipeline of 64 commands
that each took the 500 us of one call would be a pause of 32 ms."""

EVICTION_SAMPLES_MAX: Final = 64
"""Most keys of a database that one eviction looks at, whatever maxmemory-samples says: more choose no better, and each
may be a wait for memory."""

KEYSIZES_AT_ONCE_KEYS: Final = 5_000
"""Keys that INFO keysizes walks at once: half a millisecond."""

KEYSIZES_FRESH_US: Final = 10_000_000
"""How old a walk over more keys may be before the next INFO keysizes starts another."""

SCAN_COUNT_DEFAULT: Final = 10
"""Keys that one SCAN looks at where COUNT does not say, as in Redis."""

SCAN_CHAINS_PER_COUNT: Final = 10
"""Chains that one SCAN looks at per key of COUNT, as Redis's buckets: a table that lost most keys must not stall it."""

RANDOMKEY_TRIES_MAX: Final = 100
"""Due keys that one RANDOMKEY deletes before it takes any live key: each costs a walk over the slots, some 20 us."""

RANDOMKEY_WALK_KEYS_MAX: Final = 4096
"""Keys of a slot that RANDOMKEY walks over to the one it wants, some 10 us. Of ten million keys a slot has 600."""

# --- connections --------------------------------------------------------------------------------------------------

CLIENTS_DEFAULT: Final = 10_000
"""maxclients where nobody sets it, as in Redis."""

RESERVED_FDS: Final = 64
"""Descriptors kept back from clients: listeners, log, epoll, children's pipes, links to engines."""

CLIENTS_BYTES_MIN: Final = 128 * KIB
"""Least that maxmemory-clients can mean, as in Redis: below it nobody could talk to the server to set it right."""

CLIENTS_EVICTED_AT_ONCE: Final = 64
"""Clients that maxmemory-clients disconnects after one batch of events: below a millisecond of work."""

CLIENTS_LOOK_MS: Final = 100
"""Pause between two looks at all clients where their buffers are above maxmemory-clients and it is not their doing:
those that may not be evicted take it. A look at 10,000 takes some 10 ms."""

CLIENTS_PER_CRON: Final = 200
"""Idle connections looked at per cron tick at least, so that `timeout` holds within seconds for many clients."""

# --- event loop ---------------------------------------------------------------------------------------------------

HZ_MIN: Final = 1
HZ_MAX: Final = 500
"""Cron ticks per second, as in Redis."""

SHARES_EVERY_MS: Final = 1_000
"""Pause between two looks at what the engines use of maxmemory: one question to each."""

STEP_US: Final = 1_000
"""Longest piece of background work (expiry, resize, flush, scan of idle clients) before the loop gets its turn."""

# --- slow log, statistics -----------------------------------------------------------------------------------------

LATENCY_SAMPLES_MAX: Final = 160
"""Spikes the latency monitor keeps of each kind of event; as in Redis."""

SLOWLOG_ARGUMENTS_MAX: Final = 32
"""Arguments kept of a logged command, the last of them telling how many more there were (Redis)."""

SLOWLOG_ARGUMENT_BYTES_MAX: Final = 128
"""Bytes kept of each argument (Redis)."""

WATCH_BYTES: Final = 400
"""What it takes to watch a key, beside the key's own bytes: three small objects and their places in two dicts
(measured). Shown as the client's memory; the number of keys that a client watches is not bounded, as in Redis."""

SUBSCRIPTION_BYTES: Final = 300
"""What it takes to listen to a channel, beside the bytes of its name: two objects and their places in two dicts
(measured). Counted as the client's memory, as WATCH_BYTES are."""

INFO_CLIENTS_MAX: Final = 2000
"""Clients whose buffers INFO adds up, some 0.4 us each: beyond it the sum is estimated, so that INFO is no pause."""

ERRORSTATS_MAX: Final = 128
"""Error codes counted apart: a client can invent codes through scripts, so the list must end (Redis)."""

# --- configuration ------------------------------------------------------------------------------------------------

CONFIG_LINE_BYTES_MAX: Final = 64 * KIB
"""Longest line of a configuration file. Redis cuts at 1024 bytes silently; we name the line instead."""

CONFIG_INCLUDE_DEPTH_MAX: Final = 16
"""Nested `include`: deeper is a loop."""

HOST_NAME_BYTES_MAX: Final = 255
"""Longest host name or address to announce, as in Redis."""

UNIX_SOCKET_PATH_BYTES_MAX: Final = 107
"""sun_path of Linux without its closing NUL."""

# --- the tree of processes ----------------------------------------------------------------------------------------

ENGINES_MAX: Final = 1024
"""Most engines under one supervisor: more than the cores of any machine; every engine knows all the others."""

PROXIES_MAX: Final = 64
"""Most proxies under one supervisor; one saturates a few engines."""

STOP_GRACE_MS: Final = 1_500
"""How long a child may take to stop after SIGTERM before SIGKILL: the whole tree is to be gone within 2 s."""

STOP_STALL_MS: Final = 60_000
"""The same of an engine that keeps its data on disk, from the moment on when its files have last changed: it saves, or
waits for a disk, and what SIGKILL would cost is data."""

STOP_TELL_MS: Final = 500
"""How long an engine has to hear whether it shall save before it stops."""

NOTIFY_EXTEND_MS: Final = 60_000
"""How long a service manager goes on waiting after each word of progress."""

STOP_LOOK_MS: Final = 250
"""Pause between two looks at the files of an engine that stops: a stat() for each."""

RESTART_BACKOFF_MIN_MS: Final = 100
RESTART_BACKOFF_MAX_MS: Final = 10_000
"""Pause before a dead child is started again, doubled each time: a child that dies at once must not eat a core."""

RESTART_STEADY_MS: Final = 30_000
"""A child that was up this long has recovered: its next death starts from the shortest pause again."""

CRASH_LOOP_DEATHS: Final = 3
"""Deaths in a row, without RESTART_STEADY_MS between them, from which on a child counts as being in a crash loop."""

CHILD_SLOW_START_MS: Final = 5_000
"""A child that takes longer to start is mentioned as trouble: without data to load it takes half a second."""

CHILD_START_MS: Final = 30_000
"""How long a child may take until it listens, or says that it loads its data."""

CHILD_PING_MS: Final = 1_000
"""Pause between two PINGs to a child: a stalled process is noticed within seconds, at no cost worth naming."""

CHILD_SUSPECT_MS: Final = 3_000
"""Without an answer for this long a child is suspect; the log says so once, and no more: long commands do it."""

CHILD_HUNG_MS: Final = 120_000
"""Without an answer for this long a child is ended and started again. It holds data that may exist nowhere else, so
the bound lies far above what any command, snapshot or slow disk takes."""

BACKLOG_HOLD_MS: Final = 1_000
"""Longest pause before a restart during which the listening sockets of a child are kept open: connections may wait so
long in the backlog. Of one that keeps dying they are closed, so that clients are refused at once instead of hanging."""

DRAIN_IDLE_MS: Final = 1_000
"""A client that was silent for so long is disconnected by a proxy that hands over: it will hardly send its next command
in the very microsecond in which that is decided."""

DRAIN_LINGER_MS: Final = 5_000
"""How long a client that was disconnected, and does not close its end, may take in what is still on its way to it."""

DRAIN_END_MS: Final = 60_000
"""How long a proxy whose drain is over may still wait for the replies of commands in flight before it is stopped."""

LOG_LINES_KEPT: Final = 1_000
"""Lines of the log that the supervisor remembers per process: some 150 KiB, enough to see how a crash came about."""

LOG_LINE_BYTES_MAX: Final = 4 * KIB
"""Longest line that is taken from a child; what is longer (no line of our log is) comes as several."""

LOG_FOLLOWER_LINES_MAX: Final = 10_000
"""Lines that may wait for somebody who follows the log and does not read; then some are left out."""

RESTART_WAIT_MS: Final = 2 * CHILD_START_MS
"""How long a rolling restart waits for one child to be up, answering and reachable before it gives up."""

FORK_TURN_MS: Final = 10_000
"""How long an engine that asks for a turn to fork waits for an answer: a supervisor gives one within milliseconds, and a
snapshot out of turn is better than none."""

FORK_TURN_LONGEST_MS: Final = 600_000
"""After so long a turn keeps nobody else waiting: its holder's disk may be stuck."""

ENGINES_WAIT_MS: Final = 5_000
"""How long the proxies wait for the engines at start: one that never comes up must not keep the others from serving."""

CONTROL_MESSAGE_BYTES_MAX: Final = 16 * MIB
"""Longest message on a control link. The largest is a topology: 16,384 ranges of one slot take under 1 MiB."""

CONTROL_CHECK_MS: Final = 1_000
"""Pause between two looks whether a process's control socket is still in its place: one stat()."""

CONTROL_REPLY_MS: Final = 5_000
"""How long the supervisor waits for a child's answer before it says that there was none."""

EPOCH_MAX: Final = 2**53 - 1
"""Highest topology epoch: what every JSON reader keeps exactly."""

PORT_MAX: Final = 65_535

# --- metrics ------------------------------------------------------------------------------------------------------

METRICS_WAIT_MS: Final = 1_000
"""How long a scrape waits for engines and proxies: an answer within 2 s whatever hangs; Prometheus gives up at 10 s."""

METRICS_CACHE_MS: Final = 1_000
"""Scrapes closer to each other than this share one gathering: an impatient reader costs the engines nothing."""

METRICS_CONNECTIONS_MAX: Final = 64
"""Connections to the metrics port at once; a few scrapers need one each."""

METRICS_CONNECTION_MS: Final = 10_000
"""How long a connection to the metrics port may last, from its first byte to the last one taken."""

METRICS_REQUEST_BYTES_MAX: Final = 16 * KIB
"""Longest request line with headers; browsers send a few KiB."""

METRICS_SLOTS: Final = 20
"""Slots that /metrics/slots shows where ?top= does not say: each is a series, or four."""

METRICS_QUERY_FIELDS_MAX: Final = 16
"""Most fields of a query; a page takes one or two."""

# --- proxy --------------------------------------------------------------------------------------------------------

PROXY_PIPELINE_MAX: Final = 1024
"""Commands of one client on their way to engines: beyond it the client is not read. Deep pipelines run at full speed
with a few hundred, and one client cannot fill the queues of the engines."""

PROXY_PARSE_MAX: Final = 256
"""Requests taken from a client's input at a time: more than a read buffer usually holds, fewer than the bound above."""

PROXY_OUT_BYTES: Final = 16 * KIB
"""Reply bytes collected for one client before they are sent: a pipeline of small replies is one write."""

PROXY_SLOW_CLIENTS_MAX: Final = 4096
"""Slow commands whose clients a proxy remembers: many times the entries of a slow log by default, under 1 MiB."""

PROXY_SLOTS_KEPT: Final = 64
"""Places in line (24 bytes each) that an idle client keeps, so that 10,000 idle ones cost little."""

PROXY_UNSENT_BYTES_MAX: Final = MIB
"""Reply bytes a client may leave unread before it is not read from any more."""

PROXY_LINK_BYTES_KEPT: Final = MIB
"""Request buffer a link keeps when it is empty; a giant request's is freed."""

PROXY_STREAM_BYTES_MIN: Final = 32 * KIB
"""A reply of which at least this much has come, and not its end, is passed on in pieces."""

RDB_READ_BYTES: Final = 256 * KIB
"""Read of an RDB file in one go: what the kernel has just copied is still in the cache when it is looked at."""

LISTPACK_BYTES_MAX: Final = 1 << 30
"""Largest listpack, as in Redis: its size is a field of 32 bits."""

LIST_SEGMENT_NODES: Final = 62
"""Nodes of a list that are side by side in its directory: 1,016 bytes, just within a size class of the allocator."""

LIST_COMPRESS_BYTES_MAX: Final = 1 << 20
"""Largest node that list-compress-depth compresses: more would take longer than a step may."""

EFFECT_ELEMENTS: Final = 1_024
"""Elements that one command names where the journal tells what was removed at random, as in Redis."""

FIELD_EXPIRY_MS_MAX: Final = (1 << 46) - 1
"""The latest expiry of a hash's field, Unix ms, as in Redis: the year 4199."""

FIELDS_SETTLED_AT_ONCE: Final = 512
"""A hash of so many fields in a table is looked through for what is due when it is asked for: some 10 us."""

RANDOM_REPLY_BYTES_MAX: Final = 256 * MIB
"""Longest reply of members that may come again (a negative count): what 2^63 asks for would take all memory."""

PIECE_BYTES: Final = 128 * KIB
PIECE_ELEMENTS: Final = 2_048
"""About how much of a value goes from engine to engine at once: reading it, and adding it there, takes each some 200
us, which others wait for if nobody holds the engines."""

HELD_PIECES: Final = 8
"""As many go at once while the engines are held: a round trip takes as long as a piece, and all wait for the whole."""

HOLD_MS_MAX: Final = 5_000
"""Longest time for which a proxy can have an engine to itself; a command over several engines needs some round trips,
less than a millisecond. Above it, other clients would think that the engine is down."""

PROXY_LARGE_REPLY_BYTES_MIN: Final = 256 * KIB
"""A reply of which at least this much is on its way makes its link step aside: some 100 us that others would wait."""

PROXY_PRIVATE_LINKS_MAX: Final = 32
"""Links of an engine that large replies have for themselves: descriptors on both sides. Where all are taken, large
replies hold up others' for as long as they take."""

PROXY_LENT_LINKS_MAX: Final = 8_192
"""Links of an engine that are lent at once: one for each client that watches keys or waits in a blocking command. Each
is a descriptor on both sides; beyond it such commands are refused."""

PROXY_IDLE_LINKS_MAX: Final = 1_024
"""Links of an engine that nobody uses: clients that wait in blocking commands borrow again as soon as they are served,
and connecting anew costs some 50 us."""

PROXY_IDLE_LINKS_KEPT: Final = 4
"""So many of them are kept for good, for the next large reply or borrower; of those beyond, one ends in each
PROXY_CRON_MS."""

PROXY_RETRY_MS: Final = 1_000
"""How long a command that could not be sent waits for its engine (default of proxy-retry-ms): most restarts are
shorter."""

PROXY_HELD_BYTES_MAX: Final = 16 * MIB
"""Bytes of commands that wait for one engine to come back; once there are more, further ones are refused at once."""

PROXY_LINK_BYTES_MAX: Final = 256 * MIB
"""Bytes of unanswered commands on one link to an engine that is up; once there are more, further ones are refused. A
stalled engine must not make the proxy collect what all clients go on sending. One command may be larger."""

PROXY_RECONNECT_MIN_MS: Final = 5
PROXY_RECONNECT_MAX_MS: Final = 250
"""Pause before a link connects again, doubled each time: connecting to a Unix socket is cheap, but not free."""

PROXY_HOLD_MS: Final = 1_000
"""How long a command over several engines may hold them: it takes a few round trips, under a millisecond. Where an
engine does not answer in between, the others' clients wait that long."""

PROXY_INFO_MS: Final = 1_000
"""How long INFO waits for an engine: what is asked for when something hangs must not hang itself."""

LATENCY_SAMPLE: Final = 64
"""One command in so many is measured by a proxy: thousands of samples a second under load, at no cost that shows."""

LATENCY_US_MAX: Final = 3_600_000_000
"""Longest latency that the proxy tells apart, an hour: no command takes longer, and a histogram is 26 KiB."""

LATENCY_BOUNDS_US: Final = (10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000,
                            500_000, 1_000_000, 2_500_000, 10_000_000)
"""Bounds of the buckets that Prometheus gets, from what a system call takes to when clients have given up."""

PROXY_CRON_MS: Final = 100
"""Pause between two looks at links and idle clients."""

PROXY_PEER_MS: Final = 1_000
"""How long a proxy waits for another one's answer: it only has to walk over its clients, some milliseconds."""

PROXY_PEER_NEWS_MS: Final = 1_000
"""Longest pause between two messages to another proxy, where there is nothing new to say."""

CLIENT_IDS_OF_PROCESS: Final = 2**32
"""Client ids set aside for one process of a proxy, more than it can ever give: its successor begins behind them, since
clients of both may be there at once. Two million processes fit below 2^53, which every client library keeps exactly."""

# --- persistence --------------------------------------------------------------------------------------------------

RDB_SYNC_BYTES: Final = 4 * MIB
"""A snapshot's file is synced after so many bytes (rdb-save-incremental-fsync), so that the disk works all the while and
has little left at the end; Redis's RIO_AUTOSYNC_BYTES."""

SNAPSHOT_READ_BYTES: Final = 4096
"""What is read at once of a snapshot's news: a multiple of its records, which a pipe does not cut."""

SNAPSHOT_COW_S: Final = 1.0
"""Pause between two looks of a snapshot's child at what was copied; each walks its page tables."""

MANIFEST_LINE_BYTES_MAX: Final = 1024
"""Longest line of the append-only file's manifest, its newline counted, as in Redis."""

AOF_ANNOTATION_BYTES_MAX: Final = 1024
"""Longest annotation (#TS: ...) in the append-only file, as in Redis."""

AOF_READ_BYTES: Final = MIB
"""What is read of an append-only file at a time while it is loaded: large enough that the system call is nothing."""

AOF_POSTPONED_MS_MAX: Final = 2_000
"""How long writing to the append-only file waits for an fsync that is under way, as in Redis: beyond it the loop may
block, and more than a second or two of writes must not be at risk."""

AOF_FSYNC_MS: Final = 1_000
"""Pause between two fsyncs of the append-only file with `appendfsync everysec`."""

AOF_ERROR_LOG_S: Final = 30
"""Pause between two log lines about a failing append-only file, as in Redis."""

AOF_LOOK_MS: Final = 1_000
"""Pause between two looks whether the file that the log is written to has been deleted: one fstat."""

AOF_REWRITE_FAILURES_MAX: Final = 3
"""So many failed rewrites in a row, and the next ones wait, as in Redis: each leaves an increment behind."""

AOF_REWRITE_DELAY_MINUTES_MAX: Final = 60
"""Longest pause after failed rewrites, as in Redis; it begins with one minute and doubles."""

AOF_ITEMS_PER_COMMAND: Final = 64
"""Elements in one command of a base that consists of commands, as in Redis."""

BGSAVE_RETRY_S: Final = 5
"""Pause after a BGSAVE that failed before the clock tries again, as in Redis (CONFIG_BGSAVE_RETRY_DELAY)."""

LOAD_STEP_US: Final = 50_000
"""How long an engine loads before it looks at its clients: often enough for who asks how far it is, and seldom enough
to cost nothing."""

LOAD_LOG_MS: Final = 5_000
"""Pause between two lines of the log that say how far the loading is."""

LOAD_FREE_KEYS: Final = 100_000
"""Keys freed in one go where everybody waits anyway."""

BACKUP_HOLD_MS: Final = 500
"""How long a backup may take to hold all engines: those that it has already serve nobody meanwhile. It takes a few
milliseconds, unless a command over several engines, or a slow one, is under way. Less than PROXY_HOLD_MS, so that no
command gives up because of it."""

BACKUP_HOLD_TRIES: Final = 20
"""After so many times, with pauses that grow to two seconds, a backup gives up: some engine is busy with long commands
all the time."""

BACKUP_RESERVE_MS: Final = 5_000
"""How long an engine starts no save and no rewrite of its log because a backup is about to begin: the supervisor asks
anew every second, so this ends only when it has gone."""

BACKUP_WAIT_S: Final = 600
"""How long a backup waits for saves and rewrites that are under way: what takes longer has a disk that is stuck, and
who wants a backup should know."""

IMPORT_KEYS: Final = 256
IMPORT_BYTES: Final = 256 * KIB
"""What an import sends at once to all engines together: some hundred microseconds of an engine, unless one value alone is
larger."""
