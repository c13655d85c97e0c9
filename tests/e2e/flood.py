#!/usr/bin/env python3
"""A SYN flood from addresses that nobody has, and legitimate connections to the same server in the midst of it.

    flood.py --spanwatch PROGRAM --send PROGRAM [--seconds N] [--rate N] [--max-flows N] [--legitimate N]

Two namespaces and a cable; the sender floods a listening port of the server as fast as it can (or --rate SYNs a second), while clients talk to
the same port and close in several ways. The probe watches the server's end with room for --max-flows connections. The states of all sockets
are sampled in both kernels, and the legitimate connections judged by them. Exit status 1 when fewer than 99 % of their ends are right at each
sample, when the probe's memory passes its cap, or when nothing was flooded; 77 where it cannot run.
"""
import argparse
import ctypes
import json
import os
import pickle
import random
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "tools"))
from judge import TIME_WAIT_SLACK, Capture, judge_endpoint, read_transitions  # noqa: E402
from live_probe import ADDRESS, Cable, Probe  # noqa: E402
from netns import Unavailable, ip  # noqa: E402
from sampler import Sampler  # noqa: E402

PORT = 8080
PR_SET_PDEATHSIG = 1
SLOWER = 5  # is a program under a sanitizer, about
PERIOD = 0.02           # s between samples
LEAST = 99.0            # percent of the legitimate ends
FLOW_OCTETS = 700       # of an open flow, with its places in the tables and its deadline
FIXED_OCTETS = 48 << 20  # rings between threads, fragments, copies, the program itself
BEFORE, AFTER = 0.5, 4.0  # s of samples around the flood; those of the last TIME_WAIT_SLACK are not judged


class Server(threading.Thread):
    """Answers each octet with two; an 'r' with a reset, a 'c' by closing first."""

    def __init__(self, listener):
        super().__init__(daemon=True)
        self.listener = listener

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    @staticmethod
    def serve(connection):
        try:
            while octets := connection.recv(4096):
                if octets == b"r":
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    break
                if octets == b"c":
                    break
                connection.sendall(octets * 2)
        except OSError:
            pass
        connection.close()


def talk(cable, number, notes):
    """One legitimate connection, of a kind that its number says."""
    r = random.Random(number)
    time.sleep(r.uniform(0, 0.3))
    try:
        c = cable.connect(PORT)
        for _ in range(r.randint(1, 4)):
            c.sendall(b"x" * 100)
            received = 0
            while received < 200:
                received += len(c.recv(4096))
            time.sleep(r.uniform(0, 0.4))
        if number % 4 == 1:
            c.sendall(b"c")
            c.recv(1)
        elif number % 4 == 2:
            c.sendall(b"r")
            c.recv(1)
        elif number % 4 == 3:
            c.shutdown(socket.SHUT_WR)
            c.recv(1)
        c.close()
    except OSError as e:
        if number % 4 != 2:  # which asked to be reset
            notes.append(f"{number}: {e}")


def legitimate(cable, count, seconds):
    """So many connections, spread over so many seconds; what went wrong with some."""
    notes, threads = [], []
    for number in range(count):
        threads.append(threading.Thread(target=talk, args=(cable, number, notes)))
        threads[-1].start()
        time.sleep(seconds / count)
    for thread in threads:
        thread.join()
    return notes


def is_sanitized(program):
    """Sanitizers keep shadows of all memory: its size says nothing then."""
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return "libasan" in done.stdout or "libtsan" in done.stdout


def anonymous(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("RssAnon")) * 1024


