#!/usr/bin/env python3
"""A quiet day is quiet: two ordinary days of a site (tests/bench/day.c) raise no alarm, the second with the first as history.

    test_quiet_day.py --spanwatch PROGRAM --day GENERATOR [--scale X] [--seeds N,...] [--hours H]

The days pass through a pipe. Then a day with one anomaly of each kind that the generator can plant, on the hour: each of them
is raised and cleared in time, with its service or client, and nothing else is, so that the silence above means something.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

# Seconds after its begin and its end within which each anomaly is raised and cleared: the catalogue's windows, ages and holds.
DEADLINES = {
    "conn_refused": (50, 130), "syn_flood": (60, 160), "port_scan": (50, 400), "retrans_storm": (50, 130),
    "app_latency": (60, 130), "client_drop": (60, 130), "mass_close": (40, 120), "close_wait_leak": (130, 130),
    "abort_storm": (90, 200), "churn": (60, 130),
}
# What follows from it, and is told too.
CONSEQUENCES = {"client_drop": {"mass_close"}, "close_wait_leak": {"fin_wait2_stuck"}, "mass_close": {"client_drop"}}


def alarms_of(args, options, folder):
    """The alarms of a day that the generator is told to make, and what it says of that day."""
    pipe = os.path.join(folder, "day.pcap")
    os.mkfifo(pipe)
    # The generator writes the names of the services at its end: they are made by a day of no length before.
    subprocess.run([args.day, "--hours", "0.001", os.path.join(folder, "none.pcap")], check=True)
    maker = subprocess.Popen([args.day, *options, pipe])
    with open(pipe, "rb") as packets:
        done = subprocess.run([args.spanwatch, "read", "-", "--name", "day", "--format", "jsonl", "--records", "alarms",
                               "--services", os.path.join(folder, "none.pcap.services.json")],
                              stdin=packets, stdout=subprocess.PIPE, text=True, check=True)
    assert maker.wait() == 0, "the generator failed"
    with open(pipe + ".truth.json", encoding="ascii") as f:
        truth = json.load(f)
    os.unlink(pipe)
    return [json.loads(line) for line in done.stdout.splitlines()], truth


def quiet(args, seed, folder):
    alarms, truth = alarms_of(args, ["--hours", str(args.hours), "--scale", str(args.scale), "--seed", str(seed)], folder)
    print(f"seed {seed}: {truth['packets']} packets, {truth['connections']} connections, {len(alarms)} alarms", flush=True)
    for a in alarms:
        if a["status"] == "raised":
            print("  false:", a["ts"], a["summary"])
    assert truth["packets"] > 1000000 * args.hours / 24
    return not alarms


def is_of(alarm, label):
    if alarm["kind"] != label["kind"]:
        return False
    return "service" not in alarm["scope"] or alarm["scope"]["service"] == label["service"]


def planted(args, folder):
    options = ["--hours", "44.5", "--scale", str(max(args.scale, 0.15)), "--seed", "4"]
    for n, kind in enumerate(DEADLINES):
        options += ["--plant", f"{kind}@{34 + n}"]
    alarms, truth = alarms_of(args, options, folder)
    good = True
    for label in truth["planted"]:
        late, slow = DEADLINES[label["kind"]]
        mine = [a for a in alarms if is_of(a, label) and label["from"] <= a["ts"] <= label["to"] + 600]
        raised = [a["ts"] - label["from"] for a in mine if a["status"] == "raised"]
        cleared = [a["ts"] - label["to"] for a in mine if a["status"] == "cleared"]
        ok = len(raised) == len(cleared) == 1 and raised[0] <= late and 0 <= cleared[0] <= slow
        print(f"{label['kind']}: raised after {raised} (of {late}), cleared after {cleared} (of {slow})", "" if ok else "WRONG")
        good = good and ok
    for a in alarms:
        here = [p for p in truth["planted"] if p["from"] <= a["ts"] <= p["to"] + 600]
        kinds = {p["kind"] for p in here}
        if a["kind"] not in kinds and not any(a["kind"] in CONSEQUENCES.get(k, ()) for k in kinds):
            print("  false:", a["ts"], a["summary"])
            good = False
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("--day", required=True)
    parser.add_argument("--scale", type=float, default=0.02)
    parser.add_argument("--hours", type=float, default=48)
    parser.add_argument("--seeds", default="1,2")
    args = parser.parse_args()
    good = True
    for seed in args.seeds.split(","):
        with tempfile.TemporaryDirectory() as folder:
            good = quiet(args, int(seed), folder) and good
    with tempfile.TemporaryDirectory() as folder:
        good = planted(args, folder) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
