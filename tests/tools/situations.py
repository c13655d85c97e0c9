"""One function a TCP situation, played by two real kernels over tests/tools/wire.py; scripts/make-captures records them.

A situation gets a Lab, makes its traffic with plain sockets and returns; the capture ends then, before the hosts clean
up. Its description goes to pcaps/README.md. Ports and addresses are fixed (documentation ranges of RFC 5737 and RFC
3849); sequence numbers, timestamps and exact times are the kernel's and differ in every recording.
"""
import errno
import socket
import struct
import time

import netns
from tap import ACK, FIN, SYN
from wire import LOST_AFTER_TAP, LOST_BEFORE_TAP, PASS, UNSEEN

CLIENTS = ["192.0.2.1", "2001:db8::1"]
SERVERS = ["192.0.2.2", "2001:db8::2"]
NOBODY = ["192.0.2.99"]
PORT, CLIENT_PORT, CLOSED_PORT = 8000, 40001, 8001
SETTLE = 0.15  # seconds: longer than any answer takes, with the delayed ACK's 40 ms

SITUATIONS = {}  # name -> (function, description, one-way delay in seconds)


def situation(description, delay=0.002):
    def enter(function):
        SITUATIONS[function.__name__] = (function, description, delay)
        return function
    return enter


def connect(lab, port=PORT, host=0, local_port=CLIENT_PORT):
    """A client's socket, connected."""
    c = lab.socket(lab.client, CLIENTS[host], local_port)
    c.connect((SERVERS[host], port))
    return c


def accept(lab, listener):
    s = lab.keep(listener.accept()[0])
    s.settimeout(30)
    return s


def pair(lab, host=0, listener=None):
    """An established connection: the client's socket and the server's."""
    listener = listener or lab.listen(PORT, host)
    c = connect(lab, host=host)
    return c, accept(lab, listener)


def send(source, destination, n):
    """n octets from one socket to the other, waited for."""
    source.sendall(b"x" * n)
    while n > 0:
        n -= len(destination.recv(n))


def exchange(c, s):
    send(c, s, 120)
    send(s, c, 900)


def close(first, second):
    """An orderly close; the second end closes when it has read the first one's FIN."""
    first.close()
    second.recv(1)
    second.close()
    time.sleep(SETTLE)


def lose(lab, verdict, times, sender, wanted):
    """Lose the first `times` segments of a sender of which wanted(Tcp) is true."""
    left = [times]

    def judge(who, tcp):
        if who != sender or tcp is None or left[0] == 0 or not wanted(tcp):
            return PASS
        left[0] -= 1
        return verdict
    lab.wire.judge = judge


