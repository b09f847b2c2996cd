"""DIAR: align a set of shots of one flat thing, and restore what light and occluders hide (arXiv 2310.11605)."""

from .config import DiarConfig, DiarInference
from .network import Diar
from .online import OnlineRestoration

__all__ = ["Diar", "DiarConfig", "DiarInference", "OnlineRestoration"]
