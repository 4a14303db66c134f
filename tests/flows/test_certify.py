"""Enclosures contain what they enclose, and verdicts are right where the truth is known."""

from types import SimpleNamespace

import numpy as np
import pytest

from resnet_diffeo_probe.errors import ConfigurationError
from resnet_diffeo_probe.flows.certification.boundary_injectivity import injective_on_boundary
from resnet_diffeo_probe.flows.certification.certify import MapVerdict, certify
from resnet_diffeo_probe.flows.certification.collision import colliding_pair
from resnet_diffeo_probe.flows.certification.enclosure import EnclosedMap, MapEnclosure
from resnet_diffeo_probe.flows.fields.architecture import PlaneNetwork
from resnet_diffeo_probe.flows.fields.field import VelocityField
from resnet_diffeo_probe.flows.fields.parameters import Parameters, glorot_uniform
from resnet_diffeo_probe.flows.fields.plane import determinant
from resnet_diffeo_probe.flows.integration.integrate import flow_with_jacobian
from resnet_diffeo_probe.references.weights import shipped_weights


def _parameters(shared=True, steps=10, gain=0.6, seed=0, bias=True):
    architecture = PlaneNetwork(steps=steps, shared=shared, bias=bias)
    parameters = glorot_uniform(architecture, [np.random.default_rng(seed)], gain=gain)
    parameters.flat[...] += 0.1 * np.random.default_rng(seed + 50).standard_normal(parameters.flat.shape)
    return parameters.astype(np.float64)


@pytest.mark.parametrize("half", [0.3, 0.02, 1e-5, 0.0])
@pytest.mark.parametrize(("shared", "bias"), [(True, True), (False, True), (True, False)])
def test_enclosures_contain_sampled_values(half, shared, bias):
    parameters = _parameters(shared, bias=bias)
    rng = np.random.default_rng(1)
    centre = rng.uniform(-3, 3, (2, 40))
    enclosed = EnclosedMap(parameters).enclose(centre, np.full((2, 40), half))
    # corners and random points of every box
    moves = np.concatenate([[[1, 1, -1, -1], [1, -1, 1, -1]], rng.uniform(-1, 1, (2, 30))], axis=1)
    for move in moves.T:
        x = centre + half * move[:, None]
        mapped, jacobian = flow_with_jacobian(VelocityField(parameters), x[None])
        reach = enclosed.hull_radius()
        # the sampled values are themselves rounded: a relative 1e-12 of slack is theirs
        slack = 1e-12 * (1 + np.abs(mapped[0]))
        assert (np.abs(mapped[0] - enclosed.centre) <= reach + slack).all()
        size = 1e-12 * (1 + np.abs(jacobian[0]))
        assert (np.abs(jacobian[0] - enclosed.jacobian) <= enclosed.jacobian_radius + size).all()
        det = determinant(jacobian)[0]
        slack = 1e-10 * (1 + np.abs(det))
        assert (det >= enclosed.determinant[0] - slack).all()
        assert (det <= enclosed.determinant[1] + slack).all()
        certain = enclosed.sign != 0
        assert (np.sign(det)[certain] == enclosed.sign[certain]).all()


def test_the_affine_part_holds_the_shape_not_only_the_hull():
    parameters = _parameters()
    centre, half = np.array([[0.5], [-0.3]]), np.full((2, 1), 0.05)
    enclosed = EnclosedMap(parameters).enclose(centre, half)
    rng = np.random.default_rng(0)
    unit = rng.uniform(-1, 1, (2, 500))
    mapped = flow_with_jacobian(VelocityField(parameters), (centre + half * unit)[None])[0][0]
    rest = mapped - enclosed.centre - np.einsum("ij,jb->ib", enclosed.matrix[:, :, 0], unit)
    assert (np.abs(rest) <= enclosed.error + 1e-12).all()


def test_points_are_enclosed_to_rounding():
    enclosed = EnclosedMap(_parameters()).enclose(np.array([[0.5], [1.0]]), np.zeros((2, 1)))
    assert enclosed.hull_radius().max() < 1e-11
    assert np.diff(enclosed.determinant, axis=0).max() < 1e-9


def _one_step(scale, width=0.5):
    """x -> x - scale tanh(x / width) in the first coordinate: a bijection if scale < width, else a fold."""
    parameters = Parameters.zeros(PlaneNetwork(steps=1, widths=(1,), bias=False), 1, np.float64)
    parameters.kernels[0][0, 0] = [[1 / width, 0.0]]
    parameters.kernels[1][0, 0] = [[-scale], [0.0]]
    return parameters


def test_known_diffeomorphism_and_known_fold():
    good = certify(_one_step(0.45), 3.0)
    assert good.verdict is MapVerdict.DIFFEOMORPHISM
    assert (good.sign, good.open_area, good.positive_area) == (1, 0.0, pytest.approx(1.0))
    bad = certify(_one_step(0.55), 3.0, whole=True, most_boxes=100_000)
    assert bad.verdict is MapVerdict.FOLDS
    half_width = 0.5 * np.arccosh(np.sqrt(0.55 / 0.5))
    assert bad.negative_area <= half_width / 3 <= bad.negative_area + bad.open_area
    signs = [
        np.sign(determinant(flow_with_jacobian(VelocityField(_one_step(0.55)), w[None, :, None])[1])).item()
        for w in bad.witness
    ]
    assert signs == [1.0, -1.0]
    assert bad.to_json()["witness"] is not None
    pair = bad.collision
    # x - 0.55 tanh(2 x) = y has solutions on both sides of the fold: the pair's second coordinate is the same
    assert pair.first[1] == pytest.approx(pair.second[1], abs=1e-9)
    assert pair.distance > 0.01
    images = [x - 0.55 * np.tanh(2 * x) for x in (pair.first[0], pair.second[0])]
    assert images[0] == pytest.approx(images[1], abs=1e-11)
    assert pair.radius < 1e-6 < pair.distance


