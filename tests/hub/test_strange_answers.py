"""Answers that no Hub gives: each ends soon, with one error that says what came; the login stays with the Hub."""

import threading
import time

import pytest
from hub_faults import Fault
from huggingface_hub import HfApi

import zoo
from zoo.errors import HubError, HubUnreachableError
from zoo.hub import errand

PAGE = b"<html><body>Welcome to the Grand Hotel</body></html>"
ENTRY = b'{"type": "file", "path": "config.json", "oid": "%s", "size": %s}'


@pytest.fixture
def served(hub, run):
    zoo.push(run, "org/flute", endpoint=hub.endpoint, token=hub.token)
    hub.requests.clear()
    return hub


@pytest.fixture
def fetch(empty_cache):
    def call(hub):
        return zoo.fetch("org/flute", endpoint=hub.endpoint, token=hub.token, cache_dir=empty_cache)

    return call


def seek(hub):
    return zoo.list_models(hub=True, endpoint=hub.endpoint, token=hub.token)


def instead(path, body, status=200, **options):
    return Fault("instead", path, body=body, status=status, times=None, **options)


@pytest.mark.parametrize("body", [PAGE, b"{}", b"null", b"[]", b"7", b"[1]", b"[" * 100_000, b"\xff", b""])
@pytest.mark.parametrize("path", ["/api/models/org", "tree"])
def test_answer_that_is_no_hubs_is_told(served, fetch, path, body):
    served.faults.add(instead(path, body))
    with pytest.raises(HubError) as caught:
        fetch(served)
    told = str(caught.value)
    assert "does not answer as a Hub does" in told or (path, body) == ("tree", b"[]")
    assert "hotel's" in told or body == b"[]"
    assert served.token not in told


@pytest.mark.parametrize("body", [PAGE, b"{}", b'{"error": "x"}', b"null", b"7", b"[1]", b'[{"id": 5}]', b"[{}]"])
def test_list_that_is_none_is_told(served, body):
    served.faults.add(instead("/api/models", body, method="GET"))
    with pytest.raises(HubUnreachableError, match=r"does not answer as a Hub does.*It answered HTTP 200"):
        seek(served)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (ENTRY % (b"a" * 40, b'"12"'), "the size '12' for config.json"),
        (ENTRY % (b"a" * 40, b"-1"), "the size -1 for config.json"),
        (ENTRY % (b"a" * 40, b"true"), "the size True for config.json"),
        (ENTRY % (b"../../../../x", b"12"), "the digest '../../../../x' for config.json"),
    ],
)
def test_size_or_digest_that_is_none_is_told(served, fetch, entry, said):
    served.faults.add(instead("tree", b"[" + entry + b"]"))
    with pytest.raises(HubUnreachableError, match="is listed with") as caught:
        fetch(served)
    assert said in str(caught.value)


def test_what_was_fetched_before_is_taken_where_a_hotel_answers(served, fetch, caplog):
    folder = fetch(served)
    served.faults.add(instead("", PAGE, content_type="text/html"))
    assert fetch(served) == folder
    assert "Taken from the cache" in caplog.text
    assert zoo.load("org/flute", endpoint=served.endpoint, cache_dir=folder.parents[2]) is not None


@pytest.mark.parametrize("status", [404, 410, 500])
def test_lasting_error_on_a_file_is_told_as_what_it_is(served, fetch, status, monkeypatch):
    monkeypatch.setattr(errand, "PATIENCE_SECONDS", 3.0)
    served.faults.add(Fault("status", "/resolve/", status=status, times=None, method="HEAD"))
    with pytest.raises(HubError, match=f"HTTP {status}"):
        fetch(served)


def test_file_without_digest_is_told(served, fetch):
    served.faults.add(instead("/resolve/", PAGE, content_type="text/html"))
    with pytest.raises(HubUnreachableError, match="for a file of org/flute it gives no digest"):
        fetch(served)


@pytest.mark.parametrize(("path", "status"), [("/api/models/", 503), ("tree", 429), ("/resolve/.*config", 429)])
def test_nobody_waits_for_an_hour(served, fetch, path, status):
    served.faults.add(Fault("status", path, status=status, retry_after=3600, times=None, method="GET"))
    begin = time.monotonic()
    with pytest.raises(HubUnreachableError, match="3600 s"):
        fetch(served)
    assert time.monotonic() - begin < 5


def test_rate_limit_in_the_other_header_is_not_waited_for(served, fetch):
    extra = {"RateLimit": '"api";r=0;t=3000'}
    served.faults.add(Fault("instead", "tree", status=429, times=None, extra=extra))
    with pytest.raises(HubUnreachableError, match="3000 s"):
        fetch(served)


@pytest.mark.parametrize("kind", ["drip", "slow", "hang"])
@pytest.mark.parametrize("path", ["/api/models", "tree", "config.json"])
def test_answer_that_drips_ends_when_patience_does(served, fetch, kind, path, monkeypatch):
    monkeypatch.setattr(errand, "PATIENCE_SECONDS", 1.0)
    served.faults.add(Fault(kind, path, times=None, rate=None if kind == "hang" else 5.0))
    begin = time.monotonic()
    with pytest.raises(HubUnreachableError, match="answers too slowly"):
        fetch(served)
    assert time.monotonic() - begin < 6
    served.faults.clear()
    monkeypatch.undo()
    assert fetch(served).is_dir()


