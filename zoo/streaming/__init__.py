"""Playing block by block."""
