#!/usr/bin/env python3
"""The probe beside the yardstick's recorder: live agreement with the kernels must be as good as that of `read` afterwards.

    live_truth.py --spanwatch PROGRAM [--all] [--workers N] [--jobs N] [--seed N] [--keep DIR] [SCENARIO ...]

The recorder of ../shared/kernel-truth runs a scenario between its namespaces and captures it; `spanwatch probe` watches the same tap at the same
time. The yardstick's comparer then judges both, what the probe said and what `read` says of the capture, by the states that the kernels showed.
Without names, the scenarios of QUICK run, which need no waiting; --all runs every one (some 6 minutes). Prints a line for each. Exit status 1
when live lies more than MARGIN below offline, has a broken chain of "was", or a recording failed; 77 where it cannot run.
"""
import argparse
import ctypes
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
YARDSTICK = os.path.normpath(os.path.join(HERE, "..", "..", "..", "shared", "kernel-truth"))
QUICK = """simultaneous_open simultaneous_close half_close refused rst_abort fastopen forged icmp_reject bulk
    bulk_offload shut_rd_dualstack syncookies""".split()
# Recorded by the yardstick besides its plain scenarios: the scenario and the recorder's options.
VARIANTS = {
    "bulk_offload": ["bulk", "--offload"],
    "mix_bare": ["mix", "--size", "120", "--sysctl", "net.ipv4.tcp_timestamps=0", "--sysctl", "net.ipv4.tcp_sack=0",
                 "--sysctl", "net.ipv4.tcp_window_scaling=0"],
    "rr_wire": ["rr_client_close", "--path", "wire", "--size", "6"],
}
MARGIN = 0.02  # percent: of live below offline
PR_SET_PDEATHSIG = 1
READY_LIMIT, END_LIMIT = 20.0, 20.0  # s


def enter(namespace):
    """In a child: into the recorder's namespace; it ends with the recorder, whatever goes wrong there."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    namespace.enter()


class Watch:
    """The probe on the recorder's tap, from the moment that it captures."""

    def __init__(self, program, workers, namespace, device, folder):
        self.notify = os.path.join(folder, "notify")
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.bind(self.notify)
        os.chmod(self.notify, 0o777)
        manager.settimeout(READY_LIMIT)
        command = [program, "probe", "-i", device, "--name", "live", "--workers", workers, "--format", "jsonl", "--redis", "none", "--records",
                   "transitions,stats"]
        with open(os.path.join(folder, "live.jsonl"), "wb") as out, open(os.path.join(folder, "live.err"), "wb") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, preexec_fn=lambda: enter(namespace),
                                            env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "NOTIFY_SOCKET": self.notify})
        while manager.recv(100) != b"READY=1":
            pass
        manager.close()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(END_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        if status != 0:
            raise RuntimeError(f"the probe ended with status {status}")


def record_here(program, workers, folder, seed, scenario, *options):
    """In a process of its own: the yardstick's recorder, whose capture takes the probe along."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, YARDSTICK)
    import record

    class Both(record.Capture):
        def __init__(self, net, path, snaplen=128):
            super().__init__(net, path, snaplen)
            self.watch = Watch(program, workers, net.mid, net.tap, os.path.dirname(path))

        def stop(self):
            self.watch.stop()
            return super().stop()

    record.Capture = Both
    sys.argv = ["record.py", scenario, folder, "--seed", seed, *options]
    return record.main()


def run(args, scenario, root):
    """Record one scenario with the probe beside; what went wrong, or None."""
    folder = os.path.join(root, scenario)
    os.makedirs(folder)
    done = subprocess.run([sys.executable, os.path.abspath(__file__), "--record", args.spanwatch, str(args.workers), folder,
                           str(args.seed)]
                          + VARIANTS.get(scenario, [scenario]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    return None if done.returncode == 0 else f"the recording failed: {done.stdout.strip()[-500:]}"


def judge(args, yard, folder):
    """(live, offline, packets the kernel dropped) as the yardstick's comparer has it."""
    capture, live = os.path.join(folder, "capture.pcap"), os.path.join(folder, "live.jsonl")
    offline = os.path.join(folder, "read.jsonl")
    with open(offline, "wb") as out:
        subprocess.run(shlex.split(args.spanwatch) + ["read", "--name", "live", "--format", "jsonl", "--records", "transitions", capture],
                       stdout=out, check=True)
    with open(live, encoding="utf-8") as f:
        drops = [json.loads(line)["kernel_drops"] for line in f if '"type":"stats"' in line]
    packets, truth = yard["ktlib"].read_tcp(capture), yard["ktlib"].Truth(folder)
    said = yard["compare"].Probe(live)
    results = [yard["compare"].compare(truth, p, packets) for p in (said, yard["compare"].Probe(offline))]
    return *results, said.breaks + said.malformed, max(drops, default=0)


def report(args, yard, root, scenarios, failures):
    sums = yard["compare"].Result(), yard["compare"].Result()
    print(f"{'scenario':20} {'samples':>8} {'live %':>9} {'read %':>9} {'balanced':>9} {'read':>9} {'endpoints':>11} {'drops':>6}")
    bad = [f"{name}: {why}" for name, why in failures.items()]
    for name in scenarios:
        if name in failures:
            continue
        live, offline, broken, drops = judge(args, yard, os.path.join(root, name))
        for total, result in zip(sums, (live, offline)):
            total.add(result)
        print(f"{name:20} {live.compared:8} {live.pct:9.3f} {offline.pct:9.3f} {live.balanced:9.3f} {offline.balanced:9.3f} "
              f"{live.ends_ok:5}/{live.ends:<5} {drops:6}", flush=True)
        if live.pct < offline.pct - MARGIN:
            bad.append(f"{name}: live {live.pct:.3f} is below {offline.pct:.3f}")
        if broken:
            bad.append(f"{name}: {broken} records do not continue the state before them")
        if live.compared == 0:
            bad.append(f"{name}: no sample was compared")
    print(f"{'all':20} {sums[0].compared:8} {sums[0].pct:9.3f} {sums[1].pct:9.3f} {sums[0].balanced:9.3f} {sums[1].balanced:9.3f} "
          f"{sums[0].ends_ok:5}/{sums[0].ends:<5}")
    for line in bad:
        print("live_truth: " + line)
    return 1 if bad else 0


def main():
    if sys.argv[1:2] == ["--record"]:
        return record_here(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--workers", type=int, default=1, help="of the probe")
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--keep", help="record into this folder, and leave it there")
    parser.add_argument("scenarios", nargs="*")
    args = parser.parse_args()
    args.spanwatch = os.path.abspath(args.spanwatch)
    if not os.path.isdir(YARDSTICK):
        print("live_truth: skipped: there is no ../shared/kernel-truth beside the repository")
        return 77
    if os.geteuid() != 0 or not shutil.which("tcpdump") or not shutil.which("ip"):
        print("live_truth: skipped: recording needs root, tcpdump and iproute2")
        return 77
    sys.dont_write_bytecode = True
    sys.path.insert(0, YARDSTICK)
    import compare
    import ktlib
    import scenarios as known
    chosen = args.scenarios or (list(known.ALL) + list(VARIANTS) if args.all else QUICK)
    with tempfile.TemporaryDirectory() as folder:
        root = args.keep or folder
        with ThreadPoolExecutor(args.jobs) as pool:
            failures = dict(zip(chosen, pool.map(lambda s: run(args, s, root), chosen)))
        failures = {name: why for name, why in failures.items() if why}
        return report(args, {"compare": compare, "ktlib": ktlib}, root, chosen, failures)


if __name__ == "__main__":
    sys.exit(main())
