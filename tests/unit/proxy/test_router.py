"""Every row of the command table has a class, and the right one."""
import pytest

from proxy import aggregate, blocking, handlers, joint, persistence
from proxy.router import KINDS, Router, all_rows, classify
from shardd.commands import table

HANDLERS = (handlers.SHARED | handlers.HANDLERS | aggregate.HANDLERS | blocking.HANDLERS | persistence.HANDLERS
            | joint.TASKS)
ROWS = list(all_rows())


@pytest.fixture(scope="module")
def router() -> Router:
    return Router(HANDLERS, joint.HANDLERS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row(router, row):
    kind = router.kind(row.name)
    assert kind in KINDS.values()
    assert (kind, classify(row, HANDLERS.get(row.name))[1]) == classify(row, HANDLERS.get(row.name))
    if row.name in HANDLERS:
        assert kind in ("local", "task", "block")
    elif kind in ("key", "keys", "split"):
        assert row.first_key > 0 and not row.movablekeys, "keys at fixed places"
        assert kind != "key" or row.first_key == row.last_key
    elif kind == "every":
        assert not row.key_specs and row.request_policy in ("all_shards", "all_nodes")
    elif kind == "movable":
        assert row.movablekeys
    elif kind == "any":
        assert row.own_name == "help"
    # what has keys is never sent to an engine by chance, and what blocks never holds a link that others use
    assert not (row.key_specs and kind in ("any", "every"))
    assert not ("blocking" in row.flags and kind not in ("refused", "block"))


def test_the_split_commands_are_those_with_the_tip(router):
    split = {row.name for row in ROWS if router.kind(row.name) == "split"}
    assert split == {"mget", "mset", "del", "unlink", "exists", "touch"}
    assert all(table.COMMANDS[name].first_key == 1 and table.COMMANDS[name].last_key < 0 for name in split)


@pytest.mark.parametrize(("name", "kind"), [
    ("get", "key"), ("set", "key"), ("object|encoding", "key"), ("memory|usage", "key"), ("move", "key"),
    ("rename", "keys"), ("copy", "keys"), ("msetnx", "keys"), ("bitop", "keys"), ("eval", "movable"),
    ("sort", "movable"), ("xread", "refused"), ("dbsize", "every"), ("flushall", "every"), ("flushdb", "every"),
    ("keys", "every"), ("scan", "task"), ("randomkey", "task"), ("swapdb", "task"), ("info", "task"),
    ("config|set", "task"), ("slowlog|len", "every"), ("slowlog|reset", "every"), ("ping", "local"),
    ("hello", "local"), ("client|list", "local"), ("command|docs", "local"), ("cluster|slots", "local"),
    ("cluster|countkeysinslot", "task"), ("shutdown", "task"), ("bgsave", "task"), ("waitaof", "block"),
    ("object|help", "any"), ("client", "container"),
    ("multi", "transaction"), ("subscribe", "refused"), ("blpop", "block"), ("monitor", "refused"),
    ("psync", "refused"), ("wait", "refused"), ("save", "task"), ("memory|stats", "task"),
    ("replicaof", "local"),
])
def test_some_by_name(router, name, kind):
    assert router.kind(name) == kind


def test_a_handler_without_a_row_is_a_mistake():
    with pytest.raises(ValueError, match="nosuch"):
        Router({"nosuch": lambda server, client, args: None})
    with pytest.raises(ValueError, match="nosuch"):
        Router({}, {"nosuch": lambda server, client, args: None})


def test_built_is_what_commands_shows(router):
    assert {"get", "client|list"} <= router.built
    assert "subscribe" not in router.built, "refused commands are not offered"
    router.set_built(frozenset(("get", "subscribe", "object|freq")))
    assert {"get", "ping", "scan", "object|freq"} <= router.built
    assert not {"set", "subscribe", "multi", "blpop", "object", "object|encoding"} & router.built
    router.set_built(None)
