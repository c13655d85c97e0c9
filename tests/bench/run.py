#!/usr/bin/env python3
"""Make large captures, read them with bare libpcap, with spanwatch and with other tools, and print how they compare.

    run.py [--build DIR] [--scale X] [--modes LIST] [--runs N] [--folder DIR] [--no-peers]
    run.py --counts-only ...       only check the counts (what ctest does, at a small scale)

Each program reads each file from a warm page cache, in turn, N times; the table shows the medians of the wall time, its ratio
to bare pcap_loop, packets a second, the transitions a second that JSON Lines to /dev/null have, and the peak memory of one run
that is not timed. Bytes a flow are anonymous memory (a mapped file is not counted) over the connections that are open at the
end. Other tools that read captures join when they are installed (argus, softflowd, nfpcapd, tcptrace, tshark); one whose first
run took longer than --long is not run again. At last: how many times faster spanwatch (one worker, no output) is than the
tools, and what a second worker brings. Exit status 1 when spanwatch counted other packets, transitions, connections or ends of
connections than the generator wrote.
"""
import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
DEFAULT_BUILD = os.path.join(HERE, "..", "..", "build")

# name: (mode of the generator, connections, packets); None is the generator's default at scale 1
CAPTURES = {
    "churn": ("churn", 915_000, None),
    "elephants": ("elephants", None, 10_000_000),
    "million": ("million", 1_000_000, 10_000_000),
    "million5": ("million", 5_000_000, 25_000_000),
    "synflood": ("synflood", 1_000_000, None),
}
# How a connection of the generator may stand in its record: its end, and the states of client and server at the end (or at the capture's).
OPEN, HALF_OPEN = ("open", "ESTABLISHED", "ESTABLISHED"), ("open", "SYN_SENT", "CLOSED")
ENDS = {"fin": [("fin", "TIME_WAIT", "CLOSED"), ("fin", "CLOSED", "TIME_WAIT"), ("fin", "CLOSED", "CLOSED")], "rst": [("rst", "CLOSED", "CLOSED")],
        "refused": [("refused", "CLOSED", "CLOSED")], "open": [OPEN], "half_open": [HALF_OPEN]}
PEER_MEMORY = 6 << 30  # bytes of address space; some peers keep every packet


# name in the table: arguments of `read`
OURS = {"none": ["--format", "none"], "report": ["--format", "report"], "jsonl": ["--format", "jsonl"],
        "none, 2 workers": ["--format", "none", "--workers", "2"], "jsonl, 2 workers": ["--format", "jsonl", "--workers", "2"]}


def peers(path, folder):
    """Other readers of captures: (name, command), the installed ones. Names are not to be looked up, and none is to run out of
    entries for flows where that can be said."""
    found = [
        ("argus", ["argus", "-r", path, "-w", os.devnull]),
        ("softflowd", ["softflowd", "-r", path, "-m", "20000000", "-p", os.path.join(folder, "pid"), "-c", "none"]),
        ("nfpcapd", ["nfpcapd", "-r", path, "-w", folder]),
        ("tcptrace", ["tcptrace", "-n", path]),
        ("tshark", ["tshark", "-n", "-q", "-r", path, "-z", "conv,tcp"]),
    ]
    return [(name, command) for name, command in found if shutil.which(command[0])]


class Run:
    """One run of a program: seconds, whether it went well, and (when watched) the peaks of its memory in bytes.

    wait4's ru_maxrss would start at what this script held at the fork, so the kernel's own mark is polled."""

    def __init__(self, command, timeout, watch_memory=False, limit=None):
        self.peak_anonymous = self.peak_resident = 0
        begin = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit))))
        killer = threading.Timer(timeout, process.kill)
        killer.start()
        if watch_memory:
            self._watch(process.pid)
        self.ok = process.wait() == 0
        self.seconds = time.monotonic() - begin
        killer.cancel()

    def _watch(self, pid):
        """Poll until the process ends; it stays a zombie until it is waited for."""
        while True:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as f:
                fields = dict(line.split(":", 1) for line in f if ":" in line)
            if fields["State"].split()[0] in "ZX":
                return
            kib = {name: int(fields.get(name, "0").split()[0]) for name in ("RssAnon", "VmHWM")}
            self.peak_anonymous = max(self.peak_anonymous, kib["RssAnon"] * 1024)
            self.peak_resident = max(self.peak_resident, kib["VmHWM"] * 1024)
            time.sleep(0.002)


