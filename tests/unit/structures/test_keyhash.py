"""The keyed hash is SipHash-1-3: against an implementation of its own and the published structure of SipHash."""
import os

import pytest
from hypothesis import given, strategies as st

from shardd.structures import keyhash

MASK = (1 << 64) - 1


def siphash(c: int, d: int, secret: bytes, data: bytes) -> int:
    """SipHash-c-d as in the paper (Aumasson and Bernstein, 2012, section 2), on whole integers."""
    k0, k1 = int.from_bytes(secret[:8], "little"), int.from_bytes(secret[8:], "little")
    v = [k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573]

    def rotate(x: int, b: int) -> int:
        return (x << b | x >> 64 - b) & MASK

    def sipround() -> None:
        v[0] = v[0] + v[1] & MASK
        v[2] = v[2] + v[3] & MASK
        v[1], v[3] = rotate(v[1], 13) ^ v[0], rotate(v[3], 16) ^ v[2]
        v[0] = rotate(v[0], 32)
        v[2] = v[2] + v[1] & MASK
        v[0] = v[0] + v[3] & MASK
        v[1], v[3] = rotate(v[1], 17) ^ v[2], rotate(v[3], 21) ^ v[0]
        v[2] = rotate(v[2], 32)

    padded = data + bytes(-(len(data) + 1) % 8) + bytes([len(data) & 255])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at:at + 8], "little")
        v[3] ^= word
        for _ in range(c):
            sipround()
        v[0] ^= word
    v[2] ^= 255
    for _ in range(d):
        sipround()
    return v[0] ^ v[1] ^ v[2] ^ v[3]


SECRET = bytes(range(16))


@pytest.fixture(autouse=True)
def secret():
    """The tables of this process must not lose their entries: none exist between tests."""
    keyhash.set_secret(SECRET)
    yield
    keyhash.set_secret(os.urandom(16))


def test_the_model_gives_the_paper_s_vectors():
    """SipHash-2-4 of 00 01 02 ... under the key 00 .. 0f, from the paper's appendix and the authors' vectors."""
    assert siphash(2, 4, SECRET, bytes(range(15))) == 0xA129CA6149BE45E5
    assert siphash(2, 4, SECRET, b"") == 0x726FDB47DD0E0E31
    assert siphash(2, 4, SECRET, b"\x00") == 0x74F839C593DC67FD


@pytest.mark.parametrize("n", [*range(0, 70), 255, 256, 257, 1000])
def test_every_length(n):
    data = bytes(i & 255 for i in range(n))
    assert keyhash.hash_bytes(data) == siphash(1, 3, SECRET, data)


@given(st.binary(max_size=80), st.binary(min_size=16, max_size=16))
def test_any_secret(data, secret):
    keyhash.set_secret(secret)
    assert keyhash.hash_bytes(data) == siphash(1, 3, secret, data)


def test_secrets_have_sixteen_bytes():
    for length in (0, 15, 17):
        with pytest.raises(ValueError):
            keyhash.set_secret(bytes(length))


def test_each_process_has_a_secret_of_its_own():
    import subprocess
    import sys
    code = "from shardd.structures.keyhash import hash_bytes; print(hash_bytes(b'key'))"
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(p for p in sys.path if p))
    seen = {subprocess.run([sys.executable, "-c", code], env=env, check=True,
                           capture_output=True).stdout for _ in range(2)}
    assert len(seen) == 2
