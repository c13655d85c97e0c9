#!/usr/bin/env python3
"""Golden tests: captures through the real binary, the output compared byte for byte.

    run.py --binary FILE [CASE]...               compare; exit status 1 and a diff when one differs
    run.py --binary FILE --accept [--yes] [CASE]...    show the differences and accept them after a "y"

A case is a folder beside this file with `cmd`, a bash script run from the repository's root, and `expected.jsonl` or
`expected.txt`, its standard output. In `cmd`, $SPANWATCH is the binary, $CASE the folder, $WORK an empty one for files
of its own, $PCAPGEN makes a capture from packet notation. Two comments in `cmd` state more: `# exit: N` (default 0) and
`# stderr: TEXT`, which standard error has to contain; without it nothing may stand there. The time zone is UTC and the
locale C in every case.
"""
import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SHOWN = 200  # lines of one diff


def all_cases():
    return sorted(name for name in os.listdir(HERE) if os.path.exists(os.path.join(HERE, name, "cmd")))


class Case:
    def __init__(self, name):
        self.name = name
        self.folder = os.path.join(HERE, name)
        with open(os.path.join(self.folder, "cmd")) as f:
            self.command = f.read()
        status = re.search(r"^# exit: (\d+)$", self.command, re.M)
        self.status = int(status.group(1)) if status else 0
        self.stderr = re.findall(r"^# stderr: (.+)$", self.command, re.M)
        names = [n for n in ("expected.jsonl", "expected.txt") if os.path.exists(os.path.join(self.folder, n))]
        default = "expected.jsonl" if "jsonl" in self.command else "expected.txt"
        self.file = os.path.join(self.folder, names[0] if names else default)

    def expected(self):
        """The accepted output, None when there is none yet."""
        try:
            with open(self.file, "rb") as f:
                return f.read()
        except FileNotFoundError:
            return None

    def run(self, binary):
        """The output, and a list of what is wrong beside it."""
        environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC", "SPANWATCH": binary,
                       "CASE": os.path.relpath(self.folder, ROOT),
                       "PCAPGEN": "%s %s" % (sys.executable, os.path.join("tests", "tools", "pcapgen.py")),
                       "PYTHONDONTWRITEBYTECODE": "1"}
        environment.update((k, v) for k, v in os.environ.items() if k.endswith("SAN_OPTIONS"))
        with tempfile.TemporaryDirectory() as work:
            environment["WORK"] = work
            done = subprocess.run(["bash", "-o", "pipefail", "-c", self.command], cwd=ROOT, env=environment,
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
        faults = []
        if done.returncode != self.status:
            faults.append("exit status %d, expected %d" % (done.returncode, self.status))
        said = done.stderr.decode(errors="replace")
        faults += ["standard error lacks '%s'" % text for text in self.stderr if text not in said]
        if faults or (said and not self.stderr):
            faults.append("standard error: " + (said.strip() or "nothing"))
        return done.stdout, faults


def difference(name, expected, found):
    before, after = (octets.decode(errors="replace").splitlines(keepends=True) for octets in (expected or b"", found))
    lines = [line if line.endswith("\n") else line + "\n\\ no newline at the end\n"
             for line in difflib.unified_diff(before, after, "%s: expected" % name, "%s: found" % name)]
    if len(lines) > SHOWN:
        lines = lines[:SHOWN] + ["... and %d more lines\n" % (len(lines) - SHOWN)]
    return "".join(lines)


def confirmed(question):
    print(question, end=" ", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--yes", action="store_true")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    if not os.access(binary, os.X_OK):
        parser.error("%s is no executable: build first" % options.binary)
    unknown = [name for name in options.cases if name not in all_cases()]
    if unknown:
        parser.error("no case is called %s" % ", ".join(unknown))
    changed, failed = [], 0
    for case in map(Case, options.cases or all_cases()):
        found, faults = case.run(binary)
        expected = case.expected()
        for fault in faults:
            print("%s: %s" % (case.name, fault))
        if expected != found:
            if expected is None:
                print("%s: has no expected output yet; scripts/accept-golden shows it and accepts it" % case.name)
            print(difference(case.name, expected, found), end="")
            if not faults:
                changed.append((case, found))
        failed += bool(faults) or (expected != found and not options.accept)
    if options.accept and changed:
        if options.yes or confirmed("Accept %d changed outputs? [y/N]" % len(changed)):
            for case, found in changed:
                with open(case.file, "wb") as f:
                    f.write(found)
            print("accepted: %s" % " ".join(case.name for case, _ in changed))
        else:
            print("nothing accepted")
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
