"""What of pub/sub a client of one engine cannot bring about: slots that go, a cluster that is down, who is gone."""
from harness.resp import encode, read_reply
from shardd.structures.slots import slot_of
from unit.inproc import Caller, Engine


def heard(caller: Caller) -> list:
    """The next reply or push, as a list."""
    return list(read_reply(caller._readline, caller._read))


def test_who_listens_to_a_shard_channel_whose_slot_goes_is_told():
    engine = Engine("--cluster-enabled", "yes")
    listener, other = Caller(engine), Caller(engine)
    listener.send(encode("HELLO", "3") + encode("SSUBSCRIBE", "{a}1", "{a}2") + encode("SSUBSCRIBE", "b"))
    listener.read()
    assert [heard(listener)[1:] for _ in range(3)] == [[b"{a}1", 1], [b"{a}2", 2], [b"b", 3]]
    owned = bytearray(b"\x01" * 16384)
    owned[slot_of(b"a")] = 0
    engine.server.dispatcher.set_slots(bytes(owned))
    engine.server.dispatcher.drop_shard_channels()
    assert other("SPUBLISH", "b", "x") == 1
    left = [heard(listener) for _ in range(2)]
    assert sorted(one[1] for one in left) == [b"{a}1", b"{a}2"]
    assert [(one[0], one[2]) for one in left] == [(b"sunsubscribe", 2), (b"sunsubscribe", 1)]
    assert heard(listener) == [b"smessage", b"b", b"x"]
    assert engine.server.channels.names(2) == [b"b"]


def test_shard_channels_while_the_cluster_is_down():
    engine = Engine("--cluster-enabled", "yes")
    engine.server.dispatcher.down = 1
    assert engine("SPUBLISH", "a", "x") == 0
    assert "CLUSTERDOWN" in str(engine("GET", "a"))
    engine("CONFIG", "SET", "cluster-allow-pubsubshard-when-down", "no")
    assert "CLUSTERDOWN" in str(engine("SPUBLISH", "a", "x"))


def test_one_command_with_more_events_than_a_subscriber_may_leave_unread():
    engine = Engine("--notify-keyspace-events", "KEA", "--client-output-buffer-limit", "pubsub", "64kb", "0", "0")
    listener = Caller(engine)
    listener("PSUBSCRIBE", "*")
    keys = [f"key:{n}" for n in range(5000)]
    engine("MSET", *[word for key in keys for word in (key, "v")])
    assert engine.server.stats.output_limit_closes == 1
    assert engine.server.channels.rooms == ({}, {}, {}), "it is gone"
    assert engine("DEL", *keys) == 5000


def test_nothing_is_left_of_who_is_gone():
    engine = Engine()
    listener = Caller(engine)
    listener("SUBSCRIBE", "a")
    listener.sock.close()
    engine("PUBLISH", "a", "x")
    engine("PING")
    assert engine("PUBLISH", "a", "x") == 0
    assert engine.server.channels.clients() == set()
