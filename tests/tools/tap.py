"""What every tap of the tests is made of: raw sockets with the kernel's stamps, the TCP segment in a frame, and a loop
that carries frames between two devices.

Carrying in user space stands in for tc-netem (many kernels lack it) and can do what that cannot: lose a chosen frame
before the tap (unseen) or after it (seen, but never received). Packets are those of pcapfile. The two wires stand on
this: wire.py beside it, and that of tests/e2e.
"""
import heapq
import itertools
import select
import socket
import struct
import time
from collections import namedtuple

from pcapfile import TCP

ETH_P_ALL = 3
SOL_PACKET, PACKET_IGNORE_OUTGOING = 263, 23
SO_TIMESTAMPNS = 35
BUFFER = 4 << 20  # octets, or as much of them as the kernel allows
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

Tcp = namedtuple("Tcp", "source source_port destination destination_port flags payload")


def parse(frame):
    """The TCP segment in an Ethernet frame of the tests' hosts (no tags, no extension headers), or None. Addresses are
    packed, `payload` is its length."""
    if frame[12:14] == b"\x08\x00" and frame[23] == TCP:
        address, size = 26, 4
        at, end = 14 + (frame[14] & 15) * 4, 14 + struct.unpack_from(">H", frame, 16)[0]
    elif frame[12:14] == b"\x86\xdd" and frame[20] == TCP:
        address, size = 22, 16
        at, end = 54, 54 + struct.unpack_from(">H", frame, 18)[0]
    else:
        return None
    source, destination = frame[address:address + size], frame[address + size:address + 2 * size]
    source_port, destination_port = struct.unpack_from(">HH", frame, at)
    return Tcp(source, source_port, destination, destination_port, frame[at + 13],
               end - at - (frame[at + 12] >> 4) * 4)


def open_device(device, outgoing):
    """A socket that receives what arrives at a device of the calling thread's namespace, and what leaves it if
    `outgoing`; and sends there."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, int(not outgoing))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    s.bind((device, ETH_P_ALL))
    s.setblocking(False)
    return s


def receive(s):
    """The packets that wait in such a socket."""
    while True:
        try:
            frame, extra, _, _ = s.recvmsg(65536, 64)
        except BlockingIOError:
            return
        seconds, ns = next(struct.unpack("qq", data[:16]) for _, kind, data in extra if kind == SO_TIMESTAMPNS)
        yield seconds * 10**9 + ns, frame, len(frame)


class Carrier:
    """Two devices of the calling thread's namespace, the one towards the client and the one towards the server.

    `decide(sender, packet)` is asked for every packet: how long it is held up (seconds), or None to lose it. `sender`
    is "client" or "server"."""

    def __init__(self, client_device, server_device, decide):
        self._ports = {"client": open_device(client_device, False), "server": open_device(server_device, False)}
        self._decide = decide
        self._held, self._order = [], itertools.count()

    def run(self, control, obey):
        """Carry until obey(), called when the file `control` is readable, returns False."""
        names = {s: host for host, s in self._ports.items()}
        while True:
            wait = max(0.0, self._held[0][0] - time.monotonic()) if self._held else None
            for s in select.select([control, *names], [], [], wait)[0]:
                if s is not control:
                    for packet in receive(s):
                        self.carry(names[s], packet)
                elif not obey():
                    return
            while self._held and self._held[0][0] <= time.monotonic():
                _, _, receiver, frame = heapq.heappop(self._held)
                self._ports[receiver].send(frame)

    def carry(self, sender, packet):
        """As if `sender` had sent it."""
        delay = self._decide(sender, packet)
        if delay is None:
            return
        receiver = "server" if sender == "client" else "client"
        if delay == 0:
            self._ports[receiver].send(packet[1])
        else:
            heapq.heappush(self._held, (time.monotonic() + delay, next(self._order), receiver, packet[1]))

    def close(self):
        for s in self._ports.values():
            s.close()
