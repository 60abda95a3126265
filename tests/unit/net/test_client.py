"""The registry of clients: ids, order, counters."""
from shardd.net.client import Client, ClientFlag, Clients


def test_ids_and_order() -> None:
    clients = Clients(next_id=3, id_step=4)
    made = [Client() for _ in range(3)]
    for client in made:
        clients.add(client)
    assert [client.id for client in made] == [3, 7, 11]
    assert list(clients.by_id.items()) == list(zip([3, 7, 11], made, strict=True))
    assert all(client.registry is clients for client in made)
    clients.discard(made[1])
    clients.discard(made[1])
    assert list(clients.by_id) == [3, 11] and len(clients) == 2
    clients.add(made[1])
    assert made[1].id == 15, "an id is never given twice"


def test_internal_connections_are_no_clients() -> None:
    clients = Clients()
    client, link = Client(), Client()
    clients.add(client)
    clients.add_internal(link)
    assert link.flags == ClientFlag.INTERNAL and client.flags == 0
    assert len(clients) == 1 == clients.accepted and list(clients.by_id) == [1, 2]
    clients.discard(link)
    clients.discard(link)
    assert len(clients) == 1 == len(clients.by_id)


def test_counters() -> None:
    clients = Clients()
    clients.add(Client())
    clients.reject()
    clients.reject()
    assert (clients.accepted, clients.rejected) == (1, 2)
    clients.reset_counters()
    assert (clients.accepted, clients.rejected, clients.next_id) == (0, 0, 2)


def test_a_new_client() -> None:
    client = Client()
    assert (client.resp, client.db, client.flags, client.authenticated, client.commands) == (2, 0, 0, False, 0)
    assert (client.name, client.lib_name, client.lib_ver, client.user) == (b"", b"", b"", b"default")
    assert client.last_command is None and client.created_ms > 1_600_000_000_000
