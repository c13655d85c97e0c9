"""A redis-server of the test's own: a Unix socket in a temporary folder, nothing on disk, ended with the test."""
import os
import shutil
import socket
import subprocess
import tempfile
import time


class Server:
    """with Server() as redis: redis("HGETALL", "key") gives bytes, int, None or lists of them."""

    def __init__(self, *arguments):
        self.arguments = arguments
        self.folder = tempfile.mkdtemp(prefix="spanwatch-redis-")
        self.path = os.path.join(self.folder, "redis.sock")
        self.url = "unix://" + self.path
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "", "--dir", self.folder, *self.arguments],
            stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            try:
                self.connection = Connection(self.path)
                if self("PING") == "PONG":
                    return
            except OSError:
                pass
            except RuntimeError as answer:
                if "LOADING" not in str(answer):
                    raise
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("redis-server does not start")
            time.sleep(0.02)

    def stop(self):
        self.connection.close()
        self.process.kill()
        self.process.wait()

    def __call__(self, *words):
        return self.connection(*words)

    def many(self, commands):
        """All commands in one go; an error answer is raised."""
        return self.connection.many(commands)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Connection:
    """One connection; commands wait for their answer."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        try:
            self.socket.connect(path)
        except OSError:
            self.socket.close()
            raise
        self.file = self.socket.makefile("rb")

    @staticmethod
    def encode(words):
        octets = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        return b"*%d\r\n" % len(octets) + b"".join(b"$%d\r\n%s\r\n" % (len(o), o) for o in octets)

    def many(self, commands):
        self.socket.sendall(b"".join(map(self.encode, commands)))
        answers = [self.read() for _ in commands]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def __call__(self, *words):
        self.socket.sendall(self.encode(words))
        answer = self.read()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def read(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:].rstrip(b"\r\n")
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        raise OSError("the server hung up")

    def close(self):
        self.file.close()
        self.socket.close()


def is_there():
    return shutil.which("redis-server") is not None
