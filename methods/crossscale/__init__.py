"""Dense cross-scale alignment with fully spatial correlation and JND guidance (arXiv 2511.09028)."""

from .config import CrossScaleConfig
from .network import CrossScale, Prediction

__all__ = ["CrossScale", "CrossScaleConfig", "Prediction"]
