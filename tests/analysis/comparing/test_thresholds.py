"""Limits: the defaults, a file of them, and what a slip in it looks like."""

import pytest
from jsonschema import Draft202012Validator

from resnet_diffeo_probe.analysis.comparing.thresholds import (
    LIMITS,
    default_thresholds,
    limit_of,
    read_thresholds,
    require_units,
    stored_thresholds,
)
from resnet_diffeo_probe.analysis.result.schema import load_schema
from resnet_diffeo_probe.errors import ConfigurationError


@pytest.fixture
def read(tmp_path):
    def write(text):
        path = tmp_path / "limits.toml"
        path.write_text(text, encoding="utf-8")
        return read_thresholds(path)

    return write


def test_every_limit_is_of_a_quantity_that_is_measured_and_says_where_it_comes_from():
    from resnet_diffeo_probe.analysis.planning.quantities import QUANTITIES

    assert {limit.quantity for limit in LIMITS.values()} <= set(QUANTITIES)
    for key, limit in LIMITS.items():
        assert key == limit.key
        assert limit.bound in ("max", "min")
        assert limit.bound == (
            "max" if limit.statistic.startswith(("largest", "negative", "undeter")) else "min"
        )
        assert (limit.default is None) == limit.origin.startswith("no default")
        assert limit.default is None or limit.low <= limit.default <= limit.high


def test_what_is_stored_keeps_to_the_schema_and_comes_back(read):
    schema = load_schema()
    checked = Draft202012Validator({"$ref": "#/$defs/threshold", "$defs": schema["$defs"]})
    every = "\n".join(f"{key} = {limit.default or 0.5}" for key, limit in LIMITS.items())
    found = read(every + '\n[units."layer1.*"]\nmax_clipped_fraction = false')
    assert {threshold.limit.key for threshold in found} == set(LIMITS)
    for threshold in (*default_thresholds(), *found):
        checked.validate(threshold.to_json())
    assert stored_thresholds({"thresholds": [t.to_json() for t in found]}) == found
    assert stored_thresholds({}) == default_thresholds()


def test_a_file_replaces_defaults_and_the_last_table_that_matches_holds(read):
    found = read(
        "max_residual_ratio = 2\n"
        '[units."layer4.*"]\nmax_residual_ratio = 5.5\nmin_critical_step = false\n'
        '[units."*.2"]\nmax_residual_ratio = 7\n'
    )
    value = {
        unit: limit_of(found, "max_residual_ratio", unit).value
        for unit in ("layer1.0", "layer4.0", "layer4.2", "layer1.2")
    }
    assert value == {"layer1.0": 2.0, "layer4.0": 5.5, "layer4.2": 7.0, "layer1.2": 7.0}
    assert limit_of(found, "min_critical_step", "layer4.0") is None
    assert limit_of(found, "min_critical_step", "layer1.0").set_by == "default"
    assert limit_of(found, "max_residual_ratio", "layer1.0").set_by == "file"
    assert limit_of(found, "min_sigma_min", "layer1.0") is None


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (
            "max_residual_ration = 1",
            "unknown-key",
            ["limits.toml, line 1", "did you mean max_residual_ratio?"],
        ),
        ("residual_ratio = 1", "unknown-key", ["did you mean max_residual_ratio?"]),
        ("max_inverse_error = 1", "unknown-key", ["did you mean max_inverse_error_"]),
        ('\n\nmin_sigma_min = "1e-6"', "wrong-value", ["line 3", "min_sigma_min is text, not a number"]),
        ("min_sigma_min = true", "wrong-value", ["a boolean, not a number", "= false for no limit"]),
        ("min_sigma_min = nan", "wrong-value", ["not a finite number"]),
        ("max_residual_ratio = inf", "wrong-value", ["not a finite number"]),
        ("max_clipped_fraction = 30", "wrong-value", ["is 30", "from 0 to 1"]),
        ("max_residual_ratio = -1", "wrong-value", ["0 or more"]),
        ("units = 3", "wrong-value", ["units is a whole number, not a table"]),
        ("[units]\n'layer1.*' = 3", "wrong-value", ["line 2", "layer1.* is a whole number, not a table"]),
        (
            'max_clipped_depth = 1\n[units."a"]\n\nmax_clipped_deepth = 1',
            "unknown-key",
            ["line 4", "did you mean max_clipped_depth?"],
        ),
        ('[units."a"]\nmax_residual_ratio = []', "wrong-value", ["line 2", "is a list, not a number"]),
        ("units = {a = {max_residual_ratio = []}}", "wrong-value", ["limits.toml", "is a list"]),
        ("max_residual_ratio 1", "settings-not-toml", ["line 1"]),
    ],
)
def test_a_slip_names_the_key_the_line_and_what_is_allowed(read, text, code, said):
    with pytest.raises(ConfigurationError) as problem:
        read(text)
    assert problem.value.code == code
    for words in said:
        assert words in str(problem.value)


def test_a_pattern_without_a_unit_is_refused_with_the_nearest_name(read):
    found = read('[units."layer4.*"]\nmax_residual_ratio = 1')
    require_units(found, ["layer1.0", "layer4.1"])
    with pytest.raises(ConfigurationError) as problem:
        require_units(found, ["layer1.0", "layer1.1"])
    assert problem.value.code == "units-pattern"
    assert 'units."layer1' in problem.value.fix
