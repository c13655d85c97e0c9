#!/usr/bin/env python3
"""Does `read` give the same octets with any number of workers?    test_workers.py BINARY GENERATE

Every golden case again with `--workers 3`; every capture of pcaps/; generated ones (whole, and with packets taken out)
in every format, and through a pipe that stands still now and then: output, messages and exit status are those of one worker.
And the workers are there: threads of the names that probe/cli/read_stages.h gives them.
"""
import os
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
import run as golden

PCAPS = os.path.join(golden.ROOT, "pcaps")
WORKERS = (2, 3)
FORMATS = {
    "jsonl": ["--format", "jsonl", "--set", "snapshot.period=1", "--set", "snapshot.members=always"],
    "few records": ["--format", "jsonl", "--records", "connections,stats", "--linger", "0", "--filter", "tcp"],
    "report": ["--format", "report"],
    "none": ["--format", "none"],
    "at": ["--format", "jsonl", "--at", "now"],
}
BINARY = GENERATE = None


def read(options, files, workers=None, **more):
    command = [BINARY, "read"] + (["--workers", str(workers)] if workers else []) + options + files
    done = subprocess.run(command, capture_output=True, timeout=300, **more)
    return done.returncode, done.stdout, done.stderr


def generate(folder, mode, *options):
    path = os.path.join(folder, mode + ".pcap")
    subprocess.run([GENERATE, "--seed", "7", *options, mode, path], check=True)
    return path


def lose_some(path, folder):
    """A copy without every 41st packet."""
    with open(path, "rb") as f:
        octets = f.read()
    out, at, n = [octets[:24]], 24, 0
    while at < len(octets):
        end = at + 16 + struct.unpack_from("<I", octets, at + 8)[0]
        n += 1
        if n % 41:
            out.append(octets[at:end])
        at = end
    lossy = os.path.join(folder, "lossy.pcap")
    with open(lossy, "wb") as f:
        f.write(b"".join(out))
    return lossy


class Workers(unittest.TestCase):
    def same(self, options, files, **more):
        one = read(options, files, 1, **more)
        for n in WORKERS:
            self.assertEqual(read(options, files, n, **more), one, f"--workers {n} {options} {files}")
        return one

    def test_threads(self):
        """While standard input has nothing, both threads wait, and end with it."""
        with subprocess.Popen([BINARY, "read", "--workers", "2", "--format", "none", "-"], stdin=subprocess.PIPE) as p:
            with open(os.path.join(PCAPS, "handshake_close.pcap"), "rb") as f:
                p.stdin.write(f.read())
            p.stdin.flush()
            names, until = set(), time.monotonic() + 20
            while not {"decoder", "tracker"} <= names and time.monotonic() < until:
                time.sleep(0.01)
                names = set()
                for task in os.listdir(f"/proc/{p.pid}/task"):
                    with open(f"/proc/{p.pid}/task/{task}/comm", encoding="ascii") as f:
                        names.add(f.read().strip())
            p.stdin.close()
            self.assertEqual(p.wait(timeout=20), 0)
        self.assertLessEqual({"decoder", "tracker"}, names)

    def test_golden_cases(self):
        with tempfile.TemporaryDirectory() as folder:
            wrapper = os.path.join(folder, "spanwatch")
            for n in WORKERS[1:]:
                with open(wrapper, "w", encoding="ascii") as f:
                    f.write("#!/bin/sh\n[ \"$1\" = read ] && shift && exec '%s' read --workers %d \"$@\"\nexec '%s' \"$@\"\n"
                            % (BINARY, n, BINARY))
                os.chmod(wrapper, 0o755)
                for name in golden.all_cases():
                    with self.subTest(case=name, workers=n):
                        case = golden.Case(name)
                        found, faults = case.run(wrapper)
                        self.assertEqual(faults, [])
                        self.assertEqual(found, case.expected())

    def test_captures(self):
        names = sorted(n for n in os.listdir(PCAPS) if n != "README.md")
        self.assertGreater(len(names), 50)
        for name in names:
            for label in ("jsonl", "report"):
                with self.subTest(capture=name, format=label):
                    status = self.same(FORMATS[label], [os.path.join(PCAPS, name)])[0]
                    self.assertEqual(status, name == "cut.pcap")

    def test_generated(self):
        """Enough packets and events for every block to go round."""
        with tempfile.TemporaryDirectory() as folder:
            churn = generate(folder, "churn", "--connections", "2000", "--rate", "300", "--rst-permille", "30",
                             "--refused-permille", "30")
            files = [churn, lose_some(churn, folder), generate(folder, "synflood", "--connections", "10000"),
                     generate(folder, "million", "--connections", "3000", "--packets", "40000")]
            for path in files:
                for label, options in FORMATS.items():
                    with self.subTest(capture=path, format=label):
                        status, out, _ = self.same(options, [path])
                        self.assertEqual((status, bool(out)), (0, label != "none"))
            with self.subTest("merged"):
                self.same(["--format", "jsonl"], files)

    def test_pipe(self):
        """A pipe that brings pieces; at each pause what came so far goes on, and the end is the same."""
        with tempfile.TemporaryDirectory() as folder:
            path = generate(folder, "churn", "--connections", "400")
            with open(path, "rb") as f:
                octets = f.read()
            options = FORMATS["jsonl"] + ["--name", "churn.pcap"]
            wanted = read(options, [path])[1]
            for n in (1,) + WORKERS:
                command = [BINARY, "read", "--workers", str(n), *options, "-"]
                with open(os.path.join(folder, "out"), "w+b") as out, \
                        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out) as p:
                    for at in range(0, len(octets), 90001):
                        p.stdin.write(octets[at:at + 90001])
                        p.stdin.flush()
                        time.sleep(0.005)
                    p.stdin.close()
                    self.assertEqual(p.wait(timeout=60), 0)
                    out.seek(0)
                    self.assertEqual(out.read(), wanted)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    BINARY, GENERATE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    unittest.main(argv=sys.argv[:1])
