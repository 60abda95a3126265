from libc.stdint cimport int64_t
from shardd.base.native cimport bytep
from shardd.commands.context cimport Context
from shardd.commands.registry cimport Registry
from shardd.keyspace.database cimport Key

# For blocking commands, which do the same later. The entry is that of a list, found for writing, under this key of the
# selected database; events, `touched` and the end of an empty key are seen to. What they reply goes to ctx.reply.
cdef int list_pop(Context ctx, Key* k, bytep e, bint front) except -1           # replies with the element
cdef int list_pop_many(Context ctx, Key* k, bytep e, bint front, int64_t count) except -1   # an array of up to count
cdef int list_move(Context ctx, Key* source_key, bytep source, Key* target_key, bytep target, bint from_front,
                   bint to_front) except -1                     # target: NULL or a list; replies with the element

cdef int register_lists(Registry registry) except -1
