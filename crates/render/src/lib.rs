//! One accepted request becomes one signed video; the seam where a model is plugged in.
