# The numbers of the RDB format, which a file (dump.rdb, the base of an AOF) and a DUMP payload share. No module: names
# alone, for who writes them (journal/rdb_out, rdb_save*) and who reads them (journal/rdb_in, rdb_load*). What they
# stand for, byte by byte, is in FORMAT.md beside this file.
#
# Sources: rdb.h of Redis 2.8 to 8.8 and of Valkey 8 and 9. Up to version 11 both are one format. From then on Redis
# counts on (12: 7.4 and 8.0, 13 and more: 8.4 and later), and Valkey writes 80 (9.0) and 81 (9.2) behind the magic
# "VALKEY"; some numbers mean one thing in a file of Redis and another in one of Valkey, so that whoever reads them has
# to know the version first.

cdef enum RdbVersion:
    RDB_VERSION = 10                # Redis 7.0: what is written unless the data needs more
    RDB_VERSION_FIELD_TTL = 12      # Redis 7.4: the first with fields of hashes that expire
    RDB_VERSION_MIN = 1
    RDB_VERSION_LAST_COMMON = 11    # Redis 7.2, Valkey 7.2 and 8: the last that both write
    RDB_VERSION_KEY_META = 13       # Redis 8.4
    RDB_VERSION_REDIS_MAX = 14      # the newest of Redis's own of which we know all that we can hold
    RDB_VERSION_VALKEY_MIN = 80     # Valkey 9.0: files begin with "VALKEY"
    RDB_VERSION_VALKEY_MAX = 81     # Valkey 9.2

cdef enum RdbFrame:                 # bytes
    RDB_MAGIC_BYTES = 9             # "REDIS0010", "VALKEY080"
    RDB_CHECKSUM_BYTES = 8
    RDB_DUMP_FOOTER_BYTES = 10      # of a DUMP payload: version, checksum

# What stands where a value's type is expected, and is none.
cdef enum RdbOpcode:
    RDB_OPCODE_UPDATE = 242         # Valkey 9.2: a command that ran during a save without fork
    RDB_OPCODE_SLOT_IMPORT = 243    # Valkey 9: a slot is being imported
    RDB_OPCODE_KEY_META = 243       # Redis 8.4: what modules know of the next key
    RDB_OPCODE_SLOT_INFO = 244      # Redis 7.4: slot, keys and keys with an expiry in it; a hint
    RDB_OPCODE_FUNCTION2 = 245      # Redis 7.0: a library of functions
    RDB_OPCODE_FUNCTION_PRE_GA = 246        # of a release candidate of 7.0
    RDB_OPCODE_MODULE_AUX = 247
    RDB_OPCODE_IDLE = 248           # seconds since the last access of the next key
    RDB_OPCODE_FREQ = 249           # LFU counter of the next key
    RDB_OPCODE_AUX = 250            # a name and what it says of the file
    RDB_OPCODE_RESIZEDB = 251       # keys, and keys with an expiry, of this database; a hint
    RDB_OPCODE_EXPIRETIME_MS = 252  # of the next key: unix time in ms
    RDB_OPCODE_EXPIRETIME = 253     # in seconds; before version 3
    RDB_OPCODE_SELECTDB = 254
    RDB_OPCODE_EOF = 255

cdef enum RdbType:
    RDB_TYPE_STRING = 0
    RDB_TYPE_LIST = 1
    RDB_TYPE_SET = 2
    RDB_TYPE_ZSET = 3               # scores in decimal
    RDB_TYPE_HASH = 4
    RDB_TYPE_ZSET_2 = 5             # scores as doubles
    RDB_TYPE_MODULE_PRE_GA = 6
    RDB_TYPE_MODULE_2 = 7
    RDB_TYPE_HASH_ZIPMAP = 9
    RDB_TYPE_LIST_ZIPLIST = 10
    RDB_TYPE_SET_INTSET = 11
    RDB_TYPE_ZSET_ZIPLIST = 12
    RDB_TYPE_HASH_ZIPLIST = 13
    RDB_TYPE_LIST_QUICKLIST = 14    # nodes are ziplists
    RDB_TYPE_STREAM_LISTPACKS = 15
    RDB_TYPE_HASH_LISTPACK = 16     # version 10
    RDB_TYPE_ZSET_LISTPACK = 17     # version 10
    RDB_TYPE_LIST_QUICKLIST_2 = 18  # version 10: nodes are listpacks, or one large element
    RDB_TYPE_STREAM_LISTPACKS_2 = 19        # version 10
    RDB_TYPE_SET_LISTPACK = 20      # version 11
    RDB_TYPE_STREAM_LISTPACKS_3 = 21        # version 11
    # Of Redis:
    RDB_TYPE_HASH_METADATA_PRE_GA = 22      # fields with their expiries in ms; release candidates of 7.4
    RDB_TYPE_HASH_LISTPACK_EX_PRE_GA = 23
    RDB_TYPE_HASH_METADATA = 24     # version 12: the earliest expiry, then fields with theirs, relative to it
    RDB_TYPE_HASH_LISTPACK_EX = 25  # version 12: the earliest expiry, then a listpack of field, value, expiry
    RDB_TYPE_STREAM_LISTPACKS_4 = 26        # version 13
    RDB_TYPE_STREAM_LISTPACKS_5 = 27        # version 14
    RDB_TYPE_ARRAY = 28             # version 14
    # Of Valkey:
    RDB_TYPE_HASH_2 = 22            # version 80: field, value, expiry in ms, or -1

# The first byte of a length: its two upper bits say what it is.
cdef enum RdbLength:
    RDB_6BIT = 0                    # the lower six bits are the length
    RDB_14BIT = 1                   # and the next byte, big-endian
    RDB_32BIT = 0x80                # four bytes follow, big-endian
    RDB_64BIT = 0x81                # eight bytes follow, big-endian
    RDB_ENCVAL = 3                  # no length: the lower six bits say how a string is encoded

cdef enum RdbStringEncoding:
    RDB_ENC_INT8 = 0
    RDB_ENC_INT16 = 1               # little-endian, as the next one
    RDB_ENC_INT32 = 2
    RDB_ENC_LZF = 3                 # compressed length, length, LZF

# What the container of a node is, of RDB_TYPE_LIST_QUICKLIST_2.
cdef enum RdbNode:
    RDB_NODE_PLAIN = 1              # one element
    RDB_NODE_PACKED = 2             # a listpack

# What a module's value is made of (RDB_TYPE_MODULE_2, RDB_OPCODE_MODULE_AUX).
cdef enum RdbModule:
    RDB_MODULE_EOF = 0
    RDB_MODULE_SINT = 1
    RDB_MODULE_UINT = 2
    RDB_MODULE_FLOAT = 3
    RDB_MODULE_DOUBLE = 4
    RDB_MODULE_STRING = 5

# What an element of an array is; all others are strings.
cdef enum RdbArray:
    RDB_ARRAY_STRING = 0
    RDB_ARRAY_INTEGER = 1           # 8 bytes, as the next one
    RDB_ARRAY_DOUBLE = 2
    RDB_ARRAY_SMALL_STRING = 3

# The length byte of a score that is no number, in RDB_TYPE_ZSET.
cdef enum RdbScore:
    RDB_SCORE_NAN = 253
    RDB_SCORE_INF = 254
    RDB_SCORE_NEGATIVE_INF = 255
