"""doctor: each check finds what it is for and nothing on a tree that is well; and what is printed."""

import os

import pytest

from ctl_fakes import FakeSource, ctl, flat, info
from shardd.base.errors import CommandError
from shardd.cluster.topology import DOWN, EngineInfo, Migration, Topology
from shardd.ctl import doctor
from shardd.ctl.checkup import ADVICE, CHECKS, PROBLEM, Host, Patient, examine
from shardd.ctl.facts import Info
from shardd.ctl.link import Unreachable

NOW_S = 1_795_163_438.0
MIB = 2**20


class FakeHost(Host):
    """files: path -> text."""

    cores = 4

    def __init__(self, **changes):
        self.files = {
            "proc/meminfo": "MemTotal: 16000000 kB\nMemAvailable: 12000000 kB\n",
            "proc/100/limits": "Limit  Soft Limit  Hard Limit  Units\nMax open files  20000  20000  files\n",
            "proc/100/status": "VmSwap:\t 0 kB\n",
            "proc/sys/vm/overcommit_memory": "1", "proc/sys/net/core/somaxconn": "4096",
            "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never",
            "sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc"}
        self.free, self.whole = 100 * 1024 * MIB, 200 * 1024 * MIB
        self.run_mode, self.started, self.newest = 0o700, 2000.0, 1000.0
        vars(self).update(changes)

    def text(self, path):
        return self.files.get(path)

    def disk(self, directory):
        return self.free, self.whole

    def mode(self, path):
        return self.run_mode

    def started_s(self, pid):
        return self.started

    def newest_code_s(self):
        return self.newest


def fields(**changes):
    return {"redis_version": "7.2.6", "redis_build_id": "b", "used_memory": 50 * MIB, "used_memory_rss": 60 * MIB,
            "maxmemory": 0, "connected_clients": 5, "rejected_connections": 0, "instantaneous_ops_per_sec": 10,
            "db0": "keys=100,expires=0,avg_ttl=0", "rdb_last_bgsave_status": "ok", "aof_last_write_status": "ok",
            "aof_last_bgrewrite_status": "ok", "server_time_usec": int(NOW_S * 1e6), "tcp_port": 40001,
            "eventloop_longest_batch_usec": 900, "eventloop_longest_batch_cpu_usec": 900} | changes


def child(kind, index, **facts):
    return {"kind": kind, "index": index, "state": "up", "answers": True, "pid": 100, "epoch": 7, "known_epoch": 7,
            "restarts": 0} | facts


@pytest.fixture
def well():
    engines = [EngineInfo(f"{index + 10:040x}", f"{index + 20:040x}", index, port=40001 + index, state="up")
               for index in range(2)]
    topology = Topology.even(engines, "c" * 40, epoch=7)
    names = ("engine 0", "engine 1", "proxy 0")
    children = [child("engine", index, id=engines[index].id) for index in range(2)] + [child("proxy", 0)]
    return Patient(
        {"pid": 100, "stored_epoch": 7}, 7, children, topology,
        {"dir": "/d", "maxclients": "10000", "tcp-backlog": "511", "disable-thp": "no", "bind": "127.0.0.1 -::1",
         "requirepass": "", "protected-mode": "yes", "enable-debug-command": "no", "maxmemory": "0", "save": "",
         "appendonly": "yes"},
        infos={name: Info("".join(f"{key}:{value}\n" for key, value in fields().items())) for name in names},
        kinds={"engine 0": "engine", "engine 1": "engine", "proxy 0": "proxy"},
        asked_s=dict.fromkeys(names, NOW_S), host=FakeHost(), where=" --dir /d")


def change(patient, name, **changes):
    """Other INFO of one process."""
    patient.infos[name].fields.update({key: str(value) for key, value in changes.items()})


def found(patient, *names):
    return [(one.check, one.severity, one.where) for one in doctor.diagnose(patient, list(names or CHECKS))]


def test_a_tree_that_is_well_has_nothing(well):
    assert found(well) == []


def test_a_tree_that_says_nothing_has_nothing(well):
    assert found(Patient({}, None, [])) == []
    assert found(Patient({}, None, [child("server", 0, address="127.0.0.1:1")])) == []


