"""The counting allocator: every byte of native memory that holds data comes from here.

It owns `used_memory`, which is exact: the sum of what the blocks in use really take, whoever asked for them.

    class 7 (56 bytes):   head -> page A -> page C          pages with a free block
                                                            (full pages are on no list)
    page, 64 KiB, on a 64 KiB boundary
    +--------+-------+-------+-------+- - -+-------+
    | Page   | block | block | block |     | block |        block -> page: clear the low 16 bits
    +--------+-------+-------+-------+- - -+-------+
    free list threads freed blocks; `fresh` counts those never handed out yet

Up to 2,048 bytes a request is rounded up to one of 74 size classes: steps of 8 bytes up to 128, of 16 up to 512 and of
32 up to 1,024; above that, what a page holds 62, 60, ... 32 or 31 of, as a page with 31 blocks of 2,048 would waste the
32nd. So the waste is at most 7 bytes for a typical key and some 6 % above 256. Blocks have no header of their own: the
caller knows the size and says it again on release. Above that libc's malloc serves, and for the bucket arrays of tables
(`lines`: zeroed, aligned, powers of two) the buddy allocator in arrays. A page that becomes empty goes back to a pool,
whose memory is given back to the system beyond `POOL_PAGES_MAX` pages.

In an ASan build every block comes from malloc, so that each overrun is caught at its own block.
"""
import cython
from cython.cimports.libc.stdint import uint8_t, uint32_t, uintptr_t
from cython.cimports.libc.stdlib import free, malloc, realloc
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.posix.mman import MAP_ANONYMOUS, MAP_FAILED, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap, munmap
from cython.cimports.shardd.base.native import PLAIN_MALLOC
from cython.cimports.shardd.structures.arrays import ARRAY_MIN, array_give, array_take
from cython.cimports.shardd.structures.chunks import map_chunk, unmap_chunk
from cython.cimports.shardd.structures.libc_memory import (
    MADV_DONTNEED, madvise, malloc_trim, malloc_usable_size, posix_memalign)

SMALL_MAX = cython.declare(cython.size_t, 2048)
PAGE = cython.declare(cython.size_t, 65536)
CHUNK_PAGES = cython.declare(cython.int, 64)            # of a chunk
POOL_PAGES_MAX = cython.declare(cython.int, 64)         # empty pages kept warm: 4 MiB
LINES_MAP_MIN = cython.declare(cython.size_t, 1 << 20)  # bytes from which an array is mapped by itself
CLASSES = cython.declare(cython.int, 74)

Page = cython.struct(
    free=cython.p_void,             # list of freed blocks, threaded through their first word
    fresh=cython.p_char,            # first block never handed out
    end=cython.p_char,              # behind the last block
    next=cython.p_void,             # pages of the class that have room
    prev=cython.p_void,
    block=uint32_t,                 # block size, bytes
    klass=uint32_t,
    used=uint32_t,                  # blocks handed out
    listed=uint32_t,                # 1 while on the list of its class
    pad=cython.p_void)

page_p = cython.typedef(cython.pointer(Page))

_class_of = cython.declare(uint8_t[257])        # (n + 7) >> 3 -> class
_class_size = cython.declare(uint32_t[74])
_heads = cython.declare(page_p[74])
_pool = cython.declare(cython.pp_void, cython.NULL)
_pool_len = cython.declare(cython.int, 0)
_pool_cap = cython.declare(cython.size_t, 0)
_used = cython.declare(cython.size_t, 0)
_pages = cython.declare(cython.size_t, 0)       # in chunks, in use or not
_limit = cython.declare(cython.size_t, 0)       # 0: none
_large = cython.declare(cython.size_t, 0)       # the part of _used that lies in no page of ours


