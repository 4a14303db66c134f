"""The methods text: sentences about what ran, and the works that they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from resnet_diffeo_probe.measures.registry import MEASURES, METHODS
from resnet_diffeo_probe.report.text.escaping import count, plural
from resnet_diffeo_probe.report.text.prose import (
    Cite,
    Formula,
    Name,
    Piece,
    cited,
    compose,
    to_html,
    to_latex,
    to_markdown,
)
from resnet_diffeo_probe.report.text.works import Work

__all__ = ["Methods", "methods_for"]

_DID_NOT_RUN = ("not_run", "not_applicable")

FLOWS, RESNET, DOMAIN = Cite("rousseau2020flows"), Cite("he2016resnet"), Cite("brouwer1911invarianz")
MATRIX, ARPACK, BINOMIAL = Cite("golub2013matrix"), Cite("lehoucq1998arpack"), Cite("clopper1934binomial")
IRESNET, GRAM, NEWTON = Cite("behrmann2019iresnet"), Cite("delattre2023gram"), Cite("kelley1995iterative")
CAPTUM, CONDUCTANCE = Cite("kokhlikyan2020captum"), Cite("dhamdhere2019conductance")
LANCZOS = Cite("ubaru2017lanczos")
AXIOMATIC = Cite("sundararajan2017axiomatic")
SUM, BRANCH, JACOBIAN = Formula("sum"), Formula("branch"), Formula("jacobian")
# what the sentences of measures may name
_PIECES: dict[str, Piece] = {
    "arpack": ARPACK,
    "branch": BRANCH,
    "iresnet": IRESNET,
    "jacobian": JACOBIAN,
    "lambda": Formula("lambda"),
    "lanczos": LANCZOS,
    "matrix": MATRIX,
    "step": Formula("step"),
}
_FOUND_BY = {method.key: {m.key for m in MEASURES if m.method is method} for method in METHODS}

Result = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Methods:
    """The text in every form.

    Attributes:
        paragraphs: HTML with numbered citations.
        references: in the order of first citation.
        forms: name of a form, what it is for, and its text to be copied.
    """

    paragraphs: list[Markup]
    references: list[Work]
    forms: list[tuple[str, str, Markup]]


def methods_for(result: Result) -> Methods:
    """Return the methods text of a valid result: only what the result says was done."""
    ran = {row["quantity"] for row in result["measurements"] if row["status"] not in _DID_NOT_RUN}
    paragraphs = [
        [*_subject(result), *_determinant(result, ran)],
        _sentences("spectrum", result, ran),
        _estimates(result, ran),
        _conclusions(result),
        _further(result),
        _attribution(result),
    ]
    written = [paragraph for paragraph in paragraphs if paragraph]
    works = cited(written)
    return Methods(
        paragraphs=[to_html(paragraph, works) for paragraph in written],
        references=works,
        forms=[
            # as markup their line ends stay line ends
            ("Markdown", "for a README or a notebook", Markup.escape(to_markdown(written, works))),
            ("LaTeX", "for a paper; the works are in the BibTeX entries", Markup.escape(to_latex(written))),
            ("BibTeX", "the works cited", Markup.escape("\n\n".join(work.bibtex for work in works) + "\n")),
        ],
    )


def _subject(result: Result) -> list[Piece]:
    tool, model, inputs = result["tool"], result["model"], result["inputs"]
    units = result["units"]
    analysed = sum(unit["status"] in ("complete", "partial") for unit in units)
    kind = "" if inputs["kind"] == "images" else f"{inputs['kind']} "
    return compose(
        "The residual units {unit} {resnet} of {architecture}{assumed} were analysed with {tool}: {analysed} of the "
        "{units} found, at {inputs}, in {arithmetic}. The question is whether a unit is a bijection, as the reading "
        "of residual networks as flows of diffeomorphisms {flows} supposes. The network was in evaluation mode, in "
        "which batch normalisation is affine. ",
        unit=Formula("unit"),
        resnet=RESNET,
        architecture=Name(model["architecture"]),
        assumed=" (inferred from the weights, hence assumed)" if model["architecture_assumed"] else "",
        tool=f"{tool['name']} {tool['version']}",
        analysed=count(analysed),
        units=plural(len(units), "unit"),
        inputs=f"{count(inputs['count'])} {kind}input{'' if inputs['count'] == 1 else 's'}",
        arithmetic=f"{tool['dtype']} on {tool['device']}",
        flows=FLOWS,
    )


def _determinant(result: Result, ran: set[str]) -> list[Piece]:
    if not ran & {"sign", "logabsdet"}:
        return []
    plans = sorted({unit["plan"]["method"] for unit in result["units"] if unit["plan"] and unit["done"]})
    return compose(
        "At each input, the sign and the logarithm of {det} of the sum map {sum} come from one factorisation of the "
        "Jacobian {jacobian}, reduced by Sylvester's identity {sylvester} {matrix}{plans}. ",
        det=Formula("det"),
        sum=SUM,
        jacobian=JACOBIAN,
        sylvester=Formula("sylvester"),
        matrix=MATRIX,
        plans=f" (method: {', '.join(plans)})" if plans else "",
    ) + (_ERROR_BOUND if _has_error_bounds(result) else [])


# Without works to cite: the bound is derived in the documentation.
_ERROR_BOUND: list[Piece] = [
    "How far rounding may have moved the logarithm was bounded from products with random vectors, which fails with a "
    "probability below 1e-8. "
]


def _has_error_bounds(result: Result) -> bool:
    return any(
        row["quantity"] == "logabsdet" and row["evidence"] == "exact" and "interval" in row
        for row in result["measurements"]
    )


def _sentences(paragraph: str, result: Result, ran: set[str]) -> list[Piece]:
    """Return what the records of the measures that were run say."""
    text: list[Piece] = []
    for method in METHODS:
        found = ran & _FOUND_BY[method.key]
        if found and method.paragraph == paragraph:
            iterated = method.iterated if _iterated(result, found) else None
            text += compose(iterated or method.direct, **_PIECES)
    return text


def _iterated(result: Result, keys: set[str]) -> bool:
    return any(row["quantity"] in keys and row["evidence"] == "estimated" for row in result["measurements"])


def _estimates(result: Result, ran: set[str]) -> list[Piece]:
    """What was measured of Jacobians that no exact determinant was computed of."""
    text: list[Piece] = []
    if _iterated(result, {"logabsdet"}):
        text += compose(
            "Where no exact method fitted, the logarithm of {det} was estimated by stochastic Lanczos quadrature "
            "{lanczos}, with an interval at 95 % for chance and truncation together; there is no sign. ",
            det=Formula("det"),
            lanczos=LANCZOS,
        )
    text += _sentences("estimates", result, ran)
    if (result.get("pullback") or {}).get("depths"):
        text.append(
            "At the first input, tangent vectors at the pixels were pushed through the network, and the Jacobian of "
            "every unit's output was decomposed. "
        )
    return text


def _conclusions(result: Result) -> list[Piece]:
    proven = {verdict["map"] for verdict in result["verdicts"] if verdict["state"] == "not_injective_proven"}
    text: list[Piece] = []
    if "sum" in proven and any(_has_both_signs(verdict) for verdict in result["verdicts"]):
        text += compose(
            "Certain determinants of opposite signs at two inputs prove that a map is not injective on a connected "
            "open set that holds both, by invariance of domain {domain}. ",
            domain=DOMAIN,
        )
    if "unit" in proven:
        text += compose(
            "A ReLU after the addition that sets a coordinate to zero on an open set sends that set into a "
            "hyperplane, which by invariance of domain {domain} no continuous injective map does. ",
            domain=DOMAIN,
        )
    if any(verdict["violating_share_upper_95"] is not None for verdict in result["verdicts"]):
        text += compose(
            "Where no violation was found, the violating share of inputs is bounded at 95 % by the exact binomial "
            "limit {binomial}, which takes the inputs for a random sample. ",
            binomial=BINOMIAL,
        )
    return text


def _has_both_signs(verdict: Result) -> bool:
    counts = verdict["counts"]
    return bool(verdict["map"] == "sum" and counts and counts["positive"] and counts["negative"])


def _further(result: Result) -> list[Piece]:
    text: list[Piece] = []
    proofs = sum(witness["is_proof"] for witness in result.get("witnesses", ()))
    if proofs:
        were = "One pair of different points with one image was" if proofs == 1 else (
            f"{count(proofs)} pairs of different points with one image were"
        )  # fmt: skip
        text.append(f"{were} found and checked in float64 by running the map itself. ")
    if (result.get("pixel_pair") or {}).get("is_proof"):
        text += compose(
            "Two images with the same features were found along the kernel of the Jacobian by the pixels, with chord "
            "steps back onto the level set {newton}, and checked the same way. ",
            newton=NEWTON,
        )
    scopes = {certificate["scope"] for certificate in result.get("certificates", ())}
    if "global" in scopes:
        text += compose(
            "Lipschitz constants of the branches were bounded from above layer by layer {gram}; below 1 they certify "
            "a bijection {iresnet}. ",
            gram=GRAM,
            iresnet=IRESNET,
        )
    if "local" in scopes:
        text.append("Balls of injectivity around inputs were certified by bounds over all slopes in them. ")
    if result.get("references"):
        text += compose(
            "Units were placed among those of the spiral networks of {flows}, trained anew over many seeds. ",
            flows=FLOWS,
        )
    if result.get("refinement"):
        text.append(
            "In the refinement test, residual steps were replaced by finer integration of the same field. "
        )
    return text


def _attribution(result: Result) -> list[Piece]:
    found = result.get("attribution")
    if not found:
        return []
    text: list[Piece] = []
    baseline = Name(found["baseline"]["name"])
    if found["rows"]:
        steps = sorted({entry["steps"] for entry in found["inputs"] if entry["steps"] is not None})
        text += compose(
            f"The logit of the predicted class was split between branch and shortcut at every unit, at "
            f"{plural(len(found['inputs']), 'input')}, by layer conductance {{conductance}} with captum {{captum}}: a "
            f"sum over {' to '.join(map(str, dict.fromkeys((steps[0], steps[-1]))))} steps from the baseline "
            "{baseline}. As a check, each branch was set to zero in turn. ",
            conductance=CONDUCTANCE,
            captum=CAPTUM,
            baseline=baseline,
        )
    drawn = {entry["of"] for entry in found["maps"] if entry["picture"]}
    if "clipped_energy" in drawn:
        text += compose(
            "The energy that the activation after the addition clips was split among the pixels by integrated "
            "gradients {axiomatic} with captum {captum} from the baseline {baseline}. ",
            axiomatic=AXIOMATIC,
            captum=CAPTUM,
            baseline=baseline,
        )
    if drawn & {"log_sigma_min", "narrow_direction"}:
        text += compose(
            "The smallest singular value of {jacobian} was traced to the pixels by the gradients that its singular "
            "vectors give. ",
            jacobian=JACOBIAN,
        )
    return text