def test_download_that_flows_may_take_longer_than_patience(hub, empty_cache, monkeypatch, tmp_path):
    zoo.save(zoo.create("gru-S", instrument="flute"), tmp_path / "run")
    hub.create("org/flute", {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()})
    size = (tmp_path / "run" / "model.safetensors").stat().st_size
    monkeypatch.setattr(errand, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(errand, "_PIECE_BYTES", size // 8)
    hub.faults.add(Fault("slow", "model.safetensors", method="GET", rate=size / 3.0, times=None))
    begin = time.monotonic()
    assert zoo.fetch("org/flute", endpoint=hub.endpoint, cache_dir=empty_cache).is_dir()
    assert time.monotonic() - begin > 2


def told_elsewhere(hub):
    """What requests under another name of the same machine were told."""
    own = f"127.0.0.1:{hub._http.server_port}"
    return [r.headers.get("Authorization") for r in hub.requests if r.headers["Host"] != own]


def test_next_page_on_another_host_is_not_asked(served, fetch):
    other = served.endpoint.replace("127.0.0.1", "localhost")
    for path in ("tree", "/api/models"):
        served.faults.add(Fault("header", path, times=None, extra={"Link": f'<{other}/api/x>; rel="next"'}))
    for ask in (fetch, seek):
        with pytest.raises(HubUnreachableError, match="next page is on another host, localhost:"):
            ask(served)
    assert told_elsewhere(served) == []


def test_pages_without_end_are_told(served, fetch):
    address = f"{served.endpoint}/api/models/org/flute/tree/main"
    served.faults.add(Fault("header", "tree", times=None, extra={"Link": f'<{address}>; rel="next"'}))
    with pytest.raises(HubUnreachableError, match="is one that it has given before"):
        fetch(served)


def test_pages_that_all_differ_are_counted(served, fetch, monkeypatch):
    monkeypatch.setattr(errand, "_MOST_QUESTIONS", 20)
    for number in range(40):
        link = f'<{served.endpoint}/api/models/org/flute/tree/main?page={number}>; rel="next"'
        served.faults.add(Fault("header", "tree", after=number, extra={"Link": link}))
    with pytest.raises(HubUnreachableError, match="it took 20 questions, and there was no end"):
        fetch(served)


@pytest.mark.parametrize("path", ["/api/models/", "tree", "/resolve/"])
def test_redirect_to_another_host_is_not_told_the_login(served, fetch, path):
    other = served.endpoint.replace("127.0.0.1", "localhost")
    served.faults.add(instead(path, b"", status=307, extra={"Location": f"{other}/elsewhere"}))
    with pytest.raises(HubError):
        fetch(served)
    told = told_elsewhere(served)
    assert set(told) == {None} or (path == "/resolve/" and told == [])


def test_uploads_and_their_verification_elsewhere_are_not_told_the_login(hub, run):
    hub.create("org/flute")
    asked = hub.endpoint
    hub.endpoint = asked.replace("127.0.0.1", "localhost")  # what its answers name
    with pytest.raises(HubError):  # this one cannot be verified without the login
        zoo.push(run, "org/flute", endpoint=asked, token=hub.token)
    told = told_elsewhere(hub)
    assert told
    assert set(told) == {None}


@pytest.mark.parametrize("path", ["repos/create", "preupload", "objects/batch", "/commit/"])
@pytest.mark.parametrize("body", [PAGE, b"{}", b"null", b"[]"])
def test_push_to_what_is_no_hub_is_told(hub, run, path, body):
    hub.faults.add(instead(path, body))
    with pytest.raises(HubError, match="does not answer as a Hub does") as caught:
        zoo.push(run, "org/flute", endpoint=hub.endpoint, token=hub.token)
    assert hub.token not in str(caught.value)


@pytest.mark.parametrize("path", ["preupload", "objects/batch", "/lfs/", "/commit/"])
def test_push_that_drips_ends_when_patience_does(hub, run, path, monkeypatch):
    monkeypatch.setattr(errand, "PATIENCE_SECONDS", 1.5)
    hub.faults.add(Fault("drip", path, times=None, rate=2.0))
    begin = time.monotonic()
    with pytest.raises(HubUnreachableError, match="answers too slowly"):
        zoo.push(run, "org/flute", endpoint=hub.endpoint, token=hub.token)
    assert time.monotonic() - begin < 10


@pytest.mark.parametrize("header", ["ETag", "X-Linked-Etag"])
def test_digest_that_is_a_path_writes_nothing(served, fetch, empty_cache, header):
    served.faults.add(Fault("header", "/resolve/", times=None, extra={header: '"../../../../evil"'}))
    with pytest.raises(HubUnreachableError, match="which is no digest"):
        fetch(served)
    assert not list(empty_cache.parent.rglob("*evil*"))


def test_what_else_a_program_asks_is_left_as_it_is(served, fetch, monkeypatch):
    fetch(served)
    monkeypatch.setattr(errand, "PATIENCE_SECONDS", 0.2)
    served.faults.add(Fault("slow", "whoami", seconds=0.5))
    assert HfApi(served.endpoint, token=served.token).whoami()["name"] == "tester"
    found = []
    thread = threading.Thread(target=lambda: found.append(HfApi(served.endpoint, token=served.token).whoami()))
    thread.start()
    thread.join()
    assert found


@pytest.mark.parametrize("token", ["hf_secret\nX: y", "hf_s\u00e9cret", "hf_se cret"])
def test_login_that_is_no_token_is_told_without_it(hub, token):
    with pytest.raises(HubError, match="is no token") as caught:
        zoo.list_models(hub=True, endpoint=hub.endpoint, token=token)
    assert token not in str(caught.value)
    assert hub.requests == []


def test_login_that_a_refusal_repeats_is_not_shown(served, fetch):
    served.faults.add(instead("/api/models/", b"{}", status=403, extra={"X-Error-Message": f"not {served.token}"}))
    with pytest.raises(HubError, match=r"not \*\*\*"):
        fetch(served)
