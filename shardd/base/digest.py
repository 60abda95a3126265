"""The arithmetic of Redis's dataset digest (debug.c, computeDatasetDigest): DEBUG DIGEST and DIGEST-VALUE.

Owns: how digests of keys make one of a dataset. Does not own the keys (keyspace.inspection walks them). A digest has
20 bytes.

    xor(x, data)    x ^ SHA1(data)          mix(x, data)    SHA1(xor(x, data))

    a value         mix(type as big-endian uint32)  mix(string)  xor("!!expire!!") where the key expires
    a key           mix(key), then its value's steps
    a dataset       for each database that has keys, in order: mix(its number as big-endian uint32), then
                    xor(key's digest) for all of its keys

The keys of one database may come in any order, so several engines' keys are joined by adding up (^) what each has of a
database, before the databases are mixed: the digest of a dataset cannot be had from those of its parts.
"""
import hashlib
from collections.abc import Iterable, Mapping

DIGEST_BYTES = 20


def xor(digest: bytes, data: bytes) -> bytes:
    """Add data whose order does not matter."""
    return bytes(a ^ b for a, b in zip(digest, hashlib.sha1(data).digest(), strict=True))


def mix(digest: bytes, data: bytes) -> bytes:
    """Add data whose order matters."""
    return hashlib.sha1(xor(digest, data)).digest()


def number(value: int) -> bytes:
    """A type's or a database's number as it is mixed in."""
    return value.to_bytes(4, "big")


def dataset(parts: Iterable[Mapping[int, int]]) -> bytes:
    """The digest of a dataset; zeros where it has no keys.

    parts: for each engine, database number -> the exclusive or of SHA1(key's digest) over its keys, as a big-endian
    integer. Databases without keys are left out.
    """
    joined: dict[int, int] = {}
    for part in parts:
        for db, keys in part.items():
            joined[db] = joined.get(db, 0) ^ keys
    final = bytes(DIGEST_BYTES)
    for db in sorted(joined):
        mixed = int.from_bytes(mix(final, number(db)), "big")
        final = (mixed ^ joined[db]).to_bytes(DIGEST_BYTES, "big")
    return final
