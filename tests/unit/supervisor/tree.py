"""The real supervisor over fake children: `python tree.py [limit=value ...] -- [CONF] [--option value ...]`.

Limits of shardd.base.limits can be shortened, so that time-outs of minutes can be met in a test.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != HERE]
os.environ["PYTHONPATH"] = os.pathsep.join([HERE, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)

from shardd.base import limits  # noqa: E402

if __name__ == "__main__":
    end = sys.argv.index("--")
    for setting in sys.argv[1:end]:     # before anything reads them
        name, value = setting.split("=")
        assert hasattr(limits, name), name
        setattr(limits, name, int(value))
    from shardd.supervisor import child, main

    child._MODULES.update(engine="fake_child", proxy="fake_child")
    sys.exit(main.run(sys.argv[end + 1:]))
