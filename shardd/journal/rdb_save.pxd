from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from shardd.base.native cimport bytep
from shardd.journal.rdb_out cimport RdbOut
from shardd.keyspace.database cimport SlotTable
from shardd.structures.walk cimport TableWalk

cdef enum RdbAccess:        # what is told of a key's use
    RDB_NO_ACCESS = 0
    RDB_IDLE = 1            # maxmemory-policy is one of lru
    RDB_FREQ = 2            # or of lfu

# A database that has keys.
ctypedef struct SaveDb:
    SlotTable* slots
    int number
    uint64_t keys, volatile_keys        # in the slots that are written

# A save under way.
ctypedef struct SaveRun:
    RdbOut o
    SaveDb* dbs
    int db_count
    const uint8_t* wanted   # a flag for each slot; NULL: all
    int64_t now_ms
    int access              # RdbAccess
    uint32_t clock          # seconds or minutes, as the entries have them
    int decay_minutes
    uint64_t keys           # written
    int progress_fd         # -1: nobody wants to know
    int64_t told_ms
    int delay_us
    bint commands           # the file is to consist of commands (journal.aof_values)
    SlotTable* slots        # of the database that is being written:
    int slot                # where it stands,
    bint entered            # and whether the walk has begun there
    TableWalk walk

cdef void rdb_dump(RdbOut* o, bytep e, int64_t now_ms) noexcept nogil       # a DUMP payload; o: in memory
