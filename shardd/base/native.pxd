# The few C intrinsics and typedefs that Cython has no word for. Verbatim C lives here and nowhere else.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t, int64_t

ctypedef uint8_t* bytep

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    #include <time.h>
    #define shardd_prefetch(p) __builtin_prefetch((const void *)(p), 0, 3)
    #define shardd_ctz(x) __builtin_ctz(x)
    #define shardd_ctz64(x) __builtin_ctzll(x)
    #define shardd_popcount(x) __builtin_popcount(x)
    /* memcpy of a constant size compiles to one move; it is the defined way to read unaligned integers */
    static inline uint16_t shardd_load16(const void *p) { uint16_t v; memcpy(&v, p, 2); return v; }
    static inline uint32_t shardd_load32(const void *p) { uint32_t v; memcpy(&v, p, 4); return v; }
    static inline uint64_t shardd_load64(const void *p) { uint64_t v; memcpy(&v, p, 8); return v; }
    static inline void shardd_store16(void *p, uint16_t v) { memcpy(p, &v, 2); }
    static inline void shardd_store32(void *p, uint32_t v) { memcpy(p, &v, 4); }
    static inline void shardd_store64(void *p, uint64_t v) { memcpy(p, &v, 8); }
    /* a cheap monotonic tick: the time-stamp counter where there is one, nanoseconds elsewhere */
    #if defined(__x86_64__)
    static inline uint64_t shardd_ticks(void) { return __builtin_ia32_rdtsc(); }
    #elif defined(__aarch64__)
    static inline uint64_t shardd_ticks(void) {
        uint64_t v;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(v));
        return v;
    }
    #else
    static inline uint64_t shardd_ticks(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return t.tv_sec * 1000000000ull + t.tv_nsec;
    }
    #endif
    #if defined(SHARDD_ASAN)
    #define SHARDD_PLAIN_MALLOC 1
    #else
    #define SHARDD_PLAIN_MALLOC 0
    #endif
    """
    void prefetch "shardd_prefetch" (const void*) noexcept nogil
    int ctz "shardd_ctz" (unsigned int) noexcept nogil
    int ctz64 "shardd_ctz64" (uint64_t) noexcept nogil
    int popcount "shardd_popcount" (unsigned int) noexcept nogil
    uint16_t load16 "shardd_load16" (const void*) noexcept nogil
    uint32_t load32 "shardd_load32" (const void*) noexcept nogil
    uint64_t load64 "shardd_load64" (const void*) noexcept nogil
    void store16 "shardd_store16" (void*, uint16_t) noexcept nogil
    void store32 "shardd_store32" (void*, uint32_t) noexcept nogil
    void store64 "shardd_store64" (void*, uint64_t) noexcept nogil
    uint64_t ticks "shardd_ticks" () noexcept nogil
    bint PLAIN_MALLOC "SHARDD_PLAIN_MALLOC"
    bint likely "__builtin_expect" (bint, bint) noexcept nogil
