"""The master's thesis that this project reimagines: reading its checkpoints."""
