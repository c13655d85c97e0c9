#!/usr/bin/env python3
"""Writes the seed corpus of fuzz_decode: one small packet for each thing that the decode room tells apart.

Output: files in corpus/fuzz_decode beside this script; the same octets at each run. A file is packets as
fuzz_decode.c reads them: two octets (6 bits of octets cut in steps of 16, a bit for "another follows", 9 bits of link type),
the length where another follows, and the packet. The captures in pcaps/ that hold tunnels are seeds as well.
"""
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE / "corpus" / "fuzz_decode"
PCAPS = HERE.parents[1] / "pcaps"
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "tools"))
import pcapfile  # noqa: E402
SRC_4, DST_4 = bytes((10, 0, 0, 1)), bytes((10, 0, 0, 2))
SRC_6 = bytes.fromhex("20010db8000000000000000000000001")
DST_6 = bytes.fromhex("20010db8000000000000000000000002")
SYN, RST, ACK, FIN_ACK, PSH_ACK = 0x02, 0x04, 0x10, 0x11, 0x18
HANDSHAKE = bytes.fromhex("020405b40402080a000000010000000001030307")
TIMESTAMP = bytes.fromhex("0101080a0000000100000002")
AH = bytes((6, 4, 0, 0)) + b"\0\0\0\1\0\0\0\1" + b"\xaa" * 12
SNAP = bytes.fromhex("aaaa030000000800")


