from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep
from shardd.journal.rdb_in cimport RdbSource
from shardd.journal.rdb_load_build cimport Thresholds
from shardd.keyspace.bulk cimport Loaded
from shardd.keyspace.database cimport Database, Keyspace

# What was said of the key that follows.
ctypedef struct KeyFacts:
    int64_t expiry              # Unix ms, -1: none
    int64_t idle                # seconds, -1: not said
    int freq                    # -1: not said

# Loads one file, or one AOF's preamble; see rdb_load.py.
cdef class RdbLoader:
    cdef RdbSource source
    cdef Keyspace keyspace
    cdef Thresholds thresholds
    cdef Database db
    cdef bytes slots                    # 16,384 flags; None: all slots
    cdef bint keep_expired, skip_unsupported, replace
    cdef readonly int version           # of the data; 0: not read yet
    cdef readonly bint done
    cdef readonly uint64_t keys         # that were loaded
    cdef readonly uint64_t expired      # that were due already
    cdef readonly uint64_t foreign      # of other slots
    cdef readonly uint64_t empty        # collections without elements
    cdef readonly dict skipped          # kind -> how many
    cdef readonly dict aux              # what the file says of itself: bytes -> bytes
    cdef uint64_t in_slot
    cdef KeyFacts facts
    cdef Loaded pending[32]
    cdef int pending_n
    cdef int begin(self) except -1
    cdef bint opcode(self, int op) except -1
    cdef int key(self, int type) except -1
    cdef int flush(self) except -1
    cdef int finish(self) except -1
    cdef int choose(self, uint64_t number) except -1
    cdef int note_aux(self) except -1
    cdef int unsupported(self, str kind) except -1
