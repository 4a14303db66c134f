"""Draw the small pictures of the spiral networks that ship with the package, from the shipped weights."""

from __future__ import annotations

import json

from resnet_diffeo_probe.references.catalogue import DEFAULT_SETTING
from resnet_diffeo_probe.references.pictures import draw_pictures
from resnet_diffeo_probe.references.weights import data_file

if __name__ == "__main__":
    path = data_file(f"pictures_{DEFAULT_SETTING}.json")
    path.write_text(json.dumps(draw_pictures(), separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")
