"""What every failure leaves on the screen."""

import re


def check(outcome, code, *said):
    """One message, of this code, with these words; no traceback and nothing on standard output."""
    assert outcome.exit_code == code, outcome.output
    assert outcome.stdout == ""
    assert "Traceback" not in outcome.stderr
    lines = outcome.stderr.splitlines()
    errors = [line for line in lines if line.startswith("error [")]
    assert len(errors) == 1, outcome.stderr
    for words in said:
        assert words in outcome.stderr, outcome.stderr
    assert re.match(r"error \[[a-z-]+\]: \S", errors[0])
    assert any(line.startswith("  fix: ") for line in lines), outcome.stderr
