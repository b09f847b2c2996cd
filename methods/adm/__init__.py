"""ADM: Active Diffusion Matching of retinal photographs (arXiv 2604.10084)."""

from .config import AdmConfig, AdmInference
from .network import Adm

__all__ = ["Adm", "AdmConfig", "AdmInference"]
