#!/usr/bin/env python3
"""Live capture at the highest rate that a sender reaches: what is dropped, and what it costs, beside tcpdump and argus.

    live.py [--build DIR] [--seconds N] [--rounds N] [--connections N] [--ring-mib N] [--snaplen N]

A sender on one core replays a generated capture into a virtual cable between two namespaces, over and over, as fast as the kernel takes it;
on the other core sits the program that captures. Programs take turns, round by round, each with the same ring and snaplen: `tcpdump -w
/dev/null`, spanwatch (its tracker at work; without records, with three workers on that core, and with all records, as JSON Lines into a pipe), argus where it is installed. Then tcpdump and spanwatch run at
once on that core. Prints, a row a run: packets sent a second, those that were dropped, and processor seconds of the program. Needs root (exit
status 77). Exit status 1 when in the same round spanwatch dropped more than tcpdump.
"""
import argparse
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "tools"))
from netns import Namespace, Unavailable, ip, sysctl_if_there  # noqa: E402

SENDER_CORE, CAPTURE_CORE = 0, 1
PR_SET_PDEATHSIG = 1
SETTLE = 1.0  # s for a program to open the device, and to take the rest when the sender has ended


class Cable:
    """Sender and receiver; nobody has an address, so that neither kernel answers."""

    def __init__(self):
        self.sender, self.receiver = Namespace(), Namespace()
        for namespace in (self.sender, self.receiver):
            with namespace:
                sysctl_if_there("net.ipv6.conf.default.disable_ipv6", 1)
        with self.receiver:
            ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", self.sender.path())
            ip("link", "set", "eth0", "up", "arp", "off")
        with self.sender:
            ip("link", "set", "eth0", "up", "arp", "off")


def pinned(core):
    """On that core, before whatever else runs on the machine."""
    def settle():
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # nothing stays behind
        os.sched_setaffinity(0, {core})
        os.nice(-15)
    return settle


class Tool:
    """A program that captures: its command, and how it tells what it dropped. `drops` is None where it does not tell."""

    def __init__(self, name, command, drops, keep=None):
        self.name, self.command, self.drops, self.keep = name, command, drops, keep

    def start(self, namespace, folder):
        """`keep` is which lines of its output are kept; the rest is read and thrown away, at no cost of its own."""
        self.out, self.grep = open(os.path.join(folder, self.name.replace(" ", "_")), "w+b"), None
        to = self.out
        if self.keep:
            self.grep = subprocess.Popen(["grep", "-F", self.keep], stdin=subprocess.PIPE, stdout=self.out, preexec_fn=pinned(CAPTURE_CORE),
                                         start_new_session=True)
            to = self.grep.stdin
        with namespace:
            self.process = subprocess.Popen(self.command, stdout=to, stderr=self.out, preexec_fn=pinned(CAPTURE_CORE))
        if self.grep:
            to.close()

    def stop(self, sent):
        """(dropped, processor seconds)"""
        self.process.send_signal(signal.SIGINT)
        _, _, usage = os.wait4(self.process.pid, 0)
        if self.grep:
            self.grep.wait()
        self.out.seek(0)
        text = self.out.read().decode(errors="replace")
        self.out.close()
        return self.drops(text, sent), usage.ru_utime + usage.ru_stime


def tcpdump_drops(text, _sent):
    return int(re.search(r"(\d+) packets dropped by kernel", text)[1])


def spanwatch_drops(text, _sent):
    """As the last stats record has it."""
    stats = [json.loads(line) for line in text.splitlines() if '"type":"stats"' in line]
    return stats[-1]["kernel_drops"]


def argus_missed(path):
    """argus does not tell: what was sent, less the packets of its flow records."""
    def read(_text, sent):
        if not shutil.which("racount"):
            return None
        done = subprocess.run(["racount", "-r", path], capture_output=True, text=True, check=False)
        total = re.search(r"^\s*sum\s+\d+\s+(\d+)", done.stdout, re.MULTILINE)
        return max(0, sent - int(total[1])) if total else None
    return read


