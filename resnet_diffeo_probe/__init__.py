"""diffeo-probe: is this pretrained ResNet's mapping a bijection, and where does it fold?"""

__version__ = "0.1.0"
