"""What the kernels say: the state of every TCP socket of both hosts, every few milliseconds, through sock_diag(7).

A process of its own. The result is a pickle: {host: [(begin_ns, end_ns, {(local, remote): state}), ...]}, an endpoint
being (packed address, port). Samples that are equal share one dictionary.
"""
import gc
import pickle
import select
import socket
import struct
import time

from child import Child

SOCK_DIAG_BY_FAMILY = 20
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST_DUMP = 0x301
TCP_LISTEN = 10
ALL_STATES = 0x1FFE & ~(1 << TCP_LISTEN)  # bits 1 to 12

# include/net/tcp_states.h; 12 are the requests that have no socket yet
STATE = {1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECEIVED", 4: "FIN_WAIT_1", 5: "FIN_WAIT_2", 6: "TIME_WAIT",
         7: "CLOSED", 8: "CLOSE_WAIT", 9: "LAST_ACK", 11: "CLOSING", 12: "SYN_RECEIVED"}


class SocketTable:
    """Reads the sockets of the namespace in which it is made."""

    def __init__(self):
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4)  # NETLINK_SOCK_DIAG
        self._socket.bind((0, 0))

    def read(self):
        states = {}
        for family in (socket.AF_INET, socket.AF_INET6):
            head = struct.pack("=IHHII", 72, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST_DUMP, 1, 0)
            self._socket.send(head + struct.pack("=BBBBI48x", family, socket.IPPROTO_TCP, 0, 0, ALL_STATES))
            while self._answer(self._socket.recv(65536), family, states):
                pass
        return states

    @staticmethod
    def _answer(octets, family, states):
        """Take one datagram of the dump; False when the dump is done."""
        offset, size = 0, 4 if family == socket.AF_INET else 16
        while offset < len(octets):
            length, kind = struct.unpack_from("=IH", octets, offset)
            if kind == NLMSG_DONE:
                return False
            if kind == NLMSG_ERROR:
                raise OSError(-struct.unpack_from("=i", octets, offset + 16)[0], "sock_diag")
            state = STATE[octets[offset + 17]]
            local_port, remote_port = struct.unpack_from(">HH", octets, offset + 20)
            local, remote = (octets[offset + o:offset + o + size] for o in (24, 40))
            states[(local, local_port), (remote, remote_port)] = state
            offset += (length + 3) & ~3
        return True


class Sampler(Child):
    def __init__(self, network, path, period):
        self.network, self.path, self.period = network, path, period
        super().__init__()

    def main(self, control):
        gc.disable()
        tables, samples = {}, {"client": [], "server": []}
        for host in samples:
            with getattr(self.network, host):
                tables[host] = SocketTable()
        self.ready()
        due = time.monotonic()
        while not select.select([control], [], [], max(0.0, due - time.monotonic()))[0]:
            for host, table in tables.items():
                begin = time.clock_gettime_ns(time.CLOCK_REALTIME)
                states = table.read()
                end = time.clock_gettime_ns(time.CLOCK_REALTIME)
                if samples[host] and samples[host][-1][2] == states:
                    states = samples[host][-1][2]
                samples[host].append((begin, end, states))
            due = max(due + self.period, time.monotonic() + self.period / 4)
        with open(self.path, "wb") as f:
            pickle.dump(samples, f)
