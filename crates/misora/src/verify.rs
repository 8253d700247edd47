//! `misora verify`: the manifest of a file, or a signed statement, in words.

use std::process::ExitCode;

use anyhow::Result;
use provenance::{State, TrustedRoots, looks_like_statement, verify, verify_statement};
use serde::Serialize;

use crate::arguments::VerifyOptions;
use crate::model::signing_key;
use crate::output::read_limited;

/// Larger files are not read whole.
const MAX_BYTES: u64 = 2 << 30;

/// Exit code 0 if the file is as it was signed, 1 if not.
pub(crate) fn run(options: &VerifyOptions) -> Result<ExitCode> {
    let bytes = read_limited(&options.file, MAX_BYTES)?;
    let trusted = TrustedRoots::installation(&signing_key(options.home.as_deref())?);
    let state = if looks_like_statement(&bytes) {
        let report = verify_statement(&bytes, &trusted);
        tell(&report, report.to_string(), options.json)?;
        report.state
    } else {
        let report = verify(&bytes, &trusted);
        tell(&report, report.summary(), options.json)?;
        report.state
    };
    Ok(if state == State::Untouched { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell(report: &impl Serialize, summary: String, json: bool) -> Result<()> {
    println!("{}", if json { serde_json::to_string_pretty(report)? } else { summary });
    Ok(())
}
