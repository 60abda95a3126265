"""The syncer: a thread that waits for the disk so that the loop need not.

It takes jobs in order: sync a file, sync and close one, or only close one (which, for a file that was deleted, is when
its blocks are freed). The thread is C alone: it never asks for the interpreter, so it cannot hold up the loop, and it
gets no signals.

    loop  --put(fd, offset, ...)-->  first -> Job -> Job -> last  -->  thread: fdatasync(fd), close(fd)
    loop  <--is_syncing(), synced, error--  Shared  <-----------------'

Owns: the thread, the jobs, and how far the journal is known to be on disk. Does not own when to sync (journal.aof).

Invariants: a failed sync leaves `synced` where it was: what the kernel could not write it may have forgotten, so only a
sync of a later job, which covers all of the file, may move it on (that is Redis's way, too, for `everysec`, which never
promised more). After a fork only the parent has the thread; the child must not touch the Syncer, and ends by _exit.
"""
import cython
from cython.cimports.libc.errno import EBADF, EINVAL, errno
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.shardd.journal.syncer import Job, Shared
from cython.cimports.shardd.journal.threads import (
    SIG_SETMASK, fdatasync, pthread_cond_broadcast, pthread_cond_init, pthread_cond_wait, pthread_create, pthread_join,
    pthread_mutex_init, pthread_mutex_lock, pthread_mutex_unlock, pthread_sigmask, sigfillset, sigset_t)
from cython.cimports.shardd.net.sys import sys_close

job_p = cython.typedef(cython.pointer(Job))
shared_p = cython.typedef(cython.pointer(Shared))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _do(job: job_p) -> cython.int:
    """Do one job; errno, 0 where it went well or there was nothing to sync."""
    failed: cython.int = 0
    if job.sync:
        if job.planned_errno:
            failed = job.planned_errno
        elif fdatasync(job.fd) != 0 and errno != EBADF and errno != EINVAL:
            failed = errno      # the two others say that it is no file on a disk
    if job.close:
        sys_close(job.fd)
    return failed


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _run(arg: cython.p_void) -> cython.p_void:
    """The thread."""
    shared: shared_p = cython.cast(shared_p, arg)
    job: job_p
    failed: cython.int
    pthread_mutex_lock(cython.address(shared.lock))
    while True:
        job = shared.first
        if job == cython.NULL:
            if shared.stopping:
                break
            pthread_cond_wait(cython.address(shared.changed), cython.address(shared.lock))
            continue
        while shared.held and job.sync and not shared.stopping:
            pthread_cond_wait(cython.address(shared.changed), cython.address(shared.lock))
        pthread_mutex_unlock(cython.address(shared.lock))
        failed = _do(job)
        pthread_mutex_lock(cython.address(shared.lock))
        shared.first = job.next
        if shared.first == cython.NULL:
            shared.last = cython.NULL
        shared.jobs -= 1
        if job.sync:
            if not job.close:
                shared.syncs -= 1
            shared.error = failed
            if failed == 0 and job.offset > shared.synced:
                shared.synced = job.offset
        free(job)
        pthread_cond_broadcast(cython.address(shared.changed))
    pthread_mutex_unlock(cython.address(shared.lock))
    return cython.NULL


