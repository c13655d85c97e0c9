#!/usr/bin/env python3
"""Recordings of real kernels through the store: at random moments, what `query` says, what `read --at` says, what was.

    store_truth.py --spanwatch PROGRAM [--moments N] [--floors FILE]

Each recording of ../shared/kernel-truth goes into a redis-server of the test's own by `read --redis`. At random moments,
each one at which a kernel was sampled, the rows of `query connections` must be those of `read --at`, and agree with the
kernel's sockets; of scenarios that a passive observer can know (those without a floor below 99.9 in floors.json) on
99.9 % at least. What counts as ambiguous is judge.py's: a packet or a change of the kernel's nearby. Exit status 77
where there are no recordings or no redis-server.
"""
import argparse
import bisect
import json
import os
import random
import subprocess
import sys
from collections import Counter, defaultdict

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "tools"), os.path.join(HERE, "..", "integration"), HERE]
import private_redis  # noqa: E402
from judge import CLOSED_WINDOW, GUARD, TIMER_SLACK, Capture, endpoint, nanoseconds, near  # noqa: E402

RECORDINGS = os.path.normpath(os.path.join(HERE, "..", "..", "..", "shared", "kernel-truth", "recordings"))
KNOWABLE, LATE = 99.9, 0.04  # percent; a timer's lateness, as a part of how long it ran
SECOND = 10**9


def tsv(path):
    with open(path, encoding="ascii") as f:
        return [line.split("\t") for line in f.read().splitlines() if line and not line.startswith(("#", "host\t", "t_begin\t"))]


class Recording:
    def __init__(self, folder):
        self.pcap = os.path.join(folder, "capture.pcap")
        with open(os.path.join(folder, "workload.json"), encoding="utf-8") as f:
            net = json.load(f).get("netem") or {}
        self.guard = GUARD + int((net.get("delay", 0) + net.get("jitter", 0) + (net.get("reorder_by", 0.004) if net.get("reorder") else 0)) * SECOND)
        self.samples = [(host, nanoseconds(begin), nanoseconds(end)) for host, begin, end, *_ in tsv(os.path.join(folder, "samples.tsv"))]
        self.runs = defaultdict(list)  # (host, local, remote): [(begin, end, state)]
        for begin, end, host, la, lp, ra, rp, state, *_ in tsv(os.path.join(folder, "truth.tsv")):
            if state != "LISTEN":
                key = host, *(endpoint("%s:%s" % ("[%s]" % a if ":" in a else a, p)) for a, p in ((la, lp), (ra, rp)))
                self.runs[key].append((nanoseconds(begin), nanoseconds(end), state))
        self.packets = {flow: sorted(times) for flow, times in Capture(self.pcap).times.items()}
        self.hosts = {key[1][0]: key[0] for key in self.runs}

    def moments(self, dice, n):
        """Samples between the first packet and the last."""
        first, last = min(t[0] for t in self.packets.values()), max(t[-1] for t in self.packets.values())
        return sorted(dice.sample([s for s in self.samples if first < s[1] and s[2] < last], n), key=lambda s: s[2])

    def changes(self, key, packets):
        """When the kernel's state changed: (from, to, how far around it is doubtful)."""
        found, before = [], None
        for begin, end, _ in sorted(self.runs[key]):
            edge = (before if before is not None else begin - 50_000_000), begin
            found.append(edge)
            before = end
        found.append((before, before + 50_000_000))
        for begin, end in found:
            if near(packets, begin, end, self.guard):
                yield begin, end, self.guard
            else:
                i = bisect.bisect_left(packets, begin)
                yield begin, end, max(TIMER_SLACK, int(LATE * (begin - packets[i - 1])) if i else 0)

    def judge(self, sample, rows, pairs):
        """Count (kernel's state, query's) of every endpoint of the sampled host that is not ambiguous."""
        host, begin, end = sample
        said = {}
        for row in rows:
            client, server = endpoint(row["client"]), endpoint(row["server"])
            said[client, server], said[server, client] = row["client_state"], row["server_state"]
        for flow, packets in self.packets.items():
            for local, remote in (tuple(flow), tuple(flow)[::-1]):
                key = host, local, remote
                if self.hosts.get(local[0]) != host or end < packets[0] or near(packets, begin, end, self.guard):
                    continue
                changes = list(self.changes(key, packets)) if self.runs.get(key) else []
                if any(b - slack <= end and begin <= e + slack for b, e, slack in changes):
                    continue
                kernel = next((s for b, e, s in self.runs.get(key, ()) if b <= begin <= e), "CLOSED")
                query = said.get((local, remote), "CLOSED")
                ends = [packets[-1]] + [e for _, e, _ in changes]
                if kernel == query == "CLOSED" and not any(t <= begin <= t + CLOSED_WINDOW for t in ends):
                    continue
                pairs[kernel, query] += 1


