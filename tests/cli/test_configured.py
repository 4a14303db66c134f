"""Options from a file and from the environment: who wins, and what a slip in either looks like."""

import pytest
from click.testing import CliRunner
from diffeo_probe.main import cli
from diffeo_probe.options.configured import PREFIX

from resnet_diffeo_probe.demo import demo_paths

DEMO = demo_paths()


@pytest.fixture
def seen(monkeypatch):
    """Replace the work of `analyze` by a look at its options."""
    options = {}

    def record(model, given, **_command):
        options.clear()
        options.update(vars(given), model=model)
        return 0

    monkeypatch.setattr("diffeo_probe.commands.analyze.run_analysis", record)
    return options


def run(*words, **variables):
    return CliRunner().invoke(
        cli,
        list(words),
        env=variables,
        auto_envvar_prefix=PREFIX,
        catch_exceptions=True,
        standalone_mode=False,
    )


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "my.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_a_flag_wins_over_the_environment_that_over_the_file_that_over_the_default(seen, file):
    config = file('budget = "full"')
    variable = {"DIFFEO_PROBE_ANALYZE_BUDGET": "quick"}
    run("analyze", "m.pt")
    assert seen["budget"] == "standard"
    run("analyze", "m.pt", "--config", config)
    assert seen["budget"] == "full"
    run("analyze", "m.pt", "--config", config, **variable)
    assert seen["budget"] == "quick"
    run("analyze", "m.pt", "--config", config, "--budget", "standard", **variable)
    assert seen["budget"] == "standard"


def test_every_kind_of_option_and_the_argument_may_stand_in_a_file(seen, file):
    text = """
    model = "weights.pt"
    trust_pickle = true
    count = 3
    mean = [0.1, 0.2, 3]
    std = "0.1,0.2,0.3"
    size = [32, 48]
    units = ["layer1.*", "layer2.0"]
    measures = ["sign", "logabsdet"]
    max-memory = 8
    fail_on = "error"
    """
    outcome = run("analyze", "--config", file(text))
    assert outcome.exception is None, outcome.exception
    assert seen["model"] == "weights.pt"
    assert seen["trust_pickle"] is True
    assert (seen["count"], seen["max_memory"], seen["fail_on"]) == (3, 8.0, "error")
    assert seen["mean"] == (0.1, 0.2, 3.0)
    assert seen["std"] == (0.1, 0.2, 0.3)
    assert seen["size"] == (32, 48)
    assert seen["units"] == ("layer1.*", "layer2.0")
    assert seen["measures"] == "sign,logabsdet"


def test_the_words_of_the_command_line_win_over_the_file_for_the_argument_too(seen, file):
    run("analyze", "mine.pt", "--config", file('model = "other.pt"'))
    assert seen["model"] == "mine.pt"


def test_the_file_may_be_named_by_a_variable(seen, file):
    run("analyze", "m.pt", DIFFEO_PROBE_ANALYZE_CONFIG=file("seed = 7"))
    assert seen["seed"] == 7


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ('\nbudgte = "quick"', "unknown-key", ["my.toml, line 2", "'budgte'", "did you mean budget?"]),
        ('config = "other.toml"', "unknown-key", ["'config'"]),
        ("count = true", "wrong-value", ["line 1", "count is a boolean, not a whole number"]),
        ("count = 2.5", "wrong-value", ["count is a number, not a whole number"]),
        ("count = 0", "wrong-value", ["count is 0", "x>=1"]),
        ('trust_pickle = "yes"', "wrong-value", ["trust_pickle is text, not true or false"]),
        ("budget = 3", "wrong-value", ["budget is a whole number, not text"]),
        ('budget = "tiny"', "wrong-value", ["'tiny'", "quick"]),
        ('# a\n\nmean = ["a"]', "wrong-value", ["line 3", "not a list of numbers"]),
        ("size = [1, 2, 3]", "wrong-value", ["not a size"]),
        ("size = 1.5", "wrong-value", ["not a size"]),
        ("units = [1]", "wrong-value", ["units is a whole number, not text"]),
        ("seed = 2024-01-01", "wrong-value", ["a date or time"]),
        ("[analyze]\nbudget = 1", "unknown-key", ["'analyze'"]),
        ("budget = quick", "settings-not-toml", ["line 1"]),
        ("seed = 1\nseed = 2", "settings-not-toml", []),
    ],
)
def test_a_slip_in_the_file_names_the_key_the_line_and_the_nearest(seen, file, text, code, said):
    outcome = run("analyze", "m.pt", "--config", file(text))
    assert outcome.exception.code == code
    assert outcome.exception.exit_code == 2
    for words in said:
        assert words in str(outcome.exception)
    assert seen == {}


