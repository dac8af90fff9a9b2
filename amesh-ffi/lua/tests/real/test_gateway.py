"""The Lua package in a real APISIX: `AMESH_APISIX_HOME=... python3 amesh-ffi/lua/tests/real/test_gateway.py`.

A plugin of the tests stands in for the library and writes the dictionaries as docs/dictionary.md says.
"""

import json
import os
import pathlib
import signal
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from gateway import HOME, Backend, Gateway, ask, put, route, upstream, wait  # noqa: E402


def setUpModule():
    if not HOME:
        raise unittest.SkipTest("AMESH_APISIX_HOME is not set")


class Test(unittest.TestCase):
    options = {}

    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(**cls.options)
        cls.addClassCleanup(cls.gateway.close)
        cls.one, cls.two = Backend("one"), Backend("two")
        cls.addClassCleanup(cls.one.close)
        cls.addClassCleanup(cls.two.close)

    def publish(self, *args, **options):
        version = self.gateway.publish(*args, **options)
        self.assertTrue(self.gateway.wait_applied(version), self.gateway.reports())
        return version

    def answers(self, path="/x", host=None, count=30):
        """The answers of many connections, and the workers that gave them."""
        answers, workers = set(), set()
        for _ in range(count):
            status, body, headers = ask(self.gateway.port, path, host)
            answers.add((status, body))
            workers.add(headers.get("X-Worker"))
        return answers, workers

    def all_answer(self, want, workers=2, **request):
        answers, seen = self.answers(**request)
        self.assertEqual(answers, {want})
        self.assertEqual(len(seen), workers, "some worker was not asked")


