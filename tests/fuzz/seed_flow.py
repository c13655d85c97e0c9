#!/usr/bin/env python3
"""Writes the seed corpus of fuzz_flow: one sequence for each thing that the tracker tells apart.

Output: files in corpus/fuzz_flow beside this script; the same octets at each run. A file is a set-up octet and five octets
a segment (fuzz_flow_build.h). Here a segment is written SIDE KIND [OPTION=VALUE]: side c or s, a kind of KINDS,
`t` the number of a time step, `d` and `a` the numbers of the distances of seq and ack, `o` the octet of options, `n` the
connection, `ask` 1 for an idle tick before it, 2 for a look at what is open.
"""
import pathlib

FOLDER = pathlib.Path(__file__).resolve().parent / "corpus" / "fuzz_flow"
KINDS = ["syn", "synack", "ack", "data", "fin", "datafin", "rst", "rstack", "probe", "again", "newsyn", "syndata", "icmp",
         "peers", "odd", "zero"]
FRESH = 0x20  # sent again with another IP identification: no copy
MS1, MS40, S1, S3, S15, S61, S131, H1, BACK = 2, 4, 6, 7, 9, 10, 11, 13, 14

OPEN = ["c syn", "s synack t=2", "c ack t=2"]
CLOSE = ["c fin t=2", "s fin t=4", "c ack t=2"]
TALK = ["c data t=2", "s data t=2", "c ack"]
SEQUENCES = {
    "close": (0, OPEN + TALK + CLOSE + ["c ack t=11 n=1"]),
    "half_close": (0, OPEN + ["c fin t=2", "s ack"] + ["s data t=6", "c ack"] * 3 + ["s fin t=6", "c ack"]),
    "crossing": (0, OPEN + ["c fin t=5", "s fin t=0 a=4", "c ack t=2", "s ack t=0"]),
    "simultaneous_open": (0, ["c syn", "s syn t=0", "c synack t=2", "s synack t=0"] + TALK + CLOSE),
    "syn_ack_first": (0, ["s synack", "c syn d=4", "c ack t=2"] + TALK),
    "syn_retried": (0, ["c syn"] + ["c again t=6 fresh=1"] * 4 + ["c again t=7 fresh=1", "c again t=8 fresh=1", "c ack n=1 t=12"]),
    "refused": (0, ["c syn", "s rstack t=2", "c newsyn t=6", "s rstack t=2"]),
    "icmp": (0, ["c syn", "c icmp t=2", "c syn n=1", "c icmp n=1 o=1"]),
    "syn_ack_again": (0, ["c syn", "s synack t=2", "c ack", "s again t=6 fresh=1", "c again t=0 fresh=1"] + TALK),
    "two_isns": (0, ["c syn", "s synack t=2", "s synack t=2 d=10", "c ack"]),
    "fast_open": (0, ["c syndata", "s synack t=2", "s data", "c ack t=2"] + CLOSE),
    "reset": (0, OPEN + TALK + ["s rst t=2", "c data t=2", "c again t=5 fresh=1"]),
    "reset_in_window": (0, OPEN + ["c rst d=7 t=2", "s ack t=2", "c rst d=7 t=6", "s data n=1 t=7"]),
    "hole": (0, OPEN + ["c data d=7", "s ack t=2", "c fin t=2", "s ack t=2 a=7", "s ack t=2 a=7"]),
    "fin_again": (0, OPEN + ["c fin t=2"] + ["c again t=5 fresh=1", "c again t=6 fresh=1", "c again t=7 fresh=1"] * 2 + ["s data t=11 n=1"]),
    "keepalive": (0, OPEN + ["c probe t=10", "s ack"] + ["c probe t=10"] * 10 + ["c syn n=1 t=11"]),
    "zero_window": (0, OPEN + ["s zero t=2"] + ["c probe t=6", "s zero", "c probe t=7", "s zero"] + ["s ack t=2"] + TALK),
    "give_up": (0, OPEN + ["c data"] + ["c again t=6 fresh=1", "c again t=7 fresh=1", "c again t=8 fresh=1", "c again t=9 fresh=1"] + ["c syn n=1 t=12"]),
    "time_wait_reuse": (0, OPEN + CLOSE + ["c newsyn t=6", "s synack t=2", "c ack"]),
    "reuse_below": (0, OPEN + CLOSE + ["c syn d=9 t=6", "s synack t=2 a=9", "c ack"]),
    "midstream": (0, ["s data n=2", "c ack t=2 n=2", "c syn n=2", "s synack n=2 t=2"]),
    "tentative": (0, ["c ack", "s synack t=2", "c data", "s rst n=3"]),
    "one_sided": (0, ["c syn", "c ack t=2", "c data", "c fin t=6", "c ack t=6"]),
    "time": (0, OPEN + ["c data t=14", "s data t=13", "c data t=0", "s data t=0", "c fin t=15 ask=1"]),
    "wrap": (0x40, OPEN + TALK * 3 + CLOSE),
    "odd": (0, OPEN + CLOSE + ["c odd o=3 t=4", "c odd o=0 t=4", "c odd o=1 t=4", "c odd o=255", "s odd o=18 t=6"]),
    "many_steps": (0, ["c ack n=1", "s zero n=1 d=15 a=15", "c ack n=1 d=5", "s synack n=1 t=3", "c datafin n=1 d=7"]),
    "refused_then_odd": (0, ["c syn", "s rstack t=2", "c odd o=3 t=5", "c odd o=0 t=5", "c odd o=1 t=5", "c ack t=5"]),
    "cap": (0x0D, ["c syn n=%d t=2" % i for i in range(100)] + ["s synack n=%d ask=2" % i for i in range(100)]),
    "cap_small": (0x0F, [line + " n=%d" % i for i in range(40) for line in OPEN]),
    "far_time": (0x31, OPEN + CLOSE + ["c syn n=1 t=9", "c ack n=1 t=11"]),
}


def segment(text):
    side, kind, *rest = text.split()
    options = {"n": 0, "d": 0, "a": 0, "o": 1, "t": 0, "ask": 0, "fresh": 0}
    options.update((name, int(value)) for name, value in (word.split("=") for word in rest))
    ask = {0: 0, 1: 14, 2: 15}[options["ask"]]
    return bytes((options["n"], KINDS.index(kind) | (side == "s") << 4 | (FRESH if options["fresh"] else 0),
                  options["d"] | options["a"] << 4, options["o"], options["t"] | ask << 4))


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (setup, lines) in SEQUENCES.items():
        (FOLDER / name).write_bytes(bytes((setup,)) + b"".join(map(segment, lines)))
    print("%d seeds" % len(SEQUENCES))


if __name__ == "__main__":
    main()
