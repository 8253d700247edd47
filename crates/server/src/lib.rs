//! The HTTP API, sessions and the loops that work in the background. It reads requests, asks `platform`, tells `store`
//! and answers; status codes are known here and nowhere else.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod app;
mod clock;
mod config;
mod evidence;
mod policy;

mod http;

mod web;

mod likeness_verifier;
mod mail;
mod outbound;
mod owners_service;
mod prompt_help;
mod smtp;

pub mod archive;
pub mod batch_runner;
pub mod closures;
pub mod first_clips;
pub mod housekeeping;
pub mod key_letters;
pub mod letters;
mod recognise;
mod rights_requests;
pub mod statements;
mod sunsets;
mod takedowns;
mod traces;
pub mod webhooks;
pub mod worker;

mod serve;

pub use app::{App, AppParts, Entropy, FetchError, Outbound, Outgoing, Settings, SystemEntropy};
pub use clock::{Clock, ManualClock, SystemClock, rfc3339};
pub use config::{Config, ConfigError};
pub use http::{Access, Needs, batch_creation, openapi, route_list, router};
pub use likeness_verifier::VerifierPlace;
pub use mail::{Mail, MailError, Outbox};
pub use outbound::{HttpOutbound, OutboundError};
pub use policy::{HttpModeration, ModerationPlace, ModerationService, NoAnswer, Opinion, Shown};
pub use prompt_help::{PromptHelpPlace, WordsOfModel};
pub use serve::{ServeError, Server, archivist, back_up, full_offer, migrate, open, restore, run_worker, seal};
pub use smtp::{Sender, Smtp, SmtpError, SmtpPlace, SmtpSecurity};
pub use traces::{CollectorPlace, Traces, TracesError};
pub use web::{Viewer, page_list};
