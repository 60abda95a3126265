"""The error texts: one line each, a code first, Redis's truncation rules."""

import re

import pytest

from shardd.base import errors

CONSTANTS = {name: text for name, text in vars(errors).items() if isinstance(text, bytes) and not name.startswith("_")}


@pytest.mark.parametrize("name", CONSTANTS)
def test_every_text_is_one_line_with_its_code_first(name):
    pattern = rb"[A-Z]+" if name == "SAVE_FAILED" else rb"[A-Z]+ [^\r\n]+"      # Redis too says only ERR there
    assert re.fullmatch(pattern, CONSTANTS[name])


def test_each_text_exists_once():
    assert len(set(CONSTANTS.values())) == len(CONSTANTS)


def test_command_error_carries_its_text_and_its_code():
    error = errors.CommandError(errors.WRONG_TYPE)
    assert error.text == errors.WRONG_TYPE
    assert error.code == "WRONGTYPE"
    assert str(error).startswith("WRONGTYPE Operation")


def test_unknown_command_quotes_its_arguments():
    assert errors.unknown_command(b"FOO", [b"a", b"b c"]) == (
        b"ERR unknown command 'FOO', with args beginning with: 'a' 'b c' ")
    assert errors.unknown_command(b"foo", []) == b"ERR unknown command 'foo', with args beginning with: "


def test_unknown_command_shows_128_bytes_of_the_name_and_of_the_arguments():
    text = errors.unknown_command(b"n" * 200, [b"x" * 200, b"never"])
    assert b"'" + b"n" * 128 + b"'" in text
    assert text.endswith(b": '" + b"x" * 128 + b"' ")
    # 126 bytes are used after the first argument ('' and the blank count), so two of the second are shown
    assert errors.unknown_command(b"f", [b"x" * 123, b"yyyy", b"z"]).endswith(b"'yy' ")


def test_unknown_command_stops_at_a_nul_and_keeps_to_one_line():
    assert errors.unknown_command(b"a\0b", [b"c\0d"]) == b"ERR unknown command 'a', with args beginning with: 'c' "
    assert errors.unknown_command(b"a\r\nb", [b"\n"]) == b"ERR unknown command 'a  b', with args beginning with: ' ' "


def test_unknown_subcommand_names_the_container_in_capitals():
    assert errors.unknown_subcommand(b"client", b"Nope") == b"ERR unknown subcommand 'Nope'. Try CLIENT HELP."
    assert errors.unknown_subcommand(b"CLIENT", b"x" * 200).count(b"x") == 128
    assert errors.subcommand_syntax(b"object", b"freq") == (
        b"ERR unknown subcommand or wrong number of arguments for 'freq'. Try OBJECT HELP.")


@pytest.mark.parametrize("text, expected", [
    (errors.wrong_arity("client|kill"), b"ERR wrong number of arguments for 'client|kill' command"),
    (errors.invalid_expire("setex"), b"ERR invalid expire time in 'setex' command"),
    (errors.unsupported_option(b"FOO"), b"ERR Unsupported option FOO"),
    (errors.out_of_range_between(-1, 1), b"ERR value is out of range, value must between -1 and 1"),
    (errors.expected_dollar(ord("x")), b"ERR Protocol error: expected '$', got 'x'"),
    (errors.expected_dollar(ord("\r")), b"ERR Protocol error: expected '$', got ' '"),
    (errors.moved(12182, "127.0.0.1", 7000), b"MOVED 12182 127.0.0.1:7000"),
    (errors.ask(1, "::1", 7000), b"ASK 1 ::1:7000"),
    (errors.unknown_node(b"abc"), b"ERR Unknown node abc"),
    (errors.hello_syntax(b"foo"), b"ERR Syntax error in HELLO option 'foo'"),
    (errors.unknown_client_type(b"foo"), b"ERR Unknown client type 'foo'"),
    (errors.no_such_user(b"bob"), b"ERR No such user 'bob'"),
    (errors.unrecognized_option(b"foo"), b"ERR Unrecognized option 'foo'"),
    (errors.invalid_client_info("lib-name"), b"ERR lib-name cannot contain spaces, newlines or special characters."),
    (errors.config_set_unknown(b"foo"), b"ERR Unknown option or number of arguments for CONFIG SET - 'foo'"),
    (errors.config_set_failed(b"hz", b"why"),
     b"ERR CONFIG SET failed (possibly related to argument 'hz') - why"),
    (errors.config_rewrite_failed(b"No space left on device"), b"ERR Rewriting config file: No space left on device"),
])
def test_texts_with_a_parameter(text, expected):
    assert text == expected


def test_protected_command_is_debug_s_text():
    assert errors.protected_command("DEBUG", "enable-debug-command") == errors.PROTECTED_DEBUG
