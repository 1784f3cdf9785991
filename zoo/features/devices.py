"""Whether a device is there, before anything is sent to it."""

from __future__ import annotations

import torch


def device_fault(device: object) -> str | None:
    """Why tensors cannot be on a device, as a sentence; None where they can.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps".
    """
    try:
        asked = torch.device(device)  # type: ignore[call-overload]  # whatever was given
        torch.empty(0, device=asked)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200].rstrip(".")
        return f"device {device!r} cannot be used here ({reason}). Take 'cpu'; python -m zoo doctor says what there is."
    return None
