#!/usr/bin/env python3
"""Every capture of ../shared/corpus through the real binary: no crash, no sanitizer report, a stats record at the end, and the same octets
however the file is read.

    corpus_clean.py SPANWATCH [--folder NAME]...

Each file is read by name and once more through a pipe in chunks of odd sizes; both runs must end with the same status (0, or 1 where the file is at
fault, which standard error must say) and give the same records. Exit status 77 where there is no corpus.
"""
import argparse
import os
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.normpath(os.path.join(HERE, "..", "..", "..", "shared", "corpus"))
FOLDERS = ["malformed", "encapsulation", "tcp-semantics", "realistic"]
READ = ["--format", "jsonl", "--name", "corpus"]
SANITIZER_STATUS = 99


def feed(pipe, path):
    """Write the file into the pipe in chunks of changing, odd sizes."""
    sizes, n = [1, 7, 4093, 65537, 23, 262147], 0
    try:
        with open(path, "rb") as f:
            while True:
                chunk = f.read(sizes[n % len(sizes)])
                if not chunk:
                    break
                pipe.write(chunk)
                pipe.flush()
                n += 1
        pipe.close()
    except BrokenPipeError:
        pass


def run(command, path=None):
    """(status, records, errors); the file comes by pipe when `path` is given."""
    env = dict(os.environ, ASAN_OPTIONS=f"exitcode={SANITIZER_STATUS}:detect_leaks=1",
               UBSAN_OPTIONS=f"exitcode={SANITIZER_STATUS}:print_stacktrace=1")
    with subprocess.Popen(command, stdin=subprocess.PIPE if path else subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, env=env) as process:
        writer = threading.Thread(target=feed, args=(process.stdin, path)) if path else None
        errors = []
        reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
        reader.start()
        if writer:
            writer.start()
        records = process.stdout.read()
        reader.join()
        if writer:
            writer.join()
            process.stdin = None
    return process.returncode, records, errors[0].decode("utf-8", "replace")


def faults(program, path):
    """What is wrong with the answers for one file."""
    status, records, errors = run([program, "read", path] + READ)
    if status not in (0, 1):
        return [f"exit status {status}: {errors[-1500:]}"]
    bad = []
    opened = b'"type":"stats"' in records
    if status == 1 and not errors.strip():
        bad.append("exit status 1 without a word")
    if status == 0 and not opened:
        bad.append("no stats record")
    piped = run([program, "read", "-"] + READ, path)
    if piped[0] != status:
        bad.append(f"exit status {status} by name, {piped[0]} through a pipe: {piped[2][-300:]}")
    elif piped[1] != records:
        bad.append("other records through a pipe than by name")
    return bad


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spanwatch")
    parser.add_argument("--folder", action="append", help="only this folder of the corpus (repeatable)")
    args = parser.parse_args()
    if not os.path.isdir(CORPUS):
        print("corpus_clean: skipped: there is no ../shared/corpus beside the repository")
        return 77
    files, bad = 0, 0
    for folder in args.folder or FOLDERS:
        for name in sorted(os.listdir(os.path.join(CORPUS, folder))):
            files += 1
            for fault in faults(args.spanwatch, os.path.join(CORPUS, folder, name)):
                bad += 1
                print(f"{folder}/{name}: {fault}")
    print(f"{files} captures, {bad} faults")
    return 1 if bad or not files else 0


if __name__ == "__main__":
    sys.exit(main())
