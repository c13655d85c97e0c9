#!/usr/bin/env python3
"""Are the captures what pcaps/README.md says?    test_captures.py

The table in pcaps/README.md is what scripts/make-captures --list prints, it names every file there is, no file is larger
than a small capture may be, and the re-encoded ones are exactly what their sources give.
"""
import gzip
import lzma
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PCAPS = os.path.join(ROOT, "pcaps")
MAKE = [sys.executable, os.path.join(ROOT, "scripts", "make-captures")]
LIMIT = 60 * 1024


OPENERS = {".gz": gzip.open, ".xz": lzma.open}  # how small a compressor makes it differs between its versions


def octets_of(folder, name):
    with OPENERS.get(os.path.splitext(name)[1], open)(os.path.join(folder, name), "rb") as f:
        return f.read()


def remade(names):
    """The names of those re-encoded captures that their sources do not give today."""
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(PCAPS):
            os.symlink(os.path.join(PCAPS, name), os.path.join(folder, name))
        for name in names:
            os.unlink(os.path.join(folder, name))
        subprocess.run(MAKE + ["--out", folder] + names, check=True, stdout=subprocess.DEVNULL)
        return [name for name in names if octets_of(folder, name) != octets_of(PCAPS, name)]


def main():
    table = subprocess.run(MAKE + ["--list"], check=True, stdout=subprocess.PIPE, text=True).stdout
    rows = [[cell.strip() for cell in line.strip("|").split("|", 2)] for line in table.splitlines()[2:]]
    files = sorted(name for name in os.listdir(PCAPS) if name != "README.md")
    wrong = []
    if table not in octets_of(PCAPS, "README.md").decode():
        wrong.append("the table in pcaps/README.md is not that of scripts/make-captures --list")
    if files != sorted(name for name, _, _ in rows):
        wrong.append("files and table differ: %s" % sorted(set(files) ^ {name for name, _, _ in rows}))
    wrong += ["%s is too large" % name for name in files if os.path.getsize(os.path.join(PCAPS, name)) > LIMIT]
    wrong += ["%s is not what its source gives" % name for name in remade([n for n, how, _ in rows if how == "re-encoded"])]
    print("\n".join(wrong) or "%d captures as described" % len(files))
    return 1 if wrong or not files else 0


if __name__ == "__main__":
    sys.exit(main())
