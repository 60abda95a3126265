"""Which commands there are beside the real Redis: what is missing is on a list, and nothing on it is there."""

import fnmatch

import pytest

pytestmark = pytest.mark.not_on("oracle", "cluster", reason="compared with the oracle; these are engines")

NOT_YET = """
    acl|* eval* fcall* function function|* script script|*
    bit* getbit setbit geo* pf* x* monitor sync psync replconf failover migrate module module|* wait
    client|tracking cluster|*
    """.split()
"""Commands, and families of them, that do not exist yet: README, "Not yet"."""

ON_ENGINES = """
    subscribe psubscribe ssubscribe unsubscribe punsubscribe sunsubscribe publish spublish pubsub pubsub|*
    """.split()
"""What an engine has and the proxy does not yet."""

NEVER = ["latency|graph"]
"""A picture of ASCII characters that nobody reads by machine."""


def names(conn) -> set[str]:
    return {name.decode() for name in conn.must("COMMAND LIST")}


def fits(name: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def test_what_is_missing_is_known(r, oracle):
    missing = names(oracle.conn()) - names(r.conn())
    known = NOT_YET + (ON_ENGINES if r.name == "proxy" else []) + NEVER
    assert {name for name in missing if not fits(name, known)} == set()


def test_what_is_known_is_missing(r, oracle):
    """A family that was built must go from the list, and from the README."""
    theirs, ours = names(oracle.conn()), names(r.conn())
    for pattern in NOT_YET:
        assert any(fits(name, [pattern]) for name in theirs - ours), pattern
