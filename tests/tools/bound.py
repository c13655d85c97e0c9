#!/usr/bin/env python3
"""How well could any passive observer do? Samples that follow the same packets, and differ in their truth.

    bound.py --spanwatch PROGRAM RECORDINGS [FAMILY ...]

RECORDINGS is a folder of twin_scenarios.py: families of recordings in which settings of the hosts, or what their processes did without a packet,
differ. Within a family the compared samples (by the yardstick's rules) are sorted by what the tap has seen of their connection until then: each
packet's direction, flags, place in the sequence space, what it acknowledges, whether it holds octets and closes the window, the time since the
one before it, and the time since the last of all, in steps of STEP. Any observer, whatever it does, gives one answer to samples of one such
class, so its best one is the truth of most of them, and all others are lost: that is the bound. It is generous: a class that only one
connection falls into counts as known, however it came about.

Prints for each family: our agreement and the bound, over all samples and over those of classes with more than one truth ("doubtful": there the
packets do not tell); our agreement over classes of one connection only ("lone": no counterpart was recorded, which proves nothing); and the truths that
the best observer loses. Exit status 77 without the yardstick.
"""
import argparse
import bisect
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict

HERE = os.path.dirname(os.path.abspath(__file__))
YARDSTICK = os.path.normpath(os.path.join(HERE, "..", "..", "..", "shared", "kernel-truth"))
NS = 10**9
CLOSED_WINDOW = 5 * NS  # as the yardstick's --closed-window
WRAP = 1 << 32
STEP = 2.0  # times within this factor are alike: what TCP repeats, it repeats after twice the time (RFC 6298 section 5.5)


def step(ns):
    """A time in steps of STEP above 20 ms: jitter does not make two histories different, a back-off does."""
    return 0 if ns < 20_000_000 else 1 + int(math.log(ns / 20_000_000, STEP))


def behind(a, b):
    """a before b, modulo 2**32."""
    return (a - b) % WRAP > WRAP // 2


class History:
    """What the tap has seen of one connection, packet by packet; `at` gives the class of a moment, for one of its ends."""

    def __init__(self, packets):
        self.times, self.prefix = [], []
        sent, seen, tokens, last = {}, set(), [], None
        for p in packets:
            tokens = self.add(tokens, self.token(p, sent, seen), p, last)
            last = p.ts
            self.times.append(p.ts)
            self.prefix.append(tuple(tokens))

    @staticmethod
    def token(p, sent, seen):
        """(sender, flags, place, octets, acknowledged, window) of a packet, and remember what it adds."""
        control = p.flags & 7
        end = (p.seq + p.plen + bool(control & 1) + bool(control & 2)) % WRAP
        was, other = sent.get(p.src), sent.get(p.dst)
        place = ("first" if was is None else "new" if p.seq == was else "below" if p.seq == (was - 1) % WRAP and p.plen < 2 and not control
                 else "hole" if behind(was, p.seq) else "old")
        if was is None or behind(was, end):
            sent[p.src] = end
        acks = "-" if not p.flags & 16 or other is None else "all" if p.ack == other else "less" if behind(p.ack, other) else "more"
        seen.add(p.src)
        return p.src, control, place, p.plen > 0, acks, p.win == 0 and not control & 6

    @staticmethod
    def add(tokens, token, p, last):
        """Talk in order, of whatever length, is one token that says who sent octets and who acknowledged; all else is told one by one."""
        _, control, place, octets, acks, closed = token
        if control == 0 and place in ("new", "first") and not closed and acks in ("all", "less", "-"):
            what = frozenset([(p.src, octets)])
            if tokens and tokens[-1][0] == "talk":
                return tokens[:-1] + [("talk", tokens[-1][1] | what)]
            return tokens + [("talk", what)]
        return tokens + [(token, step(p.ts - last) if last else 0)]

    def at(self, ns, end):
        """The class of this moment, seen from one end; None before the first packet."""
        i = bisect.bisect_right(self.times, ns)
        if i == 0:
            return None
        view = tuple(self.turn(t, end) for t in self.prefix[i - 1])
        return view, step(ns - self.times[i - 1])

    @staticmethod
    def turn(token, end):
        if token[0] == "talk":
            return "talk", frozenset((source == end, octets) for source, octets in token[1])
        (source, *rest), gap = token
        return source == end, tuple(rest), gap


