"""The lives that TCP connections lead here, each a function on real sockets of both hosts.

A life has a server port of its own, by which its flows are told from others'. `c` is the socket that opened the
connection, `v` the one that was accepted. Steps lie PAUSE apart, so that each state lasts for some samples. What a
passive observer cannot know (a FIN that waits behind a closed window, an application's patience) is left out.
"""
import socket
import struct
import threading
import time

from hosts import ADDRESS

PAUSE = 0.35
HOLD = 0.15   # s that an ACK of a FIN stays away: shorter than the RTO, for a FIN sent again says that it was lost
LIMIT = 12.0  # s that any call may take
TCP_FASTOPEN, MSG_FASTOPEN = 23, 0x20000000
LIVES = []  # (name, function, family)


def life(*families):
    def add(function):
        for family in families or (4,):
            name = function.__name__ + ("" if family == 4 else "_ipv6")
            LIVES.append((name, function, family))
        return function
    return add


def pause(times=1.0):
    time.sleep(PAUSE * times)


class Stage:
    """What a life acts on: its port, its family, both hosts, the wire. Sockets stay open until close_all()."""

    def __init__(self, network, wire, port, family):
        self.network, self.wire, self.port, self.family = network, wire, port, family
        self.sockets = []
        self.server, self.client = "server", "client"

    def socket(self, host):
        s = self.network.socket(host, self.family)
        s.settimeout(LIMIT)
        self.sockets.append(s)
        return s

    def address(self, host):
        return ADDRESS[host][self.family], self.port

    def listen(self, backlog=16, fast_open=False):
        s = self.socket(self.server)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if fast_open:
            s.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 5)
        s.bind(self.address(self.server))
        s.listen(backlog)
        return s

    def connect(self, local_port=0, host=None):
        c = self.socket(self.client)
        c.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        c.bind((ADDRESS[self.client][self.family], local_port))
        c.connect(self.address(host or self.server))
        return c

    def accept(self, listener):
        v, _ = listener.accept()
        v.settimeout(LIMIT)
        self.sockets.append(v)
        return v

    def pair(self, local_port=0, listener=None):
        listener = listener or self.listen()
        c = self.connect(local_port)
        return c, self.accept(listener)

    def cut_off_server(self):
        """From now on nothing reaches the server, and its frames do not reach the tap. RSTs of the one who gives up
        are lost before it: a tap that saw them would rightly believe that they arrive."""
        self.wire.rule(self.port, "lose_before", "server")
        self.wire.rule(self.port, "lose_before", "client", ["rst"])
        self.wire.rule(self.port, "lose_after", "client")

    def close_all(self):
        for s in self.sockets:
            s.close()


def talk(a, b, octets=400):
    a.sendall(b"q" * octets)
    read_exactly(b, octets)
    b.sendall(b"a" * octets)
    read_exactly(a, octets)


def talk_one_way(a, b):
    a.sendall(b"x" * 300)
    read_exactly(b, 300)


def in_background(call):
    threading.Thread(target=call, daemon=True).start()


def read_exactly(s, octets):
    while octets > 0:
        got = s.recv(min(octets, 1 << 16))
        if not got:
            raise ConnectionError("the stream ended early")
        octets -= len(got)


def read_to_end(s):
    while s.recv(1 << 16):
        pass


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def must_fail(error, call, *arguments):
    try:
        call(*arguments)
    except error:
        return
    raise AssertionError(f"{call.__name__} did not fail with {error.__name__}")


def close_in_turn(first, second):
    first.close()
    pause(2)
    read_to_end(second)
    second.close()


@life(4, 6)
def client_closes_first(stage):
    c, v = stage.pair()
    pause()
    talk(c, v)
    pause()
    close_in_turn(c, v)


@life(4, 6)
def server_closes_first(stage):
    c, v = stage.pair()
    pause()
    talk(c, v)
    pause()
    close_in_turn(v, c)


@life()
def opened_by_the_other_host(stage):
    stage.server, stage.client = stage.client, stage.server
    c, v = stage.pair()
    pause()
    talk(c, v)
    close_in_turn(c, v)


@life(4, 6)
def half_close_with_data(stage):
    c, v = stage.pair()
    talk(c, v)
    pause()
    c.shutdown(socket.SHUT_WR)
    read_to_end(v)
    for _ in range(3):
        pause()
        v.sendall(b"late" * 200)
        read_exactly(c, 800)
    pause()
    v.close()
    read_to_end(c)
    c.close()


@life()
def fin_wait_2_by_shutdown(stage):
    c, v = stage.pair()
    v.shutdown(socket.SHUT_WR)  # stays: no orphan, so tcp_fin_timeout does not count
    pause(6)
    talk_one_way(c, v)
    pause(2)
    c.close()
    v.close()


@life(4, 6)
def client_resets(stage):
    c, v = stage.pair()
    talk(c, v)
    pause(2)
    reset(c)


@life()
def server_resets(stage):
    c, v = stage.pair()
    talk(c, v)
    pause(2)
    reset(v)


@life(4, 6)
def refused(stage):
    for _ in range(3):
        must_fail(ConnectionRefusedError, stage.connect)
        pause()


@life()
def unread_data_at_close(stage):
    c, v = stage.pair()
    c.sendall(b"never read" * 50)
    pause(2)
    v.close()  # RST (RFC 9293 section 3.10.4, RFC 2525 section 2.17)


