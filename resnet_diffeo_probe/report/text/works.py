"""The published works that the methods text cites."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["WORKS", "Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """A published work.

    Attributes:
        key: by which the text cites it, also in BibTeX.
        kind: of the BibTeX entry.
        authors: "Family, Given", in the order of the title page.
        title: as printed; braces keep capitals in BibTeX.
        venue: the journal, proceedings or publisher, with volume and pages where there are any.
        year: of publication.
        doi: without the resolver; None for works that have none.
        arxiv: number of the preprint.
        fields: further BibTeX fields.
    """

    key: str
    kind: str
    authors: tuple[str, ...]
    title: str
    venue: str
    year: int
    doi: str | None = None
    arxiv: str | None = None
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The reference as one line of text."""
        names = [f"{_initials(given)} {family}" for family, given in (a.split(", ") for a in self.authors)]
        title = self.title.replace("{", "").replace("}", "")
        return f"{', '.join(names)}. {title}. {self.venue}, {self.year}."

    @property
    def url(self) -> str:
        """Where to find it."""
        return f"https://doi.org/{self.doi}" if self.doi else f"https://arxiv.org/abs/{self.arxiv}"

    @property
    def bibtex(self) -> str:
        """The entry for BibTeX."""
        holder = {"article": "journal", "inproceedings": "booktitle", "book": "publisher"}.get(
            self.kind, "note"
        )
        named = {
            "author": " and ".join(self.authors),
            "title": self.title,
            **({} if any(key == holder for key, _ in self.fields) else {holder: self.venue}),
            **dict(self.fields),
            "year": str(self.year),
            **({"doi": self.doi} if self.doi else {"eprint": self.arxiv, "archiveprefix": "arXiv"}),
        }
        lines = [f"  {key} = {{{value}}}," for key, value in named.items()]
        return "\n".join([f"@{self.kind}{{{self.key},", *lines, "}"])


def _initials(given: str) -> str:
    """Return the initials of given names; a hyphen stays: Jörn-Henrik is J.-H."""
    return " ".join("-".join(f"{part[0]}." for part in name.split("-")) for name in given.split())


def _journal(name: str, volume: str, pages: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    return f"{name} {volume}, {pages}", (
        ("journal", name),
        ("volume", volume),
        ("pages", pages.replace("–", "--")),
    )


_JMIV = _journal("Journal of Mathematical Imaging and Vision", "62", "365–375")
_SIMAX = _journal("SIAM Journal on Matrix Analysis and Applications", "38", "1075–1099")
_ANNALEN = _journal("Mathematische Annalen", "71", "305–313")
_BIOMETRIKA = _journal("Biometrika", "26", "404–413")

#: By key.
WORKS: dict[str, Work] = {
    work.key: work
    for work in (
        Work(
            "rousseau2020flows",
            "article",
            ("Rousseau, François", "Drumetz, Lucas", "Fablet, Ronan"),
            "Residual Networks as Flows of Diffeomorphisms",
            _JMIV[0],
            2020,
            doi="10.1007/s10851-019-00890-3",
            fields=_JMIV[1],
        ),
        Work(
            "he2016resnet",
            "inproceedings",
            ("He, Kaiming", "Zhang, Xiangyu", "Ren, Shaoqing", "Sun, Jian"),
            "Deep Residual Learning for Image Recognition",
            "CVPR",
            2016,
            arxiv="1512.03385",
        ),
        Work(
            "brouwer1911invarianz",
            "article",
            ("Brouwer, Luitzen Egbertus Jan",),
            "{Beweis der Invarianz des n-dimensionalen Gebiets}",
            _ANNALEN[0],
            1911,
            doi="10.1007/BF01456846",
            fields=_ANNALEN[1],
        ),
        Work(
            "ubaru2017lanczos",
            "article",
            ("Ubaru, Shashanka", "Chen, Jie", "Saad, Yousef"),
            "Fast Estimation of tr(f(A)) via Stochastic {Lanczos} Quadrature",
            _SIMAX[0],
            2017,
            doi="10.1137/16M1104974",
            fields=_SIMAX[1],
        ),
        Work(
            "golub2013matrix",
            "book",
            ("Golub, Gene Howard", "Van Loan, Charles Francis"),
            "Matrix Computations",
            "Johns Hopkins University Press, 4th edition",
            2013,
            doi="10.56021/9781421407944",
        ),
        Work(
            "lehoucq1998arpack",
            "book",
            ("Lehoucq, Richard Bruno", "Sorensen, Danny Chris", "Yang, Chao"),
            "{ARPACK} Users' Guide",
            "SIAM",
            1998,
            doi="10.1137/1.9780898719628",
        ),
        Work(
            "clopper1934binomial",
            "article",
            ("Clopper, Charles Joseph", "Pearson, Egon Sharpe"),
            "The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial",
            _BIOMETRIKA[0],
            1934,
            doi="10.1093/biomet/26.4.404",
            fields=_BIOMETRIKA[1],
        ),
        Work(
            "behrmann2019iresnet",
            "inproceedings",
            (
                "Behrmann, Jens",
                "Grathwohl, Will",
                "Chen, Ricky Tian Qi",
                "Duvenaud, David",
                "Jacobsen, Jörn-Henrik",
            ),
            "Invertible Residual Networks",
            "ICML",
            2019,
            arxiv="1811.00995",
        ),
        Work(
            "delattre2023gram",
            "inproceedings",
            ("Delattre, Blaise", "Barthélemy, Quentin", "Araujo, Alexandre", "Allauzen, Alexandre"),
            "Efficient Bound of {L}ipschitz Constant for Convolutional Layers by {G}ram Iteration",
            "ICML",
            2023,
            arxiv="2305.16173",
        ),
        Work(
            "kokhlikyan2020captum",
            "misc",
            (
                *("Kokhlikyan, Narine", "Miglani, Vivek", "Martin, Miguel", "Wang, Edward"),
                *("Alsallakh, Bilal", "Reynolds, Jonathan", "Melnikov, Alexander", "Kliushkina, Natalia"),
                *("Araya, Carlos", "Yan, Siqi", "Reblitz-Richardson, Orion"),
            ),
            "Captum: A Unified and Generic Model Interpretability Library for {PyTorch}",
            "arXiv",
            2020,
            arxiv="2009.07896",
        ),
        Work(
            "dhamdhere2019conductance",
            "inproceedings",
            ("Dhamdhere, Kedar", "Sundararajan, Mukund", "Yan, Qiqi"),
            "How Important Is a Neuron?",
            "ICLR",
            2019,
            arxiv="1805.12233",
        ),
        Work(
            "sundararajan2017axiomatic",
            "inproceedings",
            ("Sundararajan, Mukund", "Taly, Ankur", "Yan, Qiqi"),
            "Axiomatic Attribution for Deep Networks",
            "ICML",
            2017,
            arxiv="1703.01365",
        ),
        Work(
            "kelley1995iterative",
            "book",
            ("Kelley, Carl Tim",),
            "Iterative Methods for Linear and Nonlinear Equations",
            "SIAM",
            1995,
            doi="10.1137/1.9781611970944",
        ),
    )
}
