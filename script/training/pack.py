"""Writes the model file that `cheaprouter.routing.difficulty` reads."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence

import numpy as np

from cheaprouter.routing.difficulty import MAGIC


def pack(
    bias: float,
    steps: Sequence[tuple[str, np.ndarray, np.ndarray]],
    weights: np.ndarray,
    table: tuple[np.ndarray, np.ndarray],
    cutoffs: tuple[float, float, float],
) -> bytes:
    """The file's bytes. The hashed weights become int8 with one scale."""
    scale = float(np.abs(weights).max()) / 127 or 1.0
    quantised = np.clip(np.round(weights / scale), -127, 127).astype(np.int8)
    floats = [np.array([bias, scale, *cutoffs])]
    floats += [part for _, edges, values in steps for part in (edges, values)]
    floats += list(table)
    flat = np.concatenate([np.asarray(f, dtype=float) for f in floats]).astype("<f4")
    head = {
        "bits": int(np.log2(len(weights))),
        "floats": len(flat),
        "steps": [[name, len(edges)] for name, edges, _ in steps],
        "table": len(table[0]),
    }
    encoded = json.dumps(head).encode()
    return MAGIC + struct.pack("<I", len(encoded)) + encoded + flat.tobytes() + quantised.tobytes()