@life()
def data_after_close(stage):
    c, v = stage.pair()
    talk(c, v)
    pause()
    c.close()
    pause(2)
    v.sendall(b"too late" * 10)  # answered by RST: nobody is left to read it


def rounds(stage):
    """Connections one after the other, each ready to close: for states that can only be held for HOLD."""
    listener = stage.listen()
    for _ in range(3):
        c, v = stage.pair(listener=listener)
        talk(c, v)
        pause()
        yield c, v
        pause()


@life()
def simultaneous_close(stage):
    for c, v in rounds(stage):
        crossing = stage.wire.rule(stage.port, "delay", kinds=["fin"], seconds=0.01)
        held = stage.wire.rule(stage.port, "lose_before", kinds=["ack"])
        c.close()
        v.close()
        time.sleep(HOLD)  # both in CLOSING: their FINs have crossed, the ACKs are lost
        stage.wire.remove(crossing)
        stage.wire.remove(held)


@life()
def fin_wait_1_held(stage):
    for c, v in rounds(stage):
        held = stage.wire.rule(stage.port, "lose_before", "server", ["ack"])
        c.shutdown(socket.SHUT_WR)
        time.sleep(HOLD)
        stage.wire.remove(held)
        pause()
        v.close()
        read_to_end(c)
        c.close()


@life()
def last_ack_held(stage):
    for c, v in rounds(stage):
        c.close()
        pause()
        held = stage.wire.rule(stage.port, "lose_before", "client", ["ack"])
        v.close()
        time.sleep(HOLD)
        stage.wire.remove(held)


@life()
def keepalive_answered(stage):
    c, v = stage.pair()
    c.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    pause(20)
    talk(c, v)


@life()
def keepalive_unanswered(stage):
    c, v = stage.pair()
    talk(c, v)
    pause()
    c.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    stage.cut_off_server()
    must_fail(OSError, c.recv, 1)


@life()
def retransmissions_unanswered(stage):
    c, v = stage.pair()
    talk(c, v)
    pause()
    stage.cut_off_server()
    c.sendall(b"anybody there?")
    must_fail(OSError, c.recv, 1)


@life()
def zero_window_drained(stage):
    listener = stage.listen()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    c, v = stage.pair(listener=listener)
    c.setblocking(False)
    sent = 0
    try:
        while True:
            sent += c.send(b"z" * 8192)
    except BlockingIOError:
        pass
    c.settimeout(LIMIT)
    pause(4)
    read_exactly(v, sent)
    pause(2)
    close_in_turn(c, v)


@life()
def close_wait_leaks(stage):
    c, v = stage.pair()
    talk(c, v)
    pause()
    c.close()  # FIN_WAIT_2 ends by tcp_fin_timeout, CLOSE_WAIT never
    pause(20)


@life(4, 6)
def syn_into_black_hole(stage):
    must_fail(OSError, stage.connect, 0, "nobody")


@life()
def syn_lost_once(stage):
    listener = stage.listen()
    lost = stage.wire.rule(stage.port, "lose_after", "client", ["syn"])

    def lift():
        time.sleep(0.5)
        stage.wire.remove(lost)
    in_background(lift)
    c = stage.connect()
    v = stage.accept(listener)
    talk(c, v)
    pause(2)
    close_in_turn(c, v)


@life()
def handshake_ack_lost(stage):
    listener = stage.listen()
    lost = stage.wire.rule(stage.port, "lose_before", "client", ["ack"])
    c = stage.connect()
    time.sleep(1.5)  # the server is in SYN_RECEIVED
    stage.wire.remove(lost)
    v = stage.accept(listener)  # its next SYN-ACK is answered
    pause()
    talk(c, v)


@life()
def syn_ack_never_answered(stage):
    stage.listen()
    pause()
    stage.wire.inject_syn(stage.port)
    time.sleep(8.5)


@life(4, 6)
def idle_established(stage):
    c, v = stage.pair()
    talk(c, v)
    pause(25)


@life()
def port_used_again(stage):
    listener = stage.listen()
    c, v = stage.pair(listener=listener)
    local_port = c.getsockname()[1]
    for _ in range(3):
        talk(c, v)
        pause()
        close_in_turn(v, c)  # TIME_WAIT is the server's, so the client may take the port again
        time.sleep(1.1)      # timestamps must have moved on (RFC 6191)
        c, v = stage.pair(local_port, listener)
    pause()


@life()
def backlog_full(stage):
    listener = stage.listen(backlog=0)
    first = stage.connect()
    pause()

    def drain():
        time.sleep(1.5)
        stage.accept(listener)
    in_background(drain)
    stage.connect()  # its SYNs are ignored until the first is accepted
    pause(2)
    first.close()


@life()
def fast_open(stage):
    listener = stage.listen(fast_open=True)
    for _ in range(3):  # the first asks for a cookie, the others bring data with the SYN
        c = stage.socket("client")
        c.settimeout(None)  # with a timeout, the data would have to wait for the handshake
        c.sendto(b"f" * 100, MSG_FASTOPEN, stage.address("server"))
        v = stage.accept(listener)
        read_exactly(v, 100)
        pause()
        talk(c, v)
        close_in_turn(c, v)
        pause()


@life()
def tapped_midstream(stage):
    hidden = stage.wire.rule(stage.port, "hide")
    c, v = stage.pair()
    talk(c, v)
    pause(2)
    stage.wire.remove(hidden)
    talk(c, v)
    pause(2)
    close_in_turn(c, v)
