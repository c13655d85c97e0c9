"""The story in pcaps/demo.pcap: a quarter of a minute at a small site, played by real kernels.

A web server (port 80), an order service (8443) and a database (5432) on one host; 20 clients over IPv4 and six over
IPv6. Most of it goes well. What does not, an engineer should find in the report at once:

  - the database leaks: it never closes after its clients did (CLOSE_WAIT),
  - four clients call port 8080, where nobody listens (refused),
  - one client reads so slowly that its window closes, again and again (zero windows),
  - one client asks an address that nobody has (SYN without an answer),
  - the order service aborts a connection, a client another (RST), and a few segments are lost.
"""
import random
import socket
import struct
import threading
import time

import pcapfile
from wire import LOST_AFTER_TAP, PASS, Lab

DESCRIPTION = ("A quarter of a minute at a small site: a web server, an order service and a leaking database, 26 clients "
               "over IPv4 and IPv6, keep-alives, a slow reader, refused, aborted and unanswered connections, a few losses. "
               "Cut to 96 octets a packet.")

CLIENTS = ["192.0.2.%d" % n for n in range(101, 121)] + ["2001:db8::%x" % n for n in range(0x101, 0x107)]
SERVERS = ["192.0.2.10", "2001:db8::10"]
NOBODY = ["192.0.2.99"]
WEB, ORDERS, DATABASE, CLOSED = 80, 8443, 5432, 8080
SNAPLEN = 96  # all of an IPv6 TCP header with the options of a SYN; payloads are of no use to a probe of states
LENGTH = 15.0  # seconds


def _receive(s, n):
    """n octets, or fewer when the other end closed."""
    got = 0
    while got < n:
        piece = len(s.recv(min(65536, n - got)))
        if piece == 0:
            break
        got += piece
    return got


def _server_of(client):
    return SERVERS[1] if ":" in client else SERVERS[0]


class Story:
    """A thread for each actor. The capture ends first; then the sockets are closed, which ends the threads."""

    def __init__(self, lab):
        self.lab = lab
        self.begin = time.monotonic()
        for port, serve in ((WEB, self.web), (ORDERS, self.orders), (DATABASE, self.database)):
            for server in range(len(SERVERS)):
                self.start(self.accept_all, lab.listen(port, server), serve)

    def start(self, function, *arguments):
        def run():
            try:
                function(*arguments)
            except OSError:
                pass  # a refused or aborted connection is part of the story
        threading.Thread(target=run, daemon=True).start()

    def at(self, second):
        time.sleep(max(0.0, self.begin + second - time.monotonic()))

    def accept_all(self, listener, serve):
        listener.settimeout(None)
        while True:
            s = self.lab.keep(listener.accept()[0])
            self.start(serve, s)

    def connect(self, client, port, server=None, receive_buffer=None):
        s = self.lab.socket(self.lab.client, client, 0)
        if receive_buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        s.connect((server or _server_of(client), port))
        return s

    # The servers. A request is 100 octets of which the first four say how long the answer shall be.

    def web(self, s):
        while True:
            request = s.recv(100, socket.MSG_WAITALL)
            if len(request) < 100:
                break
            s.sendall(b"w" * struct.unpack(">I", request[:4])[0])
        s.close()

    def orders(self, s):
        """Takes two requests, then closes first; aborts when asked for nothing."""
        for _ in range(2):
            length = struct.unpack(">I", s.recv(100, socket.MSG_WAITALL)[:4])[0]
            if length == 0:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                break
            s.sendall(b"o" * length)
        s.close()

    def database(self, s):
        """Answers, and forgets to close."""
        while True:
            request = s.recv(100, socket.MSG_WAITALL)
            if len(request) < 100:
                return
            s.sendall(b"d" * struct.unpack(">I", request[:4])[0])

    # The clients.

    @staticmethod
    def ask(s, length):
        s.sendall(struct.pack(">I", length) + b"q" * 96)
        return _receive(s, length)

    def browser(self, client, second, lengths, pause):
        self.at(second)
        s = self.connect(client, WEB)
        for length in lengths:
            self.ask(s, length)
            time.sleep(pause)
        s.close()

    def keeper(self, client, second):
        """Asks once and stays connected; its kernel sends keep-alive probes."""
        self.at(second)
        s = self.connect(client, WEB)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 3)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 3)
        self.ask(s, 700)

    def orderer(self, client, second, lengths):
        self.at(second)
        s = self.connect(client, ORDERS)
        for length in lengths:
            self.ask(s, length)
        if len(lengths) < 2:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()

    def application(self, client, second):
        self.at(second)
        s = self.connect(client, DATABASE)
        for _ in range(2):
            self.ask(s, 300)
        s.close()

    def caller_of_nobody(self, client, second):
        self.at(second)
        self.connect(client, WEB, NOBODY[0])

    def caller_of_closed_port(self, client, second):
        self.at(second)
        self.connect(client, CLOSED)

    def slow_reader(self, client, second):
        self.at(second)
        s = self.connect(client, WEB, receive_buffer=4096)
        s.sendall(struct.pack(">I", 16000) + b"q" * 96)
        for _ in range(8):
            time.sleep(1.1)
            _receive(s, 2000)
        s.close()


def _cast(story):
    """Who does what, and when (seconds). Clients by number; the last six speak IPv6."""
    dice = random.Random(20)
    for number in list(range(0, 9)) + [20, 21, 22]:
        for _ in range(2):
            lengths = [dice.randrange(200, 3000) for _ in range(dice.randrange(1, 3))]
            story.start(story.browser, CLIENTS[number], dice.uniform(0.3, 12.0), lengths, dice.uniform(0.05, 0.4))
    for number in (9, 10, 23):
        story.start(story.keeper, CLIENTS[number], dice.uniform(0.5, 3.0))
    for number, second in ((11, 1.0), (12, 3.5), (13, 5.0), (24, 6.5), (11, 9.0), (12, 11.0), (25, 12.5)):
        story.start(story.application, CLIENTS[number], second)
    for number, second in ((14, 2.0), (15, 4.0), (24, 7.0), (14, 10.0)):
        story.start(story.orderer, CLIENTS[number], second, [600, 900])
    story.start(story.orderer, CLIENTS[15], 8.0, [0, 500])  # the server aborts
    story.start(story.orderer, CLIENTS[16], 6.0, [400])  # the client aborts
    for number, second in ((16, 3.0), (17, 5.5), (17, 7.5), (20, 9.5), (25, 11.5)):
        story.start(story.caller_of_closed_port, CLIENTS[number], second)
    story.start(story.slow_reader, CLIENTS[18], 1.5)
    story.start(story.caller_of_nobody, CLIENTS[19], 8.0)
    story.start(story.browser, CLIENTS[19], 2.5, [1500, 2500], 0.2)


def _lossy():
    """Each 40th segment with data is lost beyond the tap."""
    seen = [0]

    def judge(_, tcp):
        if tcp is None or tcp.payload == 0:
            return PASS
        seen[0] += 1
        return LOST_AFTER_TAP if seen[0] % 40 == 0 else PASS
    return judge


def record():
    """The capture as octets. Takes a quarter of a minute."""
    with Lab(CLIENTS, SERVERS, NOBODY, delay=0.004) as lab:
        lab.wire.judge = _lossy()
        story = Story(lab)
        _cast(story)
        story.at(LENGTH)
        packets = lab.stop()
        return pcapfile.pcap_octets(packets, snaplen=SNAPLEN)
