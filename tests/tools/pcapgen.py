#!/usr/bin/env python3
"""Packets from a few lines of text, for tests that want exact numbers.

    pcapgen.py [FILE [OUTPUT]]      '-' or nothing: standard input, standard output

One packet a line; `#` begins a comment:

    0.000 c>s S   1000          win 64240 mss 1460 wscale 7 sack ts 100:0
    0.010 s>c SA  5000 ack 1001 win 65535
    0.020 c>s A   1001 ack 5001
    0.030 c>s PA  1001 ack 5001 len 100
    0.040 b.c>s S 7000                      another connection, named b

A line is TIME (seconds after `start`), DIRECTION, FLAGS (of S A F R P U E C, `-` for none), SEQ, then any of:
`ack N`, `len N` (octets of payload), `win N` (default 64240), `mss N`, `wscale N`, `sack` (permitted), `sacked L:R`,
`ts VAL:ECR`, `fastopen` (an empty request) or `fastopen HEX` (a cookie), `ttl N`, `id N` (IPv4 identification; counted
up for each direction when left out), `badsum`, `cut N` (octets captured), `again` (the same packet as the line before).

Settings, each holding from its line on:

    start 1700000000.5                      capture time of second 0 (default 1700000000)
    conn 192.0.2.1:40000 198.51.100.1:80    client and server of the unnamed connection (that is the default)
    conn b [2001:db8::1]:40000 [2001:db8::2]:443
    vlan 20 | vlan 100.20 | vlan none
    link ethernet | raw | null | sll | sll2 (once, before the first packet)
"""
import sys

import pcapfile

FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32, "E": 64, "C": 128, "-": 0}
LINKS = {"ethernet": (pcapfile.ETHERNET, lambda f: f), "raw": (pcapfile.RAW, pcapfile.to_raw),
         "null": (pcapfile.NULL, pcapfile.to_null), "sll": (pcapfile.SLL, pcapfile.to_sll),
         "sll2": (pcapfile.SLL2, pcapfile.to_sll2)}


class NotationError(Exception):
    """A line that cannot be read."""


def nanoseconds(text):
    """Seconds in decimal as nanoseconds, without the loss of a double."""
    whole, _, fraction = text.partition(".")
    if not whole.isdigit() or (fraction and not fraction.isdigit()) or len(fraction) > 9:
        raise NotationError("'%s' is not a time in seconds" % text)
    return int(whole) * 10**9 + int(fraction.ljust(9, "0"))


def endpoint(text):
    address, _, port = text.rpartition(":")
    return address.strip("[]"), int(port)


def pair_of(text):
    left, _, right = text.partition(":")
    return int(left), int(right)


def options_of(words):
    """What follows SEQ as a dictionary; the words are consumed."""
    readers = {"ack": int, "len": int, "win": int, "mss": int, "wscale": int, "sacked": pair_of, "ts": pair_of, "ttl": int,
               "id": int, "cut": int}
    found = {}
    while words:
        word = words.pop(0)
        if word in readers:
            found[word] = readers[word](words.pop(0))
        elif word == "fastopen":
            found[word] = bytes.fromhex(words.pop(0)) if words and _is_hex(words[0]) else b""
        elif word in ("sack", "badsum"):
            found[word] = True
        else:
            raise NotationError("'%s' is not known" % word)
    return found


def _is_hex(word):
    return len(word) % 2 == 0 and all(c in "0123456789abcdefABCDEF" for c in word)


def tcp_options(found):
    """RFC 9293 section 3.2, RFC 7323, RFC 2018, RFC 7413; padded with NOP to four octets."""
    out = b""
    if "mss" in found:
        out += b"\x02\x04" + found["mss"].to_bytes(2, "big")
    if "wscale" in found:
        out += b"\x03\x03" + found["wscale"].to_bytes(1, "big")
    if "sack" in found:
        out += b"\x04\x02"
    if "sacked" in found:
        out += b"\x05\x0a" + b"".join(edge.to_bytes(4, "big") for edge in found["sacked"])
    if "ts" in found:
        out += b"\x08\x0a" + b"".join(value.to_bytes(4, "big") for value in found["ts"])
    if "fastopen" in found:
        out += bytes([34, 2 + len(found["fastopen"])]) + found["fastopen"]
    return b"\x01" * (-len(out) % 4) + out


