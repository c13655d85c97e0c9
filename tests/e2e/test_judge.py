#!/usr/bin/env python3
"""Tests of the judge itself: a perfect probe gets 100 %, each kind of fault costs. No network, no clock."""
import os
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.append(os.path.join(os.path.dirname(HERE), "tools"))
from judge import Capture, judge, read_transitions  # noqa: E402

S = 10**9
PERIOD = 15_000_000
CLIENT, SERVER = (b"\x0a\x4f\x00\x01", 40000), (b"\x0a\x4f\x00\x02", 8001)
HOSTS = {CLIENT[0]: "client", SERVER[0]: "server"}
# the client connects at 1 s and is reset at 3 s; both kernels follow within a millisecond
PACKETS = [1 * S, 3 * S]
SAID = '{{"type":"transition","ts":{}.000000000,"client":"10.79.0.1:40000","server":"10.79.0.2:8001",' \
       '"client_state":"{}","server_state":"{}","client_was":"{}","server_was":"{}"}}'
OPENED = SAID.format(1, "ESTABLISHED", "ESTABLISHED", "CLOSED", "CLOSED")
CLOSED = SAID.format(3, "CLOSED", "CLOSED", "ESTABLISHED", "ESTABLISHED")


def kernel(until, key):
    """Samples of one host up to `until`: ESTABLISHED from the first packet to the last."""
    return [(t, t + 100_000, {key: "ESTABLISHED"} if PACKETS[0] < t < PACKETS[1] else {})
            for t in range(0, until, PERIOD)]


def verdict(lines, packets=tuple(PACKETS)):
    capture = Capture.__new__(Capture)
    capture.times = {frozenset((CLIENT, SERVER)): list(packets)}
    samples = {"client": kernel(10 * S, (CLIENT, SERVER)), "server": kernel(10 * S, (SERVER, CLIENT))}
    timelines, wrong = read_transitions(lines)
    return judge(samples, HOSTS, capture, timelines, [8001])[8001], wrong


class JudgeTest(unittest.TestCase):
    def test_perfect_probe(self):
        v, wrong = verdict([OPENED, CLOSED])
        self.assertEqual((v.plain, v.balanced, wrong), (100.0, 100.0, []))
        self.assertAlmostEqual(v.compared, 2 * 7 * S / PERIOD, delta=25)  # 2 s open and 5 s closed, at both ends

    def test_silent_probe(self):
        v, _ = verdict([])
        self.assertGreater(v.pairs["ESTABLISHED", "CLOSED"], 200)
        self.assertLess(v.plain, 80)

    def test_probe_that_never_closes_is_charged_for_every_sample(self):
        v, _ = verdict([OPENED])
        self.assertGreater(v.pairs["CLOSED", "ESTABLISHED"], 2 * 6 * S // PERIOD)

    def test_lateness_beyond_the_guard_costs(self):
        late, _ = verdict([OPENED, CLOSED.replace('"ts":3.000', '"ts":3.500')])
        punctual, _ = verdict([OPENED, CLOSED.replace('"ts":3.000', '"ts":3.020')])
        self.assertEqual(punctual.plain, 100.0)
        self.assertAlmostEqual(late.pairs["CLOSED", "ESTABLISHED"], 2 * 0.47 * S / PERIOD, delta=4)

    def test_a_change_without_a_packet_has_a_timers_slack(self):
        # the last packet passes at 2 s, so the end at 3 s is a timer's, and half a second late is not judged
        v, _ = verdict([OPENED, CLOSED.replace('"ts":3.000', '"ts":3.500')], (1 * S, 2 * S))
        self.assertEqual(v.plain, 100.0)

    def test_nothing_is_asked_before_the_first_packet(self):
        v, _ = verdict([], (3 * S,))
        self.assertGreater(v.pairs["CLOSED", "CLOSED"], 0)
        self.assertEqual(v.pairs["ESTABLISHED", "CLOSED"], 0)

    def test_contradictions_are_named(self):
        _, wrong = verdict([CLOSED])
        self.assertEqual(len(wrong), 2)
        _, wrong = verdict([OPENED.replace('"ts":1.', '"ts":4.'), CLOSED])
        self.assertEqual(len(wrong), 2)


if __name__ == "__main__":
    unittest.main()
