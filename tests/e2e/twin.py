#!/usr/bin/env python3
"""The probe against two real kernels: connections of many kinds between two network namespaces, captured on the wire
between them, while every socket's state is sampled on both hosts; then spanwatch reads the capture, and its states
are compared with the kernels' at every sample.

    twin.py --spanwatch PROGRAM [--keep DIR] [--only LIFE,...] [--min PERCENT]

Needs root on Linux (exit status 77 where it cannot run). Prints a line for each life. Exit status 1 when fewer than
--min percent of the samples agree, when a life failed or has no compared sample, when a state was never compared, or
when the records contradict themselves.
"""
import argparse
import os
import pickle
import shlex
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "tools"))  # behind this folder, whose wire.py is meant here
from hosts import ADDRESS, Network  # noqa: E402
from judge import Capture, Verdict, judge, read_transitions  # noqa: E402
from lives import LIVES, Stage  # noqa: E402
from netns import Unavailable  # noqa: E402
from sampler import STATE, Sampler  # noqa: E402
from wire import Wire  # noqa: E402

FIRST_PORT = 8001  # of the first life; the others follow. Below ip_local_port_range: no client takes one
PERIOD = 0.015     # s between samples
STAGGER = 0.037    # s between the starts of lives
TAIL = 1.0         # s of samples after the last life's end


def run_lives(network, wire, chosen):
    """All lives at once, each in a thread; what failed, by name."""
    failed, stages, threads = {}, [], []

    def run(name, function, stage):
        try:
            function(stage)
        except Exception:  # a life that goes wrong is a result, whatever it is
            failed[name] = traceback.format_exc()

    for port, name, function, family in chosen:
        stage = Stage(network, wire, port, family)
        stages.append(stage)
        threads.append(threading.Thread(target=run, args=(name, function, stage)))
        threads[-1].start()
        time.sleep(STAGGER)
    for thread in threads:
        thread.join()
    time.sleep(TAIL)
    return failed, stages


def record(folder, chosen):
    """Let the lives happen; the capture, the samples, the hosts' timers, the failures."""
    network = Network()
    capture, samples = os.path.join(folder, "capture.pcap"), os.path.join(folder, "samples.pickle")
    wire = Wire(network.middle, capture)
    sampler = Sampler(network, samples, PERIOD)
    try:
        failed, stages = run_lives(network, wire, chosen)
    finally:
        sampler.stop()
        wire.stop()
    for stage in stages:  # only now: what closing sends is not looked at
        stage.close_all()
    with open(samples, "rb") as f:
        return capture, pickle.load(f), network.timers, failed


def probe(program, capture, timers):
    """The probe's records, told what the hosts' timers are, as an operator would."""
    command = shlex.split(program) + ["read", "--format", "jsonl", "--linger", "120", "--records", "transitions"]
    for name, value in timers.items():
        if value is not None or name == "tcp_syn_linear_timeouts":  # kernels before 6.5 have no linear SYN timeouts
            command += ["--set", f"tracker.{name}={value or 0}"]
    done = subprocess.run(command + [capture], stdout=subprocess.PIPE, text=True, timeout=60)
    if done.returncode != 0:
        raise SystemExit(f"twin: {shlex.join(command)} {capture}: exit status {done.returncode}")
    return done.stdout.splitlines()


def print_table(chosen, verdicts, failed):
    """A line a life, the total, a line a state. Returns the total, and whether all lives and states were compared."""
    print(f"{'life':30} {'compared':>8} {'ambiguous':>9} {'plain %':>8} {'balanced':>8}")
    total, complete = Verdict(), True
    for port, name, _, _ in chosen:
        v = verdicts[port]
        note = v.worst()
        if name in failed:
            note = "FAILED: " + failed[name].strip().splitlines()[-1]
        elif v.compared == 0:
            note = "NOTHING TO COMPARE"
        complete = complete and name not in failed and v.compared > 0
        print(f"{name:30} {v.compared:8} {v.ambiguous:9} {v.plain:8.2f} {v.balanced:8.2f}  {note}".rstrip())
        total.add(v)
    print(f"{'all':30} {total.compared:8} {total.ambiguous:9} {total.plain:8.2f} {total.balanced:8.2f}\n")
    for state, (samples, percent) in sorted(total.by_state().items()):
        print(f"{state:30} {samples:8} {'':9} {percent:8.2f}")
    missing = set(STATE.values()) - set(total.by_state())
    if missing and len(chosen) == len(LIVES):
        print("no sample counted in: " + " ".join(sorted(missing)))
        complete = False
    return total, complete


def run(args, folder):
    names = args.only.split(",") if args.only else [name for name, _, _ in LIVES]
    chosen = [(FIRST_PORT + i, *life) for i, life in enumerate(LIVES) if life[0] in names]
    if len(chosen) != len(names):
        raise SystemExit("twin: --only names a life that is not one of: " + " ".join(name for name, _, _ in LIVES))
    capture, samples, timers, failed = record(folder, chosen)
    timelines, wrong = read_transitions(probe(args.spanwatch, capture, timers))
    hosts = {socket.inet_pton(socket.AF_INET6 if family == 6 else socket.AF_INET, ADDRESS[host][family]): host
             for host in ("client", "server") for family in (4, 6)}
    verdicts = judge(samples, hosts, Capture(capture), timelines, [port for port, *_ in chosen])
    total, complete = print_table(chosen, verdicts, failed)
    for line in wrong[:20]:
        print("contradiction: " + line)
    return 0 if complete and not wrong and total.plain >= args.min else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True, help="the probe's program")
    parser.add_argument("--keep", metavar="DIR", help="leave the capture and the samples there")
    parser.add_argument("--only", help="some lives, by name")
    parser.add_argument("--min", type=float, default=99.0)
    args = parser.parse_args()
    try:
        if args.keep:
            os.makedirs(args.keep, exist_ok=True)
            return run(args, args.keep)
        with tempfile.TemporaryDirectory(prefix="spanwatch-twin-") as folder:
            return run(args, folder)
    except Unavailable as e:
        print(f"twin: skipped: {e}")
        return 77


if __name__ == "__main__":
    sys.exit(main())
