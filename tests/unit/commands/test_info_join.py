"""INFO of several servers as one server's."""

from shardd.commands.info_join import combine, parse


def test_fields_of_several_engines_become_one():
    one = parse("# Memory\r\nused_memory:100\r\nused_memory_human:100B\r\nused_memory_rss:300\r\n"
                "mem_fragmentation_ratio:3.00\r\n"
                "maxmemory_policy:noeviction\r\n\r\n# Stats\r\nkeyspace_hits:3\r\n\r\n# Commandstats\r\n"
                "cmdstat_get:calls=2,usec=10,usec_per_call=5.00,rejected_calls=1,failed_calls=0\r\n\r\n"
                "# Errorstats\r\n"
                "errorstat_ERR:count=2\r\n\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=100\r\n")
    two = parse("# Memory\r\nused_memory:2000\r\nused_memory_human:1.95K\r\nused_memory_rss:1800\r\n"
                "mem_fragmentation_ratio:0.9\r\n"
                "maxmemory_policy:noeviction\r\n\r\n# Stats\r\nkeyspace_hits:4\r\n\r\n# Commandstats\r\n"
                "cmdstat_get:calls=2,usec=30,usec_per_call=15.00,rejected_calls=0,failed_calls=1\r\n\r\n"
                "# Keyspace\r\n"
                "db0:keys=7,expires=3,avg_ttl=300\r\ndb1:keys=1,expires=0,avg_ttl=0\r\n")
    joined = combine([one, two])
    assert joined["Memory"] == {"used_memory": "2100", "used_memory_human": "2.05K", "used_memory_rss": "2100",
                                "mem_fragmentation_ratio": "1.00", "maxmemory_policy": "noeviction"}
    assert joined["Stats"] == {"keyspace_hits": "7"}
    assert joined["Commandstats"] == {
        "cmdstat_get": "calls=4,usec=40,usec_per_call=10.00,rejected_calls=1,failed_calls=1"}
    assert joined["Errorstats"] == {"errorstat_ERR": "count=2"}
    assert joined["Keyspace"] == {"db0": "keys=10,expires=4,avg_ttl=250", "db1": "keys=1,expires=0,avg_ttl=0"}


def test_ratios_are_of_the_sums():
    one = parse("# Memory\r\nused_memory_rss:30\r\nallocator_allocated:10\r\nallocator_active:20\r\n"
                "allocator_resident:30\r\nallocator_frag_ratio:2.00\r\nallocator_rss_ratio:1.50\r\n"
                "rss_overhead_ratio:1.00\r\n")
    memory = combine([one, one, one])["Memory"]
    assert [memory[name] for name in ("allocator_frag_ratio", "allocator_rss_ratio", "rss_overhead_ratio")] == [
        "2.00", "1.50", "1.00"]