def test_every_finding_says_what_why_and_how(well):
    well.processes[0] |= {"state": "backoff", "answers": False, "crash_loop": True, "last_exit": "by signal SIGKILL",
                          "last_exit_s": 75}
    [finding] = doctor.diagnose(well, ["processes"])
    assert finding.what == "engine 0 dies again and again; it ended by signal SIGKILL 1m 15s ago"
    assert finding.why.endswith("its slots are refused to clients")
    assert finding.fix == "shardctl logs engine 0 -n 50 --dir /d"


@pytest.mark.parametrize("facts, severity", [
    ({"state": "suspect"}, PROBLEM), ({"answers": False}, PROBLEM), ({"state": "backoff"}, PROBLEM),
    ({"state": "down"}, PROBLEM), ({"state": "starting"}, ADVICE), ({"state": "draining"}, ADVICE),
    ({"state": "loading"}, ADVICE), ({"state": "stopping"}, ADVICE)])
def test_processes(well, facts, severity):
    well.processes[2] |= facts
    assert found(well, "processes") == [("processes", severity, "proxy 0")]


def test_a_suspect_proxy_is_restarted_and_a_suspect_engine_is_not(well):
    for process in well.processes:
        process["state"] = "suspect"
    assert [one.fix for one in doctor.diagnose(well, ["processes"])] == [
        "shardctl logs engine 0 -n 50 --dir /d", "shardctl logs engine 1 -n 50 --dir /d",
        "shardctl restart proxy 0 --dir /d"]


def test_deaths(well):
    well.processes[1] |= {"restarts": 2, "last_exit": "with exit code 1", "last_exit_s": 60}
    assert found(well, "deaths") == [("deaths", ADVICE, "engine 1")]
    well.processes[1]["last_exit_s"] = 7200
    assert found(well, "deaths") == []


def test_the_supervisor(well):
    well.supervisor |= {"trouble": ["the listening sockets are gone"], "stored_epoch": 5}
    assert found(well, "supervisor") == [("supervisor", PROBLEM, "supervisor"),
                                         ("supervisor", PROBLEM, "topology.json")]


def test_the_epoch(well):
    well.processes[2]["epoch"] = 6
    [finding] = doctor.diagnose(well, ["epoch"])
    assert (finding.where, finding.fix) == ("proxy 0", "shardctl restart proxy 0 --dir /d")
    well.processes[2]["answers"] = False
    assert found(well, "epoch") == [], "who does not answer is another check's"


def test_slots(well):
    first, second = well.topology.engines
    well.topology = well.topology.with_slots(0, 9, None)
    assert [one.what for one in doctor.diagnose(well, ["slots"])] == ["10 slots belong to no engine"]
    well.topology = well.topology.with_slots(0, 9, first.id).with_engine_facts(second.id, state=DOWN)
    assert found(well, "slots") == [("slots", PROBLEM, "engine 1")]
    well.topology = well.topology.with_engine_facts(second.id, state="up").with_migration(
        Migration(0, 9, first.id, second.id))
    assert found(well, "slots") == [("slots", ADVICE, "topology")]


def test_the_configuration(well):
    well.different = [{"name": "maxmemory", "process": "engine 1", "expected": "500", "value": "7"}]
    well.config["maxmemory"] = "1000"
    well.supervisor["pending"] = [{"option": "databases", "value": "32", "origin": "shardd.conf:7",
                                   "command": "shardctl restart all"}]
    findings = doctor.diagnose(well, ["configuration"])
    assert [(one.severity, one.where, one.fix) for one in findings] == [
        (PROBLEM, "engine 1", "shardctl config set maxmemory 1000 --dir /d"),
        (ADVICE, "shardd.conf:7", "shardctl restart all --dir /d")]


def test_passwords_that_differ_are_not_shown(well):
    well.different = [{"name": "requirepass", "process": "engine 1", "expected": "s3cret", "value": "other"}]
    well.config["requirepass"] = "s3cret"
    assert "s3cret" not in str(doctor.diagnose(well, ["configuration"])) and "other" not in str(
        doctor.diagnose(well, ["configuration"]))


