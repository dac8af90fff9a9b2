"""Requests a second through a real APISIX with each balancer, Amesh's beside APISIX's own.

    AMESH_APISIX_HOME=... python3 tests/real/balancer_speed.py [SECONDS]

One worker; all nodes are one nginx, which answers at every address of the loopback network. The balancers take turns, and
the best of three turns counts; beside it stands the processor time of the worker for a request. `wrk` must be installed.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from gateway import HOME, Gateway, free_port, put, wait  # noqa: E402

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 3
HASH = {"amesh-hash": {"policies": [{"header": {"name": "x-key"}}]}}
KINDS = [
    ("roundrobin", {"type": "roundrobin"}, {}),
    ("least_conn", {"type": "least_conn"}, {}),
    ("chash", {"type": "chash", "hash_on": "header", "key": "x-key"}, {}),
    ("amesh_ring_hash", {"type": "amesh_ring_hash", "key": "1024 8388608 xx_hash"}, HASH),
    ("amesh_maglev", {"type": "amesh_maglev", "key": "65537"}, HASH),
    ("amesh_random", {"type": "amesh_random"}, {}),
    ("amesh_least_request", {"type": "amesh_least_request", "key": "2 1"}, {}),
]
# A key of its own for each request.
SCRIPT = """
function request()
    return wrk.format(nil, nil, {["X-Kind"] = KIND, ["X-Key"] = tostring(math.random(0, 2 ^ 50))})
end
"""


class Nginx:
    def __init__(self):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory()
        conf = pathlib.Path(self.folder.name, "nginx.conf")
        conf.write_text(f"""
            daemon off; worker_processes 1; error_log {self.folder.name}/error.log; pid {self.folder.name}/pid;
            events {{ worker_connections 4096; }}
            http {{ access_log off; keepalive_requests 1000000;
                    server {{ listen {self.port}; return 200 "ok"; }} }}
        """)
        self.process = subprocess.Popen([f"{HOME}/openresty/nginx/sbin/nginx", "-p", self.folder.name,
                                         "-e", f"{self.folder.name}/error.log", "-c", str(conf)])

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def processor(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def turn(gateway, name, script):
    pathlib.Path(script).write_text(f'KIND = "{name}"\n' + SCRIPT)
    worker = gateway.workers()[0]
    before = processor(worker)
    said = subprocess.run(["wrk", "-t1", "-c16", f"-d{SECONDS}s", "-s", script, f"http://127.0.0.1:{gateway.port}/"],
                          capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said + gateway.log()[-2000:])
    requests = int(re.search(r"(\d+) requests in", said).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said).group(1))
    return rate, (processor(worker) - before) / requests * 1e6


def main():
    if not HOME:
        print("SKIPPED: AMESH_APISIX_HOME is not set")
        return
    nginx = Nginx()
    gateway = Gateway(workers=1)
    try:
        for count in (10, 100):
            nodes = [{"host": f"127.9.0.{at}", "port": nginx.port, "weight": 1, "priority": 0} for at in range(1, count + 1)]
            version = gateway.publish(put(*(
                one for name, fields, plugins in KINDS for one in (
                    ("upstreams", {"id": f"u-{name}", "nodes": nodes, "retries": 0, **fields}),
                    ("routes", {"id": f"r-{name}", "uri": "/*", "upstream_id": f"u-{name}", "plugins": plugins,
                                "vars": [["http_x_kind", "==", name]]}),
                ))))
            if not wait(lambda: gateway.wait_applied(version)):
                raise RuntimeError(gateway.reports())
            turns = {name: [] for name, _, _ in KINDS}
            for _ in range(3):
                for name, found in turns.items():
                    found.append(turn(gateway, name, f"{nginx.folder.name}/wrk.lua"))
            for name, found in turns.items():
                print(f"{count:4} nodes  {name:20} {max(rate for rate, _ in found):8.0f} requests/s  "
                      f"{min(cost for _, cost in found):6.1f} us", flush=True)
    finally:
        gateway.close()
        nginx.close()


if __name__ == "__main__":
    main()
