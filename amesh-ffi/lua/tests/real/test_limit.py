"""Limits of clusters in a real APISIX: `AMESH_APISIX_HOME=... python3 amesh-ffi/lua/tests/real/test_limit.py`.

What is counted ends with what it was counted for, however that ends. That the counts are Envoy's is shown by
`amesh-core/tests/differential/limits.rs`.
"""

import os
import pathlib
import signal
import socket
import sys
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from gateway import HOME, Backend, Gateway, ask, put, route, upstream, wait  # noqa: E402

OVERFLOW = "upstream connect error or disconnect/reset before headers. reset reason: overflow"


def setUpModule():
    if not HOME:
        raise unittest.SkipTest("AMESH_APISIX_HOME is not set")


class Held(Backend):
    """An upstream that keeps requests for /held until it is told."""

    def __init__(self, name):
        self.go = threading.Event()
        self.held = 0
        super().__init__(name)

    def asked(self, path):
        if path.startswith("/held"):
            self.held += 1
            self.go.wait(20)

    def release(self):
        """Lets all go, and keeps those that come from now on."""
        before, self.go, self.held = self.go, threading.Event(), 0
        before.set()


class Limits(unittest.TestCase):
    options = {"dictionaries": {"amesh-limits": "1m"}}

    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(wake=True, router="amesh", **cls.options)
        cls.addClassCleanup(cls.gateway.close)

    def setUp(self):
        self.backend = Held("one")
        self.addCleanup(self.backend.close)
        self.addCleanup(self.backend.release)
        self.publish("requests=2", ("routes", route("r", upstream_id="u", plugins={"amesh-limit": {}})))

    def publish(self, limits, *others):
        limited = {**upstream("u", self.backend.port), "labels": {"amesh-limits": limits}}
        version = self.gateway.publish(put(("upstreams", limited), *others))
        self.assertTrue(self.gateway.wait_applied(version), self.gateway.reports())

    def hold(self, count):
        """So many requests that last, and whose ends nobody waits for."""
        before = self.backend.held
        threads = [threading.Thread(target=self.ask_held, daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        self.assertTrue(wait(lambda: self.backend.held == before + count), self.backend.held)
        return threads

    def ask_held(self):
        try:
            ask(self.gateway.port, "/held", timeout=30)
        except OSError:
            pass

    def statuses(self, count=8):
        return [ask(self.gateway.port)[0] for _ in range(count)]

    def admits(self, count):
        """So many more at the same time, and none beyond."""
        self.hold(count)
        self.assertEqual(self.statuses(), [503] * 8)
        self.backend.release()
        self.assertTrue(wait(lambda: self.statuses() == [200] * 8))


class Life(Limits):
    def test_workers_count_together(self):
        self.hold(2)
        status, body, headers = ask(self.gateway.port)
        self.assertEqual((status, body, headers["x-envoy-overloaded"]), (503, OVERFLOW, "true"))
        self.assertEqual(self.statuses(), [503] * 8)
        self.backend.release()
        self.assertTrue(wait(lambda: self.statuses() == [200] * 8))
        self.admits(2)

    def test_what_a_killed_worker_had_is_taken_off(self):
        self.hold(2)
        for pid in self.gateway.workers():
            os.kill(pid, signal.SIGKILL)
        self.backend.release()
        self.assertTrue(wait(lambda: self.statuses() == [200] * 8, 5))
        self.admits(2)

    def test_a_reload_goes_on_counting(self):
        self.hold(2)
        self.assertTrue(self.gateway.reload())
        self.assertEqual(self.statuses(), [503] * 8)
        self.backend.release()
        self.assertTrue(wait(lambda: self.statuses() == [200] * 8))
        self.admits(2)

    def test_another_limit_changes_the_upstream_alone(self):
        self.hold(2)
        self.publish("requests=3")
        self.assertEqual(self.statuses(), [200] * 8)
        self.admits(1)
        self.admits(3)
        self.publish("retries=1")
        self.hold(5)
        self.assertEqual(self.statuses(), [200] * 8)

    def test_those_that_wait_go_on_in_any_worker(self):
        self.publish("connections=1,pending=6")
        self.hold(1)
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(ask(self.gateway.port)[0])) for _ in range(6)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        self.assertEqual(answers, [])
        self.assertEqual(self.statuses(), [503] * 8)
        self.backend.release()
        for thread in threads:
            thread.join()
        self.assertEqual(answers, [200] * 6)

    def test_clients_that_leave_make_room(self):
        self.publish("connections=1,pending=3")
        left = []
        for _ in range(4):
            client = socket.create_connection(("127.0.0.1", self.gateway.port))
            client.sendall(b"GET /held HTTP/1.1\r\nHost: a\r\n\r\n")
            left.append(client)
        # One that asks too early would wait in the place of one of these.
        time.sleep(0.5)
        self.assertEqual(self.statuses(), [503] * 8)
        for client in left:
            client.close()
        self.assertTrue(wait(lambda: self.statuses() == [200] * 8))

    def test_copies_are_counted(self):
        mirror = Held("two")
        self.addCleanup(mirror.close)
        self.addCleanup(mirror.release)
        self.publish(
            "retries=1",
            ("upstreams", {**upstream("m", mirror.port), "labels": {"amesh-limits": "requests=2"}}),
            ("routes", route("r", upstream_id="u", plugins={"amesh-mirror": {"copies": [{"upstream_id": "m"}]}})),
        )
        self.backend.go.set()
        for _ in range(5):
            self.assertEqual(ask(self.gateway.port, "/held")[0], 200)
        self.assertTrue(wait(lambda: mirror.held == 2))
        time.sleep(0.2)
        self.assertEqual(mirror.held, 2)
        mirror.release()
        time.sleep(0.2)
        self.assertEqual(ask(self.gateway.port, "/held")[0], 200)
        self.assertTrue(wait(lambda: mirror.held == 1))

    def tearDown(self):
        self.assertNotIn("amesh-limits", self.gateway.log())
        self.assertNotIn("lua entry thread aborted", self.gateway.log())


class NoDictionary(Limits):
    """Without the dictionary a worker counts alone, and says so."""

    options = {"workers": 1}

    def test_a_worker_counts_alone(self):
        self.admits(2)
        self.assertEqual(self.gateway.log().count("there is no shared dictionary amesh-limits"), 1)


if __name__ == "__main__":
    unittest.main()
