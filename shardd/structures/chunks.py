"""Chunks: what the allocators get from the system and cut up, 4 MiB on a 4 MiB boundary.

The boundary makes the chunk of any address a matter of clearing bits, and lets the system put two huge pages behind it.
Owns the mapping and the count of what is mapped; what is in a chunk is its allocator's (alloc: pages of small blocks;
arrays: powers of two).
"""
import cython
from cython.cimports.libc.stdint import uintptr_t
from cython.cimports.posix.mman import MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap
from cython.cimports.shardd.structures.libc_memory import MADV_HUGEPAGE, madvise

CHUNK = cython.declare(cython.size_t, 1 << 22)
_mapped = cython.declare(cython.size_t, 0)
_huge = cython.declare(cython.bint, False)      # ask for huge pages behind new chunks


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def map_chunk() -> cython.p_void:
    """A new chunk, zeroed; NULL where the system has none."""
    global _mapped
    start: cython.p_char = cython.cast(cython.p_char, mmap(
        cython.NULL, 2 * CHUNK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))
    if start == cython.cast(cython.p_char, MAP_FAILED):
        return cython.NULL
    before: cython.size_t = (CHUNK - (cython.cast(uintptr_t, start) & (CHUNK - 1))) & (CHUNK - 1)
    if before:
        munmap(start, before)
    munmap(start + before + CHUNK, CHUNK - before)
    start += before
    if _huge:
        madvise(start, CHUNK, MADV_HUGEPAGE)
    _mapped += CHUNK
    return start


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def unmap_chunk(start: cython.p_void) -> cython.void:
    """Give a chunk back to the system."""
    global _mapped
    munmap(start, CHUNK)
    _mapped -= CHUNK


def mapped_memory() -> int:
    """Bytes mapped as chunks, in use or not."""
    return _mapped


def use_huge_pages(wanted: bool) -> None:
    """Whether the system is asked to put huge pages behind chunks mapped from now on (option disable-thp).

    A look-up at random among millions of keys then misses the translation buffer less: some 10 % of GET's CPU time.
    """
    global _huge
    _huge = wanted