def test_versions(well):
    change(well, "engine 1", redis_version="7.4.0")
    assert found(well, "versions") == [("versions", PROBLEM, "redis_version")]
    change(well, "engine 1", redis_version="7.2.6")
    well.host.newest = 3000.0
    [finding] = doctor.diagnose(well, ["versions"])
    assert finding.severity == ADVICE and finding.where == "engine 0, engine 1, proxy 0, supervisor"


def test_memory(well):
    change(well, "engine 0", used_memory=92, maxmemory=100)
    change(well, "engine 1", used_memory=99, maxmemory=100)
    well.config["maxmemory"] = "200"
    findings = doctor.diagnose(well, ["memory"])
    assert [(one.severity, one.where, one.fix) for one in findings] == [
        (PROBLEM, "engine 1", "shardctl config set maxmemory 400 --dir /d"),
        (ADVICE, "engine 0", "shardctl config set maxmemory 400 --dir /d")]


def test_the_machine_s_memory(well):
    change(well, "engine 0", used_memory_rss=15_000_000 * 1024)
    well.host.files["proc/meminfo"] = "MemTotal: 16000000 kB\nMemAvailable: 100000 kB\n"
    assert found(well, "memory") == [("memory", PROBLEM, "engines"), ("memory", PROBLEM, "host")]


def test_fragmentation(well):
    change(well, "engine 1", used_memory_rss=400 * MIB)
    assert found(well, "fragmentation") == [("fragmentation", ADVICE, "engine 1")]
    change(well, "engine 1", used_memory=10, used_memory_rss=30 * MIB)
    assert found(well, "fragmentation") == [], "the interpreter alone takes that"


def test_clients(well):
    change(well, "proxy 0", connected_clients=8500, rejected_connections=3)
    change(well, "engine 1", connected_clients=9900)
    assert found(well, "clients") == [("clients", PROBLEM, "engine 1"), ("clients", ADVICE, "proxies"),
                                      ("clients", ADVICE, "clients")]


def test_the_slow_log(well):
    well.slow = [[1, int(NOW_S) - 5000, 9, [b"get", b"a"], b"", b""]]
    assert found(well, "slow-log") == []
    well.slow.append([2, int(NOW_S) - 5, 50_000, [b"keys", b"*"], b"", b""])
    [finding] = doctor.diagnose(well, ["slow-log"])
    assert finding.what == "1 command in the slow log within an hour, the slowest KEYS with 50.0 ms"


def test_latency(well):
    well.events = {"engine 0": [[b"command", int(NOW_S) - 10, 5, 150], [b"expire-cycle", int(NOW_S) - 10, 5, 20],
                                [b"fork", int(NOW_S) - 9999, 500, 500]]}
    change(well, "engine 1", eventloop_longest_batch_usec=300_000, eventloop_longest_batch_cpu_usec=10_000)
    findings = doctor.diagnose(well, ["latency"])
    assert [one.where for one in findings] == ["engine 0", "engine 1"]
    assert "waited for a core" in findings[1].why and findings[1].fix.startswith("top ")
    change(well, "engine 1", eventloop_longest_batch_cpu_usec=290_000)
    assert doctor.diagnose(well, ["latency"])[1].fix == "shardctl latency slow --dir /d"


def test_balance(well):
    change(well, "engine 1", db0="keys=30000,expires=0,avg_ttl=0", instantaneous_ops_per_sec=5000)
    well.slots = {"engine 1": [(9000, 25_000)], "engine 0": [(5, 90)]}
    findings = doctor.diagnose(well, ["balance"])
    assert [one.what for one in findings] == [
        "engine 1 has 30.0k keys, 2.0 times the mean", "engine 1 has 5.00k commands per second, 2.0 times the mean",
        "slot 9000 has 25.0k keys, 83.3% of those of engine 1"]
    assert findings[2].fix == "redis-cli -p 40001 CLUSTER GETKEYSINSLOT 9000 10"


@pytest.mark.parametrize("name", ["rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status"])
def test_persistence(well, name):
    change(well, "engine 0", **{name: "err"})
    assert found(well, "persistence") == [("persistence", PROBLEM, "engine 0")]


@pytest.mark.parametrize("fields, severity", [
    ({"aof_rewrites_consecutive_failures": 3}, PROBLEM), ({"aof_enabled": 0}, PROBLEM),
    ({"aof_delayed_fsync": 7}, ADVICE)])
