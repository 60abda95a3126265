"""shardd-bench: a load generator that costs little more than the kernel asks for.

    shardd-bench -t get,set -P 16 -c 50                      as redis-benchmark is used
    shardd-bench --rate 20000 --duration 30                  latencies at a fixed rate
    shardd-bench --command 'SET __key__ __data__' --ratio 1 --command 'GET __key__' --ratio 9

    main       P  the command line, one run after the other, exit codes
    options    P  what the command line says, as values
    workload   P  words with placeholders -> commands
    crew       P  the processes of a run, what they report, the live line
    worker     P  one process: opens connections, drives, reports
    control    P  a connection that waits for each reply; handshakes
    cluster    P  which engine owns which slot
    results    P  what a run found: table, JSON, CSV
    plot       P  the percentile spectrum as a picture, the distribution as text
    keys       C  which key comes next: uniform, zipfian, hot set, in sequence
    script     C  commands as bytes with holes, filled in place
    intake     C  counts replies by their shape
    driver     C  the loop: epoll, send, receive, latencies

Two ways to send:

- Closed loop. Each connection sends `pipeline` commands, waits for all their replies and sends the next ones. It finds
  out how fast a server is. Its latencies are those of a client that waits: while the server stands still nobody sends,
  and a stall of a second is one slow batch of many. Such figures are not what users of a busy server see.
- Rate. Command k is due at start + k / rate, whatever became of those before it. Its latency counts from that moment,
  also where no connection was free and it left late: a stall of a second is felt by all commands of that second
  ("coordinated omission", Gil Tene). What the tool itself added is shown as the lateness of sends.

One process is one core. Processes share nothing: each has its connections, its keys, its counts; the first process
joins them at the end.
"""
