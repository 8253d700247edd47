//! The Gaussian error linear unit, `x · Φ(x)`, with its derivative.
//!
//! Source: Hendrycks & Gimpel 2016 (arXiv:1606.08415).

use crate::exponential::normal;
use crate::vectorized::vectorized;

vectorized! {
    /// `out = x · Φ(x)`. Panics if lengths differ.
    pub fn gelu(x: &[f32], out: &mut [f32]) {
        assert_eq!(x.len(), out.len());
        for (out, &x) in out.iter_mut().zip(x) {
            *out = x * normal(x).0;
        }
    }
}

vectorized! {
    /// `gradient ← gradient · d gelu(x)/dx`. Panics if lengths differ.
    pub fn gelu_backward(x: &[f32], gradient: &mut [f32]) {
        assert_eq!(x.len(), gradient.len());
        for (gradient, &x) in gradient.iter_mut().zip(x) {
            let (share, density) = normal(x);
            *gradient *= share + x * density;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{numeric_gradient, random, relative_error};

    #[test]
    fn the_derivative_is_that_of_the_function() {
        let x: Vec<f32> = random(97, 1).iter().map(|x| 4.0 * x).collect();
        let weights = random(97, 2);
        let mut gradient = weights.clone();
        gelu_backward(&x, &mut gradient);
        let expected = numeric_gradient(&x, &weights, |x| {
            let mut out = vec![0.0; x.len()];
            gelu(x, &mut out);
            out
        });
        assert!(relative_error(&gradient, &expected) < 1e-3);
    }
}