def counted(yard, folder, packets):
    """All samples that the yardstick compares, as ((host, local, remote), first, last, truth): asked with a probe that is always wrong."""
    class Never(dict):
        def get(self, _key, default=None):
            return [(0, "NEVER", "CLOSED", 0)]

    truth = yard["ktlib"].Truth(folder)

    class Wrong:
        time = Never({key[1:]: None for key in truth.connections()})
    result = yard["compare"].compare(truth, Wrong(), packets)
    spans = []
    for flow, found in result.segs.items():
        for first, last, host, local, state, _ in found:
            remote = flow[1] if flow[0] == local else flow[0]
            spans.append(((host, local, remote), first, last, state))
    return truth, spans


def ours(program, yard, capture):
    """Our transitions, as the yardstick reads them."""
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run([program, "read", capture, "--format", "jsonl", "--records", "transitions"], stdout=out, check=True)
        return yard["compare"].Probe(out.name)


def samples(program, yard, folder):
    """(class, kernel's state, ours) of each compared sample of a recording."""
    capture = os.path.join(folder, "capture.pcap")
    packets = yard["ktlib"].read_tcp(capture)
    flows = defaultdict(list)
    for p in packets:
        flows[yard["ktlib"].flow_key(p.src, p.dst)].append(p)
    histories = {key: History(found) for key, found in flows.items()}
    truth, spans = counted(yard, folder, packets)
    said = ours(program, yard, capture).time
    for (host, local, remote), first, last, state in spans:
        history = histories.get(yard["ktlib"].flow_key(local, remote))
        if history is None:
            continue
        line = said.get((local, remote), [])
        times = [t[0] for t in line]
        closed_at = history.times[-1] if state == "CLOSED" else 0
        for i in range(first, last + 1):
            now = truth.te[host][i]
            n = bisect.bisect_right(times, now)
            answer = line[n - 1][1] if n else "CLOSED"
            if state == answer == "CLOSED" and now > closed_at + CLOSED_WINDOW:
                continue
            where = history.at(now, local)
            if where is not None:
                yield where, state, answer, (folder, local, remote)


class Class:
    """Samples that follow the same packets."""

    def __init__(self):
        self.truths, self.agreed, self.ends = Counter(), 0, set()

    def add(self, state, answer, end):
        self.truths[state] += 1
        self.agreed += state == answer
        self.ends.add(end)


def share(classes):
    """(samples, percent that we had right, percent that the best observer could) over some classes."""
    total = sum(c.truths.total() for c in classes)
    return total, 100 * sum(c.agreed for c in classes) / (total or 1), 100 * sum(max(c.truths.values()) for c in classes) / (total or 1)


def measure(program, yard, folders):
    classes = defaultdict(Class)
    for folder in folders:
        for where, state, answer, end in samples(program, yard, folder):
            classes[where].add(state, answer, end)
    pairs = Counter()
    for c in classes.values():
        (top, _), *rest = c.truths.most_common()
        for state, n in rest:
            pairs[tuple(sorted((top, state)))] += n
    doubtful = [c for c in classes.values() if len(c.truths) > 1]
    lone = [c for c in classes.values() if len(c.ends) == 1]
    return {"all": share(classes.values()), "doubtful": share(doubtful), "lone": share(lone), "pairs": pairs}


def yardstick():
    """Its modules."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, YARDSTICK)
    import compare
    import ktlib
    return {"compare": compare, "ktlib": ktlib}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("recordings")
    parser.add_argument("families", nargs="*")
    args = parser.parse_args()
    if not os.path.isdir(YARDSTICK):
        print("bound: skipped: there is no ../shared/kernel-truth beside the repository")
        return 77
    yard = yardstick()
    print(f"{'family':20} {'recordings':>10} | {'samples':>8} {'ours %':>8} {'bound %':>8} | {'doubtful':>8} {'ours %':>8} {'bound %':>8} | "
          f"{'lone':>6} {'ours %':>8}  lost to the best observer")
    for family in args.families or sorted(os.listdir(args.recordings)):
        root = os.path.join(args.recordings, family)
        folders = [os.path.join(root, name) for name in sorted(os.listdir(root))]
        r = measure(args.spanwatch, yard, folders)
        told = ", ".join(f"{a}/{b} {n}" for (a, b), n in r["pairs"].most_common(4))
        print("%-20s %10d | %8d %8.3f %8.3f | %8d %8.3f %8.3f | %6d %8.3f  %s" % (family, len(folders), *r["all"], *r["doubtful"], *r["lone"][:2], told),
              flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
