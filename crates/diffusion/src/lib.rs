//! The model: text encoder, video VAE, diffusion transformer, schedulers, guidance and weights.
