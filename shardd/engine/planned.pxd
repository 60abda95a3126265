from shardd.commands.registry cimport Command
from shardd.keyspace.database cimport Database, Key

ctypedef struct Planned:
    Command* command        # NULL: unknown
    Key key                 # its first key, where the command has one at a fixed place
    bint keyed

cdef void ask_for_entries(Database db, Planned* planned, int count) noexcept