def ends_with_us():
    """In a child: whatever goes wrong here, it does not stay behind."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def record(args, cable, folder):
    """(probe, notes, what the sender says, most memory): the flood, from before its begin until after its end."""
    with cable.server:
        ip("route", "add", "172.16.0.0/12", "via", ADDRESS["client"])  # answers to nobody pass the tap too
        dump = subprocess.Popen(["tcpdump", "-i", "eth0", "-s", "128", "-n", "-B", "65536", "--time-stamp-precision=nano", "-Z", "root",
                                 "-w", os.path.join(folder, "legitimate.pcap"), "host", ADDRESS["client"]], stderr=subprocess.PIPE,
                                preexec_fn=ends_with_us)
    while b"listening on" not in dump.stderr.readline():
        pass
    probe = Probe(args.spanwatch, cable, folder, "-i", "eth0", "--format", "jsonl", "--redis", "none", "--records",
                  "transitions,gaps,stats", "--ring-mib", "64", "--set", f"tracker.max_flows={args.max_flows}")
    probe.wait_until_capturing()
    sampler = Sampler(cable, os.path.join(folder, "samples"), PERIOD)
    time.sleep(BEFORE)
    with cable.client:
        sender = subprocess.Popen([args.send, "eth0", str(args.seconds), "flood", ADDRESS["server"], str(PORT), "02:00:00:00:78:02"]
                                  + ([str(args.rate)] if args.rate else []), stdout=subprocess.PIPE, preexec_fn=ends_with_us)
    most, watching = [0], threading.Event()

    def watch():
        while not watching.wait(0.05):
            most[0] = max(most[0], anonymous(probe.process.pid))
    watcher = threading.Thread(target=watch)
    watcher.start()
    notes = legitimate(cable, args.legitimate, args.seconds * 0.9)
    sent = json.loads(sender.communicate()[0])
    time.sleep(AFTER)
    watching.set()
    watcher.join()
    sampler.stop()
    probe.end()
    dump.send_signal(signal.SIGINT)
    dump.wait()
    dump.stderr.close()
    return probe, notes, sent, most[0]


def counted(probe):
    """(the last stats record, the gaps): of millions of lines the few that are wanted are parsed."""
    stats, gaps = None, []
    with open(probe.path, encoding="utf-8") as f:
        for line in f:
            if line.startswith('{"type":"stats"'):
                stats = line
            elif line.startswith('{"type":"gap"'):
                gaps.append(json.loads(line))
    return json.loads(stats), gaps


def compare(probe, folder):
    """(ends judged, ends right at every sample, samples, agreeing ones, what is wrong with the records) of the legitimate connections."""
    with open(os.path.join(folder, "samples"), "rb") as f:
        samples = pickle.load(f)
    client = socket.inet_aton(ADDRESS["client"])
    with open(probe.path, encoding="utf-8") as f:
        timelines, wrong = read_transitions(line for line in f if ADDRESS["client"] in line and '"transition"' in line)
    until = min(host[-1][1] for host in samples.values()) - TIME_WAIT_SLACK
    capture, ends, right, compared, agreed, worst = Capture(os.path.join(folder, "legitimate.pcap")), 0, 0, 0, 0, []
    for flow, packets in capture.times.items():
        packets.sort()
        one, other = tuple(flow)
        for local, remote in ((one, other), (other, one)):
            host = "client" if local[0] == client else "server"
            verdict = judge_endpoint(samples[host], (local, remote), packets, timelines.get((local, remote), []), until)
            if verdict.compared == 0:
                continue
            ends += 1
            right += verdict.plain == 100
            compared += verdict.compared
            agreed += sum(n for (kernel, said), n in verdict.pairs.items() if kernel == said)
            if verdict.plain < 100:
                worst.append(f"{host}, port {local[1] if host == 'client' else remote[1]}: {verdict.worst()}")
    return ends, right, compared, agreed, wrong, worst


def run(args, folder):
    cable = Cable()
    with cable.listen(PORT) as listener:
        Server(listener).start()
        probe, notes, sent, most = record(args, cable, folder)
    ends, right, compared, agreed, wrong, worst = compare(probe, folder)
    last, gaps = counted(probe)
    cap = args.max_flows * FLOW_OCTETS + FIXED_OCTETS
    print(f"flood: {sent['packets']} SYNs in {sent['seconds']:.1f} s, {sent['packets'] / sent['seconds']:,.0f} a second; "
          f"the tap's packets {last['packets']}, dropped by its ring {last['kernel_drops']}")
    print(f"flows: {last['flows_total']} in all, {last['flows_evicted']} evicted, most memory {most / 2**20:.1f} MiB of {cap / 2**20:.1f}")
    print(f"legitimate: {args.legitimate} connections ({len(notes)} failed), {right} of {ends} ends right at each sample ({100 * right / max(ends, 1):.2f} %), "
          f"{agreed} of {compared} samples ({100 * agreed / max(compared, 1):.3f} %)")
    for gap in gaps[:5]:
        print(f"gap: {gap}")
    bad = list(wrong[:5]) if not gaps else []
    if ends < args.legitimate or 100 * right < LEAST * ends:
        bad += ["too few ends are right"] + worst[:8]
    if most > cap and not is_sanitized(args.spanwatch):
        bad.append("memory is above its cap")
    if last["flows_evicted"] == 0:
        bad.append("the flood did not fill the table")
    for line in bad:
        print("flood: " + line)
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("--send", required=True, help="spanwatch-bench-send")
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rate", type=int, default=0)
    parser.add_argument("--max-flows", type=int, default=20000)
    parser.add_argument("--legitimate", type=int, default=100)
    args = parser.parse_args()
    if is_sanitized(args.spanwatch):
        args.rate //= SLOWER
    try:
        with tempfile.TemporaryDirectory(prefix="spanwatch-flood-") as folder:
            return run(args, folder)
    except Unavailable as e:
        print(f"flood: skipped: {e}")
        return 77


if __name__ == "__main__":
    sys.exit(main())