def test_reflection_is_a_diffeomorphism():
    # x -> x - 1e6 * tanh(2e-6 x) is -x to one part in 1e11
    certificate = certify(_one_step(2e6, width=1e6), 3.0)
    assert certificate.verdict is MapVerdict.DIFFEOMORPHISM
    assert certificate.sign == -1
    assert certificate.collision is None


def test_a_touching_fold_stays_undecided():
    certificate = certify(_one_step(0.5), 3.0, most_boxes=20_000)
    assert certificate.verdict is MapVerdict.UNDECIDED
    assert 0 < certificate.open_area < 0.1
    assert "open" in certificate.reason


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_folding_networks_have_colliding_points(seed):
    parameters = shipped_weights("reliable", "a").parameters.select([seed])
    pair = certify(parameters, 3.0).collision
    field = VelocityField(parameters.astype(np.float64))
    ends = np.stack([pair.first, pair.second], axis=1)
    images = flow_with_jacobian(field, ends[None])[0][0]
    assert np.abs(images[:, 0] - images[:, 1]).max() < 1e-9 * (1 + np.abs(images).max())
    assert pair.distance > 1e-3
    assert pair.image_distance < 1e-9
    assert np.abs(ends).max() <= 3.0


def test_a_fold_narrower_than_the_boxes_is_found_at_a_point():
    # |x - 1| < 0.002 folds
    parameters = _one_step(0.004, width=0.002)
    architecture = PlaneNetwork(steps=1, widths=(1,))
    shifted = Parameters.zeros(architecture, 1, np.float64)
    shifted.kernels[0][0, 0] = [[*parameters.kernels[0][0, 0, 0], -1.0 / 0.002]]
    shifted.kernels[1][...] = parameters.kernels[1]
    hinted = certify(shifted, 3.0, most_boxes=5000, hints=np.array([[1.0, 0.0]]))
    assert hinted.verdict is MapVerdict.FOLDS
    assert hinted.witness[1].tolist() == [1.0, 0.0]
    assert certify(shifted, 3.0, most_boxes=5000).verdict is MapVerdict.UNDECIDED
    assert certify(shifted, 3.0).verdict is MapVerdict.FOLDS


def test_no_collision_is_claimed_without_a_fold():
    # between two points of a diffeomorphism there is no fold to find a pair beside
    assert colliding_pair(_one_step(0.45), np.array([1.0, 0.0]), np.array([2.0, 0.0])) is None


class _ComplexExponential:
    """(x, y) -> exp(x + i y): det > 0 everywhere, injective on the square exactly when its half side < pi."""

    def enclose(self, centre, half):
        x, y = centre
        scale = np.exp(x)
        image = scale * np.stack([np.cos(y), np.sin(y)])
        middle = scale * np.array([[np.cos(y), -np.sin(y)], [np.sin(y), np.cos(y)]])
        # every entry of every derivative is at most exp(x + half) in size
        spread = np.exp(x + half[0]) * half.sum(axis=0) * 1.001 + 1e-12
        radius = np.broadcast_to(spread, (2, 2, *x.shape))
        matrix = middle * half[None]
        error = np.broadcast_to(spread * half.sum(axis=0) + 1e-12, image.shape)
        ones = np.ones(x.size, dtype=np.int8)
        return MapEnclosure(image, matrix, error, ones, np.stack([ones, ones]) * 1.0, middle, radius)


@pytest.mark.parametrize(("radius", "injective"), [(3.0, True), (3.13, True), (3.15, False), (3.5, False)])
def test_boundary_of_the_complex_exponential(radius, injective):
    proof = injective_on_boundary(_ComplexExponential(), radius, most_segments=6000)
    assert proof.proven is injective
    if not injective:
        assert proof.open_pairs > 0
        assert np.abs(proof.nearest).max() == pytest.approx(radius)


def test_boundary_is_covered_with_its_corners():
    seen = SimpleNamespace(boxes=[])

    class _Spy(_ComplexExponential):
        def enclose(self, centre, half):
            seen.boxes.append((centre, half))
            return super().enclose(centre, half)

    injective_on_boundary(_Spy(), 1.7)
    centre, half = seen.boxes[0]
    line = np.linspace(-1.7, 1.7, 1001)
    edge = np.full_like(line, 1.7)
    for points in ((line, -edge), (edge, line), (line, edge), (-edge, line)):
        inside = (np.abs(np.stack(points)[:, :, None] - centre[:, None, :]) <= half[:, None, :]).all(axis=0)
        assert inside.any(axis=1).all()


def test_what_cannot_be_certified_is_refused():
    for architecture in (PlaneNetwork(activation="relu"), PlaneNetwork(widths=(4, 4))):
        with pytest.raises(ConfigurationError, match="certification"):
            certify(Parameters.zeros(architecture, 1, np.float64), 3.0)
    with pytest.raises(ConfigurationError):
        certify(Parameters.zeros(PlaneNetwork(), 2), 3.0)
    with pytest.raises(ConfigurationError):
        certify(_parameters(), -1.0)
