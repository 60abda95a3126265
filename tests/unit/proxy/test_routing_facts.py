"""Every row of the command table against Redis's own routing facts: commands_routing.tsv beside this file holds key
specs and command tips as they stand in the source of Redis 7.2.6, one line per command, written down apart from the
table. The class, the join and the lane of each command are computed from those facts here once more, in other words."""
from pathlib import Path
from typing import NamedTuple

import pytest

from proxy import aggregate, blocking, clients, handlers, joint, observe
from proxy.router import Router, all_rows, classify, lane_of
from shardd.commands import table

HANDLERS = (handlers.SHARED | handlers.HANDLERS | clients.HANDLERS | aggregate.HANDLERS | observe.HANDLERS
            | blocking.HANDLERS | joint.TASKS)
NOT_REDIS_7_2 = {
    "cluster|slot-stats", "delifeq",                                        # Valkey's
    "client|maint_notifications", "hexpire", "hexpireat", "hexpiretime", "hgetdel", "hgetex", "hpersist", "hpexpire",
    "hpexpireat", "hpexpiretime", "hpttl", "hsetex", "httl", "msetex"}      # Redis 7.4's and 8's
SHARED, LONG, CONTROL, LENT = range(4)
# JOIN_ numbers of proxy.merge by what the tips call them
JOINS = {"agg_sum": 1, "all_succeeded": 2, "one_succeeded": 3, "concatenated": 4, "in order of keys": 5,
         "agg_logical_and": 6}


class Fact(NamedTuple):
    """One line."""

    name: str
    specs: tuple[str, ...]
    request: str
    response: str


def facts() -> dict[str, Fact]:
    found = {}
    for line in Path(__file__).with_name("commands_routing.tsv").read_text("ascii").splitlines():
        if not line.startswith("#"):
            name, specs, request, response, _ = ("" if word == "-" else word for word in line.split("\t"))
            name = name.lower().replace(" ", "|")
            found[name] = Fact(name, tuple(specs.split(";")) if specs else (), request, response)
    return found


FACTS = facts()
ROWS = {row.name: row for row in all_rows()}
ROUTER = Router(HANDLERS, joint.HANDLERS)


def test_the_table_has_every_command_and_no_other():
    assert set(ROWS) - NOT_REDIS_7_2 == set(FACTS)
    assert len(FACTS) > 380


@pytest.mark.parametrize("fact", FACTS.values(), ids=lambda fact: fact.name)
def test_key_specs_and_tips_are_redis_s(fact):
    row = ROWS[fact.name]
    mine = tuple(sorted(spec.rpartition("|")[0] for spec in row._specs_text.split(";") if spec))
    assert mine == tuple(sorted(spec.rpartition("|")[0] for spec in fact.specs))
    assert (row.request_policy, row.response_policy) == (fact.request, fact.response)


def places(fact: Fact) -> str:
    """Where the keys are: "one", "several" at places that the specs name, or "anywhere"."""
    parts = [spec.split("|")[:2] for spec in fact.specs]
    if not all(begin.startswith("index:") and find.startswith("range:") for begin, find in parts):
        return "anywhere"
    if len(parts) == 1:
        return "one" if parts[0][1].split(":")[1].split(",")[0] == "0" else "several"
    ends = [(int(begin[6:]), int(find[6:].split(",")[0]), int(find[6:].split(",")[1])) for begin, find in parts]
    side_by_side = all(step == 1 and last == 0 and following == start + 1
                       for (start, last, step), (following, _, _) in zip(ends, ends[1:]))
    return "several" if side_by_side else "anywhere"


def expected(fact: Fact) -> set[tuple[str, int]]:
    """The classes, with the joins, that the facts allow."""
    row = ROWS[fact.name]
    if row.subcommands:
        return {("container", 0), ("local", 0)}
    if row.group == "transactions":
        return {("transaction", 0)}
    if row.group == "pubsub" or "blocking" in row.flags:
        return {("refused", 0), ("block", 0)} if fact.specs else {("refused", 0)}
    if fact.specs:
        if fact.request == "multi_shard":
            return {("split", JOINS[fact.response or "in order of keys"])}
        return {({"one": "key", "several": "keys", "anywhere": "movable"}[places(fact)], 0)}
    if fact.request in ("all_shards", "all_nodes") and fact.response in (*JOINS, ""):
        return {("every", JOINS[fact.response or "concatenated"]), ("task", 0), ("local", 0)}
    if fact.request:        # "special", or the least of all: a rule of its own, or none
        return {("task", 0), ("local", 0), ("refused", 0)}
    return {("task", 0), ("local", 0), ("refused", 0), ("any", 0)}


@pytest.mark.parametrize("fact", FACTS.values(), ids=lambda fact: fact.name)
def test_every_command_has_the_class_that_its_facts_give(fact):
    kind, join = classify(ROWS[fact.name], HANDLERS.get(fact.name))
    assert ROUTER.kind(fact.name) == kind
    assert (kind, join) in expected(fact)
    if fact.name not in HANDLERS:
        assert kind not in ("local", "task")
    if kind == "any":
        assert fact.name.endswith("|help"), "which engine would be right for anything else?"


@pytest.mark.parametrize("fact", FACTS.values(), ids=lambda fact: fact.name)
def test_every_command_has_the_lane_that_its_facts_give(fact):
    row = ROWS[fact.name]
    kind, _ = classify(row, HANDLERS.get(fact.name))
    lane = lane_of(row, kind)
    if kind == "block" or fact.name == "watch":
        assert lane == LENT
    elif fact.specs or kind not in ("every", "task"):
        assert lane == SHARED, "a client's commands for one key go one way"
    elif row.acl_categories & {"fast"}:
        assert lane == SHARED
    elif row.acl_categories & {"read", "write"} or row.flags & {"write"}:
        assert lane == LONG
    else:
        assert lane == CONTROL


def test_what_is_one_step_over_engines_has_several_keys():
    for name in set(joint.HANDLERS) - set(joint.TASKS):
        assert classify(ROWS[name], None)[0] in ("keys", "movable"), name
    assert not any(ROWS[name].has_keys for name in joint.TASKS)


def test_what_is_answered_here_has_no_keys():
    """A handler takes the place of what the facts would give: nobody's key may be lost that way."""
    assert [name for name in HANDLERS if ROWS[name].has_keys and name not in blocking.HANDLERS] == []
