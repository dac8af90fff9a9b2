"""What a real Envoy does with hash policies, rings and tables: what `tests/hash_vectors.json` holds.

    AMESH_ENVOY=... python3 tests/real/test_hash.py            Envoy still chooses as the file says
    AMESH_ENVOY=... RECORD=1 python3 tests/real/test_hash.py   writes the file

With AMESH_APISIX_HOME a real APISIX with the package chooses the same; Envoy stands behind it as the endpoints.
`tests/balancer_hash_test.lua` wants the same choices of the package alone.
"""

import http.client
import json
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from gateway import HOME, Gateway, free_port, put  # noqa: E402

ENVOY = os.environ.get("AMESH_ENVOY")
FILE = pathlib.Path(__file__).resolve().parents[1] / "hash_vectors.json"
PORT = 28917
DEAD = 11
BY_KEY = [{"header": {"name": "x-key"}}]


def node(number, weight=1, **more):
    return {"host": f"127.7.0.{number}", "port": PORT, "weight": weight, **more}


def nodes(count, weights=(1,)):
    return [node(at + 1, weights[at % len(weights)]) for at in range(count)]


def keyed(draw, count=40):
    return [{"headers": [["x-key", f"{draw.getrandbits(80):x}"]]} for _ in range(count)]


def ring(name, members, minimum=1024, maximum=8388608, function="xx_hash", **more):
    return {"name": name, "type": "amesh_ring_hash", "key": f"{minimum} {maximum} {function}", "nodes": members, **more}


def maglev(name, members, size=65537, **more):
    return {"name": name, "type": "amesh_maglev", "key": f"{size}", "nodes": members, **more}


def policies(name, *list_of, requests):
    return maglev(name, nodes(10), policies=list(list_of), requests=requests)


