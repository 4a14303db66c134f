"""Training: what is optimised, that it stops and goes on with the same numbers, and that seeds are alone."""

import dataclasses

import numpy as np
import pytest
import torch

from resnet_diffeo_probe.errors import ConfigurationError, LoadError, OutputError
from resnet_diffeo_probe.flows.fields.architecture import PlaneNetwork
from resnet_diffeo_probe.flows.fields.chance import Purpose, source
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.setting import Setting, setting_named
from resnet_diffeo_probe.flows.integration.integrate import flow
from resnet_diffeo_probe.flows.training.accuracy import held_out_accuracy
from resnet_diffeo_probe.flows.training.autograd import (
    autograd_loss,
    prior_gradient,
    tensor_parameters,
    velocity_gradient_prior,
)
from resnet_diffeo_probe.flows.training.checkpoint import load_training, save_training
from resnet_diffeo_probe.flows.training.depth import split_steps
from resnet_diffeo_probe.flows.training.training import draw_training_data, start_training, train


def _setting(network="d", **changes):
    small = {"points": 120, "minibatch": 40, "epochs": 6, "domain_points": 30, "gain": 0.3}
    return Setting(network=network, architecture=PlaneNetwork(steps=4), **{**small, **changes})


@pytest.mark.parametrize("network", ["a", "b", "c", "d"])
def test_one_epoch_equals_torch_adam_on_the_autograd_loss(network):
    setting = _setting(network, epochs=1)
    training = start_training(setting, [5])
    flat = torch.from_numpy(training.parameters.flat.copy()).requires_grad_()
    optimiser = torch.optim.Adam([flat], lr=setting.rate, betas=setting.betas)
    mask = torch.from_numpy(training.parameters.kernel_mask())
    points, labels = (torch.from_numpy(a) for a in draw_training_data(setting, [5]))
    rng = source(Purpose.EPOCH, 5, 0)
    order = torch.from_numpy(rng.permutation(120))
    domain = 3.0 * (2 * torch.from_numpy(rng.random((3, 2, 30), dtype=np.float32)) - 1)
    for batch in range(3):
        chosen = order[40 * batch : 40 * (batch + 1)]
        optimiser.zero_grad()
        loss = autograd_loss(
            training.parameters,
            flat,
            points[:, :, chosen],
            labels[:, chosen],
            penalty=setting.penalty,
            weight=10.0,
            domain=domain[batch : batch + 1],
        )
        (loss + 1e-4 * (mask * flat.square()).sum()).backward()
        optimiser.step()
    train(training)
    np.testing.assert_allclose(training.parameters.flat, flat.detach().numpy(), rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("network", ["a", "d"])
def test_resumed_training_has_the_numbers_of_an_uninterrupted_one(network, tmp_path):
    setting = _setting(network)
    whole = train(start_training(setting, [3, 8]))
    half = train(start_training(setting, [3, 8]), until=2)
    save_training(half, tmp_path / "half.npz")
    resumed = train(load_training(tmp_path / "half.npz", setting, (3, 8)))
    np.testing.assert_array_equal(resumed.parameters.flat, whole.parameters.flat)
    np.testing.assert_array_equal(resumed.history, whole.history)
    assert resumed.epoch == whole.epoch == 6


def test_interruption_within_an_epoch_leaves_the_last_whole_one():
    setting = _setting()
    whole = train(start_training(setting, [0]))
    training = start_training(setting, [0])

    class StopError(Exception):
        pass

    def stop(state, _report):
        if state.epoch == 3:
            raise StopError

    with pytest.raises(StopError):
        train(training, after_epoch=stop)
    assert training.epoch == 3
    train(training)
    np.testing.assert_array_equal(training.parameters.flat, whole.parameters.flat)


def test_a_seed_does_not_depend_on_its_neighbours():
    setting = _setting()
    together = train(start_training(setting, [4, 1, 2]))
    alone = train(start_training(setting, [1]))
    np.testing.assert_array_equal(together.parameters.flat[1], alone.parameters.flat[0])


def test_coarse_to_fine_resumes_across_a_split(tmp_path):
    setting = _setting("b", coarse_to_fine=(1, 2))
    whole = train(start_training(setting, [0]))
    assert whole.parameters.architecture.steps == 4
    for until in range(1, 6):
        part = train(start_training(setting, [0]), until=until)
        save_training(part, tmp_path / "part.npz")
        resumed = train(load_training(tmp_path / "part.npz", setting))
        np.testing.assert_array_equal(resumed.parameters.flat, whole.parameters.flat)


@pytest.mark.parametrize("network", ["a", "b"])
def test_splitting_steps_keeps_the_flow(network):
    setting = _setting(network)
    parameters = start_training(setting, [0, 1]).parameters.astype(np.float64)
    x = np.random.default_rng(0).uniform(-2, 2, (1, 2, 20))
    fine = flow(VelocityField(split_steps(parameters)), x)
    np.testing.assert_allclose(fine, flow(VelocityField(parameters), x, steps=8), rtol=1e-12)


def test_prior_on_the_velocity_gradient_is_what_it_says():
    architecture = PlaneNetwork(steps=3)
    parameters = start_training(Setting(network="b", architecture=architecture), [0]).parameters.astype(
        np.float64
    )
    x = np.random.default_rng(0).uniform(-1, 1, (1, 2, 5))
    field = VelocityField(parameters)
    total, at = 0.0, x
    for _ in range(architecture.steps):
        velocity, slope = field.with_jacobian(at)
        total += np.square(slope).sum(axis=(1, 2)).mean() / architecture.steps
        at = at + velocity
    kernels, _ = tensor_parameters(architecture, torch.from_numpy(parameters.flat))
    value = velocity_gradient_prior(architecture, kernels, torch.from_numpy(x))
    assert value.item() == pytest.approx(total, rel=1e-12)
    assert np.isfinite(prior_gradient(parameters, x)).all()


def test_prior_makes_the_field_flatter():
    def slope(prior):
        setting = _setting("b", gradient_prior=prior, epochs=10, rate=0.01)
        training = train(start_training(setting, [0]))
        x = np.random.default_rng(0).uniform(-1, 1, (1, 2, 50))
        return np.square(VelocityField(training.parameters).with_jacobian(x)[1]).mean()

    assert slope(1.0) < slope(0.0)


def test_training_learns_and_held_out_points_are_others():
    setting = _setting("b", points=600, minibatch=100, epochs=60, rate=0.01)
    training = train(start_training(setting, [0]))
    assert training.history[-1, 0, 0] < training.history[0, 0, 0]
    assert held_out_accuracy(training, 500)[0] > 0.8
    train_points = draw_training_data(setting, [0])[0]
    held_out = draw_training_data(setting, [0], Purpose.HELD_OUT_DATA)[0]
    assert not np.isin(held_out, train_points).any()


def test_checkpoints_of_something_else_are_refused(tmp_path):
    setting = _setting()
    path = tmp_path / "state.npz"
    save_training(start_training(setting, [0]), path)
    longer = dataclasses.replace(setting, epochs=9)
    assert load_training(path, longer).setting.epochs == 9
    for other, seeds in (
        (dataclasses.replace(setting, architecture=PlaneNetwork(steps=5)), None),
        (dataclasses.replace(setting, network="a"), None),
        (setting, (1,)),
    ):
        with pytest.raises(LoadError) as problem:
            load_training(path, other, seeds)
        assert problem.value.code == "checkpoint-mismatch"
        assert "the file has" in str(problem.value)


def test_damaged_and_missing_files_are_errors_of_the_user(tmp_path):
    path = tmp_path / "state.npz"
    save_training(start_training(_setting(), [0]), path)
    whole = path.read_bytes()
    for broken in (b"", b"not a checkpoint", whole[: len(whole) // 2]):
        path.write_bytes(broken)
        with pytest.raises(LoadError):
            load_training(path)
    with pytest.raises(LoadError) as problem:
        load_training(tmp_path / "nothing.npz")
    assert problem.value.code == "file-not-found"
    with pytest.raises(OutputError):
        save_training(start_training(_setting(), [0]), path / "below" / "a-file.npz")


@pytest.mark.parametrize(
    "changes",
    [
        {"network": "e"},
        {"points": 0},
        {"epochs": -1},
        {"minibatch": 500},
        {"rate": 0.0},
        {"decay": -1.0},
        {"coarse_to_fine": (3,)},
    ],
    ids=str,
)
def test_impossible_settings_are_refused(changes):
    with pytest.raises(ConfigurationError):
        _setting(**changes)


def test_impossible_seeds_and_names_are_refused():
    for seeds in ([], [1, 1], [-1]):
        with pytest.raises(ConfigurationError):
            start_training(_setting(), seeds)
    with pytest.raises(ConfigurationError):
        setting_named("perfect", "a")


def test_settings_survive_json():
    setting = _setting("b", coarse_to_fine=(1, 2))
    assert Setting.from_json(setting.to_json()) == setting
