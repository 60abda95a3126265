"""We and the real Redis, driven with the same random commands; every reply and the final keyspace must be the same.

    commands   makes the commands: all of the string, key and expiry families, valid and broken
    compare    when two replies are the same, and the keyspace as a value
    episode    runs many commands at once against both, finds the first difference and shrinks the run that led to it
    crowd      many clients at once, each with keys of its own
    run        the long form: python -m tests.differential.run --commands 1000000 --seed 7 --target proxy --engines 3
    test_*     the short forms: seeded episodes, and a hypothesis state machine
"""
