# The system calls on files that the journal makes itself.
from libc.stdint cimport int64_t

cdef extern from "<sys/types.h>" nogil:
    ctypedef long ssize_t

cdef extern from "<unistd.h>" nogil:
    ssize_t sys_write "write" (int fd, const void* p, size_t n)
    int usleep(unsigned int us)

cdef extern from "<fcntl.h>" nogil:
    int sync_file_range(int fd, int64_t start, int64_t n, unsigned int flags)
    unsigned int SYNC_FILE_RANGE_WAIT_BEFORE, SYNC_FILE_RANGE_WRITE, SYNC_FILE_RANGE_WAIT_AFTER
