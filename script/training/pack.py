"""Writes the model file that `cheaprouter.routing.difficulty` reads."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence

import numpy as np

from cheaprouter.routing.trained import MAGIC
from training.fit import DEPTH, Flat

Points = tuple[np.ndarray, np.ndarray]


def pack(
    heads: tuple[Flat, Flat],
    *,
    names: Sequence[str],
    weights: np.ndarray,
    slopes: tuple[float, float],
    tables: tuple[Points, Points],
    cutoffs: tuple[float, float, float],
    spread: Points,
) -> bytes:
    """The file's bytes. The hashed weights become int8 with one scale, the few largest clipped. `spread`: the counts' means and deviations."""
    scale = float(np.quantile(np.abs(weights[weights != 0]), 0.9995)) / 127
    quantised = np.clip(np.round(weights / scale), -127, 127).astype(np.int8)
    floats = [
        np.array([*(head.base for head in heads), scale], "<f4"),
        *(np.asarray(points, "<f4") for table in tables for points in table),
        *(np.asarray(one, "<f4") for one in spread),
        # Thresholds are rounded down to float32, so that a count that passed as a double passes here too.
        *(head.threshold.astype("<f4").ravel() for head in heads),
        *(head.value.astype("<f4").ravel() for head in heads),
    ]
    head = {
        "bits": int(np.log2(len(weights))),
        "counts": list(names),
        "trees": [len(head.feature) for head in heads],
        "depth": DEPTH,
        "table": len(tables[0][0]),
        "slopes": slopes,
        "cutoffs": cutoffs,
    }
    encoded = json.dumps(head, separators=(",", ":")).encode()
    features = b"".join(head.feature.tobytes() for head in heads)
    return (
        MAGIC
        + struct.pack("<I", len(encoded))
        + encoded
        + np.concatenate(floats).tobytes()
        + features
        + quantised.tobytes()
    )