def test_a_log_that_is_not_kept_well(well, fields, severity):
    change(well, "engine 1", **fields)
    assert found(well, "persistence") == [("persistence", severity, "engine 1")]


def test_nothing_is_written_to_disk(well):
    well.config["appendonly"] = "no"
    assert found(well, "persistence") == [("persistence", ADVICE, "appendonly")]
    well.processes[1] |= {"restarts": 2, "last_exit": "with exit code 1", "last_exit_s": 60}
    assert [one.why for one in doctor.diagnose(well, ["deaths"])] == ["an engine's keys are lost with it"]
    well.config["save"] = "3600 1"
    assert found(well, "persistence") == []
    assert [one.why for one in doctor.diagnose(well, ["deaths"])] == ["its clients lost their connections"]


def test_no_room_for_the_next_snapshot(well):
    well.host.free = 1024 * MIB
    change(well, "engine 0", used_memory_dataset=2048 * MIB)
    assert found(well, "disk-room") == [("disk-room", PROBLEM, "/d")]
    well.config["appendonly"] = "no"
    assert found(well, "disk-room") == []


def test_lost_replies(well):
    change(well, "proxy 0", proxy_lost_replies=2)
    assert found(well, "replies") == [("replies", ADVICE, "proxies")]


def test_open_files(well):
    well.config["maxclients"] = "50000"
    assert found(well, "open-files") == [("open-files", PROBLEM, name) for name in ("engine 0", "engine 1", "proxy 0")]
    well.host.files["proc/100/limits"] = "Max open files  unlimited  unlimited  files\n"
    assert found(well, "open-files") == []


@pytest.mark.parametrize("enabled, thp, findings", [("[always] madvise never", "no", 1),
                                                    ("always madvise [never]", "no", 1),
                                                    ("always madvise [never]", "yes", 0)])
def test_huge_pages(well, enabled, thp, findings):
    well.host.files["sys/kernel/mm/transparent_hugepage/enabled"] = enabled
    well.config["disable-thp"] = thp
    assert len(found(well, "huge-pages")) == findings


@pytest.mark.parametrize("mode, save, findings", [("2", "", 1), ("0", "", 0), ("0", "3600 1", 1), ("1", "3600 1", 0)])
def test_overcommit(well, mode, save, findings):
    well.host.files["proc/sys/vm/overcommit_memory"] = mode
    well.config |= {"save": save, "appendonly": "no"}
    assert len(found(well, "overcommit")) == findings