def generate(args, name, folder):
    mode, connections, packets = CAPTURES[name]
    path = os.path.join(folder, name + ".pcap")
    command = [args.generate, "--seed", str(args.seed)]
    if connections:
        command += ["--connections", str(max(100, round(connections * args.scale)))]
    if packets:
        # of long flows never less than a million: a packet wrongly taken for a copy shows only among many
        least = 1_000_000 if name == "elephants" else 1000
        command += ["--packets", str(max(least, round(packets * args.scale)))]
    if name == "churn" and args.counts_only:
        # slow enough for ports to be used again after TIME_WAIT, and with every kind of end
        command += ["--rate", "300", "--rst-permille", "30", "--refused-permille", "30"]
    subprocess.run(command + [mode, path], check=True)
    with open(path + ".truth.json", encoding="ascii") as f:
        return path, json.load(f)


def read_stats(args, path):
    command = [args.spanwatch, "read", "--format", "jsonl", "--records", "stats", path]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    stats = [r for r in map(json.loads, out.splitlines()) if r["type"] == "stats"]
    return stats[-1] if stats else {}


def read_records(args, path):
    """What `read` wrote, counted: records by type, and connections by end and states."""
    command = [args.spanwatch, "read", "--format", "jsonl", "--records", "transitions,connections", "--linger", "120", path]
    types, ends = Counter(), Counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            if line.startswith(b'{"type":"transition"'):
                types["transition"] += 1
                continue
            record = json.loads(line)
            types[record["type"]] += 1
            ends[record["end"], record["client_state"], record["server_state"]] += 1
    if process.returncode != 0:
        raise SystemExit(f"run.py: {' '.join(command)}: exit status {process.returncode}")
    return types, ends


def differences(truth, stats):
    wanted = {"packets": truth["packets"], "tcp": truth["packets"], "connections": truth["connections"],
              "flows_total": truth["connections"], "malformed": 0, "stray": 0, "duplicates": 0, "missed_bytes": 0}
    return [f"{k} {stats.get(k)} instead of {v}" for k, v in wanted.items() if stats.get(k) != v]


def record_differences(truth, types, ends):
    wanted = {"connection": truth["connections"]}
    if "transitions" in truth:
        wanted["transition"] = truth["transitions"]
    bad = [f"{k} records {types[k]} instead of {v}" for k, v in wanted.items() if types[k] != v]
    found = {kind: sum(ends[e] for e in allowed) for kind, allowed in ENDS.items()}
    bad += [f"end {kind}: {found[kind]} instead of {n}" for kind, n in truth["ends"].items() if found[kind] != n]
    legal = {e for allowed in ENDS.values() for e in allowed}
    return bad + [f"end {'/'.join(e)}: {n} that nobody wrote" for e, n in ends.items() if e not in legal]


def check(args, name, path, truth):
    bad = differences(truth, read_stats(args, path)) + record_differences(truth, *read_records(args, path))
    for line in bad:
        print(f"*** {name}: WRONG COUNT: {line}")
    if not bad:
        ends = ", ".join(f"{v} {k}" for k, v in truth["ends"].items() if v)
        print(f"{name}: counts right: {truth['packets']} packets, {truth['connections']} connections ({ends})")
    return not bad