def text(ns):
    return "%d.%09d" % divmod(ns, SECOND)


def run(*words):
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise SystemExit("store_truth: %s: %s" % (words, done.stderr))
    return done.stdout


def compare(spanwatch, redis, name, recording, moments):
    """(kernel's, query's) pairs, and at how many moments the two verbs differ."""
    pairs, differ = Counter(), 0
    run(spanwatch, "read", "--redis", redis.url, "--name", name, "--format", "none", recording.pcap)
    for sample in moments:
        at = text(sample[2])
        answer = json.loads(run(spanwatch, "query", "connections", "--redis", redis.url, "--probe", name, "--at", at, "--format", "json"),
                            parse_float=str)
        lines = run(spanwatch, "read", "--name", name, "--format", "jsonl", "--at", at, recording.pcap).splitlines()
        order = lambda row: (row["client"], row["server"], row["flow"])
        read = sorted((json.loads(line, parse_float=str) for line in lines), key=order)
        if sorted(answer["rows"], key=order) != read:
            differ += 1
            wrong = next((p for p in zip(sorted(answer["rows"], key=order), read) if p[0] != p[1]), (len(answer["rows"]), len(read)))
            print("%s at %s: query and read --at differ: %s" % (name, at, wrong))
        recording.judge(sample, answer["rows"], pairs)
    return pairs, differ


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("--moments", type=int, default=216)
    parser.add_argument("--floors", default=os.path.join(HERE, "floors.json"))
    args = parser.parse_args()
    if not os.path.isdir(RECORDINGS) or not private_redis.is_there():
        print("store_truth: skipped: there are no recordings beside the repository, or no redis-server")
        return 77
    with open(args.floors, encoding="ascii") as f:
        floors = json.load(f)
    names = sorted(n for n in os.listdir(RECORDINGS) if os.path.exists(os.path.join(RECORDINGS, n, "capture.pcap")))
    dice, known, all_pairs, differ = random.Random(5), Counter(), Counter(), 0
    with private_redis.Server() as redis:
        for name in names:
            recording = Recording(os.path.join(RECORDINGS, name))
            pairs, wrong = compare(args.spanwatch, redis, name, recording, recording.moments(dice, -(-args.moments // len(names))))
            differ += wrong
            all_pairs += pairs
            if floors.get(name, floors["*"])["agree"] >= KNOWABLE:
                known += pairs
            redis("FLUSHALL")
            agreed = sum(n for (k, q), n in pairs.items() if k == q)
            print("%-20s %6d compared %6d agree   %s" % (name, sum(pairs.values()), agreed, "" if agreed == sum(pairs.values()) else
                                                         {"%s/%s" % p: n for p, n in pairs.items() if p[0] != p[1]}), flush=True)
    for what, pairs in (("knowable", known), ("all", all_pairs)):
        agreed, total = sum(n for (k, q), n in pairs.items() if k == q), sum(pairs.values())
        share = 100 * agreed / max(total, 1)
        print("%s: %.3f %% of %d samples agree" % (what, share, total))
        if what == "knowable" and (share < KNOWABLE or total < 1000):
            return 1
    print("query and read --at differ at %d of %d moments" % (differ, args.moments))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
