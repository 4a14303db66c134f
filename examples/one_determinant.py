"""The determinant of one residual unit: by the engine, and by a dense Jacobian of the unit's own branch.

Run: python examples/one_determinant.py
"""

import torch

import resnet_diffeo_probe as rdp

demo = rdp.demo_paths()
model = rdp.load(demo.model)
preprocessing = rdp.Preprocessing(mean=demo.mean, std=demo.std)
images = rdp.read_inputs(demo.inputs, count=1, preprocessing=preprocessing).tensor
network = rdp.discover(model.module, images).to(dtype=torch.float64)
unit = next(unit for unit in network.units if unit.name == "layer2.2")

# the unit's own input, as the network computes it
_, went_through = network.run(images.double())
x = went_through[unit.name].input
found = rdp.determinant(rdp.UnitJacobian(unit).at(x))
print(
    f"{unit.name}, n = {unit.dimension}: sign {found.sign.value:+d}, log|det J| = {found.logabsdet.value:.6f}"
)
print(f"its interval is one of {found.logabsdet.interval_kind}")

n = x.numel()
dense = torch.autograd.functional.jacobian(unit.sum_map, x).reshape(n, n)
sign, logabsdet = torch.linalg.slogdet(dense)
print(f"dense, {n} x {n}: sign {int(sign):+d}, log|det J| = {float(logabsdet):.6f}")
