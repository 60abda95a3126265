"""keyspace.events: the letters of notify-keyspace-events."""

import pytest

from shardd.keyspace.database import Keyspace
from shardd.keyspace.events import EventSink, mask_of


@pytest.mark.parametrize("letters, mask", [
    ("", 0), ("A", 0), ("xm", 0), ("KA", 1 | 0x27FC), ("Ex", 2 | 256), ("EKg$", 1 | 2 | 4 | 8),
    ("Kmn", 1 | 2048 | 16384)])
def test_the_letters_select_classes_where_k_or_e_says_how_to_tell_them(letters, mask):
    assert mask_of(letters) == mask


def test_an_unknown_letter():
    with pytest.raises(KeyError):
        mask_of("KAq")


def test_classes_without_anybody_to_tell_are_refused():
    keyspace = Keyspace(1)
    with pytest.raises(AssertionError):
        keyspace.set_events(mask_of("KA"), None)
    keyspace.set_events(mask_of("KA"), EventSink())
    assert keyspace.event_classes() == mask_of("KA")
    keyspace.set_events(0, None)
    assert keyspace.event_classes() == 0
