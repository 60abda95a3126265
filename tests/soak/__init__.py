"""Everything at once for as long as one likes: load from many clients, faults at random, and checkers that judge every
reply.

    run        python -m tests.soak.run --seconds 600 --seed 1 (make soak SECONDS=600)
    test_soak  the short form
"""
