"""What an analysis holds of a row, a unit or a verdict: for the tests."""

from resnet_diffeo_probe.analysis.planning.quantities import Budget
from resnet_diffeo_probe.analysis.planning.settings import Settings
from resnet_diffeo_probe.inputs import Inputs, Preprocessing, TensorRows

QUICK = Settings(budget=Budget.QUICK, workers=1)


def rows(analysis, **where):
    return [row for row in analysis.result["measurements"] if all(row[k] == v for k, v in where.items())]


def unit(analysis, name):
    return next(u for u in analysis.result["units"] if u["name"] == name)


def verdict(analysis, name, which="sum"):
    return next(v for v in analysis.result["verdicts"] if v["unit"] == name and v["map"] == which)


def labelled(x, labels, classes):
    return Inputs(
        rows=TensorRows(x), names=tuple(f"{label}/{i}.png" for i, label in enumerate(labels)), labels=tuple(labels),
        classes=tuple(classes), skipped=(("readme.txt", "no image"),), kind="images", source="images",
        preprocessing=Preprocessing.from_preset("none"), seed=0,
    )  # fmt: skip
