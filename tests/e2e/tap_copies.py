#!/usr/bin/env python3
"""A tap that delivers packets twice: captures with a copy of each packet, as of a mirror that sees it before and after a router.

    tap_copies.py --spanwatch PROGRAM [--all] [--seeds N]

Copies come some time later, with other MAC addresses and a lower TTL. Of a capture that is doubled (or trebled) `read` must give the same
transitions and the same connections as of the capture itself, and count every copy, so that none is taken for a retransmission. The other way
round, no segment of the capture itself may be taken for a copy but one that repeats an earlier one octet by octet.

Captures are those of pcaps/, and the recordings of real kernels beside the repository (../shared/kernel-truth), where they are there. Each capture
is copied in one of WAYS, in turns, and some recordings in the two that are hardest; with --all every capture in every way, with N seeds (1).
"""
import argparse
import collections
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "tests", "tools"))
import pcapfile  # noqa: E402

PCAPS = os.path.join(ROOT, "pcaps")
RECORDINGS = os.path.normpath(os.path.join(ROOT, "..", "shared", "kernel-truth", "recordings"))
LEFT_OUT = {
    "time_jump",  # one stamp is a day late, which the third packet that says so makes true (design 1.3)
    "encap_fragments_6",  # datagrams of one direction share an identification, so that a fragment's copy may belong to the next one
}
DEEPEST = "encap_deep"  # has no room for one layer more
# Thousands of segments in a few milliseconds, which fill the table of copies; losses, and copies of the wire's own; no timestamps; IPv6.
RECORDED = ["bulk", "bulk_offload", "mix_lossy", "mix_bare", "shut_rd_dualstack", "zero_window"]
US, MS = 10**3, 10**6
LINGER = 120
COPY_NS, COPY_BARE_NS, TICK_NS = 50 * MS, 3 * MS, 1 << 14  # probe/flow/copies.c

Way = collections.namedtuple("Way", "name delays hops vlans")
# delays: of each copy after the one before it; hops: of the first and of each copy; vlans: likewise, not part of the identity then.
HARDEST = 2
WAYS = [
    Way("10 us to 20 ms", [(10 * US, 20 * MS)], [0, 1], None),
    Way("19.9 ms", [(19900 * US, 19900 * US)], [0, 1], None),
    Way("10 us to 1 ms", [(10 * US, MS)], [0, 1], None),
    Way("10 us", [(10 * US, 10 * US)], [0, 1], None),
    Way("to 20 ms, the lower TTL first", [(10 * US, 20 * MS)], [1, 0], None),
    Way("two routers, to 20 ms each", [(10 * US, 20 * MS), (10 * US, 20 * MS)], [0, 1, 2], None),
    Way("to 20 ms, in another VLAN", [(10 * US, 20 * MS)], [0, 1], [10, 20]),
]


def ip_at(link, octets):
    """(offset of the IP header, its version), past VLAN tags; (0, 0) where there is none."""
    if link == pcapfile.RAW:
        return 0, octets[0] >> 4
    if link == pcapfile.NULL:
        return 4, octets[4] >> 4
    at, kind = {pcapfile.ETHERNET: (14, 12), pcapfile.SLL: (16, 14), pcapfile.SLL2: (20, 0)}.get(link, (0, 0))
    kind = struct.unpack_from(">H", octets, kind)[0] if at else 0
    while kind in (0x8100, 0x88A8):
        kind, at = struct.unpack_from(">H", octets, at + 2)[0], at + 4
    return (at, 4 if kind == pcapfile.IPV4 else 6) if kind in (pcapfile.IPV4, pcapfile.IPV6) else (0, 0)


def forwarded(link, octets, hops, vlan):
    """The frame after so many routers; a TTL that is used up stays as it is."""
    frame = bytearray(octets)
    at, version = ip_at(link, octets)
    if version:
        ttl = at + (8 if version == 4 else 7)
        frame[ttl] = max(frame[ttl] - hops, min(frame[ttl], 1))
    if version == 4:
        end = at + (frame[at] & 15) * 4
        frame[at + 10:at + 12] = b"\0\0"
        frame[at + 10:at + 12] = struct.pack(">H", pcapfile.checksum(bytes(frame[at:end])))
    if link == pcapfile.ETHERNET and hops:
        frame[:12] = bytes([2, 0, 0, 0, hops, 1, 2, 0, 0, 0, hops, 2])
    return pcapfile.with_vlans(bytes(frame), [vlan]) if vlan else bytes(frame)


def copied(packets, link, way, rng):
    """The packets and their copies, in the order in which they come to the tap."""
    out, now = [], 0
    for ts, octets, length in packets:
        now = at = max(now, ts)  # a stamp may be earlier than one before it
        for i, hops in enumerate(way.hops):
            if i > 0:
                at += rng.randint(*way.delays[i - 1])
            vlan = way.vlans[i] if way.vlans else None
            out.append((at, len(out), (at if i > 0 else ts, forwarded(link, octets, hops, vlan), length + (4 if vlan else 0))))
    return [packet for _, _, packet in sorted(out)]


