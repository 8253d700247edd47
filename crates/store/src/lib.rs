//! What is remembered: rows in SQLite or PostgreSQL, objects in a folder, S3 or memory, and the job queue.
//!
//! A [`Store`] is all rows; its methods stand in one file a subject. [`Objects`] are the media. Time is a parameter of whatever needs
//! it. A video is published by [`Store::finish`], which takes a [`StoredVideo`]; that is made from a
//! `provenance::SignedVideo` and from nothing else.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod store;

mod accept;
mod folder;
mod generation;
mod holdings;
mod library;
mod queue;
mod trash;

mod ledger;
mod outbox;

mod identity;
mod membership;
mod passkey;
mod second_factor;
mod session;

mod letter;
mod sealer;

mod api_key;
mod project;
mod tier;

mod batch;
mod character;
mod file;
mod settings;
mod webhook;

mod social;

mod archive;
mod export;
mod import;

mod backup;
mod link;
mod objects;

mod database;
mod error;

pub use accept::{Accept, Accepted, BatchLine, Idempotency, NewGeneration};
pub use archive::{
    ARCHIVE_CLASSES, ArchiveClass, ArchiveColumn, ArchiveKind, ArchiveRow, ArchiveTable, ArchiveValue, LeftOut,
    Restored, Restoring, RowToRestore,
};
pub use backup::{backup, restore};
pub use batch::{Batch, BatchCounts, BatchItem, NewBatch, NewBatchItem};
pub use character::Character;
pub use error::StoreError;
pub use export::{Destination, Export, ExportPart, ExportState, NewExport};
pub use file::File;
pub use folder::Folder;
pub use generation::{Cancellation, Generation, GenerationPage, PublishedVideo};
pub use holdings::{Figures, Holdings};
pub use identity::{CredentialKind, Identity};
pub use import::{Import, ImportState};
pub use ledger::{Balance, LedgerEntry, UsageDay};
pub use letter::{Letter, WaitingLetter};
pub use library::{LibraryFilter, LibraryPlace, LibraryState, Shape};
pub use link::{LinkError, LinkKey, LinkSignature};
pub use membership::AuditEntry;
pub use objects::{ByteRange, ObjectBytes, ObjectKey, Objects, ObjectsPlace, S3Place, StoredVideo};
pub use passkey::Passkey;
pub use project::Project;
pub use queue::{Ending, Heartbeat, Lease, Outputs, QueueDepth, QueuePlace, Reaped};
pub use sealer::{Sealer, SealerError};
pub use second_factor::{CodeOutcome, SecondFactor};
pub use session::{OneTimeToken, Session, TokenState};
pub use social::{
    AuthorCard, Comment, Conversation, FeedSettings, FollowState, Listing, Message, NewComment, NewMessage, NewPost,
    NewProfile, NewReport, Notice, Post, PostEdit, PostMedia, Profile, RemixNode, Report, ReportSubject, SOCIAL_TABLES,
    Suggested,
};
pub use store::{Order, Page, Store};
pub use tier::StoredInvite;
pub use trash::Discarded;
pub use webhook::{Delivery, WebhookEndpoint};
