"""How long a change takes, and what it costs, beside APISIX's own config_xds:
`AMESH_APISIX_HOME=... python3 amesh-ffi/lua/tests/real/measure.py [N...]`.

N routes (a host each, `upstream_id`, one plugin) and N upstreams, 2 workers. Times on a shared machine: compare them within
one run.
"""

import http.client
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from gateway import Backend, Gateway, put, route, upstream, wait  # noqa: E402

CHANGES = 20


def cpu(pid):
    """Milliseconds that a process has run."""
    return int(pathlib.Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


def rss(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


class Client:
    """A connection that stays with one worker."""

    def __init__(self, port, host):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.host = host

    def ask(self):
        started = time.perf_counter()
        self.connection.request("GET", "/x", headers={"Host": self.host})
        response = self.connection.getresponse()
        body = response.read().decode()
        return response.status, body, response.headers, (time.perf_counter() - started) * 1000


def clients(gateway, host):
    """One for each worker."""
    found = {}
    while len(found) < 2:
        client = Client(gateway.port, host)
        worker = client.ask()[2].get("X-Worker")
        if worker and worker not in found:
            found[worker] = client
        else:
            client.connection.close()
    return found


def change(gateway, workers, objects, seen):
    """Milliseconds from a publish until both workers serve it, and the slowest request meanwhile."""
    gateway.publish(objects)
    published = time.perf_counter()
    waiting, slowest = dict(workers), 0
    while waiting:
        for worker, client in list(waiting.items()):
            status, body, headers, took = client.ask()
            slowest = max(slowest, took)
            if seen(status, body, headers):
                del waiting[worker]
    return (time.perf_counter() - published) * 1000, slowest


def cost(gateway, workers, objects):
    """CPU milliseconds of a worker for a change and the request after it, without what the same takes when idle."""
    def window(action):
        before = {worker: cpu(worker) for worker in workers}
        action()
        time.sleep(3)
        for client in workers.values():
            client.ask()
        return statistics.mean(cpu(worker) - before[worker] for worker in workers)

    idle = window(lambda: gateway.ready())
    return window(lambda: gateway.publish(objects)) - idle


def measure(name, count, backends, **options):
    gateway = Gateway(size="256m", **options)
    try:
        host = lambda number: f"h{number}.example"  # noqa: E731
        objects = put(*[("upstreams", upstream(f"u{n}", backends[0].port)) for n in range(count)],
                      *[("routes", route(f"r{n}", host=host(n), upstream_id=f"u{n}")) for n in range(count)])
        gateway.publish()
        empty = gateway.free
        gateway.publish(objects)
        used = (empty - gateway.free) / count
        probe = count // 2
        assert wait(lambda: Client(gateway.port, host(probe)).ask()[0] == 200, 60)
        time.sleep(2)
        workers = clients(gateway, host(probe))

        def one_upstream(step):
            port = backends[step % 2].port
            return (put(("upstreams", upstream(f"u{probe}", port))),
                    lambda status, body, headers: body == f"{backends[step % 2].name} /x")

        def one_route(step):
            value = route(f"r{probe}", host=host(probe), upstream_id=f"u{probe}")
            value["plugins"]["response-rewrite"]["headers"]["set"]["X-Step"] = f"s{step}"
            return (put(("routes", value)),
                    lambda status, body, headers: headers.get("X-Step") == f"s{step}")

        for what, make in [("upstream", one_upstream), ("route", one_route)]:
            runs = []
            for step in range(1, CHANGES + 1):
                objects, seen = make(step)
                runs.append(change(gateway, workers, objects, seen))
                # Not in step with anybody's timer.
                time.sleep(0.3 + step * 0.137 % 0.7)
            costs = [cost(gateway, workers, make(step)[0]) for step in (11, 12, 13)]
            latency, slowest = zip(*runs)
            print(f"| {count:,} | {name} | 1 {what} | {statistics.median(latency):.0f} ({max(latency):.0f}) | "
                  f"{statistics.median(slowest):.1f} ({max(slowest):.1f}) | {statistics.median(costs):.1f} |", flush=True)

        memory = statistics.mean(rss(worker) for worker in workers)
        agent = statistics.mean(rss(pid) for pid in gateway.processes("privileged agent"))
        # The workers of a reload load everything.
        old = gateway.workers()
        assert gateway.reload()
        assert wait(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in old), 30)
        load = statistics.mean(cpu(pid) for pid in gateway.workers())
        print(f"  {name}, {count:,}: first load {load:.0f} ms CPU a worker from its start, RSS of a worker {memory:.0f} MB, "
              f"of the agent {agent:.0f} MB, dictionary {used:.0f} bytes a route and upstream",
              flush=True)
    finally:
        gateway.close()


def main():
    backends = [Backend("a"), Backend("b")]
    print("| N | | change | latency ms, median (max) | slowest request ms | CPU ms a worker |\n"
          "| --- | --- | --- | --- | --- | --- |")
    for count in [int(arg) for arg in sys.argv[1:]] or [1000, 10000]:
        measure("config_xds", count, backends, stock=True)
        measure("Amesh, poll 50 ms", count, backends)
        measure("Amesh, woken", count, backends, wake=True)
        measure("Amesh, woken, its router", count, backends, wake=True, router="amesh")
    for backend in backends:
        backend.close()


if __name__ == "__main__":
    main()