class Life(Test):
    """From an empty dictionary on, with two workers and wake-ups."""

    options = {"wake": True}

    def test(self):
        gateway = self.gateway
        with self.subTest("nothing is published: not ready, and everything is 503"):
            self.assertEqual(gateway.ready(), 503)
            answers, _ = self.answers()
            self.assertEqual({status for status, _ in answers}, {503})

        with self.subTest("without the library it is said what is missing"):
            self.assertIn("libxds.so is in none of these places", gateway.log())

        with self.subTest("the first version is served by both workers"):
            self.publish(put(("upstreams", upstream("u", self.one.port)), ("routes", route("r", upstream_id="u"))))
            self.assertTrue(wait(lambda: gateway.ready() == 200))
            self.all_answer((200, "one /x"))

        with self.subTest("a change of one upstream is seen by both, and by no route"):
            before = {report["pid"]: report for report in gateway.reports()}
            self.publish(put(("upstreams", upstream("u", self.two.port))))
            self.all_answer((200, "two /x"))
            self.assertEqual(set(before), {report["pid"] for report in gateway.reports()})

        with self.subTest("an invalid object keeps its previous version, and is named"):
            self.publish([("/upstreams/u", "{"), *put(("routes", {**route("r", upstream_id="u"), "nonsense": 1}))])
            self.all_answer((200, "two /x"))
            for report in gateway.reports():
                self.assertEqual([entry["key"] for entry in report["rejected"]], ["/routes/r", "/upstreams/u"])

        with self.subTest("an unknown plugin keeps the previous version"):
            self.publish(put(("upstreams", upstream("u", self.one.port)),
                             ("routes", route("r", upstream_id="u", plugins={"no-such-plugin": {}}))))
            self.all_answer((200, "one /x"))
            self.assertIn("unknown plugin [no-such-plugin]", gateway.log())

        with self.subTest("a new object that is invalid is not served"):
            self.publish(put(("routes", route("n", uri="/new", upstream_id="u", priority=1,
                                              plugins={"no-such-plugin": {}}))))
            self.all_answer((200, "one /new"), path="/new")

        with self.subTest("what is repaired is served, and nothing is refused any more"):
            self.publish(put(("routes", route("r", upstream_id="u", uri="/y"))), delete=["/routes/n"])
            self.assertEqual({status for status, _ in self.answers()[0]}, {404})
            self.all_answer((200, "one /y"), path="/y")
            self.assertEqual([report["rejected_count"] for report in gateway.reports()], [0, 0])

        with self.subTest("a worker that is killed is replaced by one that serves"):
            self.publish(put(("routes", route("r", upstream_id="u"))))
            victim = gateway.workers()[0]
            os.kill(victim, signal.SIGKILL)
            self.assertTrue(wait(lambda: len(gateway.workers()) == 2 and victim not in gateway.workers()))
            self.assertTrue(wait(lambda: gateway.ready() == 200))
            self.all_answer((200, "one /x"))

        with self.subTest("the privileged agent is killed: nobody notices"):
            victim = gateway.processes("privileged agent")[0]
            os.kill(victim, signal.SIGKILL)
            self.all_answer((200, "one /x"))
            self.assertTrue(wait(lambda: gateway.processes("privileged agent") not in ([], [victim])))
            self.publish(put(("upstreams", upstream("u", self.two.port))))
            self.all_answer((200, "two /x"))

        with self.subTest("a reload loses no request, and the new workers are in step"):
            failures, stop = [], threading.Event()

            def load():
                while not stop.is_set():
                    try:
                        status, body, _ = ask(gateway.port, "/x")
                        if (status, body) != (200, "two /x"):
                            failures.append((status, body))
                    except OSError as error:
                        failures.append(error)

            threads = [threading.Thread(target=load) for _ in range(4)]
            for thread in threads:
                thread.start()
            old = gateway.workers()
            self.assertTrue(gateway.reload())
            self.assertTrue(wait(lambda: gateway.ready() == 200))
            self.assertTrue(wait(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in old), 10),
                            "old workers stay")
            stop.set()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])
            self.publish(put(("upstreams", upstream("u", self.one.port))))
            self.all_answer((200, "one /x"))

        with self.subTest("wake-ups are lost: the version is looked at"):
            self.gateway.bell.close()
            try:
                started = time.monotonic()
                self.publish(put(("upstreams", upstream("u", self.two.port))))
                self.assertLess(time.monotonic() - started, 2)
                self.all_answer((200, "two /x"))
            finally:
                self.gateway.bell = None

        with self.subTest("the control API: status and metrics"):
            status, text, headers = ask(gateway.control, "/v1/plugin/amesh-status/metrics")
            self.assertEqual(status, 200)
            self.assertIn("text/plain", headers["Content-Type"])
            self.assertIn('amesh_worker_objects{subsystem="http",worker="0",kind="routes"} 1', text)
            self.assertIn("amesh_up 0", text)
            status, text, headers = ask(gateway.control, "/v1/plugin/amesh-status")
            self.assertEqual(headers["Content-Type"], "application/json")
            self.assertEqual(json.loads(text)["library_error"], "the library has not written a status")

        with self.subTest("the privileged agent keeps no routes"):
            self.assertNotIn("a round failed", gateway.log())
            self.assertNotIn("cannot be read", gateway.log())


class Kinds(Test):
    """What the other kinds need, in one worker, without wake-ups."""

    options = {"workers": 1, "plugins": ["key-auth"]}

    def test(self):
        version = self.gateway.version()
        consumers = [("/consumers/jack", {"username": "jack"}),
                     ("/consumers/jack/credentials/c", {"id": "c", "plugins": {"key-auth": {"key": "secret"}}})]
        self.publish(put(
            ("upstreams", upstream("u", self.one.port)),
            ("services", {"id": "s", "upstream_id": "u", "hosts": [
                # Hosts of services are compared as they are written before 3.18.
                "Service.example" if version >= (3, 18) else "service.example"]}),
            ("plugin_configs", {"id": "p", "plugins": {"proxy-rewrite": {"uri": "/rewritten"}}}),
            ("global_rules", {"id": "g", "plugins": {"response-rewrite": {"headers": {"set": {"X-Global": "yes"}}}}}),
            ("plugin_metadata", {"id": "limit-count", "limit_header": "X-Limit"}),
            ("routes", {"id": "svc", "uri": "/svc", "service_id": "s"}),
            ("routes", {"id": "pc", "uri": "/pc", "upstream_id": "u", "plugin_config_id": "p"}),
            ("routes", {"id": "auth", "uri": "/auth", "upstream_id": "u", "plugins": {"key-auth": {}}}),
            ("routes", {"id": "lim", "uri": "/lim", "upstream_id": "u", "plugins": {
                "limit-count": {"count": 2, "time_window": 60, "key": "constant", "key_type": "constant"}}}),
        ) + consumers)
        rejected = [entry["key"] for entry in self.gateway.reports()[0]["rejected"]]
        # The schema of 3.16 does not know the id that a credential has.
        self.assertEqual(rejected, [] if version >= (3, 17) else ["/consumers/jack/credentials/c"])

        with self.subTest("a service with its hosts"):
            self.assertEqual(ask(self.gateway.port, "/svc", "service.example")[:2], (200, "one /svc"))
            self.assertEqual(ask(self.gateway.port, "/svc", "other.example")[0], 404)
        with self.subTest("plugin configs and global rules"):
            status, body, headers = ask(self.gateway.port, "/pc")
            self.assertEqual((status, body, headers.get("X-Global")), (200, "one /rewritten", "yes"))
        with self.subTest("a credential is checked as one"):
            self.assertEqual(ask(self.gateway.port, "/auth")[0], 401)
            self.assertEqual(ask(self.gateway.port, "/auth?apikey=secret")[0], 401 if rejected else 200)
        with self.subTest("metadata of a plugin, and a limit that holds while others change"):
            statuses = []
            for round_ in range(4):
                statuses.append(ask(self.gateway.port, "/lim")[0])
                self.publish(put(("upstreams", upstream("other", 1000 + round_))))
            self.assertEqual(statuses, [200, 200, 503, 503])


