"""What the tests of a live probe with a store stand on: two namespaces with a cable, the probe as a process at the server's
end, and the end of such a script."""
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import private_redis
import store_truth as truth

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
import live_probe  # noqa: E402
import netns  # noqa: E402

ENVIRONMENT = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}


class Traffic(threading.Thread):
    """Short connections, one after another, until it is stopped."""

    def __init__(self, cable, port=7001, pause=0.005):
        super().__init__(daemon=True)
        self.cable, self.port, self.pause, self.ending = cable, port, pause, False
        self.listener = cable.listen(port)
        self.start()

    def run(self):
        while not self.ending:
            with self.cable.connect(self.port) as near:
                far, _ = self.listener.accept()
                with far:
                    near.sendall(b"question")
                    far.recv(100)
                    far.sendall(b"answer")
                    near.recv(100)
            time.sleep(self.pause)

    def stop(self):
        self.ending = True
        self.join(10)
        self.listener.close()


class OpenServer(truth.Server):
    """A redis-server that the probe reaches as another user."""

    def __enter__(self):
        super().__enter__()
        os.chmod(self.folder, 0o755)
        return self


class Case(unittest.TestCase):
    """NAME is the probe's."""
    BINARY, NAME, SETTINGS = "", "live", ()

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="spanwatch-live-")
        os.chmod(self.folder.name, 0o755)  # the probe becomes another user
        self.state = os.path.join(self.folder.name, "state")
        self.errors = os.path.join(self.folder.name, "errors")
        self.cable = live_probe.Cable()
        self.probe = None

    def tearDown(self):
        if self.probe is not None and self.probe.poll() is None:
            self.kill()
        self.folder.cleanup()

    def start(self, *options):
        with open(self.errors, "ab") as errors, self.cable.server:
            self.probe = subprocess.Popen((self.BINARY, "probe", "-i", "eth0", "--name", self.NAME, "--set", "state_folder=" + self.state)
                                          + self.SETTINGS + options, stderr=errors, env=ENVIRONMENT)

    def capture_begins(self, *options, times=1):
        """Start, and wait until it captures: for the so many-eth time in this folder."""
        self.start(*options)
        self.wait_for_words("capturing", times)

    def kill(self):
        self.probe.kill()
        self.probe.wait()

    def told(self):
        with open(self.errors, encoding="utf-8") as f:
            return f.read()

    def wait_for_words(self, words, times=1):
        truth.wait_for(words, lambda: self.told().count(words) >= times or self.probe.poll() is not None)
        self.assertIsNone(self.probe.poll(), self.told())

    def end(self, number=signal.SIGTERM):
        self.probe.send_signal(number)
        self.assertEqual(self.probe.wait(20), 0 if number == signal.SIGTERM else -number, self.told())

    @staticmethod
    def server(**more):
        return OpenServer("--unixsocketperm", "777", **more)


def main(needs_cable=True):
    """The end of a script: BINARY [TEST]..."""
    if not private_redis.is_there():
        print("skipped: there is no redis-server here")
        sys.exit(77)
    try:
        if needs_cable:
            netns.Namespace()
    except netns.Unavailable as reason:
        print("skipped:", reason)
        sys.exit(77)
    Case.BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main(warnings="ignore")
