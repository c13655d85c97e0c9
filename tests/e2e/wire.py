"""The wire between the hosts: forwards every frame, writes down what passes, and loses or delays what it is told to.

A process of its own. The tap lies in its middle: a frame lost `before` it is never captured, one lost `after` it
is. Frames bear the kernel's time of their arrival and are written as a classic pcap file (nanoseconds) when the wire
stops.
"""
import heapq
import json
import select
import socket
import struct
import time

from child import Child
from hosts import ADDRESS, MAC

SO_TIMESTAMPNS = 35
ETH_P_ALL = 3
PACKET_OUTGOING = 4
SNAPLEN = 128
FIN, SYN, RST, ACK = 1, 2, 4, 16


def kind_of(frame):
    """(ports, kind) of a TCP frame; kind is syn, synack, rst, fin, data or ack; (None, None) of others."""
    if frame[12:14] == b"\x08\x00" and frame[23] == 6:
        start, end = 14 + (frame[14] & 15) * 4, 14 + struct.unpack_from(">H", frame, 16)[0]
    elif frame[12:14] == b"\x86\xdd" and frame[20] == 6:
        start, end = 54, 54 + struct.unpack_from(">H", frame, 18)[0]
    else:
        return None, None
    flags = frame[start + 13]
    if flags & SYN:
        kind = "synack" if flags & ACK else "syn"
    elif flags & RST:
        kind = "rst"
    elif flags & FIN:
        kind = "fin"
    else:
        kind = "data" if end - start > (frame[start + 12] >> 4) * 4 else "ack"
    return struct.unpack_from(">HH", frame, start), kind


def checksum(octets):
    total = sum(struct.unpack(f">{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def forged_syn(port):
    """A SYN to the server from an address where nobody is (IPv4)."""
    source, target = (socket.inet_aton(ADDRESS[h][4]) for h in ("nobody", "server"))
    tcp = struct.pack(">HHIIBBHHH", 40000, port, 1000, 0, 5 << 4, SYN, 64240, 0, 0)
    pseudo = source + target + struct.pack(">HH", 6, len(tcp))
    tcp = tcp[:16] + struct.pack(">H", checksum(pseudo + tcp)) + tcp[18:]
    head = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40, 1, 0, 64, 6, 0, source, target)
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    macs = b"".join(bytes.fromhex(MAC[h].replace(":", "")) for h in ("server", "nobody"))
    return macs + b"\x08\x00" + head + tcp


class Wire(Child):
    """What the lives say to the wire: every call returns when it is in force."""

    def __init__(self, middle, path):
        self.middle, self.path = middle, path
        super().__init__()

    def rule(self, port, action, sender=None, kinds=None, seconds=0.0):
        """Frames of `port`, of one sender (client, server) and of some kinds, or of all: lose_before, lose_after (the
        tap), hide (from the tap) or delay. Returns a number for remove()."""
        rule = {"port": port, "action": action, "sender": sender, "kinds": kinds, "seconds": seconds}
        return self.ask({"rule": rule})

    def remove(self, number):
        self.ask({"remove": number})

    def inject_syn(self, port):
        self.ask({"inject": port})

    # ---- below: in the process of its own

    def main(self, control):
        self.rules, self.count, self.held, self.frames = {}, 0, [], []
        with self.middle:
            self.ports = {"client": self._port("c0"), "server": self._port("s0")}
        self.lines = control.makefile("rw", encoding="ascii")
        self.ready()
        names = {s: host for host, s in self.ports.items()}
        while True:
            wait = max(0.0, self.held[0][0] - time.monotonic()) if self.held else None
            for s in select.select([control, *names], [], [], wait)[0]:
                if s is not control:
                    self._frames(s, names[s])
                elif not self._command():
                    self._write()
                    return
            while self.held and self.held[0][0] <= time.monotonic():
                _, _, host, frame = heapq.heappop(self.held)
                self.ports[host].send(frame)

    @staticmethod
    def _port(device):
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        s.bind((device, ETH_P_ALL))
        s.setblocking(False)
        return s

    def _command(self):
        command = json.loads(self.lines.readline() or '{"stop": true}')
        if "stop" in command:
            return False
        if "rule" in command:
            self.count += 1
            self.rules[self.count] = command["rule"]
        elif "remove" in command:
            self.rules.pop(command["remove"], None)
        elif "inject" in command:
            self._pass("client", forged_syn(command["inject"]), time.clock_gettime_ns(time.CLOCK_REALTIME))
        self.lines.write(f"{self.count}\n")
        self.lines.flush()
        return True

    def _frames(self, s, sender):
        while True:
            try:
                frame, ancillary, _, address = s.recvmsg(65536, 64)
            except BlockingIOError:
                return
            if address[2] == PACKET_OUTGOING:
                continue
            stamp = next(struct.unpack("qq", d[:16]) for level, kind, d in ancillary if kind == SO_TIMESTAMPNS)
            self._pass(sender, frame, stamp[0] * 10**9 + stamp[1])

    def _pass(self, sender, frame, ns):
        ports, kind = kind_of(frame)
        rules = [r for r in self.rules.values()
                 if ports and r["port"] in ports and r["sender"] in (None, sender) and kind in (r["kinds"] or [kind])]
        actions = {r["action"]: r for r in rules}
        if "lose_before" in actions:
            return
        if "hide" not in actions:
            self.frames.append((ns, len(frame), frame[:SNAPLEN]))
        if "lose_after" in actions:
            return
        receiver = "server" if sender == "client" else "client"
        if "delay" in actions:
            due = time.monotonic() + actions["delay"]["seconds"]
            heapq.heappush(self.held, (due, len(self.frames), receiver, frame))
        else:
            self.ports[receiver].send(frame)

    def _write(self):
        self.frames.sort(key=lambda f: f[0])
        with open(self.path, "wb") as f:
            f.write(struct.pack("<IHHIIII", 0xA1B23C4D, 2, 4, 0, 0, SNAPLEN, 1))
            for ns, length, octets in self.frames:
                f.write(struct.pack("<IIII", ns // 10**9, ns % 10**9, len(octets), length) + octets)
