"""Tables that were left half-way between two sizes are finished by steps (keyspace.rehash)."""
import pytest

from unit.inproc import Engine

BUCKET_BYTES = 64


@pytest.fixture
def engine() -> Engine:
    return Engine()


def half_way(engine: Engine, tag: str, buckets: int = 64) -> int:
    """Fill one slot until its table has outgrown `buckets` buckets and has begun to move; its bytes when it is done."""
    count = buckets * 6 + 2
    engine("MSET", *[word for n in range(count) for word in (f"{{{tag}}}{n}", "v")])
    return buckets * 2 * BUCKET_BYTES


def tables(engine: Engine, db: int = 0) -> int:
    """Bytes of the buckets of one database, without the array of slots."""
    return engine.server.keyspace.databases[db].table_bytes() - 16384 * 64


def test_a_table_is_finished_without_commands(engine):
    done = half_way(engine, "a")
    assert tables(engine) > done, "the old array is still there"
    assert engine.server.rehasher.step(1_000_000) is False
    assert done <= tables(engine) < done * 1.3, "children aside"
    engine.check()
    assert engine("GET {a}7") == b"v" and engine("DBSIZE") == 64 * 6 + 2


def test_tables_of_all_databases(engine):
    for db in (0, 3, 15):
        engine("SELECT", db)
        half_way(engine, "a")
        half_way(engine, "b")
    before = [tables(engine, db) for db in (0, 3, 15)]
    assert engine.server.rehasher.step(1_000_000) is False
    assert all(after < there for after, there in zip([tables(engine, db) for db in (0, 3, 15)], before, strict=True))
    engine.check()


def test_a_step_ends_with_its_time_and_the_next_goes_on(engine):
    half_way(engine, "a", 1024)
    before, steps = tables(engine), 0
    for _ in range(100):        # most of them only look at a part of the slots
        steps += engine.server.rehasher.step(0)
        engine.check()
    assert steps >= 1024 // 64 - 1
    assert tables(engine) < before


def test_nothing_to_do(engine):
    assert engine.server.rehasher.step(1000) is False
    engine("SET k v")
    assert engine.server.rehasher.step(1_000_000) is False


def test_an_expiry_sweep_finds_all_while_tables_move(engine):
    """The sweep walks by number of chain, and the step moves keys from one to another between two of its turns."""
    count = 1024 * 6 + 2
    for n in range(count):
        engine("SET", f"{{a}}{n}", "v", "PX", "1")
    engine.server.keyspace.set_time(engine.server.keyspace.now_ms + 1000)
    for _ in range(10_000):
        if not engine.server.expirer.cycle(0) and engine.server.keyspace.expired == count:
            break
        engine.server.rehasher.step(0)
    assert engine.server.keyspace.expired == count
    engine.check()
