"""From evidence to verdicts: what is proven about a unit's map, and on which domain."""

from resnet_diffeo_probe.bijectivity.verdict import State, Verdict, network_verdicts, unit_verdicts

__all__ = ["State", "Verdict", "network_verdicts", "unit_verdicts"]