def test_a_file_that_cannot_be_read(seen, tmp_path):
    (tmp_path / "run.toml").write_text("")
    (tmp_path / "latin.toml").write_bytes(b'out = "\xe9"')
    (tmp_path / "large.toml").write_bytes(b"#" * (1 << 21))
    (tmp_path / "deep.toml").write_text("a = " + "[" * 5000)
    for name, said in (
        ("rum.toml", "did you mean"),
        ("", "is not a file"),
        ("latin.toml", "UTF-8"),
        ("large.toml", "too large"),
        ("deep.toml", "deep.toml"),
    ):
        outcome = run("analyze", "m.pt", "--config", str(tmp_path / name))
        assert outcome.exception.exit_code == 2, name
        assert said in str(outcome.exception)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("DIFFEO_PROBE_ANALYZE_BUDGTE", "DIFFEO_PROBE_ANALYZE_BUDGET"),
        ("DIFFEO_PROBE_BUDGET", "DIFFEO_PROBE_ANALYZE_BUDGET"),
    ],
)
def test_a_variable_without_effect_is_an_error(seen, variable, meant):
    outcome = run("analyze", "m.pt", **{variable: "quick"})
    assert outcome.exception.code == "unknown-variable"
    assert f"did you mean {meant}?" in str(outcome.exception)
    # another command is not concerned by a name that begins with this one's
    assert run("check", "--help", **{"DIFFEO_PROBE_ANALYZE_BUDGTE": "quick"}).exception is None


def test_a_variable_of_a_wrong_type_names_itself(typed, monkeypatch):
    monkeypatch.setenv("DIFFEO_PROBE_ANALYZE_COUNT", "many")
    outcome = typed("analyze", DEMO.model)
    assert outcome.exit_code == 2
    assert "'many' is not a whole number" in outcome.stderr
    assert "DIFFEO_PROBE_ANALYZE_COUNT" in outcome.stderr


def test_sub_commands_of_a_group_have_names_of_their_own(file, tmp_path):
    outcome = run("spirals", "train", "--config", file('network = "a"\npoinst = 3'))
    assert "did you mean points?" in str(outcome.exception)
    outcome = run(
        "spirals",
        "train",
        "a",
        DIFFEO_PROBE_SPIRALS_TRAIN_SEEDS="0",
        DIFFEO_PROBE_SPIRALS_TRAIN_OUT=str(tmp_path / "a"),
    )
    assert "--seeds 0" in str(outcome.exception)


def commands_of(group, path=()):
    """Every command that takes a file of settings, with its words."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_a_key_and_a_variable_are_called_like_the_option():
    for words, command in commands_of(cli):
        for param in command.params:
            if param.param_type_name == "option":
                longest = max(param.opts, key=len).lstrip("-").replace("-", "_")
                assert param.name == longest, (words, param.opts)


@pytest.mark.parametrize(
    "words", ["analyze", "inspect", "demo", "report", "check", "compare", "spirals train", "spirals certify"]
)
def test_commands_that_compute_take_a_file(words):
    command = dict(commands_of(cli))[words]
    assert "config" in {param.name for param in command.params}
