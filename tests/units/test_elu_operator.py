"""One operator of the dispatcher stands for three functions, told apart by its constants."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from resnet_diffeo_probe.units.graph.aten import from_operator


@pytest.mark.parametrize("name", ["elu", "elu_"])
@pytest.mark.parametrize(
    ("constants", "expected"),
    [
        ((), F.elu),
        ((-2.0,), F.elu),
        ((1.6732632423543772, 1.0507009873554805), F.selu),
        ((0.5, 1, 2.0), F.celu),
        ((2.0, 3.0), None),
        ((1.6732632423543772, 1.0507), None),
        ((1.0, 1, 0.3), None),
    ],
)
def test_the_function_is_the_one_that_the_constants_say(
    name: str, constants: tuple, expected: object
) -> None:
    operator = getattr(torch.ops.aten, name).default
    z = torch.linspace(-3, 3, 61, dtype=torch.float64)
    function, args, kwargs = from_operator(operator, (z.clone(), *constants), {})
    assert function is (operator if expected is None else expected)
    result = function(*args, **kwargs)
    torch.testing.assert_close(result, torch.ops.aten.elu.default(z, *constants))
