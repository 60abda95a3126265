"""ACL, as far as it is true of one user: what `default` may (everything) and which categories commands are in.

Owns: the replies, once for the engine and the proxy. Does not own passwords (the option requirepass,
commands.connection). Subcommands that make or change users, and the log of refusals, do not exist yet.

What is used of `server`: config and built, as in commands.introspect.
"""
import hashlib
import secrets
from typing import Any, Final

from shardd.base import errors
from shardd.base.errors import CommandError
from shardd.commands import introspect
from shardd.commands.connection import DEFAULT_USER
from shardd.commands.plain import Handler, help_lines
from shardd.commands.table import CATEGORIES, parse_integer

GENPASS_BITS: Final = 256
GENPASS_BITS_MAX: Final = 4096
_BITS_PER_DIGIT: Final = 4


def whoami(server: Any, client: Any, args: list[bytes]) -> Any:
    """ACL WHOAMI"""
    return client.user


def users(server: Any, client: Any, args: list[bytes]) -> Any:
    """ACL USERS"""
    return [DEFAULT_USER]


def _passwords(server: Any) -> list[str]:
    """The SHA-256 digests of the default user's passwords: of none or one."""
    password = server.config["requirepass"].encode("utf-8", "surrogateescape")
    return [hashlib.sha256(password).hexdigest()] if password else []


def list_(server: Any, client: Any, args: list[bytes]) -> Any:
    """ACL LIST: each user as a line of an ACL file."""
    passwords = " ".join("#" + digest for digest in _passwords(server)) or "nopass"
    return [f"user {DEFAULT_USER.decode()} on {passwords} ~* &* +@all"]


def getuser(server: Any, client: Any, args: list[bytes]) -> Any:
    """ACL GETUSER name"""
    if args[2] != DEFAULT_USER:
        return None
    passwords = _passwords(server)
    flags = [b"on"] if passwords else [b"on", b"nopass"]
    return {b"flags": introspect.InOrder(flags), b"passwords": passwords, b"commands": b"+@all", b"keys": b"~*",
            b"channels": b"&*", b"selectors": []}


def cat(server: Any, client: Any, args: list[bytes]) -> Any:
    """ACL CAT [category]: the categories, or the commands in one."""
    if len(args) == 2:
        return list(CATEGORIES)
    if len(args) > 3:
        raise CommandError(errors.subcommand_syntax(args[0], args[1]))
    if args[2].lower().decode("latin-1") not in CATEGORIES:
        raise CommandError(errors.unknown_category(args[2]))
    return introspect.command_list(server, client, [b"command", b"list", b"filterby", b"aclcat", args[2]])


def genpass(server: Any, client: Any, args: list[bytes]) -> Any:
    """ACL GENPASS [bits]: a random password in hex."""
    if len(args) > 3:
        raise CommandError(errors.subcommand_syntax(args[0], args[1]))
    bits: int | None = GENPASS_BITS
    if len(args) == 3:
        bits = parse_integer(args[2])
        if bits is None:
            raise CommandError(errors.NOT_INTEGER)
        if not 0 < bits <= GENPASS_BITS_MAX:
            raise CommandError(errors.GENPASS_BITS)
    digits = (bits + _BITS_PER_DIGIT - 1) // _BITS_PER_DIGIT
    return secrets.token_hex((digits + 1) // 2)[:digits]


def acl_help(server: Any, client: Any, args: list[bytes]) -> Any:
    """ACL HELP"""
    return help_lines("ACL", [
        "CAT [<category>]",
        "    The categories of commands, or the commands in one.",
        "GENPASS [<bits>]",
        "    A random password (256 bits unless told).",
        "GETUSER <username>",
        "    What a user may.",
        "LIST",
        "    The users as lines of an ACL file.",
        "USERS",
        "    The names of the users.",
        "WHOAMI",
        "    The name of this connection's user.",
    ])


HANDLERS: Final[dict[str, Handler]] = {
    "acl|whoami": whoami,
    "acl|users": users,
    "acl|list": list_,
    "acl|getuser": getuser,
    "acl|cat": cat,
    "acl|genpass": genpass,
    "acl|help": acl_help,
}
"""Full lower-case command name -> handler, for whoever builds a registry."""
