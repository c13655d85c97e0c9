#!/usr/bin/env python3
"""What a store costs the packets of a live probe, what a snapshot of many connections does, and what one Redis takes.

    store_cost.py [--build DIR] [--rounds N] [--seconds N] [--flows N] [--packets N] [--rates N,N...] [--check] [path] [snapshot] [rate]

Each run is spanwatch-bench-path: the probe itself, with packets that come from within (see there). Redis is one of the distribution, started here on a
Unix socket, without persistence. Delays and costs go by the worker's own processor time, so that other programs on the machine do not falsify them; the rate by the wall's clock.

path      the same packets with `--redis none` and with a store, in turns: the worker's processor time a packet. One core carries its inverse.
snapshot  so many open connections, members listed in each snapshot: how long packets wait while a picture is made, and else.
rate      nothing but short connections (10 packets, 7 transitions and a record each), memory of the default size and no spool: at which rate
          something is shed. Whether gap records account for it is checked.

--check: small, and only whether all that was told is stored. Exit status 77 where no interface may be opened.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "integration"))
import private_redis  # noqa: E402
import store_truth as truth  # noqa: E402

NAME = "cost"
ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # it looks for them by what the probe has given up


def run(args, redis, opened, rate, churn, seconds, *options, clock="cpu"):
    """What the bench prints, and the probe's last counters."""
    with tempfile.TemporaryDirectory(prefix="spanwatch-cost-") as folder:
        os.chmod(folder, 0o755)  # the probe becomes another user
        command = [os.path.join(args.build, "tests", "spanwatch-bench-path"), str(opened), str(rate), str(churn), str(seconds), clock, "--name", NAME,
                   "--format", "jsonl", "--records", "stats", "--set", "state_folder=" + os.path.join(folder, "state"), "--set",
                   "tracker.max_flows=2000000", "--set", "tracker.time_wait=1", *options, "--redis", redis.url if redis else "none"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[-1], lines[-2]


def stored(redis, kind):
    return sum(redis("XLEN", key) for key in redis("KEYS", "spanwatch:{%s/*}:%s" % (NAME, kind)))


def check_stored(redis, stats):
    """Everything told is stored, or counted by gap records."""
    for kind in ("transitions", "connections"):
        lost = sum(n for _, _, n in truth.gaps(redis, NAME, kind))
        if stored(redis, kind) + lost != stats[kind]:
            raise SystemExit("%d %s were told, %d are stored, gaps tell of %d" % (stats[kind], kind, stored(redis, kind), lost))
    lost = {what: sum(n for _, _, n in truth.gaps(redis, NAME, what)) for what in ("snapshots", "connections", "transitions")}
    return ", ".join("%d %s" % (n, what) for what, n in lost.items() if n > 0) or "nothing"


class Redis(truth.Server):
    def __init__(self):
        super().__init__("--unixsocketperm", "777", "--save", "", "--appendonly", "no")

    def __enter__(self):
        super().__enter__()
        os.chmod(self.folder, 0o755)
        return self


def path(args):
    cost = {"none": [], "store": []}
    for _ in range(args.rounds):
        result, _ = run(args, None, args.flows // 10, args.packets, 50, args.seconds)
        cost["none"].append(result["worker_ns_per_packet"])
        with Redis() as redis:
            result, stats = run(args, redis, args.flows // 10, args.packets, 50, args.seconds)
            lost = check_stored(redis, stats)
        cost["store"].append(result["worker_ns_per_packet"])
        print(f"path: {cost['none'][-1]:.0f} ns a packet without a store, {cost['store'][-1]:.0f} with one; {lost} shed", flush=True)
    none, store = (statistics.median(cost[k]) for k in ("none", "store"))
    print(f"path: medians {none:.0f} and {store:.0f}: {none / store:.3f} of the packets/s")


def snapshot(args):
    with Redis() as redis:
        result, stats = run(args, redis, args.flows, args.packets, 50, args.seconds, "--set", "snapshot.members=always")
        lost = check_stored(redis, stats)
    for kind in ("picture", "quiet"):
        d = result[kind]
        print(f"snapshot: {args.flows} open, {kind}: {d['packets']} packets, delay in ms: 50 % {d['ms_50']}, 99 % {d['ms_99']}, 99.9 % {d['ms_99_9']}, "
              f"most {d['ms_most']}")
    print(f"snapshot: {result['pictures']} pictures; turns of the main loop {result['turn_ms_most']} ms at most, of a snapshot's "
          f"{result['snapshot_turn_ms_most']}; {lost} shed")


def rate(args):
    for connections in args.rates:
        with Redis() as redis:
            result, stats = run(args, redis, 0, connections * 10, 1000, args.seconds, "--set", "store.spool_mib=0", clock="wall")
            lost = check_stored(redis, stats)
        print(f"rate: {connections} connections/s asked, {result['packets_per_s'] / 10:.0f} came, {stats['transitions']} transitions and "
              f"{stats['connections']} records: {lost} shed", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=25)
    parser.add_argument("--packets", type=int, default=200_000)
    parser.add_argument("--flows", type=int, default=1_000_000)
    parser.add_argument("--rates", default="5000,10000,15000,20000,30000")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("what", nargs="*", choices=("path", "snapshot", "rate", []), default=[])
    args = parser.parse_args()
    args.rates = [int(n) for n in args.rates.split(",")]
    if not private_redis.is_there() or os.geteuid() != 0:
        print("store_cost: skipped: there is no redis-server, or no right to open an interface")
        return 77
    if args.check:
        args.flows, args.packets, args.seconds, args.rounds, args.rates = 2000, 20000, 2, 1, [500]
    for what in args.what or ("path", "snapshot", "rate"):
        {"path": path, "snapshot": snapshot, "rate": rate}[what](args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