def tools(args, folder):
    spanwatch = [os.path.join(args.build, "spanwatch"), "probe", "-i", "eth0", "--name", "bench", "--redis", "none", "--ring-mib", str(args.ring_mib),
                 "--snaplen", str(args.snaplen), "--format", "jsonl"]
    found = [Tool("tcpdump", ["tcpdump", "-i", "eth0", "-n", "-s", str(args.snaplen), "-B", str(args.ring_mib * 1024), "-Z", "root", "-w",
                              "/dev/null"], tcpdump_drops),
             Tool("spanwatch", spanwatch + ["--records", "stats"], spanwatch_drops),
             Tool("spanwatch, three workers", spanwatch + ["--records", "stats", "--workers", "3"], spanwatch_drops),
             Tool("spanwatch, all records", spanwatch, spanwatch_drops, keep='{"type":"stats"')]
    if shutil.which("argus"):
        settings, written = os.path.join(folder, "argus.conf"), os.path.join(folder, "argus.out")
        with open(settings, "w", encoding="ascii") as f:
            f.write(f"ARGUS_PCAP_BUF_SIZE={args.ring_mib}M\nARGUS_MAR_STATUS_INTERVAL=1\n")
        found.append(Tool("argus", ["argus", "-F", settings, "-i", "eth0", "-w", written], argus_missed(written)))
    return found


def one_run(args, cable, chosen, capture, folder):
    """The programs at once, and what the sender says: ({name: (dropped, seconds)}, sent)."""
    for tool in chosen:
        tool.start(cable.receiver, folder)
    time.sleep(SETTLE)
    with cable.sender:
        done = subprocess.run([os.path.join(args.build, "tests", "spanwatch-bench-send"), "eth0", str(args.seconds), capture], stdout=subprocess.PIPE,
                              check=True, preexec_fn=pinned(SENDER_CORE))
    time.sleep(SETTLE)
    sent = json.loads(done.stdout)
    return {tool.name: tool.stop(sent["packets"]) for tool in chosen}, sent


def row(when, name, sent, dropped, seconds):
    share = "unknown" if dropped is None else f"{dropped} ({100 * dropped / sent['packets']:.3f} %)"
    print(f"{when:10} {name:24} {sent['packets'] / sent['seconds']:12,.0f} {share:>22} {seconds:8.2f} "
          f"{1e9 * seconds / sent['packets']:9.0f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"))
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=50_000)
    parser.add_argument("--ring-mib", type=int, default=64)
    parser.add_argument("--snaplen", type=int, default=256)
    args = parser.parse_args()
    if os.cpu_count() < 2:
        print("live: skipped: the sender needs a core of its own")
        return 77
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        cable = Cable()
    except Unavailable as e:
        print(f"live: skipped: {e}")
        return 77
    worse, rates = [], []
    with tempfile.TemporaryDirectory() as folder:
        capture = os.path.join(folder, "churn.pcap")
        subprocess.run([os.path.join(args.build, "tests", "spanwatch-bench-generate"), "--connections", str(args.connections), "churn", capture],
                       check=True)
        print(f"load before: {os.getloadavg()[0]:.2f}; ring {args.ring_mib} MiB, snaplen {args.snaplen}, {args.seconds:g} s a run")
        print(f"{'run':10} {'program':24} {'packets/s':>12} {'dropped':>22} {'cpu s':>8} {'ns/packet':>9}")
        available = tools(args, folder)
        for number in range(args.rounds):
            shares = {}
            for tool in available:
                result, sent = one_run(args, cable, [tool], capture, folder)
                row(f"{number + 1}", tool.name, sent, *result[tool.name])
                shares[tool.name] = (result[tool.name][0] or 0) / sent["packets"]
                rates.append(sent["packets"] / sent["seconds"])
            if shares["spanwatch"] > shares["tcpdump"]:
                worse.append(number + 1)
        result, sent = one_run(args, cable, available[:2], capture, folder)
        for name, (dropped, seconds) in result.items():
            row("at once", name, sent, dropped, seconds)
    print(f"median rate {statistics.median(rates):,.0f} packets/s; spanwatch dropped more than tcpdump in {len(worse)} of {args.rounds} rounds")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
