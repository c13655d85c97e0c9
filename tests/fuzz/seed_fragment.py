#!/usr/bin/env python3
"""Writes the seed corpus of fuzz_fragment: datagrams in fragments, whole and faulty.

Output: files in corpus/fuzz_fragment beside this script; the same octets at each run. A file is trains of fragments, eight octets each,
as fuzz_fragment.c reads them.
"""
import pathlib
import struct

FOLDER = pathlib.Path(__file__).resolve().parent / "corpus" / "fuzz_fragment"
MORE, VARIANT, LONG, CUT = 0x08, 0x10, 0x20, 0x40
V4, V6, VLAN, NESTED = 0, 1, 2, 0x0C
STEPS = [0, 0, 1, 49, 51, 1000, 29000, 31000]


def train(offset, length, more=False, number=V4, wait=0, variant=False, shown=None, follow=0):
    """`length` octets at `offset`, then `follow` more of the same length, `wait` ms after the one before."""
    options = STEPS.index(wait) | (MORE if more else 0) | (VARIANT if variant else 0) | (CUT if shown is not None else 0)
    if length % 8:
        options |= LONG
    else:
        length //= 8
    return struct.pack(">BBHHBB", number, options, offset // 8, length, shown or 0, follow)


def whole(number=V4, **options):
    return [train(0, 24, True, number, **options), train(24, 48, True, number), train(72, 5, number=number)]


SEEDS = {
    "whole": whole(),
    "whole_6": whole(V6),
    "vlans": whole(V6 | VLAN)[:2] + whole(V6)[:2] + [train(72, 5, number=V6 | VLAN), train(72, 5, number=V6)],
    "backwards": whole()[::-1],
    "twice": [t for part in whole() for t in (part, part)],
    "copy_after": whole() + [train(0, 24, True, wait=49), train(24, 48, True, wait=51)],
    "id_again": whole() + whole(wait=51) + [train(0, 32, True)],
    "overlap": [train(0, 24, True), train(16, 24, True), train(72, 5)],
    "other_octets": [train(0, 24, True), train(0, 24, True, variant=True), train(24, 8)],
    "two_ends": [train(72, 5), train(80, 5), train(0, 24, True)],
    "beyond_end": [train(24, 8), train(32, 8, True), train(0, 24, True)],
    "too_late": [train(0, 24, True), train(24, 48, True, wait=29000), train(72, 5, wait=1000), train(72, 5, wait=31000)],
    "many": [train(0, 8, True, follow=200), train(1608, 3)],
    "too_many": [train(0, 8, True, follow=255), train(2048, 8, True), train(2056, 8)],
    "longest": [train(0, 1016, True, follow=63), train(65024, 511)],
    "too_long": [train(65528, 8), train(65528, 7)],
    "header_cut": [train(0, 24, True, shown=9), train(24, 48)],
    "header_in_three": [train(0, 8, True), train(8, 8, True), train(16, 8, True), train(24, 100)],
    "not_eight": [train(0, 20, True), train(24, 8)],
    "alone": [train(0, 40), train(0, 40, number=V6)],
    "nested": [train(0, 24, True, NESTED), train(24, 48, number=NESTED)] * 2,
    "nested_6": [train(0, 64, True, NESTED | V6, follow=3), train(256, 20, number=NESTED | V6)],
}


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, trains in SEEDS.items():
        (FOLDER / name).write_bytes(b"".join(trains))
    print(f"{len(SEEDS)} seeds")


if __name__ == "__main__":
    main()
