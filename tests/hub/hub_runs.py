"""Runs to push: small, and with all that a real one holds."""

import json

import torch

import zoo
from zoo.cards import write_card
from zoo.features import write_wav


def make_run(folder, *, seed=0, instrument="flute", **options):
    """A run's folder with all that one holds, checkpoints and other private things included."""
    torch.manual_seed(seed)
    model = zoo.create("gru-S", instrument=instrument, **{"hidden_size": 8, "reverb_length": 100, **options})
    data = {"name": "phrases", "hash": "ab" * 32, "attribution": ["Jane Doe, CC BY 4.0"]}
    model.config = model.config.with_changes(
        lineage={"dataset": data, "training": {"seed": seed, "batch_size": 4, "best_step": 10}}
    )
    zoo.save(model, folder)
    measures = {"multi_scale_spectral": {"mean": 5.25, "std": 0.5, "n": 7}}
    (folder / "metrics.json").write_text(json.dumps({"student": measures, "noise_floor": measures}))
    (folder / "config.gin").write_text(
        f"DATASET = '{folder}/data/phrases'\nTEACHER = '{folder}/big'\ndistill.dataset = %DATASET\n"
        f"distill.out = '{folder}'\ndistill.teacher = %TEACHER\n"
        f"distill.student_options = {{'table': '{folder}/x.npy'}}\n"
    )
    (folder / "history.csv").write_text("step,epoch,train_loss,val_loss,lr,seconds\n0,0,,9,0.001,0\n")
    write_wav(folder / "samples" / "phrase1_student.wav", torch.zeros(800), sample_rate=16000)
    (folder / "plots").mkdir()
    (folder / "plots" / "loss.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "last.ckpt").write_bytes(b"private")
    (folder / "notes.txt").write_text("private")
    (folder / ".env").write_text("TOKEN=private")
    write_card(folder)
    return folder
