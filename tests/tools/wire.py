"""Two hosts and the wire between them, with a tap: real kernels' TCP for captures and end-to-end tests.

    client host (eth0) --- c0 [ wire: tap, then delay ] s0 --- (eth0) server host

The wire forwards frames in user space, which stands in for tc-netem (many kernels lack it) and can do what that cannot:
lose a chosen frame before the tap (unseen) or after it (seen, but never received). Frames bear the kernel's own receive
stamps in nanoseconds. Everything lives in unnamed namespaces and ends with the process. Needs root.
"""
import heapq
import itertools
import os
import select
import socket
import struct
import threading
import time
from collections import namedtuple

import netns
import pcapfile

ETH_P_ALL = 3
SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, PACKET_IGNORE_OUTGOING = 263, 1, 1, 23
SO_TIMESTAMPNS = 35
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16

# What a judge may say of a frame.
PASS, LOST_BEFORE_TAP, LOST_AFTER_TAP, UNSEEN = range(4)

Tcp = namedtuple("Tcp", "flags payload source_port destination_port")


def parse(frame):
    """The TCP segment in an Ethernet frame of these hosts, or None."""
    if frame[12:14] == b"\x08\x00" and frame[23] == pcapfile.TCP:
        at, end = 14 + (frame[14] & 15) * 4, 14 + struct.unpack_from(">H", frame, 16)[0]
    elif frame[12:14] == b"\x86\xdd" and frame[20] == pcapfile.TCP:
        at, end = 54, 54 + struct.unpack_from(">H", frame, 18)[0]
    else:
        return None
    source, destination = struct.unpack_from(">HH", frame, at)
    return Tcp(frame[at + 13], end - at - (frame[at + 12] >> 4) * 4, source, destination)


def is_icmp_error(frame):
    """An IPv4 destination unreachable, or an ICMPv6 error message."""
    return (frame[12:14] == b"\x08\x00" and frame[23] == 1 and frame[34] == 3) or \
           (frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] < 128)


def _open(device):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    s.bind((device, ETH_P_ALL))
    membership = struct.pack("iHH8s", socket.if_nametoindex(device), PACKET_MR_PROMISC, 0, b"")
    s.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, membership)
    s.setblocking(False)
    return s


class Wire(threading.Thread):
    """Forwards and records. `judge(direction, Tcp or None)` is asked of each frame; direction is "c>s" or "s>c"."""

    def __init__(self, client_device, server_device, delay):
        super().__init__(daemon=True)
        client, server = _open(client_device), _open(server_device)
        self.sides = {client: ("c>s", server), server: ("s>c", client)}
        self.delay = delay
        self.judge = lambda direction, tcp: PASS
        self.recording = True
        self.packets = []
        self._waiting, self._order = [], itertools.count()
        self._wake, self._waker = os.pipe()

    def run(self):
        while True:
            wait = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None
            ready, _, _ = select.select(list(self.sides) + [self._wake], [], [], wait)
            if self._wake in ready:
                return
            for s in self.sides:
                if s in ready:
                    self._receive(s)
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                _, _, out, frame = heapq.heappop(self._waiting)
                out.send(frame)

    def _receive(self, s):
        direction, out = self.sides[s]
        while True:
            try:
                frame, extra, _, _ = s.recvmsg(65536, 64)
            except BlockingIOError:
                return
            seconds, nanoseconds = next(struct.unpack("qq", d[:16]) for _, kind, d in extra if kind == SO_TIMESTAMPNS)
            verdict = self.judge(direction, parse(frame))
            if verdict == LOST_BEFORE_TAP:
                continue
            if verdict != UNSEEN and self.recording and (parse(frame) or is_icmp_error(frame)):
                self.packets.append((seconds * 10**9 + nanoseconds, frame, len(frame)))
            if verdict != LOST_AFTER_TAP:
                heapq.heappush(self._waiting, (time.monotonic() + self.delay, next(self._order), out, frame))

    def finish(self):
        """End forwarding; the packets recorded, in the order of time."""
        os.write(self._waker, b"x")
        self.join()
        for s in self.sides:
            s.close()
        os.close(self._wake)
        os.close(self._waker)
        return sorted(self.packets, key=lambda packet: packet[0])


def _set_up_host(namespace, addresses, neighbours):
    """Addresses on eth0; permanent neighbours, so that no ARP or neighbour discovery mixes in (an address that no
    host has swallows what is sent to it)."""
    with namespace:
        netns.sysctl("net.ipv6.conf.eth0.accept_dad", 0)
        netns.sysctl("net.ipv6.conf.eth0.router_solicitations", 0)
        netns.offloads_off("eth0")
        netns.ip("link", "set", "lo", "up")
        netns.ip("link", "set", "eth0", "addrgenmode", "none")
        netns.ip("link", "set", "eth0", "up")
        for address in addresses:
            netns.ip("addr", "add", address + ("/64" if ":" in address else "/24"), "dev", "eth0")
        for address, mac in neighbours:
            netns.ip("neigh", "add", address, "lladdr", mac, "dev", "eth0", "nud", "permanent")


class Lab:
    """The two hosts. `with Lab(...) as lab:`; lab.client and lab.server are namespaces, lab.wire is running."""

    CLIENT_MAC, SERVER_MAC, NOBODY_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:99"

    def __init__(self, clients, servers, nobody=(), delay=0.002):
        self.clients, self.servers, self.nobody, self.delay = clients, servers, nobody, delay
        self._sockets = []

    def __enter__(self):
        self.middle, self.client, self.server = netns.Namespace(), netns.Namespace(), netns.Namespace()
        with self.middle:
            netns.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
            netns.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
            for device, host, mac in (("c0", self.client, self.CLIENT_MAC), ("s0", self.server, self.SERVER_MAC)):
                netns.ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", host.path())
                netns.offloads_off(device)
                netns.ip("link", "set", device, "up")
            self.wire = Wire("c0", "s0", self.delay)
        _set_up_host(self.client, self.clients,
                     [(a, self.SERVER_MAC) for a in self.servers] + [(a, self.NOBODY_MAC) for a in self.nobody])
        _set_up_host(self.server, self.servers, [(a, self.CLIENT_MAC) for a in self.clients])
        self.wire.start()
        return self

    def __exit__(self, *_):
        if self.wire.is_alive():
            self.wire.finish()
        for s in self._sockets:
            s.close()
        for namespace in (self.client, self.server, self.middle):
            namespace.close()

    def stop(self):
        """End the capture before the hosts clean up; the packets."""
        return self.wire.finish()

    def socket(self, namespace, address, port):
        """A TCP socket of a host, bound; closed with the lab at the latest."""
        with namespace:
            s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.settimeout(30)
        s.bind((address, port))
        self._sockets.append(s)
        return s

    def listen(self, port, server=0, receive_buffer=None):
        s = self.socket(self.server, self.servers[server], port)
        if receive_buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        s.listen(64)
        return s

    def keep(self, s):
        self._sockets.append(s)
        return s
