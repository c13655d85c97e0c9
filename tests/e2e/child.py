"""A helper process with one control socket: it starts when it is made, answers one line to each line asked, and ends
when it is told to stop or its parent dies."""
import ctypes
import json
import os
import signal
import socket
import threading
import traceback

PR_SET_PDEATHSIG = 1


class Child:
    def __init__(self):
        self._socket, theirs = socket.socketpair()
        self._lock = threading.Lock()
        self.pid = os.fork()
        if self.pid == 0:
            self._run(theirs)
        theirs.close()
        self._file = self._socket.makefile("rw", encoding="ascii")
        if self._file.readline() != "ready\n":
            raise RuntimeError(f"the {type(self).__name__} did not start")

    def _run(self, control):
        status = 1
        try:
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            self._socket.close()
            self._theirs = control
            try:  # punctual, where that is allowed: samples and frames must not wait for a busy machine
                os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(5))
            except OSError:
                pass
            self.main(control)
            status = 0
        except BaseException:  # noqa: B902  whatever it was, the parent must see a status
            traceback.print_exc()
        finally:
            os._exit(status)

    def main(self, control):
        raise NotImplementedError

    def ready(self):
        """Said by the child when it is at work."""
        self._theirs.sendall(b"ready\n")

    def ask(self, command):
        with self._lock:
            self._file.write(json.dumps(command) + "\n")
            self._file.flush()
            answer = self._file.readline()
        if not answer:
            raise RuntimeError(f"the {type(self).__name__} ended early")
        return int(answer)

    def stop(self):
        """Let the child finish its work; raises when it failed.

        The socket's end would not tell it: younger children hold that too."""
        self._file.write(json.dumps({"stop": True}) + "\n")
        self._file.close()
        self._socket.close()
        _, status = os.waitpid(self.pid, 0)
        if status != 0:
            raise RuntimeError(f"the {type(self).__name__} failed")
