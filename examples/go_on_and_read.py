"""An analysis kept in a folder: gone on with, saved, read again, and asked for its numbers.

Run: python examples/go_on_and_read.py
"""

import tempfile
from pathlib import Path

import resnet_diffeo_probe as rdp

demo = rdp.demo_paths()
preprocessing = rdp.Preprocessing(mean=demo.mean, std=demo.std)

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    for count in (2, 3):
        # the second time two of the three images are there: what was measured at them is not measured again
        images = rdp.read_inputs(demo.inputs, count=count, preprocessing=preprocessing)
        study = rdp.analyze(demo.model, images, budget="quick", store=folder / "store")
    study.save(folder / "out")
    again = rdp.read(folder / "out" / "result.json")

rows = again.result["measurements"]
signs = [row for row in rows if row["quantity"] == "sign" and row["value"] is not None]
print(f"{len(again.verdicts)} verdicts, {len(signs)} signs")
for unit in sorted({row["unit"] for row in signs}):
    print(unit, *(f"{row['value']:+d}" for row in signs if row["unit"] == unit))
