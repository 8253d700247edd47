//! A file whose Content Credentials someone wants to know: `verify` never fails.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provenance::{TrustedRoots, verify};

fuzz_target!(|bytes: &[u8]| {
    let report = verify(bytes, &TrustedRoots::none());
    assert!(!report.to_string().is_empty());
});
