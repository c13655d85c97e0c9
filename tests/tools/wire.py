"""Two hosts and the wire between them, with a tap: real kernels' TCP for captures.

    client host (eth0) --- c0 [ wire: tap, then delay ] s0 --- (eth0) server host

Frames bear the kernel's own receive stamps in nanoseconds. Everything lives in unnamed namespaces and ends with the
process. Needs root.

tests/e2e/wire.py is another wire, and stays one: this one is a thread, so that a situation can judge each frame by a
function of its own; that one is a process with a priority, told rules by a socket, for what it records is compared with
samples taken every few milliseconds while many threads are at work. What both do is in tap.py.
"""
import os
import socket
import threading

import netns
import tap

# What a judge may say of a frame.
PASS, LOST_BEFORE_TAP, LOST_AFTER_TAP, UNSEEN = range(4)


def is_icmp_error(frame):
    """An IPv4 destination unreachable, or an ICMPv6 error message."""
    return (frame[12:14] == b"\x08\x00" and frame[23] == 1 and frame[34] == 3) or \
           (frame[12:14] == b"\x86\xdd" and frame[20] == 58 and frame[54] < 128)


class Wire(threading.Thread):
    """Forwards and records. `judge(sender, Tcp or None)` is asked of each frame; the sender is "client" or "server"."""

    def __init__(self, client_device, server_device, delay):
        super().__init__(daemon=True)
        self.carrier = tap.Carrier(client_device, server_device, self._decide)
        self.delay = delay
        self.judge = lambda sender, tcp: PASS
        self.recording = True
        self.packets = []
        self._wake, self._waker = os.pipe()

    def run(self):
        self.carrier.run(self._wake, lambda: False)

    def _decide(self, sender, packet):
        tcp = tap.parse(packet[1])
        verdict = self.judge(sender, tcp)
        if verdict == LOST_BEFORE_TAP:
            return None
        if verdict != UNSEEN and self.recording and (tcp or is_icmp_error(packet[1])):
            self.packets.append(packet)
        return None if verdict == LOST_AFTER_TAP else self.delay

    def finish(self):
        """End forwarding; the packets recorded, in the order of time."""
        os.write(self._waker, b"x")
        self.join()
        self.carrier.close()
        os.close(self._wake)
        os.close(self._waker)
        return sorted(self.packets, key=lambda packet: packet[0])


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
            netns.add_port("c0", self.client, self.CLIENT_MAC)
            netns.add_port("s0", self.server, self.SERVER_MAC)
            self.wire = Wire("c0", "s0", self.delay)
        with self.client:
            netns.set_up_host(self.clients, [(a, self.SERVER_MAC) for a in self.servers] +
                              [(a, self.NOBODY_MAC) for a in self.nobody])
        with self.server:
            netns.set_up_host(self.servers, [(a, self.CLIENT_MAC) for a in self.clients])
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
