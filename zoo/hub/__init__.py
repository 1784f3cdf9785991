"""The Hugging Face Hub: speaking with it, fetching from it, pushing to it, searching it."""

from zoo.hub.client import HubClient as HubClient
