"""The wire between the hosts: forwards every frame, writes down what passes, and loses or delays what it is told to.

The tap lies in its middle: a frame lost `before` it is never captured, one lost `after` it is. Frames bear the kernel's
time of their arrival and are written as a classic pcap file (nanoseconds) when the wire stops.

It is a process with a priority, told its rules by a socket: what it records is compared with samples taken every few
milliseconds, and the threads of the lives would hold it up. tests/tools/wire.py, which makes captures, is a thread
instead, for there a function judges each frame. What both do is in tests/tools/tap.py.
"""
import json
import struct
import time

import pcapfile
import tap
from child import Child
from hosts import ADDRESS, MAC

SNAPLEN = 128


def kind_of(tcp):
    """syn, synack, rst, fin, data or ack."""
    if tcp.flags & tap.SYN:
        return "synack" if tcp.flags & tap.ACK else "syn"
    if tcp.flags & tap.RST:
        return "rst"
    if tcp.flags & tap.FIN:
        return "fin"
    return "data" if tcp.payload else "ack"


def forged_syn(port):
    """A SYN to the server from an address where nobody is (IPv4)."""
    tcp = struct.pack(">HHIIBBHHH", 40000, port, 1000, 0, 5 << 4, tap.SYN, 64240, 0, 0)
    ip = pcapfile.ip_packet(ADDRESS["nobody"][4], ADDRESS["server"][4], pcapfile.TCP, tcp, ip_id=1)
    return pcapfile.ethernet(ip, *(bytes.fromhex(MAC[h].replace(":", "")) for h in ("nobody", "server")))


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
        self.rules, self.count, self.packets = {}, 0, []
        with self.middle:
            self.carrier = tap.Carrier("c0", "s0", self._decide)
        self.lines = control.makefile("rw", encoding="ascii")
        self.ready()
        self.carrier.run(control, self._command)
        with open(self.path, "wb") as f:
            f.write(pcapfile.pcap_octets(sorted(self.packets, key=lambda p: p[0]), snaplen=SNAPLEN))

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
            frame = forged_syn(command["inject"])
            self.carrier.carry("client", (time.clock_gettime_ns(time.CLOCK_REALTIME), frame, len(frame)))
        self.lines.write(f"{self.count}\n")
        self.lines.flush()
        return True

    def _decide(self, sender, packet):
        tcp = tap.parse(packet[1])
        actions = {r["action"]: r for r in self.rules.values() if tcp and self._meant(r, sender, tcp)}
        if "lose_before" in actions:
            return None
        if "hide" not in actions:
            self.packets.append(packet)
        if "lose_after" in actions:
            return None
        return actions["delay"]["seconds"] if "delay" in actions else 0

    @staticmethod
    def _meant(rule, sender, tcp):
        return (rule["port"] in (tcp.source_port, tcp.destination_port) and rule["sender"] in (None, sender) and
                (rule["kinds"] is None or kind_of(tcp) in rule["kinds"]))
