"""Replacing a file so that a reader, or a crash, meets the old text or the new one, whole.

Owns: the order of writing, syncing and renaming. Does not own what is in the file, or who may write it.
"""

import os


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
