"""The methods text in its forms: only what ran, every citation with its work, names inert in each language."""

import html
import re

import pytest
from markdown_it import MarkdownIt

from resnet_diffeo_probe.report import render_html
from resnet_diffeo_probe.report.sections.methods import methods_for
from resnet_diffeo_probe.report.text.escaping import visible
from resnet_diffeo_probe.report.text.prose import Cite, Name, compose, to_latex, to_markdown
from resnet_diffeo_probe.report.text.works import WORKS


def forms(result):
    return {name: html.unescape(str(text)) for name, _, text in methods_for(result).forms}


@pytest.fixture(scope="module")
def written(make_full):
    return forms(make_full())


def test_every_citation_of_the_latex_has_its_entry_and_the_other_way_round(written):
    cited = set(re.findall(r"\\cite\{([^}]*)\}", written["LaTeX"]))
    entries = re.findall(r"^@\w+\{([^,]+),$", written["BibTeX"], re.MULTILINE)
    assert len(entries) == len(set(entries))
    assert cited == set(entries)
    assert len(cited) >= 7


def test_markdown_numbers_its_references_as_the_page_does(written, make_full):
    references = methods_for(make_full()).references
    listed = written["Markdown"].split("## References\n\n")[1].splitlines()
    assert len(listed) == len(references)
    for place, (line, work) in enumerate(zip(listed, references, strict=True), 1):
        assert line.startswith(f"{place}. ")
        assert line.endswith(f"<{work.url}>")
    numbers = {int(n) for n in re.findall(r"\[(\d+)\]", written["Markdown"].split("## References")[0])}
    assert numbers == set(range(1, len(references) + 1))


def test_the_three_forms_say_the_same(written, make_full, parse):
    def words(text):
        return re.findall(r"[a-z]{4,}", text.lower())

    page = " ".join(str(paragraph.striptags()) for paragraph in methods_for(make_full()).paragraphs)
    latex = re.sub(r"\\cite\{[^}]*\}|\\section\*\{Methods\}|\\[a-z]+", " ", written["LaTeX"])
    markdown = re.sub(
        r"\$[^$]*\$", " ", written["Markdown"].split("## References")[0].replace("## Methods", "")
    )
    assert words(re.sub(r"\$[^$]*\$", " ", latex)) == words(markdown) == words(page)


def test_only_what_ran_is_cited(make):
    result = make(2, 2, states=("no_violation_found",))
    result["measurements"] = [row for row in result["measurements"] if row["quantity"] == "residual_ratio"]
    result["verdicts"] = []
    assert {work.key for work in methods_for(result).references} == {"he2016resnet", "rousseau2020flows"}


def test_opposite_signs_are_not_claimed_where_a_pair_alone_proves(make_full):
    result = make_full(3, 4, states=("not_injective_proven",))
    assert "opposite signs" in forms(result)["Markdown"]
    for verdict in result["verdicts"]:
        if verdict["counts"]:
            verdict["counts"]["negative"] = 0
    assert "opposite signs" not in forms(result)["Markdown"]


def test_nothing_measured_leaves_what_was_looked_at(make):
    result = make(0, 0)
    assert "0 of the 0 units found" in forms(result)["LaTeX"]


@pytest.mark.parametrize("place", range(10))
def test_names_are_text_in_markdown(evil_names, place):
    name = evil_names[place]
    rendered = MarkdownIt().render(to_markdown([[Name(name), " is a name."]], []))
    assert f"<strong>{html.escape(visible(name), quote=False)}</strong>" in rendered.replace("&quot;", '"')
    assert "<script" not in rendered
    assert "<img" not in rendered


def test_names_are_text_in_latex():
    written = to_latex([[Name(r"\input{/etc/passwd} $x$ 50% #1 a_b ~ ^ & {}")]])
    bare = re.sub(r"\\text(bf|backslash|asciitilde|asciicircum)|\\section\*|\\[{}$%#_&]", "", written)
    assert not re.search(r"[\\$%#_&~^]", bare)
    assert written.count(r"\{") == 2


def test_a_sentence_is_filled_by_one_piece_or_several():
    assert compose("a {one} b{two}", one="x", two=["y", Cite("he2016resnet")]) == [
        "a ",
        "x",
        " b",
        "y",
        Cite("he2016resnet"),
    ]


def test_works_read_as_references_and_as_entries():
    work = WORKS["behrmann2019iresnet"]
    assert work.text.startswith(
        "J. Behrmann, W. Grathwohl, R. T. Q. Chen, D. Duvenaud, J.-H. Jacobsen. Invertible"
    )
    for work in WORKS.values():
        assert work.bibtex.count("{") == work.bibtex.count("}")
        assert work.bibtex.startswith(f"@{work.kind}{{{work.key},")
        assert work.url.startswith(("https://doi.org/10.", "https://arxiv.org/abs/"))
        assert not set("{}") & set(work.text)


def test_the_forms_stand_in_the_page_with_their_line_ends(make_full, parse):
    result = make_full()
    document = parse(render_html(result))
    for text in forms(result).values():
        assert text.strip() in document.text
