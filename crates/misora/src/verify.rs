//! `misora verify`: the manifest of a file, in words.

use std::process::ExitCode;

use anyhow::Result;
use provenance::{State, TrustedRoots, verify};

use crate::arguments::VerifyOptions;
use crate::model::signing_key;
use crate::output::read_limited;

/// Larger files are not read whole.
const MAX_BYTES: u64 = 2 << 30;

/// Exit code 0 if the file is as it was signed, 1 if not.
pub(crate) fn run(options: &VerifyOptions) -> Result<ExitCode> {
    let bytes = read_limited(&options.file, MAX_BYTES)?;
    let report = verify(&bytes, &TrustedRoots::installation(&signing_key(options.home.as_deref())?));
    if options.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        println!("{}", report.summary());
    }
    Ok(if report.state == State::Untouched { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
