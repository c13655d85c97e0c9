#!/usr/bin/env python3
"""Instructions a packet, counted by callgrind, against tests/bench/budget.json: no change makes the packet path longer unseen.

    budget.py --spanwatch PROGRAM --generate PROGRAM [--write]

Each mode of the generator is read at two sizes: the difference leaves out what a start costs. The counts are those of
one program, whatever else the machine does, and differ by compiler: the budget names the one that it is for, and the
check is skipped (exit status 77) with another, or without valgrind. --write makes the budget anew, 5 % above what is
counted.
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUDGET = os.path.join(HERE, "budget.json")
ROOM = 1.05
SIZES = {  # the generator's options, small and large
    "churn": (["--connections", "1000"], ["--connections", "4000"]),
    "elephants": (["--packets", "20000"], ["--packets", "80000"]),
    "million": (["--connections", "2000", "--packets", "20000"], ["--connections", "8000", "--packets", "80000"]),
    "synflood": (["--connections", "5000"], ["--connections", "20000"]),
}


def compiler(program):
    """As the program itself says."""
    text = subprocess.run(["readelf", "-p", ".comment", program], capture_output=True, text=True, check=True).stdout
    found = re.search(r"GCC: \(.*\) (\d+)\.", text)
    return "gcc " + found[1] if found else "unknown"


def count(args, mode, options, folder):
    """(packets, instructions) of reading one capture."""
    path = os.path.join(folder, mode + ".pcap")
    subprocess.run([args.generate, *options, mode, path], check=True)
    with open(path + ".truth.json", encoding="utf-8") as f:
        packets = json.load(f)["packets"]
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", args.spanwatch, "read", path, "--format", "none"],
                          capture_output=True, text=True, check=True)
    return packets, int(re.search(r"Collected : (\d+)", done.stderr)[1])


def instructions(args, mode, folder):
    (few, less), (many, more) = (count(args, mode, options, folder) for options in SIZES[mode])
    return (more - less) / (many - few)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("--generate", required=True)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    if not shutil.which("valgrind") or not shutil.which("readelf"):
        print("budget: skipped: valgrind is not installed")
        return 77
    here = compiler(args.spanwatch)
    with open(BUDGET, encoding="utf-8") as f:
        budget = json.load(f)
    if here != budget["compiler"] and not args.write:
        print("budget: skipped: it is for %s, this program was compiled by %s" % (budget["compiler"], here))
        return 77
    with tempfile.TemporaryDirectory(prefix="spanwatch-budget-") as folder:
        counted = {mode: instructions(args, mode, folder) for mode in SIZES}
    if args.write:
        budget = {"compiler": here, "instructions a packet": {mode: round(n * ROOM) for mode, n in counted.items()}}
        with open(BUDGET, "w", encoding="utf-8") as f:
            f.write(json.dumps(budget, indent=2) + "\n")
    allowed = budget["instructions a packet"]
    for mode, n in counted.items():
        print("%-10s %6.0f instructions a packet, allowed %d%s" % (mode, n, allowed[mode], "" if n <= allowed[mode] else ": TOO MANY"))
    return any(n > allowed[mode] for mode, n in counted.items())


if __name__ == "__main__":
    sys.exit(main())
