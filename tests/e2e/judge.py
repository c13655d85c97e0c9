"""Compares what a probe said with what the kernels showed, sample by sample.

A sample counts unless it is ambiguous: a packet of the flow passed within GUARD of it, or the kernel changed the
state within GUARD; a change that no packet explains is a timer's, and TIMER_SLACK around it is left out, for timers
are coarse: of TIME_WAIT TIME_WAIT_SLACK, since Linux's wheel turns 60 s into up to 62.05 (its slots are 512 ticks wide
there). Samples before the flow's first captured packet are not the probe's to know. Agreeing on CLOSED counts
for CLOSED_WINDOW after the flow's last packet or the socket's end, so that a refused connection is judged too.
"""
import bisect
import ipaddress
import json
from collections import Counter, defaultdict

from pcapfile import read_pcap
from tap import parse

GUARD = 30_000_000
TIMER_SLACK = 1_000_000_000
TIME_WAIT_SLACK = 2_100_000_000
CLOSED_WINDOW = 5_000_000_000


class Capture:
    """Times of the TCP packets of each flow; a flow is the frozenset of its two endpoints."""

    def __init__(self, path):
        self.times = defaultdict(list)
        for ns, frame, _ in read_pcap(path)[0]:
            tcp = parse(frame)
            if tcp:
                flow = frozenset(((tcp.source, tcp.source_port), (tcp.destination, tcp.destination_port)))
                self.times[flow].append(ns)


def endpoint(text):
    address, _, port = text.rpartition(":")
    return ipaddress.ip_address(address.strip("[]")).packed, int(port)


def nanoseconds(text):
    seconds, _, fraction = text.partition(".")
    return int(seconds) * 10**9 + int((fraction + "0" * 9)[:9])


def read_transitions(lines):
    """The probe's states as {(local, remote): [(ns, state), ...]}, and what is wrong with the records themselves."""
    timelines, wrong, now = defaultdict(list), [], {}
    for number, line in enumerate(lines, 1):
        record = json.loads(line, parse_float=str, parse_int=str)
        if record["type"] != "transition":
            continue
        ends = endpoint(record["client"]), endpoint(record["server"])
        for side, key in (("client", ends), ("server", ends[::-1])):
            was = record.get(side + "_was")
            if was is None:
                continue
            if was != now.get(key, "CLOSED"):
                wrong.append(f"line {number}: {side}_was {was}, but the record before said {now.get(key, 'CLOSED')}")
            now[key] = record[side + "_state"]
            timelines[key].append((nanoseconds(record["ts"]), now[key]))
    for key, steps in timelines.items():
        if any(a[0] > b[0] for a, b in zip(steps, steps[1:])):
            wrong.append(f"the times of {key} go back")
    return timelines, wrong


class Verdict:
    def __init__(self):
        self.pairs = Counter()  # (kernel's state, probe's state): samples
        self.ambiguous = 0

    @property
    def compared(self):
        return sum(self.pairs.values())

    @property
    def plain(self):
        """Percent of the compared samples on which both agree."""
        agreed = sum(n for (kernel, probe), n in self.pairs.items() if kernel == probe)
        return 100.0 * agreed / self.compared if self.compared else 0.0

    @property
    def balanced(self):
        """The same as the mean over the kernel's states, so that long states do not hide short ones."""
        recalls = [percent for _, percent in self.by_state().values()]
        return sum(recalls) / len(recalls) if recalls else 0.0

    def by_state(self):
        """{kernel's state: (samples, percent agreed)}."""
        total, agreed = Counter(), Counter()
        for (kernel, probe), n in self.pairs.items():
            total[kernel] += n
            agreed[kernel] += n if kernel == probe else 0
        return {state: (n, 100.0 * agreed[state] / n) for state, n in total.items()}

    def worst(self):
        bad = [(n, kernel, probe) for (kernel, probe), n in self.pairs.items() if kernel != probe]
        return "; ".join(f"kernel {k} probe {p}: {n}" for n, k, p in sorted(bad, reverse=True)[:3])

    def add(self, other):
        self.pairs.update(other.pairs)
        self.ambiguous += other.ambiguous


def near(times, begin, end, distance):
    """Is any of the sorted times within `distance` of [begin, end]?"""
    i = bisect.bisect_left(times, begin - distance)
    return i < len(times) and times[i] <= end + distance


def changes(samples, states, packets):
    """The kernel's changes as (begin_ns, end_ns, slack): between which samples, how far around they are doubtful."""
    found = []
    for i in range(1, len(samples)):
        if states[i] != states[i - 1]:
            begin, end = samples[i - 1][0], samples[i][1]
            slack = TIME_WAIT_SLACK if states[i - 1] == "TIME_WAIT" else TIMER_SLACK
            found.append((begin, end, GUARD if near(packets, begin, end, GUARD) else slack))
    return found


def judge_endpoint(samples, key, packets, timeline, until=None):
    """Compare one endpoint (local, remote) over its host's samples; those after `until` only tell of changes."""
    verdict = Verdict()
    states = [s[2].get(key, "CLOSED") for s in samples]
    doubtful = changes(samples, states, packets)
    ends = [packets[-1]] + [end for _, end, _ in doubtful]
    times = [t for t, _ in timeline]
    for (begin, end, _), kernel in zip(samples, states):
        if end < packets[0] or (until is not None and end > until):
            continue
        i = bisect.bisect_right(times, end)
        probe = timeline[i - 1][1] if i else "CLOSED"
        if kernel == probe == "CLOSED" and not any(t <= begin <= t + CLOSED_WINDOW for t in ends):
            continue
        if near(packets, begin, end, GUARD) or any(b - slack <= end and begin <= e + slack for b, e, slack in doubtful):
            verdict.ambiguous += 1
        else:
            verdict.pairs[kernel, probe] += 1
    return verdict


def judge(samples, hosts, capture, timelines, ports):
    """{port: Verdict} over the flows of each port of `ports`; `hosts` is {packed address: host}."""
    verdicts = {port: Verdict() for port in ports}
    for flow, packets in capture.times.items():
        packets.sort()
        ends = tuple(flow)
        for local, remote in (ends, ends[::-1]):
            port = next((p for _, p in ends if p in verdicts), None)
            if local[0] in hosts and port is not None:
                timeline = timelines.get((local, remote), [])
                verdicts[port].add(judge_endpoint(samples[hosts[local[0]]], (local, remote), packets, timeline))
    return verdicts
