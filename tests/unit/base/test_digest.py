"""The digest of a dataset against values that a real Redis gave."""
import hashlib

from shardd.base import digest


def key(name: bytes, value: bytes, expires: bool = False) -> int:
    made = digest.mix(digest.mix(digest.mix(bytes(20), name), digest.number(0)), value)
    if expires:
        made = digest.xor(made, b"!!expire!!")
    return int(hashlib.sha1(made).hexdigest(), 16)


def test_no_keys():
    assert digest.dataset([]) == digest.dataset([{}, {}]) == bytes(20)


def test_as_redis_has_it():
    """SET a 1, SET b hello, SET c world EX 1000; then SET a 1 in database 3 as well."""
    first = {0: key(b"a", b"1") ^ key(b"b", b"hello") ^ key(b"c", b"world", expires=True)}
    assert digest.dataset([first]).hex() == "de4616de1f8d659ed86c376ed1d45af1ad18b8d4"
    assert digest.dataset([first | {3: key(b"a", b"1")}]).hex() == "2c83a07e07ae1a4768317bd335f36ab989a065be"


def test_engines_are_joined_before_databases_are_mixed():
    a, b, c = key(b"a", b"1"), key(b"b", b"2"), key(b"c", b"3")
    whole = digest.dataset([{0: a ^ b, 3: c}])
    assert digest.dataset([{0: a}, {0: b, 3: c}]) == whole
    assert digest.dataset([{3: c}, {0: b}, {0: a}]) == whole
    assert digest.dataset([{0: a ^ b ^ c}]) != whole
