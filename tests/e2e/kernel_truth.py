#!/usr/bin/env python3
"""The probe against recordings of real kernels that lie beside the repository, in ../shared/kernel-truth.

    kernel_truth.py --spanwatch PROGRAM [--floors FILE] [--told]

The yardstick there compares; this script says which agreement, plain and balanced over the states, each scenario
must reach (floors.json; "*" is for scenarios not named, "all" for the mean of all). With --told the probe is told
the hosts' timers, as an operator would tell it; the floors are for runs without. Exit status 1 when a scenario
lies below its floor, is missing, or made the probe fail; 77 where there are no recordings.
"""
import argparse
import json
import os
import re
import shlex
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
YARDSTICK = os.path.normpath(os.path.join(HERE, "..", "..", "..", "shared", "kernel-truth"))
TIMERS = ("tcp_fin_timeout tcp_syn_retries tcp_syn_linear_timeouts tcp_synack_retries tcp_retries2 tcp_orphan_retries "
          "tcp_rto_max_ms tcp_keepalive_time tcp_keepalive_intvl tcp_keepalive_probes").split()
ROW = re.compile(r"^(\w+) +(\d+\.\d+) +(\d+\.\d+) +\d+ +\d+ +\d+ +\d+/\d+ +\d+/\d+ +\d+\.\d+(.*)$")


def compare(args, recordings):
    """Run the yardstick and show what it prints; {scenario: (agree, balanced, note)}."""
    probe = shlex.split(args.spanwatch) + ["read", "--format", "jsonl", "--records", "transitions", "--linger", "120"]
    if args.told:
        probe += [w for t in TIMERS for w in ("--set", f"tracker.{t}={{client.{t}}}")]
    command = [sys.executable, "-B", os.path.join(YARDSTICK, "compare_all.py"), recordings, "--probe",
               shlex.join(probe) + " {pcap}"]
    rows = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            row = ROW.match(line)
            if row:
                rows[row[1]] = (float(row[2]), float(row[3]), row[4].strip())
    if process.returncode not in (0, 1):
        raise SystemExit(f"kernel_truth: compare_all.py ended with status {process.returncode}")
    return rows


def below(rows, floors):
    """What lies below its floor, as sentences."""
    means = tuple(sum(r[i] for r in rows.values()) / len(rows) for i in (0, 1))
    bad = []
    for name, (agree, balanced, note) in {**rows, "all": (*means, "")}.items():
        floor = floors.get(name, {"agree": 0, "balanced": 0} if name == "all" else floors["*"])
        for what, value in (("agree", agree), ("balanced", balanced)):
            if value < floor[what]:
                bad.append(f"{name}: {what} {value:.3f} is below {floor[what]}")
        if note:
            bad.append(f"{name}: {note}")
    return bad + [f"{name}: no such recording" for name in floors if name not in rows and name not in ("*", "all")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True, help="the probe's program")
    parser.add_argument("--floors", default=os.path.join(HERE, "floors.json"))
    parser.add_argument("--told", action="store_true", help="tell the probe the timers of the hosts")
    args = parser.parse_args()
    recordings = os.path.join(YARDSTICK, "recordings")
    if not os.path.isdir(recordings):
        print("kernel_truth: skipped: there is no ../shared/kernel-truth/recordings beside the repository")
        return 77
    with open(args.floors, encoding="ascii") as f:
        floors = json.load(f)
    rows = compare(args, recordings)
    if not rows:
        raise SystemExit("kernel_truth: compare_all.py printed no scenario that could be read")
    bad = below(rows, floors)
    for line in bad:
        print("kernel_truth: " + line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
