"""What a plain command handler may return, and how it goes over the wire.

    Python                     RESP2                    RESP3
    None                       $-1                      _
    NULL_ARRAY                 *-1                      _
    int                        :n                       :n
    bool                       :1 / :0                  #t / #f
    float                      $len text                ,text
    bytes, str                 $len                     $len          (str as UTF-8)
    Simple("OK")               +OK                      +OK
    Verbatim("text")           $len                     =len txt:
    list, tuple                *n                       *n
    set, frozenset             *n                       ~n
    dict                       *2n                      %n
    Push([...])                *n                       >n
    CommandError               -text                    -text         (also raised)
    NO_REPLY                   nothing                  nothing
"""


class Simple(str):
    """A simple string: no CR or LF inside."""


class Verbatim(str):
    """A text for people (INFO, CLIENT LIST): a verbatim string of format `txt` in RESP3, a bulk string in RESP2."""


class Push(list):
    """An out-of-band message: a push in RESP3, an array in RESP2."""


class _Marker:
    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


OK = Simple("OK")
NULL_ARRAY = _Marker("NULL_ARRAY")
NO_REPLY = _Marker("NO_REPLY")
