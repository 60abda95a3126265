"""INFO's text: the sections that are asked for, the lines, sizes for people."""
import pytest

from shardd.commands import info

DEFAULT = ["server", "clients", "memory", "persistence", "stats", "replication", "cpu", "modules", "errorstats",
           "cluster", "keyspace"]
ALL = [*DEFAULT[:8], "commandstats", "errorstats", "latencystats", *DEFAULT[9:], "keysizes"]


@pytest.mark.parametrize("words, sections", [
    ("", DEFAULT), ("default", DEFAULT), ("all", ALL), ("everything", ALL), ("ALL", ALL), ("nosuch", []),
    ("nosuch cpu", ["cpu"]), ("keyspace server", ["server", "keyspace"]), ("server SERVER", ["server"]),
    ("commandstats default latencystats", ALL[:-1]), ("module_list", ["modules"]), ("nosuch all", ALL)])
def test_chosen_sections(words, sections):
    assert info.chosen(words.encode().split()) == sections


def test_the_text():
    text = info.render({"cpu": {"a": 1, "b": "x"}, "modules": {}, "keyspace": {"db0": info.keyspace_line(3, 1, 99, 0)}})
    assert text == "# CPU\r\na:1\r\nb:x\r\n\r\n# Modules\r\n\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=99\r\n"
    assert type(text).__name__ == "Verbatim"
    assert info.render({}) == ""


@pytest.mark.parametrize("size, text", [
    (0, "0B"), (1, "1B"), (1023, "1023B"), (1024, "1.00K"), (1536, "1.50K"), (1024**2 - 1, "1024.00K"),
    (1024**2, "1.00M"), (25276502016, "23.54G"), (1024**4, "1.00T"), (1024**5, "1.00P"), (3000 * 1024**5, "3000.00P")])
def test_sizes_for_people(size, text):
    assert info.human(size) == text


def test_lines_of_commands():
    assert info.command_line(4, 10, 1, 2) == {"calls": 4, "usec": 10, "usec_per_call": "2.50", "rejected_calls": 1,
                                              "failed_calls": 2}
    assert info.command_line(0, 0, 1, 0)["usec_per_call"] == "0.00"
    assert info.percent(1, 3) == "33.33%" and info.percent(1, 0) == "0.00%"


def test_listeners():
    def listeners(**options):
        facts = info.server(mode="standalone", run_id="0" * 40, started=0.0, hz=10, config_file=None, **options)
        return [value for name, value in facts.items() if name.startswith("listener")]

    assert listeners(port=0) == []
    assert listeners(port=6379, bind=("*", "-::*")) == ["name=tcp,bind=*,bind=-::*,port=6379"]
    assert listeners(port=1, bind=("::1",), unixsocket="/x") == ["name=tcp,bind=::1,port=1", "name=unix,bind=/x"]
    assert listeners(port=0, unixsocket="/x") == ["name=unix,bind=/x"]


def test_facts_of_a_process():
    facts = info.server(mode="cluster", run_id="a" * 40, started=0.0, port=7, hz=50, config_file=None)
    assert facts["redis_mode"] == "cluster" and facts["configured_hz"] == 50 and facts["config_file"] == ""
    assert facts["uptime_in_days"] == facts["uptime_in_seconds"] // 86400 > 20_000
    assert info.resident_bytes() > 1024**2
    assert info.system_bytes() > info.resident_bytes()
    assert all(float(value) >= 0 for value in info.cpu().values())
