#!/usr/bin/env python3
"""Records the counterparts of what a passive observer cannot know: lives with the same packets and another truth.

    twin_scenarios.py OUTROOT [--seeds 2,3] [--jobs N] [NAME ...]      (root; needs what the yardstick's record.py needs)

For each scenario of the yardstick (../shared/kernel-truth) whose README says that it cannot be known, this records it afresh, and beside it the
counterparts of FAMILIES: the same script under other settings of the hosts, which no packet bears, or a script of this file that sends the
same packets out of another state. OUTROOT/FAMILY/NAME-SEED is a recording as the yardstick makes them; bound.py compares within a family.
"""
import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
YARDSTICK = os.path.normpath(os.path.join(HERE, "..", "..", "..", "shared", "kernel-truth"))

# Family -> what is recorded in it: (scenario, settings of both hosts). The first is the yardstick's own.
FAMILIES = {
    "accept_backlog": [("accept_backlog", {})],
    "blind_close": [("blind_close", {}), ("blind_close_any", {}), ("blind_close_singly", {})],
    "blind_handshake": [("blind_handshake", {}), ("orderly_handshake", {}), ("healed_handshake", {}), ("synrecv_held", {})],
    "close_wait_leak": [("close_wait_leak", {}), ("close_wait_leak", {"tcp_fin_timeout": 60})],
    "fin_lost": [("fin_lost", {})],
    "fin_wait2_owner": [("fin_wait2_owner", {}), ("fin_wait2_owner", {"tcp_fin_timeout": 60}), ("fin_wait2_kept", {})],
    "keepalive_fail": [("keepalive_fail", {}), ("idle", {})],
    "midstream": [("midstream", {}), ("midstream_open", {})],
    "mix_lossy": [("mix_lossy", {})],
    "syncookies": [("syncookies", {}), ("synrecv_held", {})],
    "synrecv_held": [("synrecv_held", {}), ("syn_blackhole", {"tcp_syn_retries": 4})],
    "zero_window_close": [("zero_window_close", {}), ("zero_window_open", {})],
}


