#!/usr/bin/env python3
"""Several workers share an interface, and no connection is torn: of every encapsulation that tests/tools/encapsulate.py knows,
of ICMP errors, fragments and copies, `spanwatch probe --workers 3` tells what `spanwatch read` tells of the same frames.

    live_share.py --spanwatch PROGRAM [--only TEST,...]

Each kind is sent with PAIRS pairs of addresses within the tunnel, so that every worker gets some. Needs root on
Linux (exit status 77 where it cannot run). Prints a line for each test. Exit status 1 when one failed.
"""
import os
import socket
import struct
import sys
import zlib

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path += [os.path.join(ROOT, "tests", "tools"), os.path.join(ROOT, "tests", "golden")]
import encapsulate  # noqa: E402
import live  # noqa: E402
from live import CLOSED, COUNTED, STATE  # noqa: E402
from live_probe import same_records  # noqa: E402
from pcapfile import ETHERNET, ethernet, pcap_octets, read_pcap, with_vlans  # noqa: E402

PAIRS = 6
WORKERS = ("--workers", "3", "--snaplen", "1024")  # the deepest headers are beyond 256 octets
ADDRESSES = {  # of the sources, as octets: client's, server's
    "v4": (bytes((192, 0, 2, 1)), bytes((192, 0, 2, 2))),
    "v6": (bytes.fromhex("20010db8" + "0" * 23 + "1"), bytes.fromhex("20010db8" + "0" * 23 + "2")),
    "icmp": (bytes((192, 0, 2, 1)), bytes((198, 51, 100, 7)))}
ERRORS = {"plain": lambda frame, _: [frame], "gre": encapsulate.encap_gre, "vxlan": encapsulate.encap_vxlan,
          "mpls": encapsulate.encap_mpls}
MS = 10**6


def in_fragments(outer, forward):
    """The IP packet of a frame in two fragments or more: the first shows part of what is in the tunnel, the others nothing.
    What the server sends is whole."""
    if not forward:
        return [outer]
    ip = outer[14:] if outer[14] >> 4 == 6 else outer[14:18] + struct.pack(">HH", zlib.crc32(outer) & 0xFFFF, 0) + outer[22:]
    return [ethernet(part) for part in encapsulate.pieces(ip, 48, lambda cut: cut)]


def ipv6_fragments(frame, forward):
    return in_fragments(encapsulate.outer_6(encapsulate.vxlan(7, frame), encapsulate.UDP, forward), forward)


def tagged_fragments(frame, forward):
    """The kernel joins no fragments behind a tag that it leaves in the frame."""
    carried = encapsulate.outer(encapsulate.gre(0x0800, frame[14:]), encapsulate.GRE, forward)
    return [with_vlans(part, [100, 20]) for part in in_fragments(carried, forward)]


def fragments_in_a_tunnel(frame, forward):
    """Those of the inner tunnel, in another."""
    return [part for cut in in_fragments(encapsulate.outer(encapsulate.vxlan(7, frame), encapsulate.UDP, forward), forward)
            for part in encapsulate.encap_gre(cut, forward)]


FRAGMENTS = {"VXLAN in IPv6 fragments": ipv6_fragments, "GRE in fragments in QinQ": tagged_fragments,
             "VXLAN in fragments in GRE": fragments_in_a_tunnel}


def moved(frame, addresses, kind, pair):
    """The frame with other addresses, wherever they stand: also in what an ICMP error quotes."""
    for old, end in zip(addresses, (1, 2)):
        new = bytes((10, kind, pair, end)) if len(old) == 4 else old[:12] + bytes((kind, pair, 0, end))
        frame = frame.replace(old, new)
    return frame


def source_of(name):
    path = os.path.join(ROOT, "pcaps", name + ".pcap")
    return read_pcap(path)[0], ADDRESSES["icmp" if name == "icmp_unreachable" else "v6" if name == "ipv6" else "v4"]


def kinds():
    """(name, source, function) of all that an Ethernet device can carry."""
    for name, (source, _, _) in encapsulate.ENCAPSULATIONS.items():
        if read_pcap(os.path.join(ROOT, "pcaps", name))[1] == ETHERNET:
            yield name, source, getattr(encapsulate, name[:-len(".pcap")])
    for name, function in ERRORS.items():
        yield "icmp in " + name, "icmp_unreachable", function
    for name, function in FRAGMENTS.items():
        yield name, "handshake_close", function
    yield "plain", "handshake_close", lambda frame, _: [frame]


