"""ACL of the one user there is."""
import hashlib

import pytest

from harness.resp import Error, SetReply
from unit.inproc import Engine


@pytest.fixture
def engine() -> Engine:
    return Engine()


def test_the_one_user(engine):
    assert engine("ACL WHOAMI") == b"default"
    assert engine("ACL USERS") == [b"default"]
    assert engine("ACL LIST") == [b"user default on nopass ~* &* +@all"]
    assert engine("ACL GETUSER nosuch") is None
    assert engine("ACL GETUSER default") == [
        b"flags", [b"on", b"nopass"], b"passwords", [], b"commands", b"+@all", b"keys", b"~*", b"channels", b"&*",
        b"selectors", []]
    engine("HELLO 3")
    assert engine("ACL GETUSER default")[b"flags"] == SetReply([b"on", b"nopass"])


def test_a_password_shows_as_its_digest(engine):
    engine("CONFIG SET requirepass secret")
    digest = hashlib.sha256(b"secret").hexdigest().encode()
    assert engine("ACL LIST") == [b"user default on #" + digest + b" ~* &* +@all"]
    user = engine("ACL GETUSER default")
    assert user[1] == [b"on"] and user[3] == [digest]


def test_categories(engine):
    categories = engine("ACL CAT")
    assert len(categories) == 21 and categories[0] == b"keyspace" and categories[-1] == b"scripting"
    assert {b"get", b"set", b"append"} <= set(engine("ACL CAT string")) == set(engine("ACL CAT STRING"))
    assert b"client|list" in engine("ACL CAT connection")
    assert engine("ACL CAT nosuch") == Error("ERR Unknown category 'nosuch'")
    assert engine("ACL CAT fast x").startswith("ERR unknown subcommand or wrong number of arguments for 'CAT'.")


@pytest.mark.parametrize("bits, digits", [((), 64), ((1,), 1), ((4,), 1), ((5,), 2), ((9,), 3), ((4096,), 1024)])
def test_passwords_have_the_bits_asked_for(engine, bits, digits):
    password = engine("ACL", "GENPASS", *bits)
    assert len(password) == digits and int(password, 16) >= 0
    assert digits < 16 or engine("ACL", "GENPASS", *bits) != password


@pytest.mark.parametrize("bits, text", [
    ("0", "ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096"),
    ("4097", "ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096"),
    ("x", "value is not an integer or out of range")])
def test_bits_of_a_password(engine, bits, text):
    assert engine("ACL", "GENPASS", bits) == Error("ERR " + text)


def test_what_is_not_built_does_not_exist(engine):
    assert engine("ACL SETUSER x") == Error("ERR unknown subcommand 'SETUSER'. Try ACL HELP.")
    assert engine("ACL HELP")[0].startswith("ACL <subcommand>")
