"""The generator: splitmix64's published numbers, and that each process has its own."""
import subprocess
import sys

from shardd.structures import random


def test_the_numbers_are_those_of_splitmix64():
    random.seed(1234567)
    assert [random.bits() for _ in range(5)] == [
        6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]


def test_a_seed_gives_the_same_numbers_again():
    random.seed(2**64 - 1)
    first = [random.bits() for _ in range(100)]
    random.seed(2**64 - 1)
    assert [random.bits() for _ in range(100)] == first
    assert len(set(first)) == 100


def test_processes_begin_with_different_seeds():
    told = {subprocess.run([sys.executable, "-c", "from shardd.structures import random; print(random.bits())"],
                           capture_output=True, text=True, check=True).stdout for _ in range(3)}
    assert len(told) == 3
