#!/usr/bin/env python3
"""A tap that loses packets: the recordings of real kernels with some of their packets removed at random.

    tap_loss.py --spanwatch PROGRAM [--rates 0.01,0.05,0.2] [--seeds N] [--matrix]

Each recording beside the repository (../shared/kernel-truth) is thinned, the probe reads what is left, and the yardstick compares with the kernel's
states on the whole recording's grid. Prints, for each rate and seed, the agreement over all scenarios, over those that an observer of every packet
could know (the others are named in the yardstick's README), and balanced over the states. Exit status 1 below a floor of FLOORS (the mean
over the seeds); 77 where there are no recordings.
"""
import argparse
import os
import random
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
YARDSTICK = os.path.normpath(os.path.join(HERE, "..", "..", "..", "shared", "kernel-truth"))
# Rate -> least mean agreement over the knowable scenarios; the measured figures are in tests/README.md.
FLOORS = {0.01: 99.0, 0.05: 97.0, 0.2: 80.0}
# The scenarios of the README's table of what a passive observer cannot know.
UNKNOWABLE = set("""zero_window_close blind_handshake blind_close fin_lost mix_lossy accept_backlog syncookies
    listener_closed syn_blackhole fin_wait2_owner close_wait_leak keepalive_fail rto_timeout synrecv_held midstream
    forged""".split())


def thin(source, target, rate, seed):
    """Copy a classic little-endian pcap, leaving out each packet with probability `rate`."""
    rng = random.Random(f"{os.path.basename(os.path.dirname(source))}/{seed}")
    with open(source, "rb") as f:
        data = f.read()
    kept, at = [data[:24]], 24
    while at + 16 <= len(data):
        end = at + 16 + struct.unpack_from("<I", data, at + 8)[0]
        if rng.random() >= rate:
            kept.append(data[at:end])
        at = end
    with open(target, "wb") as f:
        f.write(b"".join(kept))


def measure(compare, ktlib, program, rate, seed):
    """(all, knowable) results of one pass over the recordings."""
    everything, knowable = compare.Result(), compare.Result()
    root = os.path.join(YARDSTICK, "recordings")
    with tempfile.TemporaryDirectory() as folder:
        thinned, output = os.path.join(folder, "capture.pcap"), os.path.join(folder, "out.jsonl")
        for name in sorted(os.listdir(root)):
            capture = os.path.join(root, name, "capture.pcap")
            thin(capture, thinned, rate, seed)
            with open(output, "wb") as out:
                subprocess.run([program, "read", thinned, "--format", "jsonl", "--records", "transitions"],
                               stdout=out, check=True)
            result = compare.compare(ktlib.Truth(os.path.join(root, name)), compare.Probe(output),
                                     ktlib.read_tcp(capture))
            everything.add(result)
            if name not in UNKNOWABLE:
                knowable.add(result)
    return everything, knowable


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("--rates", default="0.01,0.05,0.2")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--matrix", action="store_true", help="print the confusion matrix of each rate")
    args = parser.parse_args()
    if not os.path.isdir(os.path.join(YARDSTICK, "recordings")):
        print("tap_loss: skipped: there is no ../shared/kernel-truth/recordings beside the repository")
        return 77
    sys.dont_write_bytecode = True
    sys.path.insert(0, YARDSTICK)
    import compare
    import ktlib
    status = 0
    print(f"{'loss':>6} {'seed':>5} {'all':>9} {'knowable':>9} {'balanced':>9} {'balanced, knowable':>19}")
    for rate in (float(r) for r in args.rates.split(",")):
        reached = []
        for seed in range(1, args.seeds + 1):
            everything, knowable = measure(compare, ktlib, args.spanwatch, rate, seed)
            reached.append(knowable.pct)
            print(f"{rate:6.0%} {seed:5} {everything.pct:9.3f} {knowable.pct:9.3f} {everything.balanced:9.3f} "
                  f"{knowable.balanced:19.3f}", flush=True)
        if args.matrix:
            print(compare.matrix_text(everything.matrix))
        mean = sum(reached) / len(reached)
        if mean < FLOORS.get(rate, 0):
            print(f"tap_loss: {mean:.3f} at {rate:.0%} is below {FLOORS[rate]}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
