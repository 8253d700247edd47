//! Where a video came from: the visible mark, the C2PA manifest and the signing keys; and statements under the same keys.
//!
//! [`sign`] is the only way to a [`SignedVideo`] ([`signed_already`] takes a file that carries credentials which hold), [`sign_picture`] to a
//! [`SignedPicture`], and nothing else is published. [`verify`] reads bytes from anyone and says in one
//! page who made them, when, how, and whether they are untouched.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod manifest;
mod sign;
mod verify;

mod report;
mod statement;

mod key;
mod mark;

mod container;
mod envelope;
mod settings;

pub use envelope::without_credentials;
pub use key::{KeyError, SigningKey};
pub use manifest::{Action, Model, Provenance, SoftwareAgent, TrainingChoice};
pub use mark::VisibleMark;
pub use report::{Parent, Report, Signer, State, Trust};
pub use sign::{SignError, SignedPicture, SignedVideo, sign, sign_picture, signed_already};
pub use statement::{StatementError, StatementReport, looks_like_statement, sign_statement, verify_statement};
pub use verify::{TrustedRoots, verify};
