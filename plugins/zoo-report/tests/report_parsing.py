"""A page as a test reads it."""

import base64
import io
import json
from html.parser import HTMLParser

import soundfile

_VOID = {"meta", "link", "img", "input", "br", "line", "polyline"}


class Page(HTMLParser):
    """Its elements as (tag, attributes), its text, and its sounds; elements must be nested as they should be."""

    def __init__(self, path):
        super().__init__()
        self.elements, self.words, self._open = [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, text):
        if self._open[-1:] not in (["script"], ["style"]):
            self.words.append(text)
        elif self._open[-1] == "script" and text.lstrip().startswith("{"):
            self.data = json.loads(text)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def sounds(self):
        """Samples (int16) and rate by key."""
        return {
            audio["id"]: soundfile.read(io.BytesIO(bytes_of(audio["src"])), dtype="int16")
            for audio in self.all("audio")
        }


def bytes_of(uri):
    head, _, content = uri.partition(",")
    assert head.startswith("data:")
    assert head.endswith(";base64")
    return base64.b64decode(content, validate=True)
