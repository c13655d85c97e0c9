#!/usr/bin/env python3
"""The most that any observer can have over all of the yardstick's recordings, if it is as right about their counterparts as ours is.

    bound_whole.py --spanwatch PROGRAM COUNTERPARTS [--recordings FOLDER]

COUNTERPARTS is a folder of twin_scenarios.py, FOLDER the yardstick's recordings (default: ../shared/kernel-truth/recordings). Samples are sorted into
classes as in bound.py: those of one class follow the same packets, so that an observer gives them one answer. That answer wins samples of the recordings,
and of the counterparts (where a family has none but itself: of its other seeds). An answer that wins fewer of a class's counterparts than ours do is ruled
out; of the others the one counts that wins most of the recordings (or ours, where they tell moments of a class apart). So the sum is the most for any observer
that is in no class less right about the counterparts than ours. It is generous: scenarios without recorded counterparts count as known, and so does a class of
which no counterpart was recorded.

Prints a line for each family, and below it the bounds beside ours: plain; balanced (a sample weighs as one of its state's over all recordings);
endpoints without any disagreement (one that has to be right in the class alone that the counterparts contradict most). Exit status 77 without the yardstick.
"""
import argparse
import os
import sys
from collections import Counter, defaultdict

import bound


class World:
    """The samples of some recordings, by class: the truths, those of them that ours says, and each endpoint's one truth there (None: it has two)."""

    def __init__(self, program, yard, folders):
        self.truths, self.agreed = defaultdict(Counter), defaultdict(Counter)
        self.ends, self.wrong = defaultdict(dict), set()
        for folder in folders:
            for where, state, answer, end in bound.samples(program, yard, folder):
                self.truths[where][state] += 1
                self.ends[end][where] = state if self.ends[end].get(where, state) == state else None
                if state == answer:
                    self.agreed[where][state] += 1
                else:
                    self.wrong.add(end)


def total(by_class):
    """Over all classes, by state."""
    return sum(by_class.values(), Counter())


def most(gains, ours, others):
    """The bound: gains and ours say by class what each answer wins of the recordings, and what ours do."""
    whole = 0
    for where, gain in gains.items():
        truths, have = others.truths.get(where, Counter()), others.agreed.get(where, Counter()).total()
        whole += max([ours[where]] + [n for answer, n in gain.items() if truths[answer] >= have])
    return whole


def clean_ends(recorded, others):
    """What an answer wins of the endpoints: each stands in the class that the counterparts contradict most; one that contradicts itself, in none."""
    gains, ours = {where: Counter() for where in recorded.truths}, Counter()
    for end, known in recorded.ends.items():
        if None not in known.values():
            truths = {w: others.truths.get(w, Counter()) for w in known}
            where = max(known, key=lambda w: truths[w].total() - truths[w][known[w]])
            gains[where][known[where]] += 1
            ours[where] += end not in recorded.wrong
    return gains, ours


def counterparts(root):
    """Recordings of a family that are another life, or other seeds where there is none."""
    names = sorted(os.listdir(root))
    return [os.path.join(root, n) for n in names if not n.startswith("0-")] or [os.path.join(root, n) for n in names]


def known(program, yard, folder):
    """(samples by true state, those that ours says, endpoints, those without any disagreement) of a recording without counterparts."""
    capture = os.path.join(folder, "capture.pcap")
    result = yard["compare"].compare(yard["ktlib"].Truth(folder), bound.ours(program, yard, capture), yard["ktlib"].read_tcp(capture))
    truths, agreed = Counter(), Counter()
    for (truth, answer), n in result.matrix.items():
        truths[truth] += n
        agreed[truth] += n if truth == answer else 0
    return truths, agreed, result.ends, result.ends_ok


class Sum:
    """Over all recordings: samples by state, ours, endpoints, and the bounds."""

    def __init__(self):
        self.truths, self.agreed, self.known, self.ends, self.clean = Counter(), Counter(), Counter(), 0, 0
        self.plain = self.balanced = self.clean_most = 0

    def add(self, truths, agreed, ends, clean):
        self.truths, self.agreed, self.ends, self.clean = self.truths + truths, self.agreed + agreed, self.ends + ends, self.clean + clean

    def weigh(self, counts):
        """What samples are worth in the mean of the states' shares."""
        return Counter({state: n / self.truths[state] / len(self.truths) for state, n in counts.items()})


def line(label, ours, best, whole):
    print(f"{label:36} ours {100 * ours / whole:8.3f} %   most {100 * best / whole:8.3f} %")


def tell_family(over, name, recorded, others):
    plain = most(recorded.truths, {w: recorded.agreed[w].total() for w in recorded.truths}, others)
    over.plain += plain
    over.balanced += most({w: over.weigh(c) for w, c in recorded.truths.items()}, {w: over.weigh(recorded.agreed[w]).total() for w in recorded.truths}, others)
    over.clean_most += most(*clean_ends(recorded, others), others)
    samples, right = total(recorded.truths).total(), total(recorded.agreed).total()
    shared = [w for w in recorded.truths if w in others.truths]
    doubtful = [w for w in shared if len(recorded.truths[w] + others.truths[w]) > 1]
    told, other = sum(recorded.truths[w].total() for w in doubtful), sum(others.truths[w].total() for w in doubtful)
    print("%-20s %8d %8.3f %8.3f | %8d %8.3f | %8d %8.3f" % (
        name, samples, 100 * right / samples, 100 * plain / samples,
        told, 100 * sum(recorded.agreed[w].total() for w in doubtful) / (told or 1),
        other, 100 * sum(others.agreed[w].total() for w in doubtful) / (other or 1)), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("--recordings", default=os.path.join(bound.YARDSTICK, "recordings"))
    parser.add_argument("counterparts")
    args = parser.parse_args()
    if not os.path.isdir(bound.YARDSTICK):
        print("bound_whole: skipped: there is no ../shared/kernel-truth beside the repository")
        return 77
    yard, over, worlds = bound.yardstick(), Sum(), {}
    for name in sorted(os.listdir(args.recordings)):
        folder, family = os.path.join(args.recordings, name), os.path.join(args.counterparts, name)
        if not os.path.isdir(family):
            over.add(*known(args.spanwatch, yard, folder))
            over.known = over.truths.copy()
            continue
        recorded, others = (World(args.spanwatch, yard, folders) for folders in ([folder], counterparts(family)))
        worlds[name] = recorded, others
    over.plain, over.clean_most = over.truths.total(), over.ends
    for recorded, _ in worlds.values():
        over.add(total(recorded.truths), total(recorded.agreed), len(recorded.ends), len(recorded.ends) - len(recorded.wrong))
    over.balanced = over.weigh(over.known).total()
    print(f"{'family':20} {'samples':>8} {'ours %':>8} {'most %':>8} | {'doubtful':>8} {'ours %':>8} | {'theirs':>8} {'ours %':>8}")
    for name, (recorded, others) in worlds.items():
        tell_family(over, name, recorded, others)
    line("plain", over.agreed.total(), over.plain, over.truths.total())
    line("balanced over states", over.weigh(over.agreed).total(), over.balanced, 1)
    line("endpoints without any disagreement", over.clean, over.clean_most, over.ends)
    for state, n in over.truths.most_common():
        print(f"  {state:34} ours {100 * over.agreed[state] / n:8.3f} %   of {n}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