def _fill_classes() -> None:
    size: int
    sizes: list = [0] + list(range(8, 129, 8)) + list(range(144, 513, 16)) + list(range(544, 1025, 32))
    sizes += [(PAGE - cython.sizeof(Page)) // blocks // 8 * 8 for blocks in [*range(62, 31, -2), 31]]
    assert len(sizes) == CLASSES and cython.sizeof(Page) == 64
    klass: int = 0
    for eighth in range(257):
        while sizes[klass] < eighth * 8:
            klass += 1
        _class_of[eighth] = klass
    for klass, size in enumerate(sizes):
        _class_size[klass] = size
        _heads[klass] = cython.NULL


_fill_classes()


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _add_chunk() -> cython.bint:
    """Put CHUNK_PAGES fresh pages into the pool; False where the system has none."""
    global _pool, _pool_cap, _pool_len, _pages
    start: cython.p_char = cython.cast(cython.p_char, map_chunk())
    if start == cython.NULL:
        return False
    more: cython.pp_void
    # room for every page there is, so that taking one back never fails
    pages: cython.size_t = _pages + CHUNK_PAGES
    if pages > _pool_cap:
        more = cython.cast(cython.pp_void, realloc(_pool, pages * 2 * cython.sizeof(cython.p_void)))
        if more == cython.NULL:
            unmap_chunk(start)
            return False
        _pool = more
        _pool_cap = pages * 2
    i: cython.int
    for i in range(CHUNK_PAGES):
        _pool[_pool_len + i] = start + (CHUNK_PAGES - 1 - i) * PAGE
    _pool_len += CHUNK_PAGES
    _pages = pages
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _new_page(klass: cython.int) -> page_p:
    global _pool_len
    if _pool_len == 0 and not _add_chunk():
        return cython.NULL
    _pool_len -= 1
    page: page_p = cython.cast(page_p, _pool[_pool_len])
    size: uint32_t = _class_size[klass]
    page.free = cython.NULL
    page.fresh = cython.cast(cython.p_char, page) + cython.sizeof(Page)
    page.end = page.fresh + (PAGE - cython.sizeof(Page)) // size * size
    page.block = size
    page.klass = klass
    page.used = 0
    _list_page(page)
    return page


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _list_page(page: page_p) -> cython.void:
    page.prev = cython.NULL
    page.next = _heads[page.klass]
    if page.next != cython.NULL:
        cython.cast(page_p, page.next).prev = page
    _heads[page.klass] = page
    page.listed = 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _unlist_page(page: page_p) -> cython.void:
    if page.next != cython.NULL:
        cython.cast(page_p, page.next).prev = page.prev
    if page.prev != cython.NULL:
        cython.cast(page_p, page.prev).next = page.next
    else:
        _heads[page.klass] = cython.cast(page_p, page.next)
    page.listed = 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _pool_page(page: page_p) -> cython.void:
    """Take back an empty page. The pool always has room: every page once came out of it."""
    global _pool_len
    _unlist_page(page)
    if _pool_len >= POOL_PAGES_MAX:
        madvise(page, PAGE, MADV_DONTNEED)
    _pool[_pool_len] = page
    _pool_len += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def allocate(n: cython.size_t) -> cython.p_void:
    """`n` bytes, not zeroed, aligned to 8 (16 above SMALL_MAX); NULL where they cannot be had."""
    global _large, _used
    if _limit and _used + n > _limit:
        return cython.NULL
    p: cython.p_void
    if n > SMALL_MAX or PLAIN_MALLOC:
        p = malloc(n if n else 1)
        if p != cython.NULL:
            _used += malloc_usable_size(p)
            _large += malloc_usable_size(p)
        return p
    klass: cython.int = _class_of[(n + 7) >> 3] if n else 1
    page: page_p = _heads[klass]
    if page == cython.NULL:
        page = _new_page(klass)
        if page == cython.NULL:
            return cython.NULL
    p = page.free
    if p != cython.NULL:
        page.free = cython.cast(cython.pp_void, p)[0]
    else:
        p = page.fresh
        page.fresh += page.block
    page.used += 1
    if page.free == cython.NULL and page.fresh >= page.end:
        _unlist_page(page)
    _used += page.block
    return p


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def allocate_lines(n: cython.size_t) -> cython.p_void:
    """`n` zeroed bytes on a 64-byte boundary; `n` is a power of two, at least 64.

    Large arrays are mapped, so that zeroing them costs nothing until a page is touched.
    """
    global _large, _used
    p: cython.p_void = cython.NULL
    if n <= SMALL_MAX and not PLAIN_MALLOC:
        p = allocate(n)
    elif _limit and _used + n > _limit:
        return cython.NULL
    elif n >= LINES_MAP_MIN:
        p = mmap(cython.NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        if p == cython.cast(cython.p_void, MAP_FAILED):
            return cython.NULL
        _used += n
        _large += n
        return p
    elif n >= ARRAY_MIN and not PLAIN_MALLOC:
        p = array_take(n)
        if p != cython.NULL:
            _used += n
            _large += n
        return p
    elif posix_memalign(cython.address(p), 64, n) == 0:
        _used += malloc_usable_size(p)
        _large += malloc_usable_size(p)
    if p != cython.NULL:
        memset(p, 0, n)
    return p


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def release_lines(p: cython.p_void, n: cython.size_t) -> cython.void:
    """Give back what allocate_lines gave."""
    global _large, _used
    if n >= LINES_MAP_MIN:
        munmap(p, n)
        _used -= n
        _large -= n
    elif n >= ARRAY_MIN and not PLAIN_MALLOC:
        array_give(p, n)
        _used -= n
        _large -= n
    else:
        release(p, n)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def discard_lines(p: cython.p_void, start: cython.size_t, end: cython.size_t) -> cython.void:
    """Hand the pages behind bytes start..end of a large array back early, so that its release is cheap."""
    if end - start >= PAGE:
        madvise(cython.cast(cython.p_char, p) + start, end - start, MADV_DONTNEED)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def release(p: cython.p_void, n: cython.size_t) -> cython.void:
    """Give back `p`, which was asked for with `n` bytes. NULL is allowed."""
    global _large, _used
    if p == cython.NULL:
        return
    if n > SMALL_MAX or PLAIN_MALLOC:
        _used -= malloc_usable_size(p)
        _large -= malloc_usable_size(p)
        free(p)
        return
    page: page_p = cython.cast(page_p, cython.cast(uintptr_t, p) & ~(PAGE - 1))
    cython.cast(cython.pp_void, p)[0] = page.free
    page.free = p
    page.used -= 1
    _used -= page.block
    if not page.listed:
        _list_page(page)
    elif page.used == 0 and (page.next != cython.NULL or page.prev != cython.NULL):
        _pool_page(page)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def resize(p: cython.p_void, old: cython.size_t, n: cython.size_t) -> cython.p_void:
    """The first min(old, n) bytes of `p` in a block of `n`; NULL (and `p` as it was) where that cannot be had."""
    global _large, _used
    fresh: cython.p_void
    before: cython.size_t
    if p == cython.NULL:
        return allocate(n)
    if old > SMALL_MAX and n > SMALL_MAX:
        if _limit and n > old and _used + (n - old) > _limit:
            return cython.NULL
        before = malloc_usable_size(p)
        fresh = realloc(p, n)
        if fresh != cython.NULL:
            # one after the other: the difference of a block that became smaller is below zero, and these are unsigned
            _used += malloc_usable_size(fresh)
            _used -= before
            _large += malloc_usable_size(fresh)
            _large -= before
        return fresh
    if old <= SMALL_MAX and n <= SMALL_MAX and not PLAIN_MALLOC and real_size(old) == real_size(n):
        return p
    fresh = allocate(n)
    if fresh != cython.NULL:
        memcpy(fresh, p, old if old < n else n)
        release(p, old)
    return fresh


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def real_size(n: cython.size_t) -> cython.size_t:
    """The bytes that a request of `n` takes: its class, or `n` itself where malloc serves."""
    if n > SMALL_MAX or PLAIN_MALLOC:
        return n
    return _class_size[_class_of[(n + 7) >> 3]] if n else 8


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def block_bytes(p: cython.p_void, n: cython.size_t) -> cython.size_t:
    """The bytes that the block `p` of `n` bytes takes, exactly as used_memory counts it."""
    return malloc_usable_size(p) if n > SMALL_MAX or PLAIN_MALLOC else real_size(n)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def lines_bytes(p: cython.p_void, n: cython.size_t) -> cython.size_t:
    """The same of an array that allocate_lines gave."""
    return n if n >= LINES_MAP_MIN or (n >= ARRAY_MIN and not PLAIN_MALLOC) else block_bytes(p, n)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def used_bytes() -> cython.size_t:
    """Bytes in use: the native part of used_memory."""
    return _used


def used_memory() -> int:
    """Bytes of native memory in use, exact."""
    return _used


def active_memory() -> int:
    """Bytes of the pages in which something is in use, and of the blocks and arrays that lie in none."""
    return (_pages - _pool_len) * PAGE + _large


def resident_memory() -> int:
    """The same with what is kept for those to come: empty pages that were not given back, and bounds of chunks."""
    return active_memory() + min(_pool_len, POOL_PAGES_MAX) * PAGE


def purge() -> None:
    """Give all memory that is not in use back to the system (MEMORY PURGE); used_memory stays."""
    place: cython.int
    for place in range(_pool_len):
        madvise(_pool[place], PAGE, MADV_DONTNEED)
    malloc_trim(0)


def plain() -> bool:
    """Whether every block comes from malloc, as in an ASan build."""
    return PLAIN_MALLOC


def set_limit(limit_bytes: int) -> None:
    """Refuse what would take used_memory above `limit_bytes` (0: no limit). For tests of the out-of-memory paths."""
    global _limit
    _limit = limit_bytes


@cython.overflowcheck(False)
def check() -> int:
    """Walk the lists of every class; returns the bytes in use on listed pages. Raises AssertionError on damage."""
    total: int = 0
    klass: cython.int
    free_blocks: cython.size_t
    page: page_p
    block: cython.pp_void
    for klass in range(1, CLASSES):
        page = _heads[klass]
        assert page == cython.NULL or page.prev == cython.NULL
        while page != cython.NULL:
            assert page.klass == klass and page.block == _class_size[klass] and page.listed
            free_blocks = (page.end - page.fresh) // page.block
            block = cython.cast(cython.pp_void, page.free)
            while block != cython.NULL:
                assert cython.cast(uintptr_t, block) & ~(PAGE - 1) == cython.cast(uintptr_t, page)
                free_blocks += 1
                block = cython.cast(cython.pp_void, block[0])
            assert free_blocks > 0
            assert free_blocks + page.used == (PAGE - cython.sizeof(Page)) // page.block
            total += page.used * page.block
            assert page.next == cython.NULL or cython.cast(page_p, page.next).prev == page
            page = cython.cast(page_p, page.next)
    return total


class Probe:
    """Blocks held for a unit test: allocate, fill, verify and release through the C functions."""

    def __init__(self) -> None:
        self.blocks: dict[int, tuple[int, int]] = {}

    def take(self, n: int, fill: int) -> int:
        """A block of `n` bytes, each `fill`; its address. Raises MemoryError."""
        p: cython.p_void = allocate(n)
        if p == cython.NULL:
            raise MemoryError
        memset(p, fill, n)
        self.blocks[cython.cast(uintptr_t, p)] = (n, fill)
        return cython.cast(uintptr_t, p)

    def verify(self, address: int) -> bool:
        """Whether the block still holds what it was filled with."""
        n, fill = self.blocks[address]
        data: cython.p_uchar = cython.cast(cython.p_uchar, cython.cast(uintptr_t, address))
        return all([data[i] == fill for i in range(n)])

    def grow(self, address: int, n: int) -> int:
        """Resize the block to `n` bytes and fill what is new."""
        old, fill = self.blocks.pop(address)
        p: cython.p_void = resize(cython.cast(cython.p_void, cython.cast(uintptr_t, address)), old, n)
        if p == cython.NULL:
            self.blocks[address] = (old, fill)
            raise MemoryError
        memset(p, fill, n)
        self.blocks[cython.cast(uintptr_t, p)] = (n, fill)
        return cython.cast(uintptr_t, p)

    def drop(self, address: int) -> None:
        """Release the block."""
        n, _ = self.blocks.pop(address)
        release(cython.cast(cython.p_void, cython.cast(uintptr_t, address)), n)
