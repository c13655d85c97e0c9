#!/usr/bin/env python3
"""Writes the seed corpus of fuzz_capture: tiny captures of every form that the capture room reads.

Output: files in corpus/fuzz_capture beside this script; the same octets at each run. The packets are one
TCP segment to and one from a server, so that the decode room behind gets past its first checks.
Zstandard and xz are written with the system's zstd and xz programs.
"""
import gzip
import pathlib
import struct
import subprocess

FOLDER = pathlib.Path(__file__).resolve().parent / "corpus" / "fuzz_capture"
START = 1_700_000_000


def segment(source, target, flags, sequence, payload=b""):
    """An Ethernet frame with IPv4 and TCP; checksums are left to the card, as sending hosts do."""
    ports = (40000, 443) if source < target else (443, 40000)
    tcp = struct.pack(">HHIIBBHHH", *ports, sequence, 1, 0x50, flags, 64240, 0, 0) + payload
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 7, 0x4000, 64, 6, 0,
                     bytes((10, 0, 0, source)), bytes((10, 0, 0, target)))
    return bytes(range(12)) + b"\x08\x00" + ip + tcp


FRAMES = [segment(1, 2, 0x02, 99), segment(2, 1, 0x12, 499), segment(1, 2, 0x18, 100, b"hello")]


def pcap(order, magic, link=1, version=(2, 4)):
    extra = bytes(8) if magic == 0xA1B2CD34 else b""
    out = struct.pack(order + "IHHiIII", magic, *version, 0, 0, 65535, link)
    for i, frame in enumerate(FRAMES):
        data = frame if link == 1 else frame[14:]
        out += struct.pack(order + "IIII", START + i, 5 * i, len(data), len(data)) + extra + data
    return out


def option(order, code, value):
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def block(order, kind, body):
    body += bytes(-len(body) % 4)
    total = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + total + body + total


def section(order):
    return block(order, 0x0A0D0D0A, struct.pack(order + "IHHQ", 0x1A2B3C4D, 1, 0, 2**64 - 1))


def interface(order, link, snaplen, *options):
    return block(order, 1, struct.pack(order + "HHI", link, 0, snaplen) + b"".join(options)
                 + option(order, 0, b""))


def enhanced(order, number, ticks, data, *options):
    body = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
    return block(order, 6, body + data + bytes(-len(data) % 4) + b"".join(options))


def pcapng(order):
    micro = START * 10**6
    out = section(order) + interface(order, 1, 0, option(order, 2, b"eth9"))
    out += interface(order, 101, 96, option(order, 9, b"\x09"), option(order, 14, struct.pack(order + "q", 3)))
    out += interface(order, 1, 0, option(order, 9, b"\x94"))
    out += enhanced(order, 0, micro, FRAMES[0], option(order, 1, b"a comment"))
    out += enhanced(order, 1, micro * 1000, FRAMES[1][14:]) + enhanced(order, 2, START << 20, FRAMES[2])
    out += block(order, 2, struct.pack(order + "HHIIII", 0, 1, micro >> 32, micro & 0xFFFFFFFF, 54, 54)
                 + FRAMES[0])
    out += block(order, 3, struct.pack(order + "I", len(FRAMES[1])) + FRAMES[1])
    out += block(order, 0x0BAD, b"unknown")
    return out + block(order, 5, struct.pack(order + "III", 0, 0, 0) + option(order, 5, bytes(7) + b"\x01")
                       + option(order, 7, b"\x01" + bytes(7)))


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    plain = pcap("<", 0xA1B2C3D4)
    half = len(plain) // 2
    seeds = {
        "us-le.pcap": plain,
        "us-be.pcap": pcap(">", 0xA1B2C3D4),
        "ns-le.pcap": pcap("<", 0xA1B23C4D),
        "ns-be.pcap": pcap(">", 0xA1B23C4D),
        "modified.pcap": pcap("<", 0xA1B2CD34),
        "raw-fcs.pcap": pcap("<", 0xA1B2C3D4, 0x54000000 | 101),
        "old-lengths.pcap": pcap("<", 0xA1B2C3D4, version=(2, 2)),
        "cut.pcap": plain[:-9],
        "le.pcapng": pcapng("<"),
        "be.pcapng": pcapng(">"),
        "two-sections.pcapng": pcapng("<") + pcapng(">"),
        "cut.pcapng": pcapng("<")[:-5],
        "two-members.pcap.gz": gzip.compress(plain[:half], mtime=0) + gzip.compress(plain[half:], mtime=0),
        "cut.pcap.gz": gzip.compress(plain, mtime=0)[:-12],
        "plain.pcap.zst": subprocess.run(["zstd", "-q", "-c"], input=plain, stdout=subprocess.PIPE,
                                         check=True).stdout,
        "plain.pcapng.xz": subprocess.run(["xz", "-c"], input=pcapng("<"), stdout=subprocess.PIPE,
                                          check=True).stdout,
        "text.txt": b"time,source,destination\n",
    }
    for name, octets in seeds.items():
        (FOLDER / name).write_bytes(octets)
    print(f"{len(seeds)} seeds in {FOLDER.name}")


if __name__ == "__main__":
    main()