def register(scenarios):
    """Add this file's scripts to the yardstick's."""
    scenario, each, sleep = scenarios.scenario, scenarios.each, scenarios.sleep

    @scenario(96, "blind_close with outages of any length: half of those that have lasted so long last twice as long", netem={"delay": 0.02})
    async def blind_close_any(env):
        async def one(i):
            f = await env.pair(env.fam(i))
            await env.chat(f, 1)
            kw = {"cport": f.wport(), "fam": f.fam, "stage": "post", "for": 0.2 / max(env.r(i).random(), 0.02)}
            if i % 3 == 0:
                for d in ("c2s", "s2c"):
                    env.rule(dir=d, set=scenarios.FIN, skip=1, **kw)
                    env.rule(dir=d, clear=scenarios.FIN, **kw)
                f.c.close()
                f.s.close()
            elif i % 3 == 1:
                env.rule(dir="c2s", **kw)
                f.c.close()
                await env.recv(f.s)
                f.s.close()
            else:
                f.c.close()
                await env.recv(f.s)
                await sleep(0.3)
                env.rule(dir="c2s", **kw)
                f.s.close()
            await sleep(14)
        await each(env.size, one)
        await sleep(2)

    @scenario(192, "blind_close on a path that loses each third packet by itself, and no outage", netem={"delay": 0.02})
    async def blind_close_singly(env):
        async def one(i):
            f = await env.pair(env.fam(i))
            await env.chat(f, 1)
            kw = {"cport": f.wport(), "fam": f.fam, "stage": "post"}
            r = env.r(i)
            lost = {d: next(n for n in range(99) if r.random() > 1 / 3) for d in ("c2s", "s2c")}
            if i % 3 == 0:
                for d, n in lost.items():
                    if n > 0:
                        env.rule(dir=d, clear=scenarios.FIN, count=1, **kw)
                    if n > 1:
                        env.rule(dir=d, set=scenarios.FIN, skip=1, count=n - 1, **kw)
                f.c.close()
                f.s.close()
            else:
                if i % 3 == 2:
                    f.c.close()
                    await env.recv(f.s)
                    await sleep(0.3)
                if lost["c2s"] > 0:
                    env.rule(dir="c2s", count=lost["c2s"], **kw)
                if i % 3 == 1:
                    f.c.close()
                    await env.recv(f.s)
                f.s.close()
            await sleep(14)
        await each(env.size, one)
        await sleep(2)

    @scenario(4, "half-closed connections whose process keeps them")
    async def fin_wait2_kept(env):
        async def one(i):
            await sleep(env.r(i).uniform(0, 1))
            f = await env.pair(env.fam(i))
            await env.chat(f, 1)
            f.c.shutdown(scenarios.socket.SHUT_WR)
            await sleep(15)
        await each(env.size, one)
        await sleep(1)

    @scenario(10, "handshakes that arrive, followed by as long a silence as in blind_handshake", wire=True)
    async def orderly_handshake(env):
        async def one(i):
            await sleep(env.r(i).uniform(0, 0.5))
            f = await env.pair(env.fam(i))
            await sleep([11, 3, 3, 11, 1.5][i // 2])
            if i // 2 == 4:
                env.abort(f.c)
            else:
                f.c.close()
            await env.recv(f.s)
            f.s.close()
        await each(env.size, one)
        await sleep(4)

    @scenario(8, "handshakes that a repeated SYN-ACK heals, followed by silence", wire=True)
    async def healed_handshake(env):
        async def one(i):
            await sleep(env.r(i).uniform(0, 0.5))
            fam = env.fam(i)
            lst = env.listener("server", fam)
            c = env.bound("client", fam)
            port = c.getsockname()[1]
            env.rule(dir="c2s", clear=scenarios.SYN, cport=port, fam=fam, stage="post", **{"for": [0.5, 2.2][i // 2 % 2]})
            accepted = scenarios.asyncio.ensure_future(lst.take(port))
            await env.connect(c, "server", fam, lst.port)
            s = await accepted
            await sleep(11)
            c.close()
            await env.recv(s)
            s.close()
        await each(env.size, one)
        await sleep(1)

    @scenario(8, "connections that fall silent and stay", wire=True)
    async def idle(env):
        async def one(i):
            await sleep(env.r(i).uniform(0, 1))
            f = await env.pair(env.fam(i))
            await env.chat(f, 1)
            await sleep(14)
        await each(env.size, one)

    @scenario(6, "midstream with a client that only reads, and has not closed", late_capture=True)
    async def midstream_open(env):
        flows = [await env.pair(env.fam(i)) for i in range(env.size)]
        for f in flows:
            await env.chat(f, 1, 0.05)
        await sleep(1)
        env.start_capture()
        await sleep(1)
        for i, f in enumerate(flows):
            if i in (2, 3):
                await env.send(f.s, 100)
                await sleep(0.6)
                await env.send(f.s, 100)
            else:
                await env.chat(f, 2, 0.5)
        await sleep(1)
        for i, f in enumerate(flows):
            f.s.close()
            await env.recv(f.c)
            if i not in (2, 3):
                await sleep(0.4)
                f.c.close()
        await sleep(4)

    @scenario(6, "zero_window_close by a client that keeps its socket: the same packets while the window is closed")
    async def zero_window_open(env):
        def small(s):
            s.setsockopt(scenarios.socket.SOL_SOCKET, scenarios.socket.SO_RCVBUF, 4096)
        listeners = {fam: scenarios.Listener(env, env.listen("server", fam, 8400, setup=small)) for fam in (4, 6)}

        async def one(i):
            fam = env.fam(i)
            f = await env.pair(fam, lst=listeners[fam])
            f.c.setsockopt(scenarios.socket.SOL_SOCKET, scenarios.socket.SO_SNDBUF, 65536)
            t = scenarios.asyncio.ensure_future(env.send(f.c, 1000000))
            await sleep(1.5)
            t.cancel()
            await sleep(4 if i // 2 != 1 else 25)
            if i // 2 == 0:
                r = scenarios.asyncio.ensure_future(env.recv(f.s))
                await sleep(0.5)
                f.c.close()
                await r
                f.s.close()
            elif i // 2 == 2:
                f.s.close()
            await sleep(1)
        await each(env.size, one)
        await sleep(1)


def record_here(arguments):
    """In a process of its own: the yardstick's recorder, with this file's scripts known to it."""
    sys.dont_write_bytecode = True
    sys.path.insert(0, YARDSTICK)
    import record
    import scenarios
    register(scenarios)
    sys.argv = ["record.py"] + arguments
    return record.main()


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "--record":
        return record_here(sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outroot")
    parser.add_argument("names", nargs="*", metavar="NAME", help="families (default: all)")
    parser.add_argument("--seeds", default="2,3")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    work = []
    for family in args.names or FAMILIES:
        for seed in args.seeds.split(","):
            for number, (name, settings) in enumerate(FAMILIES[family]):
                folder = os.path.join(args.outroot, family, f"{number}-{name}-{seed}")
                command = [sys.executable, os.path.abspath(__file__), "--record", name, folder, "--seed", seed]
                for key, value in settings.items():
                    command += ["--sysctl", f"net.ipv4.{key}={value}"]
                work.append(command)
    with ThreadPoolExecutor(args.jobs) as pool:
        results = list(pool.map(lambda c: subprocess.run(c, check=False).returncode, work))
    failed = [c[3:5] for c, r in zip(work, results) if r]
    for name, folder in failed:
        print(f"twin_scenarios: {name} in {folder} failed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