def cases():
    draw = random.Random(1)
    made = []
    for count in (3, 5, 10):
        made.append(ring(f"a ring of {count}", nodes(count)))
        made.append(maglev(f"a table of {count}", nodes(count)))
    for weights in ((1, 2), (3, 7, 2), (5, 3), (100, 1, 33)):
        made.append(ring(f"a ring with weights {weights}", nodes(7, weights)))
        made.append(maglev(f"a table with weights {weights}", nodes(7, weights)))
    made.append(ring("a ring in another order", nodes(7, (3, 7, 2))[::-1]))
    made.append(maglev("a table in another order", nodes(7, (3, 7, 2))[::-1]))
    made.append(ring("a ring that lost an endpoint", nodes(5)[:2] + nodes(5)[3:]))
    made.append(maglev("a table that lost an endpoint", nodes(5)[:2] + nodes(5)[3:]))
    made.append(ring("a ring of MurmurHash", nodes(5), function="murmur_hash_2"))
    made.append(ring("a small ring", nodes(6), minimum=10, maximum=10))
    made.append(ring("a ring that is too small for all", nodes(10), minimum=1, maximum=4))
    made.append(ring("a large ring", nodes(3, (1, 2)), minimum=100000))
    made.append(maglev("a small table", nodes(4), size=7))
    named = [dict(one, hash_key=f"pod-{at}") for at, one in enumerate(nodes(5))]
    made.append(ring("a ring of keys in metadata", named))
    made.append(maglev("a table of keys in metadata", named))
    # Nobody listens at the eleventh address: what is hashed to it is tried again, once.
    for others in (None, 1, 5):
        for make in (ring, maglev):
            name = "a further try, " + ("for the same endpoint" if others is None else f"looking at {others} others")
            made.append(make(name, nodes(3) + [node(DEAD)], retry=True, **({"other_hosts": others} if others else {})))
    for case in made:
        # One list for the pairs with and without an endpoint, so that they can be compared.
        case["policies"] = BY_KEY
        again = "of 5" in case["name"] or "lost" in case["name"]
        case["requests"] = keyed(random.Random(2) if again else draw, 80 if "retry" in case else 40)

    def header(*lines, target="/"):
        return {"headers": [list(line) for line in lines], "target": target}

    values = [f"{draw.getrandbits(40):x}" for _ in range(12)]
    made.append(policies(
        "lines of a header", {"header": {"name": "x-a"}},
        requests=[header(("x-a", a), ("x-a", b)) for a, b in zip(values, values[1:])]
        + [header(("x-a", b), ("x-a", a)) for a, b in zip(values, values[1:])]
        + [header(("x-a", a), ("x-a", a)) for a in values]
        + [header(("X-A", "")), header(("x-a", "a, b"))],
    ))
    made.append(policies(
        "two policies", {"header": {"name": "x-a"}}, {"header": {"name": "x-b"}},
        requests=[header(("x-a", a), ("x-b", b)) for a, b in zip(values, values[1:])]
        + [header(("x-b", a)) for a in values] + [header(("x-a", a), ("x-b", a)) for a in values],
    ))
    made.append(policies(
        "a policy that ends the list", {"header": {"name": "x-a"}, "terminal": True}, {"header": {"name": "x-b"}},
        requests=[header(("x-a", a), ("x-b", b)) for a, b in zip(values, values[1:])]
        + [header(("x-b", a)) for a in values],
    ))
    made.append(policies(
        "a policy that ends the list without a hash of its own",
        {"header": {"name": "x-a"}}, {"header": {"name": "x-b"}, "terminal": True}, {"header": {"name": "x-c"}},
        requests=[header(("x-a", a), ("x-c", b)) for a, b in zip(values, values[1:])],
    ))
    made.append(policies(
        "parts of a header",
        {"header": {"name": "x-a", "regex": "([a-f]+)([0-9])", "put": r"\2-\1\\\0"}},
        requests=[header(("x-a", a)) for a in values],
    ))
    made.append(policies(
        "pseudo headers", {"header": {"name": ":path"}}, {"header": {"name": ":authority"}}, {"header": {"name": ":method"}},
        requests=[header(("host", a), target=f"/{b}?x=%20") for a, b in zip(values, values[1:])],
    ))
    made.append(policies(
        "query parameters", {"query": "u"},
        requests=[header(target=f"/p?{text}") for text in
                  [f"u={a}" for a in values] + [f"x=1&u={a}%41&u=2" for a in values]
                  + ["u", "u=", "u=a=b", "U=1&u=2", "&&u=3", "u=a+b", "x&u=7"]],
    ))
    made.append(policies("the client's address", {"source_ip": True}, requests=[header(), header(("x-a", "1"))]))
    made.append(policies(
        "cookies", {"cookie": {"name": "sess"}},
        requests=[header(("cookie", text)) for text in
                  [f"sess={a}" for a in values] + [f'a=b; sess="{a}"; sess=2' for a in values]
                  + ["sess2=1;sess=5", "a;  sess=7", "sess=a=b", 'sess="', "x=1;sess=8 ;y=1"]]
        + [header(("cookie", "a=1"), ("cookie", "sess=3"))],
    ))
    made.append(maglev("a cookie of a single endpoint", nodes(1), requests=[header()],
                       policies=[{"cookie": {"name": "sess", "ttl": 0, "path": "/"}}]))
    for name, cookie in (
        ("a cookie for a minute", {"name": "sess", "ttl": 60, "path": "/c"}),
        ("a cookie for a session", {"name": "sess", "ttl": 0}),
        ("a cookie with attributes", {"name": "sess", "ttl": 1, "attributes": [
            {"name": "SameSite", "value": "Strict"}, {"name": "Secure"}]}),
    ):
        made.append(policies(
            name, {"cookie": cookie},
            requests=[header() for _ in range(8)] + [header(("cookie", "sess=")), header(("cookie", "sess=1"))],
        ))
    return made


def policy(conf):
    """A policy of the plugin as Envoy's own."""
    made = {"terminal": conf.get("terminal", False)}
    if "header" in conf:
        made["header"] = {"header_name": conf["header"]["name"]}
        if "regex" in conf["header"]:
            made["header"]["regex_rewrite"] = {
                "pattern": {"regex": conf["header"]["regex"]}, "substitution": conf["header"]["put"],
            }
    elif "cookie" in conf:
        made["cookie"] = {key: value for key, value in conf["cookie"].items() if key != "ttl"}
        if "ttl" in conf["cookie"]:
            made["cookie"]["ttl"] = f"{conf['cookie']['ttl']}s"
    elif "query" in conf:
        made["query_parameter"] = {"name": conf["query"]}
    else:
        made["connection_properties"] = {"source_ip": True}
    return made