class Generator:
    """Reads notation line by line into self.packets (pcapfile's tuples)."""

    def __init__(self):
        self.start = 1700000000 * 10**9
        self.connections = {"": (("192.0.2.1", 40000), ("198.51.100.1", 80))}
        self.vlans = []
        self.link, self.encapsulate = LINKS["ethernet"]
        self.packets = []
        self.ids = {}

    def line(self, text):
        words = text.split("#")[0].split()
        if not words:
            return
        setting = getattr(self, "set_" + words[0], None)
        if setting:
            setting(words[1:])
        elif words[1:] == ["again"]:
            self.packets.append((self.start + nanoseconds(words[0]),) + self.packets[-1][1:])
        else:
            self.packet(words)

    def set_start(self, words):
        self.start = nanoseconds(words[0])

    def set_conn(self, words):
        name = words.pop(0) if len(words) == 3 else ""
        self.connections[name] = (endpoint(words[0]), endpoint(words[1]))

    def set_vlan(self, words):
        self.vlans = [] if words[0] == "none" else [int(v) for v in words[0].split(".")]

    def set_link(self, words):
        if self.packets:
            raise NotationError("`link` stands before the first packet")
        self.link, self.encapsulate = LINKS[words[0]]

    def packet(self, words):
        when, way, flags, seq = words[:4]
        found = options_of(words[4:])
        name, _, direction = way.rpartition(".")
        client, server = self.connections[name]
        if direction not in ("c>s", "s>c"):
            raise NotationError("'%s' is not a direction" % way)
        source, destination = (client, server) if direction == "c>s" else (server, client)
        self.ids[way] = found.get("id", self.ids.get(way, 0) + 1)
        segment = self.segment(source[1], destination[1], flags, int(seq), found)
        ip = pcapfile.ip_packet(source[0], destination[0], pcapfile.TCP, segment, self.ids[way], found.get("ttl", 64))
        if "badsum" in found:
            at = len(ip) - len(segment) + 16
            ip = ip[:at] + bytes([ip[at] ^ 0x55]) + ip[at + 1:]
        macs = (b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02")
        frame = pcapfile.ethernet(ip, *(macs if direction == "c>s" else macs[::-1]))
        octets = self.encapsulate(pcapfile.with_vlans(frame, self.vlans) if self.vlans else frame)
        self.packets.append((self.start + nanoseconds(when), octets[:found.get("cut", len(octets))], len(octets)))

    @staticmethod
    def segment(source_port, destination_port, flags, seq, found):
        options = tcp_options(found)
        bits = sum(FLAGS[f] for f in flags)
        head = source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big") + (seq % 2**32).to_bytes(4, "big")
        head += (found.get("ack", 0) % 2**32).to_bytes(4, "big") + bytes([(20 + len(options)) // 4 << 4, bits])
        head += found.get("win", 64240).to_bytes(2, "big") + b"\0\0\0\0"
        return head + options + b"x" * found.get("len", 0)


def generate(lines):
    """Notation as the octets of a nanosecond pcap file."""
    generator = Generator()
    for number, text in enumerate(lines, 1):
        try:
            generator.line(text)
        except (NotationError, ValueError, KeyError, IndexError, OverflowError) as e:
            raise NotationError("line %d: %s: %s" % (number, text.strip(), e)) from e
    return pcapfile.pcap_octets(generator.packets, generator.link)


def main(arguments):
    source, target = (arguments + ["-", "-"])[:2]
    try:
        if source == "-":
            octets = generate(sys.stdin)
        else:
            with open(source) as f:
                octets = generate(f)
    except (OSError, NotationError) as e:
        raise SystemExit("pcapgen: %s" % e)
    if target == "-":
        sys.stdout.buffer.write(octets)
    else:
        with open(target, "wb") as f:
            f.write(octets)


if __name__ == "__main__":
    main(sys.argv[1:])
