//! A file whose Content Credentials someone wants to know, or a statement: `verify` and `verify_statement` never fail.
#![no_main]

use libfuzzer_sys::fuzz_target;
use provenance::{TrustedRoots, verify, verify_statement};

fuzz_target!(|bytes: &[u8]| {
    let report = verify(bytes, &TrustedRoots::none());
    assert!(!report.to_string().is_empty());
    assert!(!verify_statement(bytes, &TrustedRoots::none()).to_string().is_empty());
});