def test_host_settings(well):
    well.host.files |= {"proc/sys/net/core/somaxconn": "128", "proc/100/status": "VmSwap:\t 2048 kB\n",
                        "sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet",
                        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave"}
    well.host.free, well.host.cores = 50 * MIB, 1
    assert {one[:2] for one in found(well)} == {
        ("backlog", ADVICE), ("swap", PROBLEM), ("clock", ADVICE), ("cores", ADVICE), ("disk", PROBLEM)}
    assert len(found(well, "cores")) == 2
    well.host.files["sys/devices/system/cpu/intel_pstate/status"] = "active"
    assert len(found(well, "cores")) == 1, "that driver's powersave is no lowest frequency"
    well.host = None
    assert found(well) == []


def test_clocks_that_disagree(well):
    change(well, "engine 1", server_time_usec=int((NOW_S - 30) * 1e6))
    [finding] = doctor.diagnose(well, ["clock"])
    assert finding.severity == PROBLEM and finding.what == "the clock of engine 1 is 30.0 s behind this host's"


@pytest.mark.parametrize("config, severities", [
    ({}, []), ({"bind": "* -::*"}, [ADVICE]), ({"bind": "* -::*", "protected-mode": "no"}, [PROBLEM]),
    ({"bind": "* -::*", "protected-mode": "no", "requirepass": "x"}, []), ({"protected-mode": "no"}, []),
    ({"enable-debug-command": "yes"}, [ADVICE]), ({"enable-debug-command": "local"}, [])])
def test_security(well, config, severities):
    well.config |= config
    assert [severity for _, severity, _ in found(well, "security")] == severities


def test_the_run_directory_is_closed(well):
    well.host.run_mode = 0o755
    [finding] = doctor.diagnose(well, ["security"])
    assert finding.severity == PROBLEM and finding.fix == "chmod 700 /d/run"


# --- asking -------------------------------------------------------------------------------------------------------

@pytest.fixture
def source():
    one = FakeSource()
    for node in one.nodes:
        node.answers |= {"INFO EVERYTHING": info(**fields()), "LATENCY LATEST": [],
                         "CONFIG GET": lambda *words: flat({"maxclients": "10000", "maxmemory": "0"}),
                         "CLUSTER SLOT-STATS": [[5, flat({"key-count": 3})]], "SLOWLOG GET": []}
    return one


def test_everybody_is_asked_once(source):
    patient = examine(source, host=FakeHost())
    assert set(patient.infos) == {"engine 0", "engine 1", "proxy 0"} and patient.config["maxclients"] == "10000"
    assert patient.slots == {"engine 0": [(5, 3)], "engine 1": [(5, 3)]}
    assert sum(words[0] == "INFO" for words in source.node("engine 0").asked) == 1


def test_a_hung_engine_costs_one_time_out_and_the_rest_is_examined(source):
    source.node("engine 1").answers["INFO EVERYTHING"] = Unreachable("engine 1 does not answer")
    patient = examine(source, host=FakeHost())
    assert set(patient.infos) == {"engine 0", "proxy 0"}
    assert all(words[0] not in ("LATENCY", "CLUSTER") for words in source.node("engine 1").asked)


def test_a_server_that_refuses_config_is_examined_without(source):
    source.node("proxy 0").answers["CONFIG GET"] = CommandError(b"NOPERM")
    assert examine(source, host=FakeHost()).config == {}


def test_processes_elsewhere_have_no_host(source):
    source.is_local = False
    patient = examine(source)
    assert patient.host is None and patient.pids == {}


def test_a_server_on_a_local_port_whose_pid_is_not_of_this_host_is_elsewhere(source):
    source.supervisor = None
    host = FakeHost()
    for node in source.nodes:
        node.facts["uptime_s"] = int(host.now_s() - host.started)
    assert examine(source, host=host).host is host
    source.node("engine 1").facts["uptime_s"] = 9
    assert examine(source, host=host).host is None


def test_what_is_printed(source):
    source.node("engine 1").facts |= {"state": "suspect"}
    done = ctl(source, "doctor", "processes", "slots", "--dir", "/d")
    assert done.code == 1
    assert done.out.splitlines() == [
        "PROBLEM (processes): engine 1 does not answer",
        "  why:  it hangs or is busy with a long command; in the end it is killed and started again, and its keys are "
        "lost", "  mend: shardctl logs engine 1 -n 50 --dir /d", "",
        "/fake/run/supervisor.sock: 1 problem, 0 recommendations; 1 check of 2 found nothing"]
    done = ctl(source, "doctor", "processes", "slots", "--json")
    assert done.code == 1 and done.json["problems"] == 1 and not done.json["ok"]
    assert done.json["checks"][0] | {"about": ""} == {"name": "processes", "about": "", "findings": 1}
    assert done.json["findings"][0]["check"] == "processes"
    assert ctl(source, "doctor", "slots").code == 0
    assert ctl(source, "doctor", "nosuch").code == 2
    assert len(ctl(source, "doctor", "--list").lines) == len(CHECKS) + 1


# --- the machine --------------------------------------------------------------------------------------------------

def test_the_real_machine_can_be_read():
    host = Host()
    assert host.field("proc/meminfo", "MemTotal") > 2**20 and host.integer("proc/sys/net/core/somaxconn") > 0
    assert host.text("nosuch") is None and host.integer("proc/meminfo") is None and host.field("nosuch", "x") is None
    limit = host.open_files_max(os.getpid())
    assert limit is None or limit > 0
    assert host.disk("/")[0] <= host.disk("/")[1] and host.disk("/nosuch") is None and host.mode("/nosuch") is None
    assert host.started_s(os.getpid()) <= host.now_s() and host.started_s(2**22 + 1) is None
    assert host.newest_code_s() <= host.now_s() and host.cores >= 1
