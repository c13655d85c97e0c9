#!/usr/bin/env python3
"""Snapshots through the store: what each says of each connection is what the transitions up to its time give.

    test_store_snapshots.py BINARY [TEST]...

For random pairs of a snapshot and a connection of its partition, whether the connection is in it or not: its endpoints, both states, and since when.
A capture of much traffic with snapshots of several periods; and a live probe under load, on one worker and on two.
"""
import os
import random
import time

import live_store
import store_truth as truth

PAIRS = 1000
PARTITIONS = 16
CLOSED = "CLOSED/CLOSED"


def snapshots_of(redis, name, partition):
    """[(ts, {flow: (client, server, service, state, since)})] of those that were ended; the frames' own counts are checked."""
    found, now = [], None
    for _, fields in truth.stream(redis, "spanwatch:{%s/%d}:snapshots" % (name, partition)):
        e = dict(fields)
        if e["kind"] == "begin":
            now = {"ts": e["ts"], "flows": int(e["flows"]), "groups": set(), "members": {}}
            continue
        if now is None or e["ts"] != now["ts"]:
            raise truth.Wrong("an entry outside of its snapshot: %s" % e)
        if e["kind"] == "end":
            if now["flows"] != len(now["members"]) or int(e["groups"]) != len(now["groups"]) or int(e["flows"]) != now["flows"]:
                raise truth.Wrong("%s: %d flows in %d groups are there" % (e, len(now["members"]), len(now["groups"])))
            found.append((truth.ns(now["ts"]), now["members"]))
            now = None
            continue
        now["groups"].add((e["server"], e["service"], e["state"]))
        for member in e["members"].split():
            client, flow, since = member.split(",")
            if flow in now["members"]:
                raise truth.Wrong("%s is twice in the snapshot of %s" % (flow, e["ts"]))
            now["members"][flow] = (client, e["server"], e["service"], e["state"], since)
    return found


def histories_of(redis, name, partition):
    """{flow: [(ts, client, server, service, state, was)]}"""
    flows = {}
    for _, fields in truth.stream(redis, "spanwatch:{%s/%d}:transitions" % (name, partition)):
        e = dict(fields)
        flows.setdefault(e["flow"], []).append((e["ts"], e["client"], e["server"], e["service"], e["state"], e["was"]))
    return flows


def replay(history, at_ns):
    """What a snapshot at that time must say of it; None when it is closed, or not there yet."""
    state, since = None, {}
    for ts, client, server, service, now, was in history:
        if truth.ns(ts) > at_ns:
            break
        for side, a, b in zip((0, 1), now.split("/"), was.split("/")):
            if a != b or side not in since:
                since[side] = ts
        state = (client, server, service, now)
    if state is None or state[3] == CLOSED:
        return None
    return state + (max(since.values(), key=truth.ns),)


class Snapshots(live_store.Case):
    NAME = "shots"
    SETTINGS = ("--set", "store.partitions=16", "--set", "tracker.time_wait=2", "--set", "snapshot.period=1", "--set", "snapshot.members=always")

    def compare(self, redis, pairs, least):
        """So many random pairs; at least `least` of each kind: in the snapshot, and not."""
        rng, kinds = random.Random(3), {True: 0, False: 0}
        parts = [(snapshots_of(redis, self.NAME, p), histories_of(redis, self.NAME, p)) for p in range(PARTITIONS)]
        parts = [(shots, flows, list(flows)) for shots, flows in parts if shots and flows]
        for n in range(pairs):
            shots, flows, names = rng.choice(parts)
            ts, members = rng.choice(shots)
            flow = rng.choice(list(members)) if members and n % 2 else rng.choice(names)
            self.assertEqual(members.get(flow), replay(flows.get(flow, ()), ts), "%s at %d" % (flow, ts))
            kinds[flow in members] += 1
        self.assertGreater(min(kinds.values()), least, kinds)
        return parts

    def test_capture(self):
        capture = os.path.join(self.folder.name, "c.pcap")
        with open(capture, "wb") as f:
            f.write(truth.pcapfile.pcap_octets(truth.traffic(3000, 5, rate=120, pause=(10**7, 10**9))))
        for period in (1, 2, 5):
            with truth.Server() as redis:
                process = truth.read(self.BINARY, redis.url, self.NAME, capture, *self.SETTINGS, "--set", "snapshot.period=%d" % period)
                status, errors = truth.finish(process)
                self.assertEqual(status, 0, errors)
                parts = self.compare(redis, PAIRS, PAIRS // 5)
                times = {ts for shots, _, _ in parts for ts, _ in shots}
                self.assertGreater(len(times), 20 // period)
                self.assertTrue(all(ts % (period * 10**9) == 0 for ts in times))

    def live(self, workers):
        with self.server() as redis:
            self.capture_begins("--redis", redis.url, "--workers", str(workers))
            load = [live_store.Traffic(self.cable, 7001 + i, pause=0.004) for i in range(4)]  # more, and sanitizers do not keep up
            time.sleep(8)
            for traffic in load:
                traffic.stop()
            time.sleep(1)
            self.end()
            self.assertEqual(truth.gaps(redis, self.NAME, "transitions"), [])
            parts = self.compare(redis, PAIRS, PAIRS // 10)
            self.assertGreater(len({ts for shots, _, _ in parts for ts, _ in shots}), 5)

    def test_live(self):
        self.live(1)

    def test_live_on_two_workers(self):
        self.live(2)


if __name__ == "__main__":
    live_store.main()
