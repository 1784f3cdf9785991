"""What a person wrote into a card: it stays when the card is made anew."""

from __future__ import annotations

BEGIN = "<!-- your notes: what stands between these two lines stays when the card is made anew -->"
END = "<!-- end of your notes -->"


def read_notes(card: str) -> str:
    """What stands between the markers of a card; empty for a card without them."""
    _, begin, rest = card.partition(BEGIN)
    text, end, _ = rest.partition(END)
    return text.strip("\n") if begin and end else ""


def mark_notes(notes: str) -> str:
    """The markers with notes between them."""
    return f"{BEGIN}\n{notes}\n{END}" if notes else f"{BEGIN}\n{END}"
