"""The card of a run: its README.md, with metadata that the Hugging Face Hub reads."""

from zoo.cards.metadata import hub_reference as hub_reference
from zoo.cards.writing import card_text as card_text
from zoo.cards.writing import write_card as write_card