def fold(octets):
    octets += bytes(len(octets) % 2)
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def tcp(flags=SYN, options=b"", payload=b"", ends=SRC_4 + DST_4, checksum="good"):
    length = 20 + len(options) + len(payload)
    octets = struct.pack(">HHIIBBHHH", 40000, 443, 0x01020304, 0x05060708,
                         (20 + len(options)) // 4 << 4, flags, 4096, 0, 0) + options + payload
    pseudo = ends + struct.pack(">II", length, 6)
    value = {"good": 0xFFFF - fold(pseudo + octets), "part": fold(pseudo), "bad": 0x1234}[checksum]
    return octets[:16] + struct.pack(">H", value) + octets[18:]


def tcp6(**arguments):
    return tcp(ends=SRC_6 + DST_6, **arguments)


def ipv4(payload, protocol=6, options=b"", fragment=0x4000, total=None):
    header = 20 + len(options)
    total = header + len(payload) if total is None else total
    return struct.pack(">BBHHHBBH", 0x40 | header // 4, 0, total, 0x1234, fragment, 64, protocol,
                       0) + SRC_4 + DST_4 + options + payload


def ipv6(payload, following=6, length=None):
    length = len(payload) if length is None else length
    return struct.pack(">IHBB", 0x60000000, length, following, 64) + SRC_6 + DST_6 + payload


def ethernet(payload, kind=0x0800):
    return bytes((2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1)) + struct.pack(">H", kind) + payload


def ethernet6(payload):
    return ethernet(payload, 0x86DD)


def vlan(payload, tag, kind=0x0800):
    return struct.pack(">HH", tag, kind) + payload


def fragment(field):
    return struct.pack(">BBHI", 6, 0, field, 7)


def nflog(packet):
    return (bytes((2, 0, 0, 0)) + struct.pack("<HH", 8, 1) + bytes(4) +
            struct.pack("<HH", 4 + len(packet), 9) + packet)


BIG = tcp6(flags=PSH_ACK, options=TIMESTAMP, payload=b"x" * 100)
CHAIN = (bytes((60, 0, 1, 4, 0, 0, 0, 0)) + bytes((43, 2, 1, 2, 0, 0, 0xC9, 16)) + SRC_6 +
         bytes((51, 2, 0, 1, 0, 0, 0, 0)) + DST_6 + AH)

# name: link type, packet, and where it is not 0 how often 16 octets were cut off
SEEDS = {
    "ethernet_ipv4_syn": (1, ethernet(ipv4(tcp(SYN, HANDSHAKE)))),
    "ethernet_ipv4_timestamp_data": (1, ethernet(ipv4(tcp(PSH_ACK, TIMESTAMP, b"hello")))),
    "ethernet_ipv4_syn_unfinished": (1, ethernet(ipv4(tcp(SYN, HANDSHAKE, checksum="part")))),
    "ethernet_ipv4_rst_bad_sum": (1, ethernet(ipv4(tcp(RST, checksum="bad")))),
    "ethernet_padding": (1, ethernet(ipv4(tcp(ACK))) + bytes(6)),
    "snaplen_cut_options": (1, ethernet(ipv4(tcp(SYN, HANDSHAKE)))[:62], 1),
    "ipv4_options": (1, ethernet(ipv4(tcp(), options=bytes((1, 1, 1, 0))))),
    "ipv4_total_zero": (1, ethernet(ipv4(tcp(PSH_ACK, TIMESTAMP, b"x" * 80), total=0))),
    "ipv4_first_fragment": (1, ethernet(ipv4(tcp(PSH_ACK, TIMESTAMP, b"x" * 12), fragment=0x2000))),
    "ipv4_later_fragment": (1, ethernet(ipv4(b"x" * 24, fragment=0x2003))),
    "vlan": (1, ethernet(vlan(ipv4(tcp(FIN_ACK)), 20), 0x8100)),
    "qinq": (1, ethernet(vlan(vlan(ipv4(tcp(FIN_ACK)), 20), 100, 0x8100), 0x88A8)),
    "priority_tag": (1, ethernet(vlan(ipv4(tcp(FIN_ACK)), 0xE000), 0x8100)),
    "llc_snap": (1, ethernet(SNAP + ipv4(tcp()), 48)),
    "ipv6_syn": (1, ethernet6(ipv6(tcp6(options=HANDSHAKE)))),
    "ipv6_atomic_fragment": (1, ethernet6(ipv6(fragment(0) + tcp6(), 44))),
    "ipv6_first_fragment": (1, ethernet6(ipv6(fragment(1) + tcp6(payload=b"x" * 8), 44))),
    "ipv6_chain": (1, ethernet6(ipv6(CHAIN + tcp6(), 0))),
    "ipv6_segment_routing": (229, ipv6(bytes((6, 2, 4, 1, 0, 0, 0, 0)) + DST_6 + tcp6(), 43)),
    "ipv6_jumbo_short": (1, ethernet6(ipv6(bytes((6, 0, 0xC2, 4, 0, 1, 0x11, 0x70)) + BIG, 0, 0)), 63),
    "ipv6_length_zero": (1, ethernet6(ipv6(BIG, 6, 0))),
    "ipv4_ah": (228, ipv4(AH + tcp(), 51)),
    "icmp_unreachable": (1, ethernet(ipv4(bytes((3, 3, 0, 0, 0, 0, 0, 0)) + ipv4(tcp())[:28], 1))),
    "icmpv6_too_big": (1, ethernet6(ipv6(bytes((2, 0, 0, 0, 0, 0, 5, 0)) + ipv6(tcp6()), 58))),
    "sack_blocks": (1, ethernet(ipv4(tcp(ACK, bytes((1, 1, 5, 18)) + bytes(range(16)))))),
    "fastopen_cookie": (1, ethernet(ipv4(tcp(SYN, bytes((34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1)))))),
    "fastopen_experiment": (1, ethernet(ipv4(tcp(SYN, bytes((254, 4, 0xF9, 0x89)))))),
    "option_length_zero": (1, ethernet(ipv4(tcp(SYN, bytes((2, 4, 5, 0xB4, 8, 0, 0, 0)))))),
    "null_little": (0, bytes((30, 0, 0, 0)) + ipv6(tcp6())),
    "loop_big": (108, bytes((0, 0, 0, 2)) + ipv4(tcp())),
    "raw": (101, ipv6(tcp6())),
    "ppp": (9, bytes((0xFF, 3, 0, 0x21)) + ipv4(tcp())),
    "ppp_hdlc_cisco": (50, bytes((0x0F, 0, 8, 0)) + ipv4(tcp())),
    "c_hdlc": (104, bytes((0x0F, 0, 0x86, 0xDD)) + ipv6(tcp6())),
    "frame_relay_snap": (107, bytes((0x18, 0x41, 3, 0, 0x80, 0, 0, 0, 8, 0)) + ipv4(tcp())),
    "fddi": (10, b"\x50" + bytes(12) + SNAP + ipv4(tcp())),
    "sll": (113, bytes((0, 0, 0, 1, 0, 6)) + bytes(8) + b"\x08\0" + ipv4(tcp())),
    "sll2_vlan": (276, b"\x81\0" + bytes(18) + vlan(ipv4(tcp()), 7)),
    "nflog": (239, nflog(ipv4(tcp()))),
}


def seed(packets):
    """packets: [(link type, octets, how often 16 octets were cut off)]."""
    out = b""
    for i, (link, octets, cut) in enumerate(packets):
        another = i + 1 < len(packets)
        out += struct.pack(">H", cut << 10 | another << 9 | link) + (struct.pack(">H", len(octets)) if another else b"") + octets
    return out


def of_capture(path):
    """The first packet of a capture in a tunnel, or all fragments of it."""
    packets, link = pcapfile.read_pcap(path)
    return [(link, octets, 0) for ts, octets, _ in packets if ts == packets[0][0]]


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, (link, packet, *cut) in SEEDS.items():
        (FOLDER / name).write_bytes(seed([(link, packet, cut[0] if cut else 0)]))
    for path in sorted(PCAPS.glob("encap_*.pcap")):
        (FOLDER / path.stem).write_bytes(seed(of_capture(path)))


if __name__ == "__main__":
    main()
