"""Publish and subscribe: SUBSCRIBE, PSUBSCRIBE, SSUBSCRIBE and their ends, PUBLISH, SPUBLISH, PUBSUB; and keyspace
events as messages.

Owns: the commands on one engine, and the two channels of an event. Does not own who listens to what and the messages
(net.channels), what a subscribed client may do (dispatch), or which events there are (keyspace.events).

    __keyspace@0__:key   -> "set"        K
    __keyevent@0__:set   -> "key"        E, after K

A command that (un)subscribes from several names confirms each one by a push of its own, so it has as many replies as
names. CLIENT REPLY does not silence them.
"""
import cython
from cython.cimports.libc.stdint import uint8_t
from cython.cimports.shardd.commands.args import arg_bytes
from cython.cimports.shardd.commands.context import Context
from cython.cimports.shardd.commands.registry import Registry
from cython.cimports.shardd.keyspace.events import NOTIFY_KEYEVENT, NOTIFY_KEYSPACE, EventSink
from cython.cimports.shardd.net.channels import CHANNEL, PATTERN, SHARD_CHANNEL, Channels
from cython.cimports.shardd.net.client import ClientFlag
from cython.cimports.shardd.wire.request import Arg

from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.commands.plain import help_lines

arg_p = cython.typedef(cython.pointer(Arg))
const_bytes = cython.typedef(cython.pointer(cython.const[uint8_t]))


@cython.final
@cython.cclass
class EventPublisher(EventSink):
    """Publishes keyspace events; the mask of the keyspace says which come here."""

    def __init__(self, channels: Channels) -> None:
        self.channels = channels

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def event(self, db: cython.int, kind: cython.uint, name: bytes, key: const_bytes,
              n: cython.Py_ssize_t) -> cython.int:
        text: bytes
        if not self.channels.rooms[CHANNEL] and not self.channels.rooms[PATTERN]:
            return 0
        try:
            text = key[:n]
            if self.mask & NOTIFY_KEYSPACE:
                self.channels.publish(b"__keyspace@%d__:%b" % (db, text), name)
            if self.mask & NOTIFY_KEYEVENT:
                self.channels.publish(b"__keyevent@%d__:%b" % (db, name), text)
        except MemoryError:
            # better that all of them know
            for client in self.channels.clients():
                client.transport.close("no memory for an event")
        return 0


# ---- subscriptions

