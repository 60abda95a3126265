from libc.stdint cimport uint8_t, uint32_t, uint64_t, int64_t
from shardd.base.native cimport bytep
from shardd.journal.rdb_in cimport RdbSource
from shardd.journal.rdb_load_build cimport Thresholds, Value
from shardd.journal.rdb_load_skip cimport Skipping
from shardd.keyspace.bulk cimport Loaded
from shardd.keyspace.database cimport Database, Keyspace

# What was said of the key that follows.
ctypedef struct KeyFacts:
    int64_t expiry              # Unix ms, -1: none
    int64_t idle                # seconds, -1: not said
    int freq                    # -1: not said

cdef enum Doing:
    IDLE = 0                    # nothing is under way
    BUILDS = 1                  # a value is made
    SKIPS = 2                   # a value is passed over
    PASSES = 3                  # something else is passed over, and the facts are for what comes behind it

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
    cdef int64_t announced              # keys
    cdef KeyFacts facts
    cdef int doing                      # a Doing
    cdef Value value
    cdef Skipping skipping
    cdef const uint8_t* name            # the key under way, as the source holds it
    cdef Py_ssize_t name_len
    cdef uint32_t slot
    cdef int64_t deadline_us            # of the step
    cdef int64_t looked_at              # where the source's buffer began when the clock was asked last
    cdef unsigned int looks
    cdef Loaded pending[32]
    cdef int pending_n
    cdef int begin(self) except -1
    cdef bint look(self) noexcept
    cdef bint one(self) except -1
    cdef bint go_on(self) except -1
    cdef bint opcode(self, int op) except -1
    cdef int key(self, int type) except -1
    cdef int find_kind(self, int type) except -1
    cdef int pass_over(self, int type) except -1
    cdef int build(self, int type) except -1
    cdef int whole(self) except -1
    cdef int add(self, bytep e) except -1
    cdef int flush(self) except -1
    cdef int finish(self) except -1
    cdef int choose_room(self, int64_t keys) noexcept
    cdef int choose(self, uint64_t number) except -1
    cdef int note_aux(self) except -1
    cdef int unsupported(self, str kind) except -1

    cdef inline bint late(self, RdbSource s) noexcept:
        # Whether the deadline has passed: asked after each element, looked at now and then, and when the file was read.
        self.looks += 1
        if self.looks % 32 != 0 and s.base == self.looked_at:
            return False
        return self.look()
