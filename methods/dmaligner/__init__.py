"""DMAligner: alignment as view synthesis by a latent diffusion model (arXiv 2602.23022)."""

from .config import DmAlignerConfig, DmAlignerInference
from .network import DmAligner

__all__ = ["DmAligner", "DmAlignerConfig", "DmAlignerInference"]
