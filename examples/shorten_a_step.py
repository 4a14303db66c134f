"""A unit whose Euler step is too long, and the same unit with a shorter one.

x + hF(x) becomes singular at the critical step h*. Where h* is below 1 the unit has gone past it, and det J may have
turned negative; with h below h* its sign at this input is that of the identity again.

Run: python examples/shorten_a_step.py
"""

import copy

import torch

import resnet_diffeo_probe as rdp

demo = rdp.demo_paths()
model = rdp.load(demo.model)
preprocessing = rdp.Preprocessing(mean=demo.mean, std=demo.std)
images = rdp.read_inputs(demo.inputs, count=3, preprocessing=preprocessing).tensor[1:2]


def measured(module: torch.nn.Module, name: str) -> dict[str, rdp.Finding]:
    """Measure one unit of a network at the image."""
    network = rdp.discover(module, images).to(dtype=torch.float64)
    unit = next(unit for unit in network.units if unit.name == name)
    x = network.run(images.double())[1][name].input
    return rdp.measure(rdp.UnitJacobian(unit), x, ["sign", "logabsdet", "critical_step"])


as_trained = measured(model.module, "layer1.0")
critical = float(as_trained["critical_step"].value)
print(f"a step of 1: sign {as_trained['sign'].value:+d}, critical step {critical:.3f}")

h = 0.9 * critical
shorter = copy.deepcopy(model.module)
norm = shorter.get_submodule(
    "layer1.0"
).bn2  # the last layer of the branch: its scale is the length of the step
with torch.no_grad():
    norm.weight.mul_(h)
    norm.bias.mul_(h)
shortened = measured(shorter, "layer1.0")
print(
    f"a step of {h:.3f}: sign {shortened['sign'].value:+d}, log|det J| = {shortened['logabsdet'].value:.4f}"
)