@cython.final
@cython.cclass
class Syncer:
    """The thread, started with the first job.

    planned_errno: for tests, how the next fdatasyncs end; 0 as the disk does.
    """

    def __cinit__(self) -> None:
        self.shared = cython.cast(shared_p, calloc(1, cython.sizeof(Shared)))
        if self.shared == cython.NULL:
            raise MemoryError
        pthread_mutex_init(cython.address(self.shared.lock), cython.NULL)
        pthread_cond_init(cython.address(self.shared.changed), cython.NULL)

    def __dealloc__(self) -> None:
        self.stop()
        free(self.shared)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put(self, fd: cython.int, offset: uint64_t, sync: cython.bint, close: cython.bint) -> cython.int:
        """One more job. offset: how far in the journal the file goes. MemoryError, OSError (no thread)."""
        everything: sigset_t
        before: sigset_t
        failed: cython.int
        job: job_p
        if not self.running:
            sigfillset(cython.address(everything))
            pthread_sigmask(SIG_SETMASK, cython.address(everything), cython.address(before))
            failed = pthread_create(cython.address(self.thread), cython.NULL, _run, self.shared)
            pthread_sigmask(SIG_SETMASK, cython.address(before), cython.NULL)
            if failed:
                raise OSError(failed, "cannot start a thread")
            self.running = True
        job = cython.cast(job_p, calloc(1, cython.sizeof(Job)))
        if job == cython.NULL:
            raise MemoryError
        job.fd, job.offset, job.sync, job.close = fd, offset, sync, close
        job.planned_errno = self.planned_errno
        pthread_mutex_lock(cython.address(self.shared.lock))
        if self.shared.last == cython.NULL:
            self.shared.first = job
        else:
            self.shared.last.next = job
        self.shared.last = job
        self.shared.jobs += 1
        if sync and not close:
            self.shared.syncs += 1
        pthread_cond_broadcast(cython.address(self.shared.changed))
        pthread_mutex_unlock(cython.address(self.shared.lock))
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def is_syncing(self) -> cython.bint:
        """Whether the current file is being synced."""
        syncs: cython.int
        pthread_mutex_lock(cython.address(self.shared.lock))
        syncs = self.shared.syncs
        pthread_mutex_unlock(cython.address(self.shared.lock))
        return syncs > 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def error_of(self) -> cython.int:
        """The errno of the last sync, 0 where it went well."""
        failed: cython.int
        pthread_mutex_lock(cython.address(self.shared.lock))
        failed = self.shared.error
        pthread_mutex_unlock(cython.address(self.shared.lock))
        return failed

    @property
    def syncing(self) -> int:
        """How many syncs of the current file are waiting or under way."""
        count: cython.int
        pthread_mutex_lock(cython.address(self.shared.lock))
        count = self.shared.syncs
        pthread_mutex_unlock(cython.address(self.shared.lock))
        return count

    @property
    def error(self) -> int:
        """As error_of."""
        return self.error_of()

    @property
    def synced(self) -> int:
        """The journal is on disk up to this offset, as far as this thread knows."""
        offset: uint64_t
        pthread_mutex_lock(cython.address(self.shared.lock))
        offset = self.shared.synced
        pthread_mutex_unlock(cython.address(self.shared.lock))
        return offset

    def forget_error(self) -> None:
        """The log is opened anew: what failed before is history."""
        pthread_mutex_lock(cython.address(self.shared.lock))
        self.shared.error = 0
        pthread_mutex_unlock(cython.address(self.shared.lock))

    def close_later(self, fd: int) -> None:
        """Close a descriptor in the thread. MemoryError, OSError."""
        self.put(fd, 0, False, True)

    def hold(self, held: bool) -> None:
        """For tests: fdatasyncs take until they are held no longer, or the thread is to end."""
        pthread_mutex_lock(cython.address(self.shared.lock))
        self.shared.held = held
        pthread_cond_broadcast(cython.address(self.shared.changed))
        pthread_mutex_unlock(cython.address(self.shared.lock))

    def drain(self) -> None:
        """Wait until all jobs are done."""
        with cython.nogil:
            pthread_mutex_lock(cython.address(self.shared.lock))
            while self.shared.jobs and self.running:
                pthread_cond_wait(cython.address(self.shared.changed), cython.address(self.shared.lock))
            pthread_mutex_unlock(cython.address(self.shared.lock))

    def stop(self) -> None:
        """Do what is left, and end the thread."""
        if not self.running:
            return
        with cython.nogil:
            pthread_mutex_lock(cython.address(self.shared.lock))
            self.shared.stopping = True
            pthread_cond_broadcast(cython.address(self.shared.changed))
            pthread_mutex_unlock(cython.address(self.shared.lock))
            pthread_join(self.thread, cython.NULL)
        self.shared.stopping = False
        self.running = False
