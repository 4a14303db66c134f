"""Pictures for the stored analyses of `sample`: small PNG files with a pattern that a test can find again."""

import base64
import io
from typing import Any

import numpy as np
from PIL import Image


def picture(levels: np.ndarray, scale: list[float] | None = None) -> dict[str, Any]:
    """Return a stored picture of (H, W) or (H, W, 3) levels."""
    buffer = io.BytesIO()
    Image.fromarray(levels.astype(np.uint8)).save(buffer, format="PNG")
    return {
        "png": base64.b64encode(buffer.getvalue()).decode(),
        "width": levels.shape[1],
        "height": levels.shape[0],
        "scale": scale,
        "pooled_from": None,
    }


def add_pictures(result: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """Add the optional part `pictures` to a result in place: every measured unit at the first input."""
    chance = np.random.default_rng(seed)
    names = result["inputs"]["names"]
    measured = [unit for unit in result["units"] if unit["done"]]

    def grey(scale: list[float]) -> dict[str, Any]:
        return picture(chance.integers(0, 255, (6, 8)), scale)

    def colour() -> dict[str, Any]:
        return picture(chance.integers(0, 256, (6, 8, 3)))

    maps, pairs = [], []
    for unit in measured:
        about = {"unit": unit["name"], "input": names[0]}
        maps.append(
            about
            | {
                "kind": "clipped",
                "picture": grey([0.0, 1.0]),
                "numbers": {"mean": 0.41, "least": 0.0, "greatest": 0.75},
                "reason": None,
            }
        )
        numbers = {
            "positions": 48,
            "positions_with_90_percent": 17,
            "greatest_share": 0.2,
            "row": 1,
            "column": 2,
        }
        vector = about | {
            "kind": "singular_vector",
            "picture": grey([0.0, 0.2]),
            "numbers": {"stretch": 0.0033} | numbers,
            "reason": None,
        }
        lost = {"picture": None, "numbers": {}, "reason": "not computed: too slow"}
        maps.append(vector if unit["index"] % 3 else vector | lost)
        fold = {"hidden_layer": 1, "hidden_index": 7} | numbers
        maps.append(
            {
                "unit": unit["name"],
                "input": None,
                "kind": "fold_normal",
                "picture": grey([0.0, 0.2]),
                "numbers": fold,
                "reason": None,
            }
        )
    for witness in result.get("witnesses", ())[:6]:
        pairs.append(
            {
                "unit": witness["unit"],
                "map": witness["map"],
                "channels": [3, 0, 12],
                "share_shown": 0.83,
                "first": grey([-1.0, 2.0]),
                "second": grey([-1.0, 2.0]),
                "difference": grey([-0.02, 0.02]),
            }
        )
    images = {
        "outside": 0.02,
        "share_shown": 1.0,
        "first": colour(),
        "second": colour(),
        "difference": grey([-0.1, 0.1]),
    }
    result["pictures"] = {
        "inputs": [{"input": name, "are_pixels": True, "picture": colour()} for name in names[:3]],
        "maps": maps,
        "pairs": pairs,
        "pixel_pair": images if names else None,
        "left_out": 0,
    }
    if names and measured:
        result["pixel_pair"] = {
            "is_proof": True,
            "unit": measured[0]["name"],
            "input": names[0],
            "distance": 0.3,
            "relative_distance": 0.011,
            "gap": 1e-12,
            "rank": 2100,
            "pixels": 3072,
            "file": "unit.pixels.npz",
        }
    return result
