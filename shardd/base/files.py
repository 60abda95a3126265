"""Replacing a file so that a reader, or a crash, meets the old text or the new one, whole; and opening one that is
there, which must be a file.

Owns: the order of writing, syncing and renaming. Does not own what is in the file, or who may write it.
"""

import errno
import os
import stat


def replace_file(path: str | os.PathLike[str], data: bytes, suffix: str = ".new", mode: int = 0o644) -> None:
    """Replace `path` by `data` in one step, which then survives a crash. Raises OSError, and `path` is as it was.

    suffix: makes the name of the file that is written first, in the same directory; a leftover there is overwritten.
    mode: permission bits.
    """
    path = os.fspath(path)
    new_path = path + suffix
    directory = _open_directory(os.path.dirname(path))      # first, so that nothing but the disk can fail behind rename
    try:
        fd = os.open(new_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            with open(fd, "wb") as file:
                os.fchmod(fd, mode)
                file.write(data)
                file.flush()
                os.fsync(fd)
            os.rename(new_path, path)
        except BaseException:
            os.unlink(new_path)
            raise
        os.fsync(directory)
    finally:
        os.close(directory)


def _open_directory(path: str) -> int:
    return os.open(path or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def sync_directory(path: str | os.PathLike[str]) -> None:
    """A file that was made, renamed or removed in this directory ("" for the present one) stays so. Raises OSError."""
    directory = _open_directory(os.fspath(path))
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def open_regular(path: str | os.PathLike[str]) -> int:
    """A descriptor to read from, of a regular file or a link to one; OSError for anything else: a FIFO in a file's
    place would hold us up until somebody writes to it."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    kind = os.fstat(fd).st_mode
    if stat.S_ISREG(kind):
        return fd
    os.close(fd)
    code = errno.EISDIR if stat.S_ISDIR(kind) else errno.EINVAL
    raise OSError(code, os.strerror(code) if code == errno.EISDIR else "Not a regular file", os.fspath(path))
