"""What tests of the stand-in Hub push, and how they ask it with nothing between."""

import http.client
from urllib.parse import urlsplit

from huggingface_hub import CommitOperationAdd

CARD = b"---\nlibrary_name: ddsp-zoo\nlicense: mit\ntags: [flute]\n---\nA flute.\n"
FILES = {"README.md": CARD, "config.json": b"{}", "model.safetensors": bytes(range(256)) * 40, "a/b/c.txt": b"hello\n"}


def additions(files):
    return [CommitOperationAdd(path, data) for path, data in files.items()]


def ask(hub, method, path, body=None, **headers):
    """One request with nothing between: no client, no retries."""
    connection = http.client.HTTPConnection(urlsplit(hub.endpoint).netloc, timeout=5)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content
