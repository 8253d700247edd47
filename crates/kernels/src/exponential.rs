//! The exponential and what follows from it, in a form that compilers turn into vectors.

/// eˣ within 2 units in the last place for −87 ≤ x ≤ 88, clamped beyond.
///
/// Source: Cody & Waite 1980: the argument reduced by powers of two in two parts, then a polynomial (the minimax
/// coefficients of degree 5 in Moshier's Cephes library, `expf`).
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Adding 1.5 · 2²³ rounds to a whole number, which then stands in the low bits; taking it away gives the number.
    const ROUND: f32 = 12_582_912.0;
    // Not `clamp`: it keeps what is no number, which costs vectors a comparison each.
    let x = if x > -87.0 { x } else { -87.0 };
    let x = if x < 88.0 { x } else { 88.0 };
    let rounded = x * LOG2_E + ROUND;
    let power = rounded - ROUND;
    let rest = x - power * LN_2_HIGH - power * LN_2_LOW;
    let mut sum = 1.987_569_1e-4;
    sum = sum * rest + 1.398_2e-3;
    sum = sum * rest + 8.333_452e-3;
    sum = sum * rest + 4.166_579_6e-2;
    sum = sum * rest + 1.666_666_5e-1;
    sum = sum * rest + 5e-1;
    let mantissa = sum * rest * rest + rest + 1.0;
    f32::from_bits(mantissa.to_bits().wrapping_add(rounded.to_bits() << 23))
}

/// 2ˣ within 8·10⁻⁵ of itself for −125 ≤ x ≤ 0, and what belongs to −125 below: enough where the result is rounded to
/// eight bits.
///
/// Source: the polynomial of degree 3 with the least relative error on −½…½, found by weighted least squares.
#[inline(always)]
pub(crate) fn coarse_exp2(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let x = if x > -125.0 { x } else { -125.0 };
    let rounded = x + ROUND;
    let rest = x - (rounded - ROUND);
    let sum = (0.055_171_665 * rest + 0.242_611_14) * rest + 0.693_261;
    let mantissa = sum * rest + 0.999_928_1;
    f32::from_bits(mantissa.to_bits().wrapping_add(rounded.to_bits() << 23))
}

/// The normal distribution's cumulative share and its density at `x`: Φ(x), φ(x); error under 2·10⁻⁷.
///
/// Source: Abramowitz & Stegun 1964, 7.1.26.
#[inline(always)]
pub(crate) fn normal(x: f32) -> (f32, f32) {
    const INVERSE_ROOT_2_PI: f32 = 0.398_942_3;
    let absolute = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let bell = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * absolute);
    let mut sum = 1.061_405_4;
    sum = sum * t - 1.453_152;
    sum = sum * t + 1.421_413_8;
    sum = sum * t - 0.284_496_72;
    sum = sum * t + 0.254_829_6;
    let tail = 0.5 * sum * t * bell;
    (if x < 0.0 { tail } else { 1.0 - tail }, bell * INVERSE_ROOT_2_PI)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_exact_to_the_last_places() {
        for step in -8700..8800 {
            let x = step as f32 / 100.0;
            let (value, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((value / exact - 1.0).abs() < 3e-7, "e^{x} is {exact}, not {value}");
        }
        assert!(exp(-1e9) < 1e-37 && exp(1e9).is_finite());
    }

    #[test]
    fn powers_of_two_are_as_exact_as_they_say() {
        for step in -12_500..=0 {
            let x = step as f32 / 100.0;
            let (value, exact) = (f64::from(coarse_exp2(x)), f64::from(x).exp2());
            assert!((value / exact - 1.0).abs() < 8e-5, "2^{x} is {exact}, not {value}");
        }
        assert!(coarse_exp2(-1e9) < 1e-37 && coarse_exp2(f32::NEG_INFINITY) < 1e-37);
    }

    #[test]
    fn normal_shares_are_known() {
        for (x, share) in [(0.0, 0.5), (1.0, 0.841_344_8), (-1.0, 0.158_655_25), (2.5, 0.993_790_3), (-6.0, 1e-9)] {
            assert!((normal(x).0 - share).abs() < 3e-7, "Φ({x}) is {share}, not {}", normal(x).0);
        }
        assert!((normal(1.0).1 - 0.241_970_7).abs() < 1e-6);
    }
}
