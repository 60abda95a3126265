from libc.stdint cimport int64_t
from shardd.base.native cimport bytep
from shardd.commands.context cimport Context
from shardd.engine.words cimport Words
from shardd.keyspace.database cimport Key
from shardd.keyspace.entry cimport View
from shardd.wire.request cimport Arg

cdef dict KINDS             # type of a collection or string -> its kind
cdef dict MAKERS            # kind of a collection -> the command that makes it

cdef int run_within(Context ctx, Arg* argv, int argc) except -1
# Elements of a collection from cursor `at` on, as a reply of RESP2; count 0: all. The next cursor, 0: none.
cdef int64_t reply_piece(Context ctx, const Arg* key, bytep e, int64_t at, int64_t* count) except -1
cdef bytes piece_kind(bytep e, View* view)
cdef Words split_expiries(Words w, int first)
cdef int read_piece(Context ctx, Key* k, Arg* argv, int argc) except -1
