"""Writes the model file that `cheaprouter.routing.difficulty` reads."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence

import numpy as np

from cheaprouter.routing.trained import MAGIC
from training.fit import DEPTH, Flat


def pack(
    trees: Flat,
    *,
    names: Sequence[str],
    weights: np.ndarray,
    slope: float,
    table: tuple[np.ndarray, np.ndarray],
    cutoffs: tuple[float, float, float],
) -> bytes:
    """The file's bytes. The hashed weights become int8 with one scale, the few largest clipped."""
    scale = float(np.quantile(np.abs(weights[weights != 0]), 0.9995)) / 127
    quantised = np.clip(np.round(weights / scale), -127, 127).astype(np.int8)
    # Thresholds are rounded down to float32, so that a count that passed as a double passes here too.
    threshold = trees.threshold.astype("<f4")
    floats = [
        np.array([trees.base, scale, slope, *cutoffs], "<f4"),
        *(np.asarray(t, "<f4") for t in table),
        threshold.ravel(),
        trees.value.astype("<f4").ravel(),
    ]
    flat = np.concatenate(floats)
    head = {
        "bits": int(np.log2(len(weights))),
        "counts": list(names),
        "trees": len(trees.feature),
        "depth": DEPTH,
        "table": len(table[0]),
        "floats": len(flat),
    }
    encoded = json.dumps(head, separators=(",", ":")).encode()
    return (
        MAGIC
        + struct.pack("<I", len(encoded))
        + encoded
        + flat.tobytes()
        + trees.feature.tobytes()
        + quantised.tobytes()
    )
