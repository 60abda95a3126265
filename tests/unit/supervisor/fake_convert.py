"""In the place of shardd.engine.convert: files of JSON, key -> slot, in as many words."""
import json
import os
import sys

NAME = "data.json"


def wanted(text: str | None, slot: int) -> bool:
    return text is None or any(int(first) <= slot <= int(last or first) for first, _, last in (
        run.partition("-") for run in text.split(",") if run))


def read(path: str) -> dict[str, int]:
    with open(path) as file:
        return json.load(file)


def main() -> None:
    with open(sys.argv[1]) as conf:
        directory = conf.read()
    job = json.loads(sys.argv[2])
    assert job["parent"] == os.getppid()
    print("a line of its log", flush=True)
    if os.path.exists(os.path.join(directory, "broken")) or job.get("fail") == job["do"]:
        sys.exit(f"{directory} is broken")
    if job["do"] == "fold":
        keys = {key: slot for key, slot in read(os.path.join(directory, NAME)).items() if wanted(job["slots"], slot)}
        loaded, to = 0, job["to"]
    else:
        keys, loaded, to = {}, 0, os.path.join(directory, NAME)
        for path, slots in job["sources"]:
            mine = {key: slot for key, slot in read(path).items() if wanted(slots, slot)}
            loaded += len(mine)
            keys |= mine
    if "lose" in job:
        keys.popitem()
    with open(to, "w") as file:
        json.dump(keys, file)
    print(json.dumps({"progress": [1, 2]}))
    print(json.dumps({"keys": len(keys), "loaded": loaded - ("lose" in job), "expired": 0, "skipped": {"streams": 2}}),
          flush=True)


main()
