"""INFO of several servers as one server's."""

from shardd.commands.info_join import (
    _RATIOS, HIGHEST, LOWEST, STATUS, combine, combine_field, number_of, parse)
from unit.inproc import Engine


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


SUMMED = set("""
    connected_clients cluster_connections maxclients blocked_clients tracking_clients clients_in_timeout_table
    watching_clients total_watched_keys total_blocking_keys total_blocking_keys_on_nokey
    used_memory used_memory_rss used_memory_peak used_memory_overhead used_memory_startup used_memory_dataset
    allocator_allocated allocator_active allocator_resident used_memory_lua used_memory_vm_eval
    used_memory_scripts_eval used_memory_vm_functions used_memory_vm_total used_memory_functions used_memory_scripts
    used_memory_part_data used_memory_part_clients used_memory_part_links used_memory_part_journal
    used_memory_part_shared maxmemory allocator_frag_bytes allocator_rss_bytes rss_overhead_bytes
    mem_fragmentation_bytes mem_not_counted_for_evict mem_replication_backlog mem_total_replication_buffers
    mem_clients_slaves
    mem_clients_normal mem_cluster_links mem_aof_buffer lazyfree_pending_objects lazyfreed_objects
    current_cow_peak current_cow_size current_save_keys_processed current_save_keys_total
    rdb_changes_since_last_save rdb_saves rdb_last_cow_size rdb_last_load_keys_expired rdb_last_load_keys_loaded
    aof_rewrites aof_rewrites_consecutive_failures aof_last_cow_size module_fork_last_cow_size
    total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes
    total_net_output_bytes total_net_repl_input_bytes total_net_repl_output_bytes instantaneous_input_kbps
    instantaneous_output_kbps instantaneous_input_repl_kbps instantaneous_output_repl_kbps rejected_connections
    sync_full sync_partial_ok sync_partial_err expired_subkeys expired_keys expired_time_cap_reached_count
    expire_cycle_cpu_milliseconds evicted_keys evicted_clients total_eviction_exceeded_time keyspace_hits
    keyspace_misses pubsub_channels pubsub_patterns pubsubshard_channels total_forks migrate_cached_sockets
    slave_expires_tracked_keys active_defrag_hits active_defrag_misses active_defrag_key_hits
    active_defrag_key_misses total_active_defrag_time current_active_defrag_time tracking_total_keys
    tracking_total_items tracking_total_prefixes unexpected_error_replies total_error_replies
    dump_payload_sanitizations total_reads_processed total_writes_processed io_threaded_reads_processed
    io_threaded_writes_processed client_query_buffer_limit_disconnections client_output_buffer_limit_disconnections
    reply_buffer_shrinks reply_buffer_expands eventloop_cycles eventloop_duration_sum eventloop_duration_cmd_sum
    instantaneous_eventloop_cycles_per_sec acl_access_denied_auth acl_access_denied_cmd acl_access_denied_key
    acl_access_denied_channel
    used_cpu_sys used_cpu_user used_cpu_sys_children used_cpu_user_children used_cpu_sys_main_thread
    used_cpu_user_main_thread
    connected_slaves repl_backlog_size repl_backlog_histlen""".split())

ALIKE = set("""maxmemory_policy mem_allocator role master_failover_state master_replid master_replid2 master_repl_offset
    second_repl_offset repl_backlog_first_byte_offset cluster_enabled total_system_memory
    total_system_memory_human""".split())

COMPUTED = {name for name, *_ in _RATIOS} | {"used_memory_peak_perc", "used_memory_dataset_perc", "current_fork_perc"}


def test_every_field_of_an_engine_has_its_rule():
    """Walks INFO of an engine: a new field has to be put in one of the sets, here and where it is joined."""
    for title, fields in parse(Engine()("INFO everything").decode()).items():
        if title in ("Server", "Commandstats", "Errorstats", "Latencystats", "Keyspace"):
            continue        # the proxy's own, or joined line by line
        for name, text in fields.items():
            rules = [name in rule for rule in (SUMMED, HIGHEST, LOWEST, STATUS, ALIKE, COMPUTED)]
            if not any(rules) and name.endswith("_human"):
                rules.append(name.removesuffix("_human") in SUMMED | ALIKE)
            assert sum(rules) == 1, (title, name)
            texts = values_like(text)
            joined = combine_field(title, name, texts)
            if name in SUMMED:
                assert joined == {int: "12", float: f"{12:.{len(text.partition('.')[2])}f}"}[type(number_of(text))]
            elif name in HIGHEST:
                assert joined == texts[1]
            elif name in LOWEST:
                assert joined == texts[0]
            elif name in STATUS:
                assert joined == "err" and combine_field(title, name, ["ok", "ok"]) == "ok"
            elif name in ALIKE:
                assert joined == texts[0]


def values_like(text: str) -> list[str]:
    """Three engines' values of a field that one has as `text`."""
    number = number_of(text)
    if number is None:
        return ["ok", "err", "ok"]
    decimals = len(text.partition(".")[2])
    return [f"{value:.{decimals}f}" for value in (2, 7, 3)]


def test_the_datasets_part_is_of_the_sums():
    one = parse("# Memory\r\nused_memory:200\r\nused_memory_startup:100\r\nused_memory_dataset:10\r\n"
                "used_memory_dataset_perc:10.00%\r\n")
    two = parse("# Memory\r\nused_memory:400\r\nused_memory_startup:100\r\nused_memory_dataset:290\r\n"
                "used_memory_dataset_perc:96.67%\r\n")
    assert combine([one, two])["Memory"]["used_memory_dataset_perc"] == "75.00%"


def test_persistence_of_several_is_what_the_worst_of_them_has():
    one = {"loading": "0", "aof_enabled": "1", "rdb_bgsave_in_progress": "0", "rdb_last_save_time": "500",
           "rdb_last_bgsave_status": "ok", "aof_last_write_status": "ok", "rdb_changes_since_last_save": "3",
           "aof_current_size": "100", "current_save_keys_processed": "10", "current_save_keys_total": "10",
           "current_fork_perc": "100.00"}
    other = one | {"loading": "1", "aof_enabled": "0", "rdb_bgsave_in_progress": "1", "rdb_last_save_time": "400",
                   "rdb_last_bgsave_status": "err", "current_save_keys_processed": "0", "current_save_keys_total": "30",
                   "current_fork_perc": "0.00", "loading_start_time": "7", "loading_total_bytes": "1000",
                   "loading_loaded_bytes": "250", "loading_loaded_perc": "25.00", "loading_eta_seconds": "9"}
    third = other | {"loading_start_time": "5", "loading_total_bytes": "3000", "loading_loaded_bytes": "750",
                     "loading_eta_seconds": "4"}
    found = combine([{"Persistence": part} for part in (one, other, third)])["Persistence"]
    assert found == {
        "loading": "1", "aof_enabled": "0", "rdb_bgsave_in_progress": "1", "rdb_last_save_time": "400",
        "rdb_last_bgsave_status": "err", "aof_last_write_status": "ok", "rdb_changes_since_last_save": "9",
        "aof_current_size": "300", "current_save_keys_processed": "10", "current_save_keys_total": "70",
        "current_fork_perc": "14.29", "loading_start_time": "5", "loading_total_bytes": "4000",
        "loading_loaded_bytes": "1000", "loading_loaded_perc": "25.00", "loading_eta_seconds": "9"}
