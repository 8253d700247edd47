//! The rows of the `likeness` service: enrolments, consents, who may use whose likeness, and every use. Whether someone may is
//! `platform::likeness::permit`'s to say; lists repeat it in SQL (`stands`), and what cannot be asked counts as refused.

mod enrolment;
mod look;
mod own;
mod permission;
mod uses;

pub use enrolment::{Approval, Capture, CaptureChunk, Enrolment, NewEnrolment, Verdict};
pub(crate) use look::keep_look;
pub use look::{BroughtFile, LikenessLook};
pub(crate) use own::leave_likeness;
pub use own::{LentTo, Likeness, NewConsent, StoredConsent};
pub use permission::Cast;
pub(crate) use permission::{Brought, cast, join_again, may_come_back, require, stands, trace};
pub(crate) use uses::insert_use;
pub use uses::{RemovedUse, Revoked, Use, UseOutcome};

use platform::likeness::{LimitKind, Limits, Purposes};

use crate::database::Row;
use crate::error::{StoreError, corrupt};

fn write_purposes(purposes: Purposes) -> String {
    let named = [("generate", purposes.generate), ("detect", purposes.detect), ("train", purposes.train)];
    let on: Vec<_> = named.into_iter().filter(|(_, on)| *on).map(|(word, _)| word).collect();
    on.join(" ")
}

fn read_purposes(row: &Row) -> Result<Purposes, StoreError> {
    let text = row.text("purposes")?;
    let has = |word| text.split_whitespace().any(|one| one == word);
    Ok(Purposes { generate: has("generate"), detect: has("detect"), train: has("train") })
}

fn write_kinds(limits: &Limits) -> String {
    let kinds: Vec<_> = limits.kinds().iter().map(|kind| kind.as_str()).collect();
    kinds.join(" ")
}

fn read_limits(row: &Row) -> Result<Limits, StoreError> {
    let text = row.text("kinds")?;
    let kinds: Vec<_> = text.split_whitespace().filter_map(LimitKind::from_word).collect();
    let written = row.text("written")?;
    Limits::new(&kinds, &written).map_err(|_| corrupt("written", written))
}