def measure(args, name, path, truth, folder):
    """One capture's rows; the medians by program, and the peak of resident memory."""
    programs = [("pcap_loop", [args.pcap_loop, path], None)]
    programs += [(f"spanwatch {n}", [args.spanwatch, "read", *options, path], None) for n, options in OURS.items()]
    if args.peers:
        programs += [(n, c, PEER_MEMORY) for n, c in peers(path, folder)]
    timeout = {n: args.timeout if limit is None else args.peer_timeout for n, _, limit in programs}
    memory = {n: Run(c, timeout[n], watch_memory=True, limit=limit) for n, c, limit in programs}
    times = {n: [] for n, _, _ in programs}
    for _ in range(args.runs):
        for n, c, limit in programs:
            if not memory[n].ok:
                continue
            if limit is not None and memory[n].seconds > args.long:
                times[n] = [memory[n].seconds]
            else:
                times[n].append(Run(c, timeout[n], limit=limit).seconds)
    medians = {n: statistics.median(t) for n, t in times.items() if t}
    is_open = truth["ends"]["open"] + truth["ends"]["half_open"]
    for n, _, limit in programs:
        if n not in medians:
            print(f"{name:10} {n:27} failed, or took more than {timeout[n]:.0f} s")
            continue
        seconds, run = medians[n], memory[n]
        flow = f"{run.peak_anonymous / is_open:8.0f}" if is_open >= 10_000 and n != "pcap_loop" else " " * 8
        transitions = f"{truth['transitions'] / seconds / 1e6:9.2f}" if "jsonl" in n and "transitions" in truth else " " * 9
        print(f"{name:10} {n:27} {seconds:8.3f} {seconds / medians['pcap_loop']:7.2f} {truth['packets'] / seconds / 1e6:8.2f} "
              f"{transitions} {run.peak_resident / 2**20:9.1f} {run.peak_anonymous / 2**20:9.1f} {flow}", flush=True)
    return all(memory[n].ok for n, _, limit in programs if limit is None), medians, memory


def compare(name, medians, memory):
    """What the rows say of spanwatch beside the others, in words."""
    lines, ours = [], medians.get("spanwatch none")
    if ours is None:
        return lines
    for other in [n for n in medians if n != "pcap_loop" and not n.startswith("spanwatch")]:
        lines.append(f"{name}: {medians[other] / ours:.1f} times {other}'s rate, "
                     f"which takes {memory[other].peak_resident / memory['spanwatch none'].peak_resident:.1f} times the memory")
    for output in ("none", "jsonl"):
        two = medians.get(f"spanwatch {output}, 2 workers")
        if two:
            lines.append(f"{name}: --workers 2 --format {output}: {medians[f'spanwatch {output}'] / two:.2f} times one worker's rate")
    return lines


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=DEFAULT_BUILD, help="the build folder (default: build beside tests)")
    for program in ("spanwatch", "generate", "pcap-loop"):
        parser.add_argument("--" + program, help="the program, where it is not in the build folder")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the captures (1: 15.5 M packets of churn)")
    parser.add_argument("--modes", default="churn,elephants,million,synflood", help="of " + ",".join(CAPTURES))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", help="keep the captures here (default: a temporary folder)")
    parser.add_argument("--timeout", type=float, default=300, help="s for one run")
    parser.add_argument("--peer-timeout", type=float, default=120, help="s for one run of another tool")
    parser.add_argument("--long", type=float, default=20, help="s after which another tool is not run again")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    parser.add_argument("--counts-only", action="store_true")
    args = parser.parse_args()
    args.spanwatch = args.spanwatch or os.path.join(args.build, "spanwatch")
    args.generate = args.generate or os.path.join(args.build, "tests", "spanwatch-bench-generate")
    args.pcap_loop = args.pcap_loop or os.path.join(args.build, "tests", "spanwatch-bench-pcap-loop")
    args.modes = args.modes.split(",")
    unknown = [m for m in args.modes if m not in CAPTURES]
    if unknown or args.runs < 1 or args.scale <= 0:
        parser.error("unknown mode " + unknown[0] if unknown else "--runs and --scale must be above 0")
    for path in (args.spanwatch, args.generate, args.pcap_loop):
        if not os.access(path, os.X_OK):
            parser.error(f"{path} is not there: build first, or name the build folder with --build")
    return args


def main():
    args = arguments()
    right, words = True, []
    with tempfile.TemporaryDirectory(prefix="spanwatch-bench-") as temporary:
        folder = args.folder or temporary
        os.makedirs(folder, exist_ok=True)
        if not args.counts_only:
            print(f"{'capture':10} {'program':27} {'seconds':>8} {'ratio':>7} {'Mpackets':>8} {'Mtransit.':>9} {'RSS MiB':>9} "
                  f"{'anon MiB':>9} {'B/flow':>8}   (medians of {args.runs}; Mpackets, Mtransitions a second)")
        for name in args.modes:
            path, truth = generate(args, name, folder)
            if not args.counts_only:
                whole, medians, memory = measure(args, name, path, truth, temporary)
                right = whole and right
                words += compare(name, medians, memory)
            right = check(args, name, path, truth) and right
            if not args.folder:
                os.unlink(path)
    print("\n".join(words))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
