from shardd.commands.context cimport Context
from shardd.commands.registry cimport Command, Registry
from shardd.engine.planned cimport Planned
from shardd.journal.aof_reader cimport AofReader, Effect
from shardd.net.client cimport Client
from shardd.wire.request cimport Arg

cdef class Replay:
    cdef object server                  # engine.server.Server
    cdef Context context
    cdef Registry registry
    cdef Client client                  # in whose name the effects are run
    cdef Planned[64] planned
    cdef readonly object error          # the text of the last error that an effect ended with, None: there was none
    cdef readonly unsigned long long effects, errors
    cdef int batch(self, AofReader reader, int first, int count) except -1
    cdef int plan(self, AofReader reader, int first, int count) except -1
    cdef int run_one(self, Planned* p, Arg* argv, int argc) except -1
    cdef int note(self, Command* c, bytes text) except -1
