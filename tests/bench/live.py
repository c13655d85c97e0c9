#!/usr/bin/env python3
"""Live capture: what is lost and what it costs at the highest rate that a sender reaches, beside a bare libpcap loop, tcpdump and argus; and with
a Redis store at a rate that is given.

    live.py [--build DIR] [--seconds N] [--rounds N] [--rate N] [--store-seconds N] [--ring-mib N] [--snaplen N] [speed] [store]

The sender replays generated churn (short connections, none of them twice) into a virtual cable between two namespaces of its own, so many seconds.

speed   as fast as the kernel takes it, from one core; on the other core sits the program that captures. Programs take turns, round by round, each
        with the same ring and snaplen: a bare pcap_loop, `tcpdump -w /dev/null`, spanwatch (its tracker and alarms at work) without output, without
        output and with three workers on that core, and with all records as JSON Lines to a file, argus where it is installed. Then tcpdump and
        spanwatch at once on that core.
store   `--rate` packets a second, with a redis-server of the distribution on a Unix socket, without persistence; sender, probe and server share the two
        cores as the kernel gives them.

Prints, a row a run: packets sent a second, those that were dropped, and processor seconds of the program, a packet and as a share of one core; for
`store` of each thread, and what was shed, queued and spooled. Needs root (exit status 77). Exit status 1 when spanwatch dropped more than tcpdump
did in the same round, or with the store anything was dropped or shed.
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
sys.path.append(os.path.join(os.path.dirname(HERE), "integration"))
import private_redis  # noqa: E402
from netns import Namespace, Unavailable, ip, sysctl_if_there  # noqa: E402

SENDER_CORE, CAPTURE_CORE = 0, 1
PR_SET_PDEATHSIG = 1
PACKETS_A_CONNECTION = 16.8  # of the generator's churn
FASTEST = 1_300_000  # packets/s that no sender of one core exceeds: so much is generated
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


def pinned(*cores):
    """On these cores, before whatever else runs on the machine."""
    def settle():
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # nothing stays behind
        os.sched_setaffinity(0, cores)
        os.nice(-15)
    return settle


class Tool:
    """A program that captures: its command, and how it tells what it dropped. `drops` is None where it does not tell; `written`: where spanwatch
    writes its records, when not to its standard output."""

    def __init__(self, name, command, drops, written=None):
        self.name, self.command, self.drops, self.written = name, command, drops, written

    def start(self, namespace, folder, cores):
        self.out = tempfile.TemporaryFile(dir=folder)
        with namespace:
            self.process = subprocess.Popen(self.command, stdout=self.out, stderr=self.out, preexec_fn=pinned(*cores))

    def threads(self):
        """{name of a thread: processor seconds so far}"""
        tasks, seconds = f"/proc/{self.process.pid}/task", {}
        for task in os.listdir(tasks):
            with open(f"{tasks}/{task}/comm", encoding="utf-8") as comm, open(f"{tasks}/{task}/schedstat", encoding="ascii") as stat:
                name = comm.read().strip()
                seconds[name] = seconds.get(name, 0) + int(stat.read().split()[0]) / 1e9
        return seconds

    def stop(self, sent):
        """(dropped, processor seconds)"""
        self.process.send_signal(signal.SIGINT)
        _, _, usage = os.wait4(self.process.pid, 0)
        self.out.seek(0)
        self.text = self.out.read().decode(errors="replace")
        self.out.close()
        if self.written:
            with open(self.written, encoding="utf-8") as f:
                self.text = "".join(line for line in f if line.startswith('{"type":"stats"'))
            os.unlink(self.written)
        return self.drops(self.text, sent), usage.ru_utime + usage.ru_stime


def tcpdump_drops(text, _sent):
    return int(re.search(r"(\d+) packets dropped by kernel", text)[1])


def loop_drops(text, _sent):
    return int(text.split()[2])


def all_stats(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith('{"type":"stats"')]


def spanwatch_drops(text, sent):
    """As the last stats record has it, which must have seen all else that was sent."""
    last = all_stats(text)[-1]
    return max(last["kernel_drops"], sent - last["packets"])


def argus_missed(path):
    """argus does not tell: what was sent, less the packets of its flow records."""
    def read(_text, sent):
        if not shutil.which("racount"):
            return None
        done = subprocess.run(["racount", "-r", path], capture_output=True, text=True, check=False)
        total = re.search(r"^\s*sum\s+\d+\s+(\d+)", done.stdout, re.MULTILINE)
        return max(0, sent - int(total[1])) if total else None
    return read


def probe(args, *options):
    return [os.path.join(args.build, "spanwatch"), "probe", "-i", "eth0", "--name", "bench", "--ring-mib", str(args.ring_mib), "--snaplen",
            str(args.snaplen), "--format", "jsonl", *options]


def tools(args, folder):
    ring, snaplen, none = str(args.ring_mib), str(args.snaplen), ("--redis", "none")
    records = os.path.join(folder, "records.jsonl")
    found = [Tool("bare pcap_loop", [os.path.join(args.build, "tests", "spanwatch-bench-pcap-loop"), "eth0", snaplen, ring], loop_drops),
             Tool("tcpdump -w /dev/null", ["tcpdump", "-i", "eth0", "-n", "-s", snaplen, "-B", str(args.ring_mib * 1024), "-Z", "root", "-w", "/dev/null"],
                  tcpdump_drops),
             Tool("spanwatch", probe(args, *none, "--records", "stats"), spanwatch_drops),
             Tool("spanwatch, three workers", probe(args, *none, "--records", "stats", "--workers", "3"), spanwatch_drops),
             Tool("spanwatch, JSON to a file", probe(args, *none, "--output", records), spanwatch_drops, written=records)]
    if shutil.which("argus"):
        settings, written = os.path.join(folder, "argus.conf"), os.path.join(folder, "argus.out")
        with open(settings, "w", encoding="ascii") as f:
            f.write(f"ARGUS_PCAP_BUF_SIZE={args.ring_mib}M\nARGUS_MAR_STATUS_INTERVAL=1\n")
        found.append(Tool("argus", ["argus", "-F", settings, "-i", "eth0", "-w", written], argus_missed(written)))
    return found


def send(args, cable, capture, seconds, rate, *cores):
    with cable.sender:
        done = subprocess.run([os.path.join(args.build, "tests", "spanwatch-bench-send"), "eth0", str(seconds), capture, str(rate), "once"],
                              stdout=subprocess.PIPE, check=True, preexec_fn=pinned(*cores))
    return json.loads(done.stdout)


def one_run(args, cable, chosen, capture, folder):
    """The programs at once, and what the sender says: ({name: (dropped, seconds)}, sent)."""
    for tool in chosen:
        tool.start(cable.receiver, folder, [CAPTURE_CORE])
    time.sleep(SETTLE)
    sent = send(args, cable, capture, args.seconds, 0, SENDER_CORE)
    time.sleep(SETTLE)
    return {tool.name: tool.stop(sent["packets"]) for tool in chosen}, sent


def generate(args, folder, packets):
    capture = os.path.join(folder, "churn.pcap")
    subprocess.run([os.path.join(args.build, "tests", "spanwatch-bench-generate"), "--connections", str(int(packets / PACKETS_A_CONNECTION)), "churn",
                    capture], check=True)
    return capture


def row(when, name, sent, dropped, seconds):
    share = "unknown" if dropped is None else f"{dropped} ({100 * dropped / sent['packets']:.3f} %)"
    print(f"{when:8} {name:26} {sent['packets'] / sent['seconds']:10,.0f} {share:>20} {1e9 * seconds / sent['packets']:10.0f} "
          f"{100 * seconds / sent['seconds']:8.1f} %", flush=True)


def speed(args, cable):
    """True when spanwatch never dropped more than tcpdump."""
    worse, rates = [], []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        capture = generate(args, folder, FASTEST * args.seconds)
        print(f"load before: {os.getloadavg()[0]:.2f}; ring {args.ring_mib} MiB, snaplen {args.snaplen}, {args.seconds:g} s a run")
        print(f"{'run':8} {'program':26} {'packets/s':>10} {'dropped':>20} {'ns/packet':>10} {'of a core':>10}")
        available = tools(args, folder)
        for number in range(args.rounds):
            shares = {}
            for tool in available:
                result, sent = one_run(args, cable, [tool], capture, folder)
                row(f"{number + 1}", tool.name, sent, *result[tool.name])
                shares[tool.name] = (result[tool.name][0] or 0) / sent["packets"]
                rates.append(sent["packets"] / sent["seconds"])
            if max(share for name, share in shares.items() if name.startswith("spanwatch")) > shares["tcpdump -w /dev/null"]:
                worse.append(number + 1)
        result, sent = one_run(args, cable, available[1:3], capture, folder)
        for name, (dropped, seconds) in result.items():
            row("at once", name, sent, dropped, seconds)
    print(f"median rate {statistics.median(rates):,.0f} packets/s; spanwatch dropped more than tcpdump in {len(worse)} of {args.rounds} rounds")
    return not worse


def store(args, cable):
    """True when nothing was dropped, nor shed."""
    if not private_redis.is_there():
        print("store: skipped: there is no redis-server")
        return True
    both = (SENDER_CORE, CAPTURE_CORE)
    with tempfile.TemporaryDirectory(dir=args.folder) as folder, private_redis.Server("--unixsocketperm", "777") as redis:
        os.chmod(folder, 0o755)  # the probe becomes another user
        os.chmod(redis.folder, 0o755)
        os.sched_setaffinity(redis.process.pid, both)
        os.setpriority(os.PRIO_PROCESS, redis.process.pid, -15)
        capture = generate(args, folder, args.rate * args.store_seconds)
        tool = Tool("spanwatch", probe(args, "--redis", redis.url, "--records", "stats", "--set", "state_folder=" + os.path.join(folder, "state")),
                    spanwatch_drops)
        tool.start(cable.receiver, folder, both)
        time.sleep(SETTLE)
        before = redis_seconds(redis)
        sent = send(args, cable, capture, 2 * args.store_seconds, args.rate, *both)
        time.sleep(SETTLE)
        threads, server = tool.threads(), redis_seconds(redis) - before
        dropped, _ = tool.stop(sent["packets"])
        seen, last = all_stats(tool.text), all_stats(tool.text)[-1]
        stored = sum(redis("XLEN", key) for kind in ("transitions", "connections") for key in redis("KEYS", "spanwatch:{bench/*}:" + kind))
    share = {name: 100 * seconds / sent["seconds"] for name, seconds in threads.items()}
    whole = stored == last["transitions"] + last["connections"]
    print(f"store: {sent['packets'] / sent['seconds']:,.0f} packets/s for {sent['seconds']:.1f} s, {last['flows_total'] / sent['seconds']:,.0f} "
          f"connections/s: {dropped} packets dropped, {last['store_lost']} entries shed, {max(s['store_queued'] for s in seen)} queued and "
          f"{max(s['store_spooled'] for s in seen)} spooled at most; {stored} entries stored{'' if whole else ', which are not all'}")
    print(f"store: of a core: worker {share['worker']:.1f} %, main loop {share['spanwatch']:.1f} %, redis-server {100 * server / sent['seconds']:.1f} %")
    return whole and dropped == 0 and last["store_lost"] == 0


def redis_seconds(redis):
    with open(f"/proc/{redis.process.pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0]) / 1e9


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"))
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rate", type=int, default=300_000)
    parser.add_argument("--store-seconds", type=float, default=20)
    parser.add_argument("--ring-mib", type=int, default=64)
    parser.add_argument("--snaplen", type=int, default=256)
    parser.add_argument("--folder", help="for the captures and the records: a disk (default: the system's folder for temporary files)")
    parser.add_argument("what", nargs="*", choices=("speed", "store", []), default=[])
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
    good = [{"speed": speed, "store": store}[what](args, cable) for what in args.what or ("speed", "store")]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
