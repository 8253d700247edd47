//! One body, compiled for several widths of vectors; which one runs is decided by the processor.

/// Compiles a function without result for AVX-512, for AVX2 and for whatever every processor has, and calls the widest
/// that this one can run. The body is plain Rust in loops that compilers turn into vectors.
macro_rules! vectorized {
    ($(#[$meta:meta])* $visibility:vis fn $name:ident($($argument:ident: $type:ty),* $(,)?) $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "the arguments of a loop")]
        $visibility fn $name($($argument: $type),*) {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "the arguments of a loop")]
            fn body($($argument: $type),*) $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "the arguments of a loop")]
                fn wide($($argument: $type),*) {
                    body($($argument),*)
                }
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments, reason = "the arguments of a loop")]
                fn middle($($argument: $type),*) {
                    body($($argument),*)
                }
                if $crate::vectorized::has_avx512() {
                    #[expect(unsafe_code, reason = "calls what this processor can run")]
                    // SAFETY: the features were asked for.
                    return unsafe { wide($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    #[expect(unsafe_code, reason = "calls what this processor can run")]
                    // SAFETY: the features were asked for.
                    return unsafe { middle($($argument),*) };
                }
            }
            body($($argument),*)
        }
    };
}
pub(crate) use vectorized;

/// Whether all of AVX-512 that [`vectorized!`] asks for is there.
#[cfg(target_arch = "x86_64")]
pub(crate) fn has_avx512() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
}