def traffic(rounds):
    """Frames in the order in which they are sent: of each round the same packet of all connections, in turns."""
    made = []
    for kind, (_, source, function) in enumerate(kinds()):
        packets, addresses = source_of(source)
        client = packets[0][1][6:12]
        for pair in range(PAIRS):
            made.append([function(moved(frame, addresses, kind, pair), frame[6:12] == client) for _, frame, _ in packets])
    for i in rounds:
        for frames in made:
            if i < len(frames):
                yield from frames[i]


def send(host, devices, frames):
    """On the devices in turns."""
    with host:
        sockets = [socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in devices]
        for s, device in zip(sockets, devices):
            s.bind((device, 0))
    for i, frame in enumerate(frames):
        sockets[i % len(sockets)].send(frame)
    for s in sockets:
        s.close()


def read(box, frames):
    path = box.path("sent.pcap")
    with open(path, "wb") as f:
        f.write(pcap_octets([(1_700_000_000 * 1000 * MS + i * MS // 100, frame, len(frame))
                             for i, frame in enumerate(frames)]))
    return live.read_back(box.program, path)


def without_timers(records):
    """A file ends at its last packet, a probe goes on: what only a timer tells is left out, of connections all that are open."""
    return [r for r in records if not r.get("cause", "").startswith("timeout") and
            (r["type"] != "connection" or r["end"] not in ("timeout", "open"))]


def compare(box, probe, frames):
    box.ends_well(probe)
    recorded = read(box, frames)
    mine, theirs = without_timers(probe.records()), without_timers(recorded)
    steps, _ = same_records(mine, theirs, "transition", STATE + ("vlan", "tunnel"))
    connections = len({r["flow"] for r in mine if r["type"] == "transition"})
    assert connections == PAIRS * len(list(kinds())), f"{connections} connections"
    assert steps > 4 * connections, f"only {steps} transitions of {connections} connections"
    same_records(mine, theirs, "connection", CLOSED)
    different = [(k, mine[-1][k], recorded[-1][k]) for k in COUNTED if mine[-1][k] != recorded[-1][k]]
    assert not different and mine[-1]["kernel_drops"] == 0, different


# ---- the tests

def test_every_encapsulation(box):
    probe = box.probe("-i", "eth0", *WORKERS)
    probe.wait_until_capturing()
    frames = list(traffic(range(20)))
    send(box.cable.client, ["eth0"], frames)
    compare(box, probe, frames)


def test_every_encapsulation_of_one_host(box):
    """The same frames as a host itself sends them: these begin with their link header when the kernel shares them out."""
    probe = box.probe("-i", "eth0", *WORKERS)
    probe.wait_until_capturing()
    frames = list(traffic(range(20)))
    send(box.cable.server, ["eth0"], frames)
    compare(box, probe, frames)


def test_filter_and_several_interfaces(box):
    """Turns on two devices, behind a filter that lets all pass: what belongs together meets in one worker."""
    box.cable.plug("eth1")
    probe = box.probe("-i", "eth0", "-i", "eth1", "--filter", "greater 1", *WORKERS)
    try:
        probe.wait_until_capturing()
        frames = list(traffic(range(20)))
        send(box.cable.client, ["eth0", "eth1"], frames)
        compare(box, probe, frames)
    finally:
        box.cable.unplug("eth1")


def test_interface_comes_back(box):
    """What was open before goes on after: each worker gets what it had."""
    box.cable.plug("eth1")
    probe = box.probe("-i", "eth1", *WORKERS)
    try:
        probe.wait_until_capturing()
        send(box.cable.client, ["eth1"], traffic(range(5)))
        probe.wait_for("the handshakes", lambda: len(probe.records("transition")) > 2 * PAIRS * len(list(kinds())))
        box.cable.unplug("eth1")
        probe.wait_for("the word that it is gone", lambda: "is gone" in probe.errors())
        box.cable.plug("eth1")
        probe.wait_for("a gap record", lambda: probe.records("gap"))
        send(box.cable.client, ["eth1"], traffic(range(5, 20)))
        compare(box, probe, list(traffic(range(20))))
    finally:
        box.cable.unplug("eth1")


if __name__ == "__main__":
    sys.exit(live.main({n[len("test_"):]: f for n, f in globals().items() if n.startswith("test_")}))
