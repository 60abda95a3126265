"""The other proxies of the tree, as one of them sees them: what they know of each other, and how one asks the others.

Owns: the links to the other proxies, the sequence of client ids that all share, and how many clients the others have.
Does not own what is asked (proxy.clients, proxy.info) or the links' bytes (backend.Link, which they are).

Proxies of a tree find each other by name, <dir>/run/proxy-<i>.sock, and by the option `proxies`. Who can open these
sockets is trusted. A proxy answers from what it has, at once, so that nobody waits in a circle.

    SHARDD PEER <index> <last id> <clients>     [last id, clients]             news, both ways
    SHARDD CLIENT LIST ...                      the reply of that command, for the clients of this process alone
    SHARDD FIGURES                              a JSON object: what INFO adds up over the proxies
    SHARDD SLOW                                 a JSON object: slow log entry's token -> [address, name] of its client
    SHARDD RESETSTAT                            +OK: CONFIG RESETSTAT, for this process alone

News go out when a proxy starts, within limits.PROXY_CRON_MS after a client has come or gone, and every
limits.PROXY_PEER_NEWS_MS; who has not answered the last news gets none.

Ids. Proxy i of n gives the ids i + 1, i + 1 + n, i + 1 + 2n ...: no id is given twice. News tell the highest id that
was given anywhere, as far as is known (`last id`); whoever hears of a higher one goes on above it, so ids grow with
time over all proxies, up to a tenth of a second; they stay small, since none of them runs ahead by itself. A proxy that
is started again begins behind limits.CLIENT_IDS_OF_PROCESS for each process before it, so an old id never names a new
client. It listens for clients when the proxies that are there have answered (`settled`), or after limits.PROXY_PEER_MS.

maxclients is the server's: a proxy counts its own clients and those that the others reported last. Where clients come
to several proxies within a tenth of a second, the sum may pass the bound by as many.

A proxy that is not there has no clients, and is left out. One that is there and does not answer within
limits.PROXY_PEER_MS has some that nobody knows: what asks for all clients is answered by an error then.
"""
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from proxy.backend import Backends, Engine
from proxy.merge import Ask
from shardd.base import errors, limits
from shardd.base.clock import mono_ms
from shardd.base.errors import CommandError
from shardd.cluster.topology import EngineInfo


class Peer:
    """Another proxy. link: how it is asked; clients: how many it had when it was heard of last."""

    def __init__(self, index: int, link: Engine) -> None:
        self.index, self.link = index, link
        self.clients = 0
        self.busy = False
        """News are under way."""
        self.told: tuple[int, int] | None = None
        """What it was told last: the highest id and the number of clients."""
        self.told_ms = 0
        self.answered = False

    @property
    def up(self) -> bool:
        return self.link.up


class Peers:
    """All other proxies; none where this one is alone. server: the ProxyServer."""

    def __init__(self, server: Any, backends: Backends, run_dir: Path | None, index: int, proxies: int) -> None:
        self.server, self.index = server, index
        self.all: list[Peer] = []
        self._last_id = 0
        self._unused_id = server.clients.next_id
        self._started_ms = mono_ms()
        for other in range(proxies if run_dir is not None else 0):
            if other != index:
                node_id, path = f"{other:040x}", str(run_dir / f"proxy-{other}.sock")
                info = EngineInfo(node_id, node_id, other, unixsocket=path)
                self.all.append(Peer(other, Engine(backends, info)))
        self._connecting = False

    @property
    def elsewhere(self) -> int:
        """Clients of the other proxies, as far as is known."""
        return sum(peer.clients for peer in self.all)

    @property
    def settled(self) -> bool:
        """Whether client ids may be given: every proxy that is there has said how far it is."""
        return (self._connecting and all(peer.answered or not peer.up for peer in self.all)
                or mono_ms() - self._started_ms > limits.PROXY_PEER_MS)

    # --- news -----------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Cron: tell the others what is new; the first time, begin to connect: links need the loop's timers."""
        now_ms = mono_ms()
        if not self._connecting:
            self._connecting = True
            for peer in self.all:
                peer.link.resp2.retry_now()
        news = self.last_id, len(self.server.clients)
        for peer in self.all:
            for link in peer.link.links():
                link.check(now_ms)
            if not peer.up:
                peer.clients, peer.told = 0, None
            elif not peer.busy and (peer.told != news or now_ms - peer.told_ms >= limits.PROXY_PEER_NEWS_MS):
                peer.busy, peer.told, peer.told_ms = True, news, now_ms
                self.server.run(self._tell(peer, news))

    async def _tell(self, peer: Peer, news: tuple[int, int]) -> None:
        [answer] = await Ask([(peer.link, [b"SHARDD", b"PEER", self.index, *news])], limits.PROXY_PEER_MS)
        peer.busy = False
        if isinstance(answer, list) and len(answer) == 2:
            last_id, peer.clients = answer
            self._go_on_above(last_id)
            peer.answered = True
        self.server.limits.elsewhere = self.elsewhere

    def heard(self, index: int, last_id: int, count: int) -> list[int]:
        """Another proxy's news; the answer to it."""
        self._go_on_above(last_id)
        for peer in self.all:
            if peer.index == index:
                peer.clients = count
                if not peer.up:
                    peer.link.resp2.retry_now()     # it has just been started: no need to wait for the next try
        self.server.limits.elsewhere = self.elsewhere
        return [self.last_id, len(self.server.clients)]

    @property
    def last_id(self) -> int:
        """The highest id that was given, as far as is known here; 0 for none."""
        clients = self.server.clients
        if clients.next_id != self._unused_id:
            self._unused_id = clients.next_id
            self._last_id = clients.next_id - clients.id_step
        return self._last_id

    def _go_on_above(self, last_id: int) -> None:
        """Somebody has given this id: no lower one from now on."""
        clients = self.server.clients
        if last_id <= self.last_id:
            return
        self._last_id = last_id
        behind = last_id + 1 - clients.next_id
        if behind > 0:
            clients.next_id += -(-behind // clients.id_step) * clients.id_step
        self._unused_id = clients.next_id

    # --- questions ------------------------------------------------------------------------------------------------

    async def ask(self, words: Iterable[bytes], complete: bool = True) -> list[Any]:
        """The replies of all other proxies that are there, as values; an error of theirs is one of them.

        Where one does not answer: raises CommandError, after the others have done what they were asked, or, not
        `complete`, leaves it out, and errors too.
        """
        asked = [peer for peer in self.all if peer.up]
        if not asked:
            return []
        request = [b"SHARDD", *words]
        replies = []
        silent: Peer | None = None
        for peer, reply in zip(asked, await Ask([(peer.link, request) for peer in asked], limits.PROXY_PEER_MS)):
            if isinstance(reply, CommandError) and not peer.up:
                continue                # it died meanwhile, and its clients with it
            if isinstance(reply, CommandError) and reply.text == errors.engine_silent(peer.index):
                silent = silent or peer
            else:
                replies.append(reply)
        if not complete:
            return [reply for reply in replies if not isinstance(reply, CommandError)]
        if silent is not None:
            raise CommandError(errors.proxy_silent(silent.index))
        return replies

    def close(self) -> None:
        """The process ends."""
        for peer in self.all:
            peer.link.remove()
