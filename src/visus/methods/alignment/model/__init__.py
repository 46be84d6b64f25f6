"""The linear map: as a module that is trained, as a record that is kept, and its closed forms."""

from visus.methods.alignment.model.linear import LinearAligner
from visus.methods.alignment.model.ridge import RidgeFit, held_out_predictions, ridge
from visus.methods.alignment.model.transform import Transform

__all__ = ["LinearAligner", "RidgeFit", "Transform", "held_out_predictions", "ridge"]