@cython.cfunc
@cython.exceptval(-1, check=False)
def _enter(ctx: Context, argv: arg_p, argc: cython.int, room: cython.int, word: bytes) -> cython.int:
    i: cython.int
    name: bytes
    ctx.client.flags |= ClientFlag.PUSHED
    for i in range(1, argc):
        name = arg_bytes(argv + i)
        ctx.channels.enter(ctx.client, room, name)
        ctx.channels.confirm(ctx.reply, ctx.client, room, word, name)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _leave(ctx: Context, argv: arg_p, argc: cython.int, room: cython.int, word: bytes) -> cython.int:
    """Leave the names given, or all of the kind."""
    names: list
    name: bytes
    i: cython.int
    ctx.client.flags |= ClientFlag.PUSHED
    if argc > 1:
        names = [arg_bytes(argv + i) for i in range(1, argc)]
    else:
        names = list(ctx.client.subscriptions[room]) if ctx.client.subscriptions is not None else []
        if not names:
            return ctx.channels.confirm(ctx.reply, ctx.client, room, word, None)
    for name in names:
        ctx.channels.leave(ctx.client, room, name)
        ctx.channels.confirm(ctx.reply, ctx.client, room, word, name)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def subscribe(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SUBSCRIBE channel [channel ...]"""
    return _enter(ctx, argv, argc, CHANNEL, b"subscribe")


@cython.cfunc
@cython.exceptval(-1, check=False)
def psubscribe(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """PSUBSCRIBE pattern [pattern ...]"""
    return _enter(ctx, argv, argc, PATTERN, b"psubscribe")


@cython.cfunc
@cython.exceptval(-1, check=False)
def ssubscribe(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SSUBSCRIBE shardchannel [shardchannel ...]"""
    return _enter(ctx, argv, argc, SHARD_CHANNEL, b"ssubscribe")


@cython.cfunc
@cython.exceptval(-1, check=False)
def unsubscribe(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """UNSUBSCRIBE [channel ...]"""
    return _leave(ctx, argv, argc, CHANNEL, b"unsubscribe")


@cython.cfunc
@cython.exceptval(-1, check=False)
def punsubscribe(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """PUNSUBSCRIBE [pattern ...]"""
    return _leave(ctx, argv, argc, PATTERN, b"punsubscribe")


@cython.cfunc
@cython.exceptval(-1, check=False)
def sunsubscribe(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SUNSUBSCRIBE [shardchannel ...]"""
    return _leave(ctx, argv, argc, SHARD_CHANNEL, b"sunsubscribe")


# ---- messages

@cython.cfunc
@cython.exceptval(-1, check=False)
def publish(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """PUBLISH channel message"""
    return ctx.reply.integer(ctx.channels.publish(arg_bytes(argv + 1), arg_bytes(argv + 2)))


@cython.cfunc
@cython.exceptval(-1, check=False)
def spublish(ctx: Context, argv: arg_p, argc: cython.int) -> cython.int:
    """SPUBLISH shardchannel message"""
    return ctx.reply.integer(ctx.channels.publish(arg_bytes(argv + 1), arg_bytes(argv + 2), True))


# ---- PUBSUB

def pubsub_channels(server: object, client: object, args: list) -> object:
    """PUBSUB CHANNELS [pattern]"""
    return _names(server, args, CHANNEL)


def pubsub_shardchannels(server: object, client: object, args: list) -> object:
    """PUBSUB SHARDCHANNELS [pattern]"""
    return _names(server, args, SHARD_CHANNEL)


def _names(server: object, args: list, room: int) -> list:
    if len(args) > 3:
        raise CommandError(errors.subcommand_syntax(args[0], args[1]))
    return server.channels.names(room, args[2] if len(args) == 3 else None)


def pubsub_numsub(server: object, client: object, args: list) -> object:
    """PUBSUB NUMSUB [channel ...]"""
    return _counts(server, args, CHANNEL)


def pubsub_shardnumsub(server: object, client: object, args: list) -> object:
    """PUBSUB SHARDNUMSUB [shardchannel ...]"""
    return _counts(server, args, SHARD_CHANNEL)


def _counts(server: object, args: list, room: int) -> list:
    return [word for name in args[2:] for word in (name, server.channels.listeners(room, name))]


def pubsub_numpat(server: object, client: object, args: list) -> object:
    """PUBSUB NUMPAT: how many patterns anybody listens to."""
    return len(server.channels.rooms[PATTERN])


def pubsub_help(server: object, client: object, args: list) -> object:
    """PUBSUB HELP"""
    return help_lines("PUBSUB", [
        "CHANNELS [<pattern>]",
        "    The channels that somebody listens to, those that match a pattern.",
        "NUMPAT",
        "    How many patterns somebody listens to.",
        "NUMSUB [<channel> ...]",
        "    How many listen to each channel, patterns not counted.",
        "SHARDCHANNELS [<pattern>]",
        "    The shard channels that somebody listens to, those that match a pattern.",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    How many listen to each shard channel.",
    ])


@cython.cfunc
@cython.exceptval(-1, check=False)
def register_pubsub(registry: Registry) -> cython.int:
    """Add the family to the registry."""
    registry.hot("subscribe", subscribe)
    registry.hot("psubscribe", psubscribe)
    registry.hot("ssubscribe", ssubscribe)
    registry.hot("unsubscribe", unsubscribe)
    registry.hot("punsubscribe", punsubscribe)
    registry.hot("sunsubscribe", sunsubscribe)
    registry.hot("publish", publish)
    registry.hot("spublish", spublish)
    for name, handler in (("channels", pubsub_channels), ("shardchannels", pubsub_shardchannels),
                          ("numsub", pubsub_numsub), ("shardnumsub", pubsub_shardnumsub), ("numpat", pubsub_numpat),
                          ("help", pubsub_help)):
        registry.plain("pubsub|" + name, handler)
    return 0