def retry_policy(case):
    made = {"retry_on": "connect-failure", "num_retries": 1}
    if "other_hosts" in case:
        made["host_selection_retry_max_attempts"] = case["other_hosts"]
        made["retry_host_predicate"] = [{"name": "previous", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"}}]
    return made


def plugins(case):
    """The route as the library writes it."""
    made = {"amesh-hash": {"policies": case["policies"]}}
    if "other_hosts" in case:
        made["amesh-hash"]["other_hosts"] = case["other_hosts"]
    if "retry" in case:
        made["amesh-retry"] = {"retry": {"on": ["connect"], "times": 1}}
    return made


def cluster(number, case):
    made = {"name": f"c{number}", "type": "STATIC", "connect_timeout": "1s"}
    if case["type"] == "amesh_ring_hash":
        minimum, maximum, function = case["key"].split()
        made["lb_policy"] = "RING_HASH"
        made["ring_hash_lb_config"] = {
            "minimum_ring_size": int(minimum), "maximum_ring_size": int(maximum), "hash_function": function.upper(),
        }
    else:
        made["lb_policy"] = "MAGLEV"
        made["maglev_lb_config"] = {"table_size": int(case["key"])}
    made["load_assignment"] = {"cluster_name": made["name"], "endpoints": [{"lb_endpoints": [
        {
            "endpoint": {"address": {"socket_address": {"address": one["host"], "port_value": one["port"]}}},
            "load_balancing_weight": one["weight"],
            **({"metadata": {"filter_metadata": {"envoy.lb": {"hash_key": one["hash_key"]}}}} if "hash_key" in one else {}),
        }
        for one in case["nodes"]
    ]}]}
    return made


def upstream(number, case):
    """The cluster as the library writes it."""
    return {
        "id": f"c{number}", "type": case["type"], "key": case["key"],
        "nodes": [
            {"host": one["host"], "port": one["port"], "weight": one["weight"], "priority": 0,
             **({"metadata": {"hash_key": one["hash_key"]}} if "hash_key" in one else {})}
            for one in case["nodes"]
        ],
    }


def manager(name, routes):
    return {"filters": [{"name": "http", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "use_remote_address": True,
        "http_filters": [{"name": "router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}],
            "response_headers_to_add": [] if name == "front" else [
                {"header": {"key": "x-node", "value": "%DOWNSTREAM_LOCAL_ADDRESS%"}}],
        },
    }}]}


def address(host, port):
    return {"socket_address": {"address": host, "port_value": port}}


def bootstrap(port, given):
    routes = [
        {
            "match": {"prefix": "/", "headers": [{"name": "x-case", "string_match": {"exact": str(number)}}]},
            "route": {
                "cluster": f"c{number}", "hash_policy": [policy(one) for one in case["policies"]],
                **({"retry_policy": retry_policy(case)} if "retry" in case else {}),
            },
        }
        for number, case in enumerate(given)
    ]
    backends = [address(f"127.7.0.{number}", PORT) for number in range(1, 11)]
    return {"static_resources": {
        "listeners": [
            {"name": "front", "address": address("127.0.0.1", port), "filter_chains": [manager("front", routes)]},
            {
                "name": "back", "address": backends[0],
                "additional_addresses": [{"address": one} for one in backends[1:]],
                "filter_chains": [manager("back", [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}])],
            },
        ],
        "clusters": [cluster(number, case) for number, case in enumerate(given)],
    }}


def ask(port, number, request):
    """The address of the chosen node, the cookie that was set, and the client's address."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.connect()
    client = "%s:%d" % connection.sock.getsockname()
    names = [name.lower() for name, _ in request["headers"]]
    connection.putrequest("GET", request.get("target", "/"), skip_host="host" in names, skip_accept_encoding=True)
    connection.putheader("x-case", str(number))
    for name, value in request["headers"]:
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.getheader("x-node"), response.getheader("set-cookie"), client


class Envoy:
    """An Envoy that serves the cases, and the endpoints of all of them."""

    def __init__(self, given):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self.folder.name)
        (folder / "envoy.json").write_text(json.dumps(bootstrap(self.port, given)))
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                [ENVOY, "-c", str(folder / "envoy.json"), "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"],
                stdout=log, stderr=log)
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.1)
        said = (folder / "log").read_text()
        self.close()
        raise AssertionError(said)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


def places(case):
    # No address: no endpoint answered.
    return {None: 0, **{f"{one['host']}:{one['port']}": at for at, one in enumerate(case["nodes"], 1)}}


def choices(given):
    """The cases, each request with what Envoy did."""
    envoy = Envoy(given)
    try:
        for number, case in enumerate(given):
            for request in case["requests"]:
                node_address, cookie, client = ask(envoy.port, number, request)
                request["node"] = places(case)[node_address]
                if cookie:
                    request.update(cookie=cookie, client=client, server=f"127.0.0.1:{envoy.port}")
    finally:
        envoy.close()
    return given


def text(given):
    """JSON with a line for each node, policy and request."""
    made = []
    for case in given:
        parts = [f'"{key}": {json.dumps(case[key])}' for key in ("name", "type", "key", "retry", "other_hosts") if key in case]
        for key in ("nodes", "policies", "requests"):
            parts.append(f'"{key}": [\n' + ",\n".join("  " + json.dumps(one) for one in case[key]) + "]")
        made.append("{" + ",\n ".join(parts) + "}")
    return "[\n" + ",\n".join(made) + "]\n"


@unittest.skipUnless(ENVOY, "AMESH_ENVOY names no Envoy")
class Hash(unittest.TestCase):
    def test_envoy_chooses_as_recorded(self):
        given = choices(cases())
        if os.environ.get("RECORD"):
            FILE.write_text(text(given))
        recorded = FILE.read_text().splitlines()
        # The cookie is made from the addresses of the connection, which differ.
        fresh = [line for line in text(given).splitlines() if '"client": ' not in line]
        known = [line for line in recorded if '"client": ' not in line]
        self.assertEqual(fresh, known)
        self.assertGreater(len(fresh), 1000)

    @unittest.skipUnless(HOME, "AMESH_APISIX_HOME names no APISIX")
    def test_apisix_chooses_as_recorded(self):
        given = json.loads(FILE.read_text())
        envoy, gateway = Envoy(given), Gateway()
        self.addCleanup(envoy.close)
        self.addCleanup(gateway.close)
        version = gateway.publish(put(*(
            one for number, case in enumerate(given) for one in (("upstreams", upstream(number, case)), ("routes", {
                "id": f"r{number}", "uri": "/*", "upstream_id": f"c{number}", "vars": [["http_x_case", "==", str(number)]],
                "plugins": plugins(case),
            })))))
        self.assertTrue(gateway.wait_applied(version), gateway.reports())
        cookies = 0
        for number, case in enumerate(given):
            for request in case["requests"]:
                chosen, cookie, _ = ask(gateway.port, number, request)
                with self.subTest(case["name"], **request):
                    if "cookie" not in request:
                        self.assertIsNone(cookie)
                        self.assertEqual(places(case)[chosen], request["node"])
                        continue
                    # Made from the connection, so another one. With it Envoy goes where APISIX went.
                    other = re.compile(r'"[0-9a-f]{16}"')
                    self.assertEqual(other.sub("", cookie), other.sub("", request["cookie"]))
                    sent = {"headers": [["cookie", cookie.split(";")[0]]]}
                    self.assertEqual(ask(envoy.port, number, sent)[:2], (chosen, None))
                    self.assertEqual(ask(gateway.port, number, sent)[:2], (chosen, None))
                    cookies += 1
        self.assertGreater(cookies, 20)
        # That the library is not there, and that nobody listens, is no news.
        errors = [line for line in gateway.log().splitlines() if "[error]" in line
                  and "libxds.so" not in line and f"127.7.0.{DEAD}" not in line]
        self.assertEqual(errors, [])


if __name__ == "__main__":
    unittest.main()