class Versions(Test):
    """An unchanged object has the same version in each worker, whatever the worker has seen before."""

    def test(self):
        self.publish(put(("upstreams", upstream("u", self.one.port)), ("routes", route("r", upstream_id="u"))))
        victim = self.gateway.workers()[0]
        os.kill(victim, signal.SIGKILL)
        self.assertTrue(wait(lambda: len(self.gateway.workers()) == 2 and victim not in self.gateway.workers()))
        for port in (1000, 1001):
            self.publish(put(("upstreams", upstream("other", port))))

        def versions(path):
            return {json.loads(ask(self.gateway.control, path)[1])["modifiedIndex"] for _ in range(40)}

        self.assertEqual(len(versions("/v1/route/r")), 1)
        before = versions("/v1/upstream/u")
        self.publish(put(("upstreams", upstream("u", self.two.port))))
        after = versions("/v1/upstream/u")
        self.assertEqual((len(before), len(after)), (1, 1))
        self.assertNotEqual(before, after)


class Plugins(Test):
    """The list of plugins is config.yaml's until the dictionary has one."""

    options = {"workers": 1}

    def test(self):
        self.publish(put(("upstreams", upstream("u", self.one.port)),
                         ("routes", route("r", upstream_id="u", plugins={"uri-blocker": {"block_rules": ["blocked"]}}))))
        self.assertEqual([entry["key"] for entry in self.gateway.reports()[0]["rejected"]], ["/routes/r"])
        names = ["amesh-writer", "amesh-status", "response-rewrite", "uri-blocker"]
        self.publish([("/plugins", json.dumps([{"name": name} for name in names]))])
        self.assertEqual(self.gateway.reports()[0]["rejected_count"], 0)
        self.assertEqual(ask(self.gateway.port, "/x")[:2], (200, "one /x"))
        self.assertEqual(ask(self.gateway.port, "/blocked")[0], 403)


class Stream(Test):
    """The stream subsystem follows the same dictionary."""

    options = {"stream": True}

    def test(self):
        gateway = self.gateway
        self.assertEqual(gateway.ready(), 503)
        stream = {"id": "t", "server_port": gateway.tcp, "upstream_id": "u"}
        self.publish(put(("upstreams", upstream("u", self.one.port)), ("routes", route("r", upstream_id="u")),
                         ("stream_routes", stream)))
        self.assertTrue(wait(lambda: gateway.ready() == 200))
        self.assertEqual({report["subsystem"] for report in gateway.reports()}, {"http", "stream"})

        def tcp():
            return {ask(gateway.tcp, "/tcp")[1] for _ in range(20)}

        self.assertEqual(tcp(), {"one /tcp"})
        self.publish(put(("upstreams", upstream("u", self.two.port))))
        self.assertEqual(tcp(), {"two /tcp"})
        self.all_answer((200, "two /x"))
        self.publish(put(("stream_routes", {**stream, "plugins": {"no-such-plugin": {}}})))
        self.assertEqual(tcp(), {"two /tcp"}, "the previous version stays")
        self.publish(delete=["/stream_routes/t"])
        with self.assertRaises(Exception):
            ask(gateway.tcp, "/tcp")


