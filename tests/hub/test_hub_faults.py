"""Each fault of the stand-in Hub does what it says. Most are looked at without the client, whose retries sleep."""

import http.client
import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
from hub_faults import Fault, black_hole, dead_endpoint
from hub_server import HubServer
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

DATA = bytes(range(256)) * 8
ADDRESS = "/org/flute/resolve/main/model.safetensors"


@pytest.fixture
def served(hub):
    hub.create("org/flute", {"model.safetensors": DATA, "config.json": b"{}"})
    return hub


def connect(endpoint, timeout=5.0):
    return http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=timeout)


def ask(hub, method="GET", path=ADDRESS):
    connection = connect(hub.endpoint)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="unknown fault 'explode'; there are drop"):
        Fault("explode")


@pytest.mark.parametrize("at", [0, 1, 700, len(DATA) - 1])
def test_drop_closes_after_that_many_bytes_of_the_whole(served, at):
    served.faults.add(Fault("drop", "model", at=at))
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(served)
    assert caught.value.partial == DATA[:at]
    assert caught.value.expected == len(DATA) - at
    assert ask(served)[1] == DATA


def test_drop_before_the_status_line_gives_no_answer(served):
    served.faults.add(Fault("drop", at=-1))
    with pytest.raises(http.client.RemoteDisconnected):
        ask(served)


def test_drop_with_reset_is_seen_as_a_reset(served):
    served.faults.add(Fault("drop", at=100, reset=True))
    with pytest.raises(ConnectionResetError):
        ask(served)


def test_drop_waits_for_a_request_with_a_body(served):
    fault = served.faults.add(Fault("drop", "model"))
    assert ask(served, "HEAD")[0].headers["Content-Length"] == str(len(DATA))
    assert fault.hits == 0
    with pytest.raises(http.client.IncompleteRead):
        ask(served)
    assert fault.hits == 1


@pytest.mark.parametrize(("status", "retry_after"), [(500, None), (503, 7), (429, 1)])
def test_status_is_answered_and_nothing_done(served, status, retry_after):
    served.faults.add(Fault("status", "create", status=status, retry_after=retry_after))
    answer, _ = ask(served, "POST", "/api/repos/create")
    assert answer.status == status
    assert answer.headers["Retry-After"] == (None if retry_after is None else str(retry_after))
    assert list(served.repos) == ["org/flute"]


def test_client_waits_as_long_as_it_is_told(served, empty_cache):
    served.faults.add(Fault("status", ADDRESS, status=429, retry_after=0, method="GET"))
    begin = time.perf_counter()
    assert hf_hub_download("org/flute", "model.safetensors", endpoint=served.endpoint, cache_dir=empty_cache)
    assert 1.0 <= time.perf_counter() - begin < 3.0  # it adds a second of its own


def test_slow_waits_and_then_trickles(served):
    served.faults.add(Fault("slow", "model", seconds=0.1, rate=len(DATA) / 0.2))
    begin = time.perf_counter()
    assert ask(served)[1] == DATA
    assert 0.28 <= time.perf_counter() - begin < 2.0


def test_wrong_bytes_keep_length_and_digest_and_repeat_with_the_seed(served):
    right, _ = ask(served, "HEAD")
    served.faults.add(Fault("wrong_bytes", "model", times=2, count=3, seed=5))
    served.faults.add(Fault("wrong_bytes", "model", after=2, count=3, seed=6))
    bodies = []
    for _ in range(3):
        answer, body = ask(served)
        assert (answer.headers["ETag"], len(body)) == (right.headers["ETag"], len(DATA))
        assert sum(a != b for a, b in zip(body, DATA, strict=True)) == 3
        bodies.append(body)
    assert bodies[0] == bodies[1] != bodies[2]
    assert ask(served)[1] == DATA


@pytest.mark.parametrize(("kind", "expected"), [("short", DATA[:-5]), ("long", DATA + bytes(5))])
@pytest.mark.parametrize("method", [None, "GET"])
def test_short_and_long_bodies_come_whole(served, kind, expected, method):
    fault = served.faults.add(Fault(kind, "model", method=method, count=5))
    head, _ = ask(served, "HEAD")
    told = len(DATA) if method else len(expected)
    assert (head.headers["Content-Length"], head.headers["X-Linked-Size"]) == (str(told), str(told))
    answer, body = ask(served)
    assert (answer.status, body) == (200, expected)
    assert fault.hits == 1
    assert ask(served)[1] == DATA


def test_no_header_leaves_out_what_the_client_relies_on(served, empty_cache):
    served.faults.add(Fault("no_header", "model"))
    answer, _body = ask(served, "HEAD")
    assert {answer.headers[name] for name in ("X-Repo-Commit", "ETag", "X-Linked-Etag")} == {None}
    served.faults.add(Fault("no_header", "model", headers=("X-Repo-Commit",)))
    with pytest.raises(LocalEntryNotFoundError, match="missing the 'X-Repo-Commit' header"):
        hf_hub_download("org/flute", "model.safetensors", endpoint=served.endpoint, cache_dir=empty_cache)


def test_hang_says_nothing_until_the_server_stops():
    with HubServer() as hub:
        hub.faults.add(Fault("hang", "whoami"))
        ended = threading.Event()

        def wait():
            with pytest.raises(http.client.RemoteDisconnected):
                ask(hub, path="/api/whoami-v2")
            ended.set()

        threading.Thread(target=wait).start()
        assert not ended.wait(0.1)
        assert ask(hub)[0].status == 401  # others are served meanwhile
    assert ended.wait(2)


def test_faults_count_matching_requests_only(served):
    fault = served.faults.add(Fault("status", r"config\.json", times=2, after=1, method="GET"))
    config = ADDRESS.replace("model.safetensors", "config.json")
    assert ask(served)[0].status == 200
    assert ask(served, "HEAD", config)[0].status == 200
    assert [ask(served, path=config)[0].status for _ in range(4)] == [200, 500, 500, 200]
    assert fault.hits == 2
    always = served.faults.add(Fault("status", times=None, status=503))
    assert [ask(served)[0].status for _ in range(3)] == [503] * 3
    assert always.hits == 3
    served.faults.clear()
    assert ask(served)[0].status == 200


def test_faults_add_up(served):
    served.faults.add(Fault("slow", seconds=0.1))
    served.faults.add(Fault("wrong_bytes", count=1))
    begin = time.perf_counter()
    assert ask(served)[1] != DATA
    assert time.perf_counter() - begin >= 0.1


def test_dead_endpoint_refuses_connections(empty_cache):
    with pytest.raises(ConnectionRefusedError):
        connect(dead_endpoint()).connect()
    assert dead_endpoint() == dead_endpoint()


def test_black_hole_connects_and_never_answers():
    with black_hole() as endpoint:
        connection = connect(endpoint, timeout=0.1)
        connection.request("GET", "/")
        with pytest.raises(socket.timeout):
            connection.getresponse()
        connection.close()


def test_refused_commit_changes_nothing(served):
    served.faults.add(Fault("status", "/commit/", status=500))
    with pytest.raises(HfHubHTTPError):
        HfApi(served.endpoint, token=served.token).upload_file(
            path_or_fileobj=b"x", path_in_repo="x", repo_id="org/flute"
        )
    assert "x" not in served.files("org/flute")
