//! What is remembered: rows in SQLite or PostgreSQL, objects in a folder, S3 or memory, and the job queue.
//!
//! A [`Store`] is all rows; its methods stand in one file a subject. [`Objects`] are the media. Time is a parameter of whatever needs
//! it. A video is published by [`Store::finish`], which takes a [`StoredVideo`]; that is made from a
//! `provenance::SignedVideo` and from nothing else.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod store;

mod accept;
mod calls;
mod folder;
mod generation;
mod holdings;
mod library;
mod likeness;
mod queue;
mod trash;

mod ledger;
mod outbox;

mod appeal;
mod audit;
mod decision;
mod identity;
mod membership;
mod passkey;
mod second_factor;
mod session;
mod takedown;
mod transparency;

mod letter;
mod notice_settings;
mod sealer;

mod api_key;
mod project;
mod tier;

mod batch;
mod character;
mod file;
mod rights;
mod settings;
mod sunset;
mod webhook;

mod social;

mod archive;
mod closure;
mod export;
mod import;
mod retention;

mod backup;
mod keyring;
mod link;
mod objects;
mod sealed_object;

mod database;
mod error;

pub use accept::{Accept, Accepted, BatchLine, Idempotency, NewGeneration};
pub use api_key::KeyLetter;
pub use appeal::{Appeal, AppealError};
pub use archive::{
    ARCHIVE_CLASSES, ArchiveClass, ArchiveColumn, ArchiveKind, ArchiveRow, ArchiveTable, ArchiveValue, FilmLook,
    LeftOut, Restored, Restoring, RowToRestore,
};
pub use audit::{AuditBreak, AuditChain, AuditEntry};
pub use backup::{backup, backup_keys, restore};
pub use batch::{Batch, BatchCounts, BatchItem, NewBatch, NewBatchItem};
pub use calls::{WorkerCall, WorkerCalls};
pub use character::Character;
pub use closure::{Closure, Erased, Receipt, Undone};
pub use decision::{Decision, PostEvidence, Untold};
pub use error::StoreError;
pub use export::{Destination, Export, ExportPart, ExportState, NewExport};
pub use file::File;
pub use folder::Folder;
pub use generation::{Cancellation, Generation, GenerationPage, PublishedVideo};
pub use holdings::{Figures, Held, Holding, Holdings, KEEPERS, Keeper, RowObjects};
pub use identity::{CredentialKind, Identity};
pub use import::{Import, ImportState};
pub use keyring::Subject;
pub use ledger::{Balance, LedgerEntry, UsageDay};
pub use letter::{Letter, WaitingLetter};
pub use library::{LibraryFilter, LibraryPlace, LibraryState, Shape};
pub use likeness::{
    Approval, BroughtFile, Capture, CaptureChunk, Cast, Enrolment, LentTo, Likeness, LikenessLook, NewConsent,
    NewEnrolment, RemovedUse, Revoked, StoredConsent, Use, UseOutcome, Verdict,
};
pub use link::{LinkError, LinkKey, LinkSignature};
pub use notice_settings::NoticeLetter;
pub use objects::{ByteRange, OBJECT_PREFIXES, ObjectBytes, ObjectKey, Objects, ObjectsPlace, S3Place, StoredVideo};
pub use passkey::Passkey;
pub use project::Project;
pub use queue::{Ending, Heartbeat, Lease, MadeRefusal, Outputs, QueueDepth, QueuePlace, Reaped};
pub use retention::{DEFAULT_SCHEDULE, ReadScheduleError, read_schedule, write_schedule};
pub use rights::{NewRightsRequest, RightsAgent, RightsRequest, StoredRights};
pub use sealer::{Sealer, SealerError};
pub use second_factor::{CodeOutcome, SecondFactor};
pub use session::{OneTimeToken, Session, TokenState};
pub use social::{
    AuthorCard, Comment, Conversation, FeedSettings, FollowState, Listing, Message, NewComment, NewMessage, NewPost,
    NewProfile, NewReport, News, Notice, Post, PostEdit, PostMedia, Profile, RemixNode, Report, ReportSubject,
    Suggested,
};
pub use store::{Order, Page, Store};
pub use sunset::NewSunset;
pub use takedown::{BlockedClip, FramesOfPost, NewTakedown, Takedown, UnhashedPost};
pub use tier::StoredInvite;
pub use transparency::{Answered, DecisionCount, NoticeCount, Transparency, Workload};
pub use trash::Discarded;
pub use webhook::{Delivery, WebhookEndpoint};
