"""The manifest: its text as Redis writes it, what is refused and in which words, and the steps of a log's life."""
import os

import pytest

from shardd.journal import manifest as manifests
from shardd.journal.manifest import Entry, Manifest, ManifestError, parse

NAME = "appendonly.aof"


def lines(manifest: Manifest) -> list[str]:
    return manifest.text().splitlines()


def test_the_life_of_a_log():
    manifest = Manifest().with_new_base(NAME, True).with_new_increment(NAME)
    assert lines(manifest) == ["file appendonly.aof.1.base.rdb seq 1 type b",
                               "file appendonly.aof.1.incr.aof seq 1 type i"]
    manifest = manifest.with_new_increment(NAME).with_new_increment(NAME).with_new_base(NAME, False).with_rewritten(1)
    assert lines(manifest) == [
        "file appendonly.aof.2.base.aof seq 2 type b", "file appendonly.aof.1.incr.aof seq 1 type h",
        "file appendonly.aof.2.incr.aof seq 2 type h", "file appendonly.aof.1.base.rdb seq 1 type h",
        "file appendonly.aof.3.incr.aof seq 3 type i"]
    assert [entry.name for entry in manifest.files] == ["appendonly.aof.2.base.aof", "appendonly.aof.3.incr.aof"]
    manifest = manifest.without_history()
    assert lines(manifest) == ["file appendonly.aof.2.base.aof seq 2 type b",
                               "file appendonly.aof.3.incr.aof seq 3 type i"]
    assert manifest.with_new_increment(NAME).increments[-1].seq == 4
    assert not manifest.with_rewritten(0).increments


def test_nothing_to_load():
    assert not Manifest() and not parse(b"# a comment\nfile a seq 1 type h\n")
    assert parse(b"file a seq 1 type i\n") and Manifest().with_base("old")


@pytest.mark.parametrize("name", ["a b", 'quo"te', "back\ttab", "bell\a", "é", os.fsdecode(b"\xff\xfe"), "line\nbreak"])
def test_names_that_need_quotes(name):
    manifest = Manifest(base=Entry(name, 7, "b"), last_base=7)
    text = os.fsencode(manifest.text())
    assert text.count(b"\n") == 1 and text.startswith(b'file "')
    assert parse(text) == manifest


def test_a_name_as_redis_quotes_it():
    assert Entry('a b"\x01\xff', 1, "i").line() == 'file "a b\\"\\x01\\xc3\\xbf" seq 1 type i\n'


def test_words_of_a_later_version_and_other_cases_and_blanks():
    manifest = parse(b"FILE a.base SEQ 3 TYPE b startoffset 5\r\n  type incr seq 12x file 'b c'\t\n#anything \"\n")
    assert manifest.base == Entry("a.base", 3, "b") and manifest.increments == (Entry("b c", 12, "i"),)
    assert (manifest.last_base, manifest.last_increment) == (3, 12)


FORMAT = "Invalid AOF manifest file format"


@pytest.mark.parametrize("text, reason, line", [
    ("", "Found an empty AOF manifest", 0),
    ("\n", FORMAT, 1), ("file a seq 1 type b\n \n", FORMAT, 2),
    ("file a seq 1\n", FORMAT, 1), ("file a seq 1 type b extra\n", FORMAT, 1), ("file a seq 0 type b\n", FORMAT, 1),
    ("file a seq x type b\n", FORMAT, 1), ("name a seq 1 type b\n", FORMAT, 1), ('file "" seq 1 type b\n', FORMAT, 1),
    ('file "a seq 1 type b\n', FORMAT, 1), ('file a seq 1 type ""\n', FORMAT, 1),
    ("file ../a seq 1 type b\n", "File can't be a path, just a filename", 1),
    ("file a\\\\b seq 1 type b\n", "File can't be a path, just a filename", 1),
    ("file a seq 1 type b\nfile b seq 2 type b\n", "Found duplicate base file information", 2),
    ("file a seq 2 type i\nfile b seq 2 type i\n", "Found a non-monotonic sequence number", 2),
    ("file a seq -1 type i\n", "Found a non-monotonic sequence number", 1),
    ("file a seq 1 type x\n", "Unknown AOF file type", 1),
    ("file a seq 1 type b", "The AOF manifest file contains too long line", 1),
    ("file " + "a" * 1010 + " seq 1 type b\n", "The AOF manifest file contains too long line", 1)])
def test_what_is_refused(text, reason, line):
    with pytest.raises(ManifestError) as error:
        parse(text.encode())
    assert (error.value.reason, error.value.line_number) == (reason, line)


def test_on_disk(tmp_path):
    assert manifests.read(str(tmp_path / "nowhere"), NAME) == Manifest()
    manifest = Manifest().with_new_base(NAME, True).with_new_increment(NAME)
    manifests.write(manifest, str(tmp_path), NAME)
    assert os.listdir(tmp_path) == ["appendonly.aof.manifest"]
    assert manifests.read(str(tmp_path), NAME) == manifest
    manifests.write_single_base(str(tmp_path), NAME, "appendonly.aof.1.base.rdb")
    assert manifests.read(str(tmp_path), NAME) == Manifest().with_new_base(NAME, True)
