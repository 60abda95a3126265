"""shardd's own measuring tools: what a command costs, what a key takes, how long the event loop stands still.

    python -m bench cost      CPU time per command and memory per key, beside other servers in the same run
    python -m bench compare   all of it beside other servers, through proxies too, latencies, clients; RESULTS.md
    python -m bench proxy | latency | memory | idle | burst | loader      one part of compare each
    python -m bench collections   CPU time and memory of hashes, sets, lists and sorted sets, beside another server
    python -m bench save      how fast keys are written to dump.rdb, and loaded from it, beside another server
    python -m bench pauses    the longest pause of an engine under a load that could cause one

Method, and why:

- CPU time, not throughput. On a machine that server and load generator share, commands per second measure both of them
  and whatever else runs. The CPU time that a server's processes have used (user and system, by the kernel's own
  account, to the nanosecond) divided by the commands they served does not.
- Ratios, not figures. Two servers are measured in one run, in turns (A B A B ...), and medians are compared: what the
  machine does to one it does to the other. A figure of another day is no evidence.
- Servers are pinned to one core and the load to another, so that neither takes the other's caches or time.
- A run that did not do what it claims ends with an error: commands that failed, reads that found nothing or fewer
  commands than were asked for make no row of a table.

    __main__    the command line                    servers     processes that are measured, and a connection to one
    cost        rounds and their medians            accounting  CPU time and memory of a tree of processes
    pauses      situations, and what INFO tells     loader      the load generator: another program, and its output
    goals       the figures to reach                fill        keys, written by ourselves
    report      Markdown                            machine     what it all ran on
    compare     everything in one run               page        RESULTS.md and its plots
    plan        what compare measures and found     shots       loads by shardd-bench, and their proof
    connections idle ones, and many at once         behind      nutcracker in front of our engines
    collections commands on collections, their data    save    SAVE, and starts with its file
    load        shardd-bench: a load generator of our own

bench stands outside the servers: it talks to them over sockets and /proc alone.
"""
