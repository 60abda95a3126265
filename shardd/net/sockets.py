"""What the reactor asks of sockets besides bytes: addresses, options, errors.

Owns: the form of an address as clients see it (CLIENT LIST), the options of an accepted socket. Does not own any
socket: all functions take a descriptor.
"""
import os

import cython
from cython.cimports.libc.errno import errno
from cython.cimports.libc.string import memset
from cython.cimports.shardd.net.sys import (
    AF_INET, AF_INET6, AF_UNIX, IPPROTO_TCP, SO_ERROR, SO_KEEPALIVE, SOL_SOCKET, TCP_CONGESTION, TCP_KEEPCNT,
    TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_NODELAY, getpeername, getsockname, getsockopt, inet_ntop, ntohs, setsockopt,
    sockaddr, sockaddr_in, sockaddr_in6, sockaddr_storage, sockaddr_un, socklen_t)


@cython.cfunc
def os_error(code: cython.int) -> object:
    """An OSError (or its subclass) for an errno."""
    return OSError(code, os.strerror(code))


@cython.cfunc
def address_of(fd: cython.int, peer: cython.bint) -> str:
    """Where one end of a socket is: "1.2.3.4:5", "[::1]:5", or a Unix socket's path and ":0" as Redis writes it."""
    storage: sockaddr_storage
    text: cython.char[64]
    size: socklen_t = cython.sizeof(sockaddr_storage)
    name: cython.pointer(sockaddr) = cython.cast(cython.pointer(sockaddr), cython.address(storage))
    four: cython.pointer(sockaddr_in)
    six: cython.pointer(sockaddr_in6)
    memset(cython.address(storage), 0, cython.sizeof(sockaddr_storage))
    if (getpeername(fd, name, cython.address(size)) if peer else getsockname(fd, name, cython.address(size))) < 0:
        return "?:0"
    if storage.ss_family == AF_INET:
        four = cython.cast(cython.pointer(sockaddr_in), cython.address(storage))
        inet_ntop(AF_INET, cython.address(four.sin_addr), text, cython.sizeof(text))
        return f"{text.decode('ascii')}:{ntohs(four.sin_port)}"
    if storage.ss_family == AF_INET6:
        six = cython.cast(cython.pointer(sockaddr_in6), cython.address(storage))
        inet_ntop(AF_INET6, cython.address(six.sin6_addr), text, cython.sizeof(text))
        return f"[{text.decode('ascii')}]:{ntohs(six.sin6_port)}"
    if storage.ss_family == AF_UNIX:
        path: bytes = cython.cast(cython.pointer(sockaddr_un), cython.address(storage)).sun_path
        return path.decode("utf-8", "replace") + ":0"
    return "?:0"


@cython.cfunc
@cython.exceptval(check=False)
def socket_error(fd: cython.int) -> cython.int:
    """The error that waits on the socket, taken off it; 0 where there is none."""
    code: cython.int = 0
    size: socklen_t = cython.sizeof(cython.int)
    if getsockopt(fd, SOL_SOCKET, SO_ERROR, cython.address(code), cython.address(size)) < 0:
        return errno
    return code


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_tcp(fd: cython.int, keepalive_s: cython.int) -> cython.int:
    """No Nagle; probes after keepalive_s seconds of silence, dead after three more of a third of that (as Redis)."""
    on: cython.int = 1
    value: cython.int = keepalive_s
    size: socklen_t = cython.sizeof(cython.int)
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, cython.address(on), size)
    if keepalive_s > 0:
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, cython.address(on), size)
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, cython.address(value), size)
        value = max(1, keepalive_s // 3)
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, cython.address(value), size)
        value = 3
        setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, cython.address(value), size)
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_loopback(fd: cython.int) -> cython.int:
    """Both ends are on this host: nothing is ever congested, so the cheapest of the kernel's algorithms does."""
    setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cython.cast(cython.p_char, b"reno"), 4)
    return 0