class Wrong(unittest.TestCase):
    """Settings that cannot work stop APISIX, with the reason."""

    def fails(self, want, **options):
        with self.assertRaises(RuntimeError) as caught:
            Gateway(**options).close()
        self.assertIn(want, str(caught.exception))

    def test_setting(self):
        self.fails("plugin_attr.amesh.poll_interval must be a number", attr={"poll_interval": "often"})

    def test_dictionary(self):
        self.fails("there is no shared dictionary elsewhere in the http subsystem", attr={"config_dict": "elsewhere"})

    def test_provider(self):
        self.fails("amesh: deployment.config_provider is xds: set deployment.role", stock=True, hook="amesh.hook")

    def test_library(self):
        gateway = Gateway(workers=1, attr={"library": "/dev/null"})
        try:
            self.assertIn("/dev/null cannot be loaded", gateway.log())
            self.assertEqual(ask(gateway.port)[0], 503, "the gateway lives")
        finally:
            gateway.close()


class Stock(unittest.TestCase):
    """APISIX's own config_xds reads the same dictionaries and answers the same."""

    def test(self):
        backends = [Backend(f"b{number}") for number in range(4)]
        gateways = [Gateway(), Gateway(stock=True)]
        for closer in [*backends, *gateways]:
            self.addCleanup(closer.close)
        ports = [backend.port for backend in backends]
        hosts = ["a.example", "b.example", "*.c.example"]

        def routes(step):
            for number in range(24):
                yield ("routes", {
                    "id": f"r{number}", "hosts": [hosts[number % 3]], "uri": "/*", "priority": 100 - number,
                    "vars": [["uri", "~~", f"^/p{(number + step) % 9}"]], "upstream_id": f"u{(number + step) % 4}",
                })
            for number, host in enumerate(hosts):
                yield ("routes", {"id": f"guard{number}", "hosts": [host], "uri": "/*", "priority": 0,
                                  "plugins": {"fault-injection": {"abort": {"http_status": 404, "body": host}}}})

        steps = [
            (put(*[("upstreams", upstream(f"u{n}", ports[n])) for n in range(4)], *routes(0)), []),
            (put(("upstreams", upstream("u0", ports[3]))), []),
            (put(*routes(1)), ["/routes/r5", "/routes/r7", "/routes/guard1"]),
            (put(*routes(2), ("upstreams", upstream("u1", ports[2]))), []),
            ([], [f"/routes/r{number}" for number in range(12)]),
        ]
        requests = [(f"/p{path}", host) for path in range(10)
                    for host in ["a.example", "b.example", "x.c.example", "c.example", "other.example"]]

        def answers(gateway):
            return {request: ask(gateway.port, *request)[:2] for request in requests}

        for number, (objects, delete) in enumerate(steps):
            ours = gateways[0].publish(objects, delete)
            gateways[1].publish(objects, delete)
            self.assertTrue(gateways[0].wait_applied(ours))
            got = answers(gateways[0])
            self.assertGreater(len(set(got.values())), 4)
            # Stock says nowhere what it has applied: it has to come to the same, and to stay there.
            self.assertTrue(wait(lambda: answers(gateways[1]) == got, 10, 0.3), f"step {number}")
            self.assertEqual(answers(gateways[1]), got, f"step {number}")


class Counting(unittest.TextTestResult):
    """Counts what passed too."""

    passed = 0

    def addSuccess(self, test):
        super().addSuccess(test)
        self.passed += 1


if __name__ == "__main__":
    result = unittest.main(exit=False, testRunner=unittest.TextTestRunner(verbosity=2, resultclass=Counting)).result
    failed = len(result.failures) + len(result.errors)
    print(f"{result.passed} passed, {failed} failed, {len(result.skipped)} skipped")
    sys.exit(failed != 0)
