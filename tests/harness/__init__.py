"""What the tests stand on: real servers, raw connections with exact replies, and the targets.

    resp      the wire format with every distinction kept (a status is not a bulk string, nil is not a nil array)
    conn      one raw connection
    servers   processes: the real redis-server, an engine, the whole tree; free ports, readiness, clean-up
    targets   one callable per way of reaching a server, so that a body is written once
    build     which build variant runs, and whether its .so files are fresh
    imports   reads the import graph of the sources without importing anything

Nothing here imports the package under test: the harness would otherwise share its mistakes.
"""

from harness.conn import Closed, Conn
from harness.resp import (NULL_ARRAY, OK, BigNumber, Double, Error, Push, SetReply, Status, Verbatim, encode, same,
                          words)

__all__ = ["NULL_ARRAY", "OK", "BigNumber", "Closed", "Conn", "Double", "Error", "Push", "SetReply", "Status",
           "Verbatim", "encode", "same", "words"]
