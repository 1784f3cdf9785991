"""What models cost: to keep, to play, to train."""
