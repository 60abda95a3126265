"""bench is run from the source tree as well: that comes last on the path, after a variant's packages."""
import sys

from harness import build

if str(build.ROOT) not in sys.path:
    sys.path.append(str(build.ROOT))
