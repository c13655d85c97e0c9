"""Puts a capture's transitions into a store as the contract has it (design 1.4), without any writer of ours.

fill(redis, binary, name, capture, *options): every record of `read` becomes an entry of partition 0.
"""
import json
import subprocess

FIELDS = "ts flow client server service state was cause".split()


def pair(record, suffix):
    """CLIENT/SERVER; a side that did not change has no *_was."""
    return "/".join(record.get(side + suffix, record[side + "_state"]) for side in ("client", "server"))


def fill(redis, binary, name, capture, *options):
    done = subprocess.run([binary, "read", "--name", name, "--linger", "0", "--format", "jsonl", "--records",
                           "transitions", *options, capture], stdout=subprocess.PIPE, check=True, timeout=120)
    key, last, stamps = "spanwatch:{%s/0}:transitions" % name, (0, 0), []
    for line in done.stdout.splitlines():
        record = json.loads(line, parse_float=str)  # a double would lose digits
        seconds, nanoseconds = record["ts"].split(".")
        ms = int(seconds) * 1000 + int(nanoseconds[:3])
        last = (ms, last[1] + 1) if ms == last[0] else (ms, 0)
        stamps.append(record["ts"])
        cause = record["cause"] + ("" if "inferred" not in record else " inferred=" + record["inferred"])
        entry = {**record, "state": pair(record, "_state"), "was": pair(record, "_was"), "cause": cause}
        redis("XADD", key, "%d-%d" % last, *[word for field in FIELDS for word in (field, entry[field])])
    redis("HSET", "spanwatch:probes", name,
          '{"format":1,"partitions":1,"skew_ms":2000,"host":"h","version":"0","started":%s,"first":%s,"last":%s}'
          % (stamps[0], stamps[0], stamps[-1]))
    return len(stamps)