def repeats(packets, link):
    """How many segments repeat an earlier one octet by octet, soon enough after it to be a copy and no retransmission.

    But for the flow label of IPv6: Linux draws another for each SYN-ACK, of which it sends two at once when a SYN that is repeated meets the
    timer of the first; without that label they are the same octets, as they are over IPv4.
    """
    seen, count = {}, 0
    for ts, octets, _ in packets:
        at, version = ip_at(link, octets)
        if version == 0 or octets[at + (9 if version == 4 else 6)] != pcapfile.TCP:
            continue
        tcp = at + (40 if version == 6 else (octets[at] & 15) * 4)
        timestamps = octets[tcp + 12] >> 4 >= 8  # with less than twelve octets of options there is no room for them
        told_apart = timestamps or version == 4 and octets[at + 4:at + 6] != b"\0\0"
        same = octets[at + 4:] if version == 6 else octets[at:]
        if ts - seen.get(same, -COPY_NS) <= (COPY_NS if told_apart else COPY_BARE_NS) + TICK_NS:
            count += 1
        else:
            seen[same] = ts
    return count


class Records:
    """What `read` says of a capture, but for what happens after `until` seconds."""

    def __init__(self, program, path, packets, link, options):
        with open(path, "wb") as f:
            f.write(pcapfile.pcap_octets(packets, link))
        command = [program, "read", path, "--name", "tap", "--format", "jsonl", "--records", "transitions,connections,stats", "--linger", str(LINGER)]
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=True, timeout=300)
        self.transitions, self.connections = [], {}
        for line in done.stdout.splitlines():
            record = json.loads(line, parse_float=str)
            if record["type"] == "transition":
                self.transitions.append((record["ts"], line))
            elif record["type"] == "connection":
                if record["client_state"] + record["server_state"] != "CLOSED" * 2:
                    del record["ts"]  # the capture's last packet
                self.connections[record["flow"]] = record
            else:
                self.tcp, self.duplicates = record["tcp"], record["duplicates"]

    def transitions_until(self, ts_ns):
        """A capture with copies ends later, and its timers too."""
        until = "%d.%09d" % divmod(ts_ns + LINGER * 10**9, 10**9)
        return [line for ts, line in self.transitions if ts <= until]


class Sum:
    def __init__(self):
        self.captures = self.copies = self.transitions = self.connections = 0
        self.faults = collections.Counter()

    def row(self, name):
        said = ", ".join("%s: %d" % fault for fault in sorted(self.faults.items())) or "no difference"
        return "%-30s %3d captures, %6d copies, %6d transitions, %5d connections: %s" % (
            name, self.captures, self.copies, self.transitions, self.connections, said)


def differing(a, b):
    """How many of the lines are not in both."""
    a, b = collections.Counter(a), collections.Counter(b)
    return ((a - b) + (b - a)).total()


def check(args, name, packets, link, way, seed, total, work):
    """Read a capture and its copied self; what differs goes into `total`, and is said."""
    options = ["--set", "capture.vlan=strip"] if way.vlans else []
    path = os.path.join(work, "capture.pcap")
    rng = random.Random("%s/%s/%d" % (name, way.name, seed))
    alone = Records(args.spanwatch, path, packets, link, options)
    several = Records(args.spanwatch, path, copied(packets, link, way, rng), link, options)
    last = max(ts for ts, _, _ in packets)
    before, after = alone.transitions_until(last), several.transitions_until(last)
    flows = set(alone.connections) | set(several.connections)
    ours = ((alone.connections.get(flow, {}), several.connections.get(flow, {})) for flow in flows)
    pairs = [(a, b) for a, b in ours if a != b]
    faults = collections.Counter({
        "transitions differ": differing(before, after),
        "retransmission counts differ": sum(any(a.get(k) != b.get(k) for k in ("client_retransmits", "server_retransmits")) for a, b in pairs),
        "connections differ": len(pairs),
        "copies not recognised": abs((several.tcp - several.duplicates) - (alone.tcp - alone.duplicates)),
    })
    faults += collections.Counter()  # drops what is zero
    total.captures += 1
    total.copies += several.duplicates - alone.duplicates
    total.transitions += len(before)
    total.connections += len(alone.connections)
    total.faults += faults
    if faults:
        print("%s, %s, seed %d: %s" % (name, way.name, seed, dict(faults)))
    return alone


def captures():
    """[(name, path, is a recording)]"""
    found = [(name[:-5], os.path.join(PCAPS, name), False) for name in sorted(os.listdir(PCAPS)) if name.endswith(".pcap")]
    if os.path.isdir(RECORDINGS):
        found += [(name, os.path.join(RECORDINGS, name, "capture.pcap"), True) for name in sorted(os.listdir(RECORDINGS))]
    return [(name, path, recorded) for name, path, recorded in found if name not in LEFT_OUT]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("--all", action="store_true", help="all recordings, each capture in each way")
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    totals, swallowed = {way.name: Sum() for way in WAYS}, 0
    with tempfile.TemporaryDirectory(prefix="spanwatch-copies-") as work:
        for number, (name, path, recorded) in enumerate(captures()):
            if recorded and not args.all and name not in RECORDED:
                continue
            packets, link = pcapfile.read_pcap(path)
            ways = [way for way in WAYS if not way.vlans or link == pcapfile.ETHERNET and name != DEEPEST]
            turn = number % len(ways)
            for way in ways if args.all else ways[:HARDEST] if recorded else ways[turn:turn + 1]:
                for seed in range(1, args.seeds + 1):
                    alone = check(args, name, packets, link, way, seed, totals[way.name], work)
            if recorded and alone.duplicates > repeats(packets, link):
                swallowed += 1
                print("%s: %d segments are taken for copies, %d repeat an earlier one" % (name, alone.duplicates, repeats(packets, link)))
    for name, total in totals.items():
        print(total.row(name))
    if not os.path.isdir(RECORDINGS):
        print("tap_copies: of pcaps/ alone: there is no ../shared/kernel-truth/recordings beside the repository")
    return 1 if swallowed or any(total.faults or not total.copies for total in totals.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
