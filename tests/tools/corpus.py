"""The capture corpus beside the repository: its truth files, and what spanwatch says of the same captures.

Used by compare_zeek.py and compare_corpus.py. Input: ../shared/corpus (read only) and a spanwatch executable.
Output: rows and connections matched by their two endpoints, in either order; a table of kinds of difference.
Exit status of the tools: 0 agreement as asked, 1 below it, 2 wrong usage, 77 there is no corpus here.
"""

import argparse
import collections
import ipaddress
import json
import pathlib
import subprocess
import sys

SKIP = 77
FOLDER = pathlib.Path(__file__).resolve().parents[2].parent / "shared" / "corpus"


class Connection:
    """One connection record of ours; `side(endpoint)` is the prefix of that endpoint's keys."""

    def __init__(self, record):
        self.record = record
        self.client = endpoint_of(record["client"])
        self.server = endpoint_of(record["server"])
        self.start = float(record["start"])

    def get(self, key, default=None):
        return self.record.get(key, default)

    def side(self, endpoint):
        return "client" if endpoint == self.client else "server"

    def of(self, endpoint, key):
        return self.record[f"{self.side(endpoint)}_{key}"]

    def letters(self, endpoint):
        """What this endpoint did, by Zeek's letters, in upper case."""
        wanted = str.isupper if endpoint == self.client else str.islower
        return {c.upper() for c in self.record.get("history", "") if wanted(c)}


class Reading:
    """What spanwatch said of one capture."""

    def __init__(self, connections, stats, complaint):
        self.stats = stats
        self.complaint = complaint
        self.connections = connections
        self.by_pair = collections.defaultdict(list)
        for c in sorted(connections, key=lambda c: c.start):
            self.by_pair[pair(c.client, c.server)].append(c)


class Differences:
    """Counts of kinds of difference, each with its first examples."""

    def __init__(self, shown):
        self.shown = shown
        self.count = collections.Counter()
        self.examples = collections.defaultdict(list)

    def add(self, kind, example):
        self.count[kind] += 1
        if len(self.examples[kind]) < self.shown:
            self.examples[kind].append(example)

    def print(self):
        print("kinds of difference:" if self.count else "no difference")
        for kind, n in self.count.most_common():
            print(f"  {n:5}  {kind}")
            for example in self.examples[kind]:
                print(f"           {example}")


def endpoint(address, port):
    """The same endpoint compares equal however its address was written."""
    return (ipaddress.ip_address(address), int(port))


def endpoint_of(text):
    address, _, port = text.rpartition(":")
    return endpoint(address.strip("[]"), port)


def endpoint_text(e):
    return f"[{e[0]}]:{e[1]}" if e[0].version == 6 else f"{e[0]}:{e[1]}"


def pair(a, b):
    return tuple(sorted((a, b), key=lambda e: (e[0].version, e)))


def read_truth(path):
    """(notes, rows): the lines of notes as text, each row a dict in which a dash is None."""
    notes, header, rows = [], None, []
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if line.startswith("#"):
            notes.append(line.lstrip("# "))
        elif header is None:
            header = cells
        else:
            rows.append({k: None if v == "-" else v for k, v in zip(header, cells)})
    return notes, rows


def truths(kind):
    """(capture, notes, rows) of every truth file of this kind, in a fixed order."""
    suffix = f".{kind}.tsv"
    for path in sorted((FOLDER / "truth").glob(f"*/*{suffix}")):
        capture = FOLDER / path.parent.name / path.name[: -len(suffix)]
        yield (capture, *read_truth(path))


def read(spanwatch, capture):
    """Run spanwatch on a capture. A damaged capture gives status 1 and the records up to the damage."""
    command = [spanwatch, "read", str(capture), "--format", "jsonl", "--records", "connections,stats"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode not in (0, 1):
        sys.exit(f"{capture.name}: spanwatch ended with {done.returncode}: {done.stderr.strip()}")
    try:
        records = [json.loads(line) for line in done.stdout.splitlines()]
    except json.JSONDecodeError as e:
        sys.exit(f"{capture.name}: a line of the output is not JSON: {e}")
    stats = next((r for r in records if r["type"] == "stats"), {})
    return Reading([Connection(r) for r in records if r["type"] == "connection"], stats, done.stderr.strip())


def arguments(description):
    """A parser with what the tools share; the corpus is looked for before anything else."""
    if not (FOLDER / "truth").is_dir():
        print("skipped: no shared/corpus beside the repository")
        sys.exit(SKIP)
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("spanwatch", help="the executable to compare")
    parser.add_argument("--only", default="", metavar="TEXT", help="only captures whose name holds TEXT")
    parser.add_argument("--examples", type=int, default=1, metavar="N", help="examples shown of each kind of difference")
    return parser


def percent(part, whole):
    return 100.0 * part / whole if whole else 100.0
