"""What the report's tests stand on: a unit of every state, and nothing that the engine does not write."""

from . import sample
from .analysed import UNIT_OF, analysed


def keys(node):
    """Return every key of an object that is made of others, with the keys that lead to it."""
    if isinstance(node, list):
        return set().union(*map(keys, node))
    if not isinstance(node, dict):
        return set()
    return set(node) | {f"{key}.{below}" for key, child in node.items() for below in keys(child)}


def test_each_unit_is_in_its_state():
    found = {v["unit"]: v["state"] for v in analysed().result["verdicts"] if v["map"] == "sum"}
    found.pop(None)
    assert found == {unit: state for state, unit in UNIT_OF.items()}


def test_the_unit_that_folds_has_both_signs_in_turn_and_a_pair():
    result, name = analysed().result, UNIT_OF["not_injective_proven"]
    rows = [r for r in result["measurements"] if (r["unit"], r["quantity"]) == (name, "sign")]
    assert [row["value"] for row in rows] == [-1, 1, -1, 1, -1]
    assert any(w["unit"] == name and w["map"] == "sum" and w["is_proof"] for w in result["witnesses"])


def test_a_sample_has_the_keys_and_quantities_of_the_engine_and_no_others():
    written = analysed().result
    made = sample.make_result(8, 12, parts=(*sample.EVIDENCE, *sample.PICTURES, "attribution", "pullback"))
    assert keys(made) <= keys(written)
    assert {r["quantity"] for r in made["measurements"]} == {r["quantity"] for r in written["measurements"]}
    old = set(UNIT_OF.values()) | set(written["inputs"]["names"])
    about = [(m["unit"], m["input"]) for m in made["measurements"]]
    assert not old & {name for pair in about for name in pair}
    assert len({(u, i, m["quantity"]) for (u, i), m in zip(about, made["measurements"], strict=True)}) == len(
        about
    )
