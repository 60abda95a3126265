"""What unit tests share."""
import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module", autouse=True)
def engines_in_the_process() -> Iterator[None]:
    """Those of a module go with it: they lie in cycles, and each holds five descriptors."""
    yield
    gc.collect()
