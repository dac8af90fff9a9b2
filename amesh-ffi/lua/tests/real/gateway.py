"""A real APISIX whose dictionaries a test writes, and what it takes to ask it."""

import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time

LUA = pathlib.Path(__file__).resolve().parents[2]
HOME = os.environ.get("AMESH_APISIX_HOME")

# Dictionaries of both subsystems. There is no setting for them; the value of another one is written as it stands.
DICTIONARIES = "1m; lua_shared_dict xds-config {size}; lua_shared_dict xds-config-version 4m"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def ask(port, path="/", host=None, method="GET", body=None, timeout=10):
    """Status, body and headers of a request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers={"Host": host} if host else {})
        response = connection.getresponse()
        return response.status, response.read().decode(), dict(response.getheaders())
    finally:
        connection.close()


class Bell:
    """A socket that gives each connection a byte for each publish, as the library does."""

    def __init__(self, path):
        self.path = path
        self.waiting = []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        os.chmod(path, 0o666)
        self.listener.listen(64)
        threading.Thread(target=self.take, daemon=True).start()

    def take(self):
        while True:
            try:
                self.waiting.append(self.listener.accept()[0])
            except OSError:
                return

    def ring(self):
        for connection in list(self.waiting):
            try:
                connection.send(b"\n")
            except OSError:
                self.waiting.remove(connection)

    def close(self):
        # A thread that is in accept() keeps the socket alive; shutting it down ends that.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)
        for connection in self.waiting:
            connection.close()


class Backend:
    """An upstream that answers its name and the path."""

    def __init__(self, name):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body in one packet: nobody waits for an acknowledgement.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_GET(self):
                outer.asked(self.path)
                body = f"{outer.name} {self.path}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                self.wfile.flush()

            def log_message(self, *args):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *args):
                """A worker that is killed, or a client that leaves, is what tests do."""

        self.name = name
        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def asked(self, path):
        """What happens before an answer."""

    def close(self):
        self.server.shutdown()
        self.server.server_close()


class Gateway:
    """An APISIX. `stock` has its own config_xds read the dictionaries, otherwise Amesh's package does."""

    def __init__(self, stock=False, workers=2, wake=False, size="64m", stream=False, router=None, attr=None, plugins=(),
                 hook=None, dictionaries=None):
        self.directory = tempfile.mkdtemp(prefix="amesh-gw-", dir="/tmp")
        self.port, self.control, self.status, self.tcp = (free_port() for _ in range(4))
        self.bell = Bell(os.path.join(self.directory, "wake")) if wake else None
        attr = dict(attr or {})
        if self.bell:
            attr["wake_socket"] = self.bell.path
        config = {
            "deployment": {
                "role": "data_plane",
                "role_data_plane": {"config_provider": "xds" if stock else "yaml"},
            },
            "apisix": {
                "extra_lua_path": f"{LUA}/?.lua;{LUA}/tests/?.lua",
                "lua_module_hook": hook or ("seed" if stock else "amesh.hook"),
            },
            "plugins": ["amesh-writer", "response-rewrite", "proxy-rewrite", "fault-injection", "limit-count",
                        *plugins, *([] if stock else ["amesh-status"])],
            "stream_plugins": ["ip-restriction"],
            "plugin_attr": {"amesh": attr},
            "nginx_config": {
                "worker_processes": workers,
                "http": {"enable_access_log": False, "custom_lua_shared_dict": dictionaries or {}},
                "meta": {"lua_shared_dict": {"status-report": DICTIONARIES.format(size=size)}},
                "event": {"worker_connections": 4096},
            },
        }
        if stream:
            config["apisix"]["proxy_mode"] = "http&stream"
            config["apisix"]["stream_proxy"] = {"tcp": [f"127.0.0.1:{self.tcp}"]}
        if router:
            config["apisix"]["router"] = {"http": router}
        conf = pathlib.Path(self.directory, "conf")
        conf.mkdir()
        # JSON is YAML.
        (conf / "config.yaml").write_text(json.dumps(config))
        try:
            self.start()
        except RuntimeError:
            self.close()
            raise

    def start(self):
        env = dict(os.environ, CONTROL_PORT=str(self.control), STATUS_PORT=str(self.status))
        run = subprocess.run([f"{HOME}/run-standalone.sh", self.directory, str(self.port)], env=env,
                             capture_output=True, text=True)
        if run.returncode != 0:
            raise RuntimeError(run.stdout + run.stderr)
        self.master = int(pathlib.Path(self.directory, "logs/nginx.pid").read_text())

    def stop(self):
        subprocess.run([f"{HOME}/stop-standalone.sh", self.directory], capture_output=True)

    def close(self):
        self.stop()
        if self.bell:
            self.bell.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self):
        return pathlib.Path(self.directory, "logs/error.log").read_text()

    def processes(self, title):
        """The children of the master whose title has this in it."""
        found = []
        for pid in subprocess.run(["pgrep", "-P", str(self.master)], capture_output=True, text=True).stdout.split():
            try:
                if title in pathlib.Path(f"/proc/{pid}/cmdline").read_text():
                    found.append(int(pid))
            except OSError:
                pass
        return found

    def workers(self):
        return [pid for pid in self.processes("worker process") if pid not in self.processes("shutting down")]

    def publish(self, put=(), delete=(), everything=False):
        """Publishes objects (or texts) by key, and returns the version."""
        texts = [[key, value if isinstance(value, str) else json.dumps(value)] for key, value in put]
        body = json.dumps({"put": texts, "delete": list(delete), "everything": everything})
        if len(body) > 4000:
            path = os.path.join(self.directory, "publish.json")
            pathlib.Path(path).write_text(body)
            body = json.dumps({"file": path})
        status, answer, _ = ask(self.control, "/v1/plugin/amesh-writer", method="POST", body=body, timeout=60)
        if status != 200:
            raise RuntimeError(answer)
        version, self.capacity, self.free = map(int, answer.split())
        if self.bell:
            self.bell.ring()
        return version

    def version(self):
        """Of APISIX, as it says: `(3, 18)`."""
        name = ask(self.port)[2]["Server"]
        return tuple(int(part) for part in re.search(r"APISIX/(\d+)\.(\d+)", name).groups())

    def reports(self):
        """What each worker says of itself."""
        return json.loads(ask(self.control, "/v1/plugin/amesh-status")[1])["workers"]

    def wait_applied(self, version, seconds=10):
        """Until every worker has applied a version. True if they have."""
        def applied():
            reports = self.reports()
            # A process that was forked just now has no title of its own yet.
            return {report["pid"] for report in reports} == set(self.workers()) and all(
                report.get("version") == version for report in reports)

        return wait(applied, seconds)

    def ready(self):
        return ask(self.status, "/status/ready")[0]

    def reload(self):
        """Returns when the workers are new ones."""
        before = set(self.workers())
        os.kill(self.master, signal.SIGHUP)
        return wait(lambda: len(self.workers()) >= len(before) and not before & set(self.workers()), 10)


def wait(condition, seconds=5, step=0.02):
    """Until something holds. True if it does."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if condition():
                return True
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(step)
    return False


def upstream(name, *backends):
    return {"id": name, "type": "roundrobin",
            "nodes": [{"host": "127.0.0.1", "port": port, "weight": 1} for port in backends]}


def route(name, **fields):
    """A route whose answers say which worker gave them."""
    plugins = {"response-rewrite": {"headers": {"set": {"X-Worker": "$pid"}}}}
    plugins.update(fields.pop("plugins", {}))
    return {"id": name, "uri": "/*", "plugins": plugins, **fields}


def put(*objects):
    """Keys and objects of a publish: `("routes", route(..))`."""
    return [(f"/{kind}/{re.sub('.*/', '', value['id'])}", value) for kind, value in objects]
