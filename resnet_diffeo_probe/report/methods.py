"""The methods text: sentences about what ran, and the works that they rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from resnet_diffeo_probe.report.quantities import INVERSE

__all__ = ["Methods", "Reference", "methods_for"]

_DID_NOT_RUN = ("not_run", "not_applicable")


@dataclass(frozen=True, slots=True)
class Reference:
    """A published work: who and what, and where to find it."""

    key: str
    text: str
    url: str


@dataclass(slots=True)
class Methods:
    """Paragraphs (HTML with numbered citations) and the references in order of first citation."""

    paragraphs: list[Markup] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)

    def cite(self, key: str) -> Markup:
        """Return the citation mark of a work, adding it to the references."""
        work = _WORKS[key]
        if work not in self.references:
            self.references.append(work)
        place = self.references.index(work) + 1
        return Markup('<a class="cite" href="#reference-{0}">[{0}]</a>').format(place)


_WORKS = {
    work.key: work
    for work in (
        Reference(
            "flows",
            "F. Rousseau, L. Drumetz, R. Fablet. Residual Networks as Flows of Diffeomorphisms. "
            "Journal of Mathematical Imaging and Vision 62, 365–375, 2020.",
            "https://doi.org/10.1007/s10851-019-00890-3",
        ),
        Reference(
            "resnet",
            "K. He, X. Zhang, S. Ren, J. Sun. Deep Residual Learning for Image Recognition. CVPR 2016.",
            "https://arxiv.org/abs/1512.03385",
        ),
        Reference(
            "domain",
            "L. E. J. Brouwer. Beweis der Invarianz des n-dimensionalen Gebiets. "
            "Mathematische Annalen 71, 305–313, 1911.",
            "https://doi.org/10.1007/BF01456846",
        ),
        Reference(
            "matrix",
            "G. H. Golub, C. F. Van Loan. Matrix Computations. 4th edition, Johns Hopkins University "
            "Press, 2013.",
            "https://doi.org/10.56021/9781421407944",
        ),
        Reference(
            "arpack",
            "R. B. Lehoucq, D. C. Sorensen, C. Yang. ARPACK Users' Guide. SIAM, 1998.",
            "https://doi.org/10.1137/1.9780898719628",
        ),
        Reference(
            "binomial",
            "C. J. Clopper, E. S. Pearson. The use of confidence or fiducial limits illustrated in the "
            "case of the binomial. Biometrika 26, 404–413, 1934.",
            "https://doi.org/10.1093/biomet/26.4.404",
        ),
        Reference(
            "iresnet",
            "J. Behrmann, W. Grathwohl, R. T. Q. Chen, D. Duvenaud, J.-H. Jacobsen. Invertible "
            "Residual Networks. ICML 2019.",
            "https://arxiv.org/abs/1811.00995",
        ),
        Reference(
            "gram",
            "B. Delattre, Q. Barthélemy, A. Araujo, A. Allauzen. Efficient Bound of Lipschitz Constant for "
            "Convolutional Layers by Gram Iteration. ICML 2023.",
            "https://arxiv.org/abs/2305.16173",
        ),
    )
}


def methods_for(result: Mapping[str, Any]) -> Methods:
    """Return the methods text of a result: only what the result says was done."""
    methods = Methods()
    ran = {row["quantity"] for row in result["measurements"] if row["status"] not in _DID_NOT_RUN}
    proven = {verdict["map"] for verdict in result["verdicts"] if verdict["state"] == "not_injective_proven"}
    text = _subject(result, methods)
    if "sign" in ran or "logabsdet" in ran:
        text += _determinant(result, methods)
    methods.paragraphs.append(text)
    spectrum = _spectrum(result, ran, methods)
    if spectrum:
        methods.paragraphs.append(spectrum)
    conclusions = _conclusions(proven, result, methods)
    if conclusions:
        methods.paragraphs.append(conclusions)
    further = _further(result, methods)
    if further:
        methods.paragraphs.append(further)
    return methods


def _subject(result: Mapping[str, Any], methods: Methods) -> Markup:
    tool, model, inputs = result["tool"], result["model"], result["inputs"]
    units = result["units"]
    analysed = sum(unit["status"] in ("complete", "partial") for unit in units)
    return Markup(
        "The residual units y = a(s(x) + F(x)) {resnet} of <b>{architecture}</b>{assumed} were "
        "analysed with {tool} {version}: {analysed} of the {units} units found, at {inputs} {kind} "
        "inputs, in {dtype} on {device}. The question is whether a unit is a bijection, as the "
        "reading of residual networks as flows of diffeomorphisms {flows} supposes. The network "
        "was in evaluation mode, in which batch normalisation is affine. "
    ).format(
        resnet=methods.cite("resnet"),
        architecture=model["architecture"],
        assumed=" (inferred from the weights, hence assumed)" if model["architecture_assumed"] else "",
        tool=tool["name"],
        version=tool["version"],
        analysed=analysed,
        units=len(units),
        inputs=inputs["count"],
        kind="" if inputs["kind"] == "images" else inputs["kind"],
        dtype=tool["dtype"],
        device=tool["device"],
        flows=methods.cite("flows"),
    )


def _determinant(result: Mapping[str, Any], methods: Methods) -> Markup:
    plans = sorted({unit["plan"]["method"] for unit in result["units"] if unit["plan"] and unit["done"]})
    return Markup(
        "At each input, the sign and the logarithm of |det J| of the sum map x + F(x) come from "
        "one factorisation of the Jacobian, reduced by Sylvester's identity det(I + AB) = det(I + "
        "BA) {matrix}{plans}. "
    ).format(
        matrix=methods.cite("matrix"),
        plans=Markup(" (method: {})").format(", ".join(plans)) if plans else "",
    )


def _spectrum(result: Mapping[str, Any], ran: set[str], methods: Methods) -> Markup:
    text = Markup("")
    if ran & {"sigma_min", "sigma_max"}:
        if _iterated(result, {"sigma_min", "sigma_max"}):
            text += Markup(
                "Extreme singular values of J were computed by Lanczos iterations {arpack}, the smallest with "
                "solves from the same factorisation. "
            ).format(arpack=methods.cite("arpack"))
        else:
            text += Markup(
                "Extreme singular values were taken from a full decomposition of J {matrix}. "
            ).format(matrix=methods.cite("matrix"))
    if ran & {"critical_step", "leftmost_real_eigenvalue"}:
        how = (
            Markup("by implicitly restarted Arnoldi iterations {}").format(methods.cite("arpack"))
            if _iterated(result, {"critical_step", "leftmost_real_eigenvalue"})
            else Markup("from all eigenvalues {}").format(methods.cite("matrix"))
        )
        text += Markup(
            "The critical step is h* = −1/λ with λ the leftmost real eigenvalue of the Jacobian of F, {how}. "
        ).format(how=how)
    if ran & set(INVERSE):
        text += Markup("Inverses were computed iteratively {iresnet} and compared with the input. ").format(
            iresnet=methods.cite("iresnet")
        )
    return text


def _iterated(result: Mapping[str, Any], keys: set[str]) -> bool:
    return any(row["quantity"] in keys and row["evidence"] == "estimated" for row in result["measurements"])


def _conclusions(proven: set[str], result: Mapping[str, Any], methods: Methods) -> Markup:
    text = Markup("")
    if "sum" in proven:
        text += Markup(
            "Certain determinants of opposite signs at two inputs prove that a map is not injective on "
            "a connected open set that holds both, by invariance of domain {domain}. "
        ).format(domain=methods.cite("domain"))
    if "unit" in proven:
        text += Markup(
            "A ReLU after the addition that sets a coordinate to zero on an open set sends that set into a "
            "hyperplane, which by invariance of domain {domain} no continuous injective map does. "
        ).format(domain=methods.cite("domain"))
    if any(verdict["violating_share_upper_95"] is not None for verdict in result["verdicts"]):
        text += Markup(
            "Where no violation was found, the violating share of inputs is bounded at 95 % by the "
            "exact binomial limit {binomial}, which takes the inputs for a random sample. "
        ).format(binomial=methods.cite("binomial"))
    return text


def _further(result: Mapping[str, Any], methods: Methods) -> Markup:
    text = Markup("")
    proofs = sum(witness["is_proof"] for witness in result.get("witnesses", ()))
    if proofs:
        text += Markup(
            "{} of different points with one image {} found and checked in float64 by running the map itself. "
        ).format("One pair" if proofs == 1 else f"{proofs} pairs", "was" if proofs == 1 else "were")
    scopes = {certificate["scope"] for certificate in result.get("certificates", ())}
    if "global" in scopes:
        text += Markup(
            "Lipschitz constants of the branches were bounded from above layer by layer {gram}; below 1 they "
            "certify a bijection {iresnet}. "
        ).format(gram=methods.cite("gram"), iresnet=methods.cite("iresnet"))
    if "local" in scopes:
        text += Markup(
            "Balls of injectivity around inputs were certified by bounds over all slopes in them. "
        )
    if result.get("references"):
        text += Markup(
            "Units were placed among those of the spiral networks of {flows}, trained anew over many seeds. "
        ).format(flows=methods.cite("flows"))
    if result.get("refinement"):
        text += Markup(
            "In the refinement test, residual steps were replaced by finer integration of the same field. "
        )
    return text