def abort_on_close(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@situation("Handshake, a request, an answer, the client closes first: client ends in TIME_WAIT, conn_state SF.")
def handshake_close(lab):
    c, s = pair(lab)
    exchange(c, s)
    close(c, s)


@situation("The same over IPv6.")
def ipv6(lab):
    c, s = pair(lab, host=1)
    exchange(c, s)
    close(c, s)


@situation("The server closes first: the server ends in TIME_WAIT.")
def server_close(lab):
    c, s = pair(lab)
    exchange(c, s)
    close(s, c)


@situation("Both ends close at once, the FINs cross at the tap: CLOSING on both sides (RFC 9293 figure 13).", delay=0.02)
def simultaneous_close(lab):
    c, s = pair(lab)
    exchange(c, s)
    time.sleep(SETTLE)
    c.close()
    s.close()
    time.sleep(SETTLE)


@situation("Both ends send a SYN, neither listens (RFC 9293 figure 7).", delay=0.03)
def simultaneous_open(lab):
    a = lab.socket(lab.client, CLIENTS[0], CLIENT_PORT)
    b = lab.socket(lab.server, SERVERS[0], PORT)
    for s in (a, b):
        s.setblocking(False)
    for s, peer in ((a, (SERVERS[0], PORT)), (b, (CLIENTS[0], CLIENT_PORT))):
        if s.connect_ex(peer) != errno.EINPROGRESS:
            raise RuntimeError("the connect did not start")
    time.sleep(SETTLE)
    for s in (a, b):
        s.settimeout(30)
    exchange(a, b)
    close(a, b)


@situation("A SYN to a closed port, answered by RST: refused, conn_state REJ.")
def refused(lab):
    c = lab.socket(lab.client, CLIENTS[0], CLIENT_PORT)
    if c.connect_ex((SERVERS[0], CLOSED_PORT)) != errno.ECONNREFUSED:
        raise RuntimeError("the connection was not refused")
    time.sleep(SETTLE)


@situation("A SYN to an address that nobody has, retried by the kernel, never answered: SYN_SENT, conn_state S0.")
def syn_unanswered(lab):
    c = lab.socket(lab.client, CLIENTS[0], CLIENT_PORT)
    c.setblocking(False)
    c.connect_ex((NOBODY[0], PORT))
    time.sleep(3.5)


@situation("The first SYN passes the tap and is lost beyond it; the retried one is answered: one connection, not two.")
def syn_retransmit(lab):
    lose(lab, LOST_AFTER_TAP, 1, "client", lambda t: t.flags & SYN)
    c, s = pair(lab)
    exchange(c, s)
    close(c, s)


@situation("The handshake's last ACK is lost beyond the tap: the SYN-ACK is retransmitted, which proves that the server "
           "stayed in SYN_RECEIVED.")
def syn_ack_retransmit(lab):
    lose(lab, LOST_AFTER_TAP, 1, "client", lambda t: t.flags & ACK)
    c, s = pair(lab)
    exchange(c, s)
    close(c, s)


@situation("The server's host answers for a network behind it: ICMP unreachable ends the attempt.")
def icmp_unreachable(lab):
    far = "198.51.100.7"
    with lab.server:
        netns.sysctl("net.ipv4.ip_forward", 1)
        netns.ip("route", "add", "unreachable", "198.51.100.0/24")
    with lab.client:
        netns.ip("route", "add", "198.51.100.0/24", "via", SERVERS[0])
    c = lab.socket(lab.client, CLIENTS[0], CLIENT_PORT)
    if c.connect_ex((far, PORT)) != errno.EHOSTUNREACH:
        raise RuntimeError("the host was not said to be unreachable")
    time.sleep(SETTLE)


@situation("The client shuts down its sending side; the server goes on sending for a while, then closes: "
           "FIN_WAIT_2 and CLOSE_WAIT with data flowing.")
def half_close(lab):
    c, s = pair(lab)
    send(c, s, 120)
    c.shutdown(socket.SHUT_WR)
    s.recv(1)
    for _ in range(3):
        send(s, c, 500)
        time.sleep(SETTLE)
    close(s, c)


@situation("The server never closes after the client's FIN: FIN_WAIT_2 and CLOSE_WAIT at the capture's end.")
def close_wait(lab):
    c, s = pair(lab)
    exchange(c, s)
    c.close()
    s.recv(1)
    time.sleep(1)


@situation("The client aborts (SO_LINGER 0): RST, both ends CLOSED at once, conn_state RSTO.")
def rst_abort(lab):
    c, s = pair(lab)
    exchange(c, s)
    abort_on_close(c)
    c.close()
    time.sleep(SETTLE)


@situation("The server closes with unread octets in its buffer: its kernel sends RST instead of FIN, conn_state RSTR.")
def rst_unread(lab):
    c, s = pair(lab)
    c.sendall(b"x" * 200)
    time.sleep(SETTLE)
    s.close()
    time.sleep(SETTLE)


@situation("The client's FIN is lost twice beyond the tap and retransmitted: FIN_WAIT_1 until the third is answered.")
def fin_retransmit(lab):
    c, s = pair(lab)
    exchange(c, s)
    lose(lab, LOST_AFTER_TAP, 2, "client", lambda t: t.flags & FIN)
    close(c, s)


@situation("One data segment of the client is lost beyond the tap (seen twice: a retransmission), one of the server before "
           "it (seen once, out of order).")
def data_retransmit(lab):
    c, s = pair(lab)
    lose(lab, LOST_AFTER_TAP, 1, "client", lambda t: t.payload)
    send(c, s, 300)
    lose(lab, LOST_BEFORE_TAP, 1, "server", lambda t: t.payload)
    send(s, c, 10000)
    close(c, s)


@situation("The server's application stops reading: zero window, window probes, then it reads on and the window opens.")
def zero_window(lab):
    c, s = pair(lab, listener=lab.listen(PORT, receive_buffer=4096))
    left = 12000
    c.sendall(b"x" * left)
    time.sleep(1.2)
    while left > 0:
        left -= len(s.recv(left))
    close(c, s)


def _keepalive(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 1), (socket.TCP_KEEPINTVL, 1), (socket.TCP_KEEPCNT, 3)):
        s.setsockopt(socket.IPPROTO_TCP, option, value)


@situation("An idle connection kept alive by probes one octet below the window, all answered: no change of state, no "
           "retransmission.")
def keepalive(lab):
    c, s = pair(lab)
    exchange(c, s)
    _keepalive(c)
    time.sleep(3.5)
    close(c, s)


@situation("Keep-alive probes without an answer: after the third the client's kernel gives up and sends RST.")
def keepalive_dead(lab):
    c, s = pair(lab)
    exchange(c, s)
    time.sleep(SETTLE)
    _keepalive(c)
    lab.wire.judge = lambda sender, tcp: LOST_AFTER_TAP if sender == "client" else PASS
    time.sleep(4.5)


@situation("The capture begins when the connection is long established: roles and states are inferred (midstream).")
def midstream(lab):
    lab.wire.recording = False
    c, s = pair(lab)
    exchange(c, s)
    time.sleep(SETTLE)
    lab.wire.recording = True
    exchange(c, s)
    close(c, s)


@situation("Five data segments reach their receiver but not the tap: a gap, missed_bytes, no state lost.")
def gap(lab):
    c, s = pair(lab)
    exchange(c, s)
    lose(lab, UNSEEN, 5, "server", lambda t: t.payload)
    for _ in range(10):
        send(s, c, 400)
        time.sleep(0.01)
    close(c, s)


@situation("The server closes first and waits in TIME_WAIT; the client comes again from the same port: a second flow.")
def port_reuse(lab):
    listener = lab.listen(PORT)
    c, s = pair(lab, listener=listener)
    exchange(c, s)
    close(s, c)
    time.sleep(1)
    c, s = pair(lab, listener=listener)
    exchange(c, s)
    close(c, s)


@situation("TCP Fast Open (RFC 7413): the first connection asks for a cookie, the second sends data in its SYN.")
def fast_open(lab):
    with lab.server:
        netns.sysctl("net.ipv4.tcp_fastopen", 3)
    listener = lab.listen(PORT)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 16)
    for number in range(2):
        c = lab.socket(lab.client, CLIENTS[0], CLIENT_PORT + number)
        c.setblocking(True)  # MSG_FASTOPEN does not wait on a socket with a timeout
        c.sendto(b"x" * 120, socket.MSG_FASTOPEN, (SERVERS[0], PORT))
        s = accept(lab, listener)
        s.recv(120)
        send(s, c, 900)
        close(c, s)
