#!/usr/bin/env python3
"""A tap that loses packets: the recordings of real kernels with some of their packets removed at random.

    tap_loss.py --spanwatch PROGRAM [--rates 0.01,0.05,0.2] [--seeds N] [--matrix] [--why]

Each recording beside the repository (../shared/kernel-truth) is thinned, the probe reads what is left, and the yardstick compares with the kernel's
states on the whole recording's grid. Prints, for each rate and seed, the agreement over all scenarios, over those that an observer of every packet
could know (the others are named in the yardstick's README), and balanced over the states. Exit status 1 below a floor of FLOORS (the mean
over the seeds); 77 where there are no recordings.

--why counts, over the knowable scenarios, the disagreeing samples that follow silence: from the first packet on that was removed around the kernel's change of
state, none has survived. To the tap such a connection is one that fell silent just before, and a connection may do that for as long as it likes.
"""
import argparse
import collections
import os
import random
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
YARDSTICK = os.path.normpath(os.path.join(HERE, "..", "..", "..", "shared", "kernel-truth"))
# Rate -> least mean agreement over the knowable scenarios; the measured figures are in tests/README.md.
FLOORS = {0.01: 99.0, 0.05: 97.0, 0.2: 89.0}
NEAR = 30_000_000  # ns before a change of state within which the packet that made it has passed
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


def by_flow(ktlib, capture):
    flows = collections.defaultdict(list)
    for p in ktlib.read_tcp(capture):
        flows[ktlib.flow_key(p.src, p.dst)].append(p.ts)
    return flows


def silence(ktlib, truth, result, capture, thinned):
    """{(kernel's state, ours): samples} of the disagreements that follow silence."""
    sent, kept, counts = by_flow(ktlib, capture), by_flow(ktlib, thinned), collections.Counter()
    for flow, spans in result.segs.items():
        for first, last, host, local, state, ours in spans:
            remote = flow[1] if flow[0] == local else flow[0]
            states = result.timelines[local, remote][1]
            begin = next(s[0] for s in states if s[0] <= first <= s[1])
            since, until = truth.tb[host][max(begin - 1, 0)] - NEAR, truth.te[host][last]
            lost = set(sent[flow]) - set(kept[flow])
            missed = min((t for t in lost if since <= t <= until), default=None)
            if missed is not None and not any(missed < t <= until for t in kept[flow]):
                counts[state, ours] += last - first + 1
    return counts


def measure(compare, ktlib, program, rate, seed, silent=None):
    """(all, knowable) results of one pass over the recordings; `silent` takes the counts of --why."""
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
            truth = ktlib.Truth(os.path.join(root, name))
            result = compare.compare(truth, compare.Probe(output), ktlib.read_tcp(capture))
            everything.add(result)
            if name in UNKNOWABLE:
                continue
            knowable.add(result)
            if silent is not None:
                silent.update(silence(ktlib, truth, result, capture, thinned))
    return everything, knowable


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("--rates", default="0.01,0.05,0.2")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--matrix", action="store_true", help="print the confusion matrix of each rate")
    parser.add_argument("--why", action="store_true", help="tell how much of the difference follows silence")
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
        reached, silent, compared, agreed = [], collections.Counter() if args.why else None, 0, 0
        for seed in range(1, args.seeds + 1):
            everything, knowable = measure(compare, ktlib, args.spanwatch, rate, seed, silent)
            compared, agreed = compared + knowable.compared, agreed + knowable.agree
            reached.append(knowable.pct)
            print(f"{rate:6.0%} {seed:5} {everything.pct:9.3f} {knowable.pct:9.3f} {everything.balanced:9.3f} "
                  f"{knowable.balanced:19.3f}", flush=True)
        if args.matrix:
            print(compare.matrix_text(everything.matrix))
        if args.why:
            print(f"of {100 * (compared - agreed) / compared:.2f} % that disagree, {100 * silent.total() / compared:.2f} % follow silence: "
                  + ", ".join(f"{k} taken for {o} {100 * n / compared:.2f} %" for (k, o), n in silent.most_common(5)))
        mean = sum(reached) / len(reached)
        if mean < FLOORS.get(rate, 0):
            print(f"tap_loss: {mean:.3f} at {rate:.0%} is below {FLOORS[rate]}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
