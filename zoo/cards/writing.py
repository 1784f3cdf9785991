"""Writing a run's card from what is in its folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import ModelCard

from zoo.cards import sections
from zoo.cards.metadata import make_metadata, read_metadata
from zoo.cards.safe_yaml import read_card
from zoo.hub.source import read_source
from zoo.registry.requirements import library
from zoo.storage.config import ModelConfig
from zoo.storage.files import write_atomically
from zoo.storage.run_files import CARD
from zoo.storage.store import describe_folder

_TEMPLATE = Path(__file__).with_name("template.md")
_BEGIN_NOTES = "<!-- your notes: what stands between these two lines stays when the card is made anew -->"
_END_NOTES = "<!-- end of your notes -->"


def write_card(folder: str | Path, *, licence: str | None = None) -> Path:
    """Write the README.md of a run's folder from what is in it.

    What a person wrote between the card's two markers stays, and so does the licence that it states.

    Args:
        folder: With config.json; metrics.json, samples/ and plots/ are shown where they are there.
        licence: State this licence: its identifier on the Hub, e.g. "cc-by-4.0".

    Returns:
        The card's path.

    Raises:
        CheckpointError: The folder holds no model, or its present card cannot be read.
    """
    folder = Path(folder)
    path = folder / CARD
    origin = read_source(folder)
    write_atomically(path, card_text(folder, licence=licence, repo_id=origin.repo_id if origin else None))
    return path


def card_text(
    folder: Path,
    *,
    licence: str | None = None,
    repo_id: str | None = None,
    config: ModelConfig | None = None,
    other_cards: Sequence[str] = (),
) -> str:
    """The text of a card.

    Args:
        folder: See `write_card`.
        licence: See `write_card`.
        repo_id: The Hub repo that the card is for; without one it speaks of a folder.
        config: Describe this instead of the folder's config.json.
        other_cards: Take notes and licence from the first of these that has them, where the folder's own has none.

    Raises:
        CheckpointError: The folder holds no model, or its present card cannot be read.
        PluginError: jinja2 cannot be imported.
    """
    library("jinja2", purpose="A card")  # ModelCard imports it, and says nothing of what to do without
    path = folder / CARD
    own_card = read_card(path) if path.exists() else ""
    cards = [card for card in (own_card, *other_cards) if card]
    licence = licence or next(filter(None, (_stated_licence(card, str(path)) for card in cards)), None)
    notes = next(filter(None, map(notes_of, cards)), "")
    known = describe_folder(folder)
    config = config or known.config
    data = make_metadata(config, known.metrics, licence=licence, repo_id=repo_id)
    # a name that the store or the package itself resolves needs no place
    # a shipped model's folder is called what the model is called, or will be when it is complete
    shipped_in = folder.resolve().with_name(config.name) if not repo_id and sections.is_shipped(folder) else None
    reference = repo_id or (config.name if shipped_in else "FOLDER")
    card = ModelCard.from_template(
        data,
        template_path=str(_TEMPLATE),
        name=config.name,
        what=sections.what(config),
        notes="\n".join(filter(None, (_BEGIN_NOTES, notes, _END_NOTES))),
        reference=reference,
        sample_rate=config.sample_rate,
        needs=sections.needs(config, shipped_in=shipped_in),
        measured=sections.measured(known.metrics, reference),
        listen=sections.samples(folder),
        pictures=sections.pictures(folder),
        size=sections.size(known.parameters, known.size_bytes, config, known.metrics),
        exports=sections.exports(config, known.exports, reference),
        lineage=sections.lineage(config),
        licence=sections.licence(licence, config),
    )
    return str(card.content).rstrip("\n") + "\n"


def _stated_licence(card: str, where: str) -> str | None:
    stated = read_metadata(card, where=where).get("license")
    return stated if isinstance(stated, str) else None


def notes_of(card: str) -> str:
    """What a person wrote between the markers of a card; empty for a card without them."""
    _, begin, rest = card.partition(_BEGIN_NOTES)
    text, end, _ = rest.partition(_END_NOTES)
    return text.strip("\n") if begin and end else ""
