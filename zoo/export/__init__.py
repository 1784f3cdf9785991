"""Models in other forms: what is written is played, and compared with the model, before it is kept."""
