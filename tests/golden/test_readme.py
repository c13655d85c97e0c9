#!/usr/bin/env python3
"""Does every command in README.md work, and is every record in it real?    test_readme.py BINARY

Commands are the lines of the `sh` blocks, run in a shell from the repository's root with build/spanwatch standing for BINARY. The
scripts (which call these tests) are checked to be there and executable instead; so are those that the text names. The lines of
`json` blocks have to stand in what the commands print.
"""
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def blocks(text, language):
    """The lines of all fenced blocks of a language."""
    found = re.findall(r"^```%s\n(.*?)^```$" % language, text, re.M | re.S)
    return [line for block in found for line in block.splitlines() if line.strip()]


def run(command, binary):
    """The output of a command, None when it failed (said then)."""
    script = re.sub(r"\bbuild/spanwatch\b", '"$SPANWATCH"', command)
    env = dict(os.environ, SPANWATCH=binary)
    if " probe " in command: # confined by then, so that the leak checker's own process cannot start
        env["ASAN_OPTIONS"] = "detect_leaks=0"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", script], cwd=ROOT, env=env,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    if done.returncode != 0 or not done.stdout.strip():
        print("%s\n    exit status %d, %d octets of output, standard error: %s"
              % (command, done.returncode, len(done.stdout), done.stderr.strip()))
        return None
    return done.stdout


def main(binary):
    with open(os.path.join(ROOT, "README.md")) as f:
        text = f.read()
    wrong, outputs = 0, ""
    for script in sorted(set(re.findall(r"scripts/[a-z-]+", text))):
        if not os.access(os.path.join(ROOT, script), os.X_OK):
            wrong += 1
            print("%s is no executable" % script)
    for name in sorted(set(re.findall(r"\b(?:pcaps|tests|probe|include|conf)/[\w./-]*\w/?", text))):
        if not os.path.exists(os.path.join(ROOT, name)):
            wrong += 1
            print("%s is not there" % name)
    commands = blocks(text, "sh")
    for command in commands:
        if command.startswith("scripts/"):
            continue
        if " probe " in command and os.geteuid() != 0:
            print("not root, left out: %s" % command)
            continue
        output = run(command, binary)
        wrong += output is None
        outputs += output or ""
    for line in re.findall(r"`(build/spanwatch [^`]+)`", text):
        wrong += run(line, binary) is None
    records = blocks(text, "json")
    for record in records:
        if record not in outputs.splitlines():
            wrong += 1
            print("no command of the README prints this record: %s" % record)
    print("%d commands, %d records, %d wrong" % (len(commands), len(records), wrong))
    return 1 if wrong or not commands or not records else 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
