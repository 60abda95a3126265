"""What users write, and what it becomes."""
import pytest

from bench.load import workload
from bench.load.script import DATA, DIGITS, HEADER, KEY, OWN, SERIAL, SHARED, TEXT
from bench.load.workload import Template, words_of


def pieces(text: str, **options):
    return workload.compiled(Template("x", words_of(text)), b"key:", **options)


def test_words():
    assert words_of("SET 'a b' \"c d\" ''") == (b"SET", b"a b", b"c d", b"")
    for text in ("", "  ", "'open"):
        with pytest.raises(ValueError):
            words_of(text)


def test_pieces():
    assert pieces("SET __key__ __data__") == {
        "weight": 1.0, "key": (b"key:", b""),
        "pieces": [(TEXT, b"*3\r\n$3\r\nSET\r\n$16\r\nkey:"), (DIGITS, KEY), (TEXT, b"\r\n"), (HEADER, 0, 1), (DATA,),
                   (TEXT, b"\r\n")]}
    assert pieces("PING") == {"weight": 1.0, "key": None, "pieces": [(TEXT, b"*1\r\n$4\r\nPING\r\n")]}


def test_numbers():
    made = pieces("X a __rand_int__ __rand_9th__ __serial__")
    assert [source for kind, source in (piece for piece in made["pieces"] if piece[0] == DIGITS)] == [
        OWN, SHARED + 8, SERIAL]
    assert made["key"] == (b"a", None)


@pytest.mark.parametrize("text, place", [
    ("GET k", 1), ("PING", None), ("ECHO __key__", None), ("EVAL x 1 k", 3), ("EVAL x 0", None),
    ("OBJECT ENCODING k", 2),
    ("XREAD STREAMS s 0", 2), ("NOSUCH k", 1), ("NOSUCH", None), ("GET", None), ("MSET", None)])
def test_where_the_key_is(text, place):
    assert workload.key_place(words_of(text)) == place


@pytest.mark.parametrize("text", ["GET __rand_int__:__rand_int__", "GET __data__", "SET __serial__ x"])
def test_keys_that_a_cluster_cannot_route(text):
    assert pieces(text)["key"] is None
    with pytest.raises(ValueError, match="in a cluster"):
        pieces(text, cluster=True)


def test_tests_by_name():
    for name in workload.TESTS:
        template, = workload.by_name(name).templates
        workload.compiled(template)
        assert template.forms
    with pytest.raises(ValueError, match="no test is named 'fly'"):
        workload.by_name("fly")


def test_mixes():
    load = workload.mix(["GET a", "SET b c", "GET d"], [1, 2, 3])
    assert [(t.name, t.weight, t.forms) for t in load.templates] == [
        ("get-1", 1, b""), ("set", 2, b""), ("get-2", 3, b"")]
    assert [t.weight for t in workload.mix(["GET a", "PING"], []).templates] == [1.0, 1.0]
    with pytest.raises(ValueError, match="2 commands and 1 ratios"):
        workload.mix(["GET a", "PING"], [1])
    assert [(t.name, t.weight) for t in workload.reads_and_writes(0.75).templates] == [("get", 0.75), ("set", 0.25)]
    assert [t.name for t in workload.reads_and_writes(1.0).templates] == ["get"]


@pytest.mark.parametrize("size", [0, 1, 1000, 65536, 65537, 200_000])
def test_values(size):
    assert len(workload.values(size, 3)) == size
    assert workload.values(size, 3) == workload.values(size, 3)
