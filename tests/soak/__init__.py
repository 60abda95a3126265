"""Everything at once for as long as one likes: load from many clients, faults at random, and checkers that judge every
reply.

    run        python -m tests.soak.run --seconds 600 --seed 1 (make soak SECONDS=600)
    kill9      python -m tests.soak.kill9 (make kill9): an engine is killed, and its log brings back all; --hostile too
    kill9_tree python -m tests.soak.kill9_tree (make kill9-tree): likewise a whole tree, with other numbers of engines
    test_*     the short forms
"""
