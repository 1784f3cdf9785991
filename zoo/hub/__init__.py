"""Models by reference: finding and loading them, wherever they are, and sharing them on the Hugging Face Hub."""

from zoo.hub.client import Access as Access
from zoo.hub.finding import Found as Found
from zoo.hub.finding import fetch as fetch
from zoo.hub.finding import find as find
from zoo.hub.finding import load as load
from zoo.hub.finding import published_offers as published_offers
