#!/usr/bin/env python3
"""The alarms of `read` against recordings with labelled anomalies (../shared/alarm-truth beside the checkout).

    alarm_truth.py --spanwatch PROGRAM [--history needed|all|none] [DIR...]

Every label has to be raised in time and cleared in time, with no false alarm and none that flaps. Exit status 77 when the
recordings are not there.
"""
import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TRUTH = os.environ.get("SPANWATCH_ALARM_TRUTH") or os.path.join(HERE, "..", "..", "..", "shared", "alarm-truth")
LAST = re.compile(r"recall ([\d.]+)% \((\d+)/(\d+)\)  on-time ([\d.]+)%  cleared ([\d.]+)%  false (\d+) .* flaps (\d+)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("--history", default="needed", choices=["needed", "all", "none"])
    parser.add_argument("dirs", nargs="*", default=[os.path.join(TRUTH, "recordings")])
    args = parser.parse_args()
    scorer = os.path.join(TRUTH, "score_all.py")
    if not os.path.exists(scorer):
        print("skipped: no recordings at", TRUTH)
        return 77
    probe = (f"{os.path.abspath(args.spanwatch)} read {{pcap}} --format jsonl --records alarms "
             "--services {services} --allow {allow}")
    done = subprocess.run([sys.executable, scorer, "--probe", probe, "--history", args.history, "--calm",
                           os.path.join(TRUTH, "recordings", "calm"), *args.dirs],
                          stdout=subprocess.PIPE, text=True, check=False)
    print(done.stdout)
    last = LAST.search(done.stdout.strip().splitlines()[-1]) if done.stdout.strip() else None
    if done.returncode != 0 or last is None:
        print("the scorer failed")
        return 1
    recall, hit, labels, on_time, cleared, false, flaps = last.groups()
    good = float(recall) == float(on_time) == float(cleared) == 100 and int(labels) > 0 and hit == labels
    return 0 if good and int(false) == 0 and int(flaps) == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
