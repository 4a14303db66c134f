"""Proofs and verdicts: what is proven about a unit's map, and on which domain."""

from resnet_diffeo_probe.bijectivity.certificates.certificate_global import (
    GlobalCertificate,
    global_certificate,
)
from resnet_diffeo_probe.bijectivity.certificates.certificate_local import LocalCertificate, local_certificate
from resnet_diffeo_probe.bijectivity.inverse.inverse import Inverse, invert
from resnet_diffeo_probe.bijectivity.network_verdict import network_verdicts
from resnet_diffeo_probe.bijectivity.proofs import PROOF_QUANTITIES, Proofs, prove
from resnet_diffeo_probe.bijectivity.state import State, Verdict
from resnet_diffeo_probe.bijectivity.verdict import unit_verdicts
from resnet_diffeo_probe.bijectivity.witnesses.witness import Witness

__all__ = [
    "PROOF_QUANTITIES",
    "GlobalCertificate",
    "Inverse",
    "LocalCertificate",
    "Proofs",
    "State",
    "Verdict",
    "Witness",
    "global_certificate",
    "invert",
    "local_certificate",
    "network_verdicts",
    "prove",
    "unit_verdicts",
]
