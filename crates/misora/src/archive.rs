//! `misora export` and `misora import`: one person's archive, out of an installation and back into one. The server may run meanwhile.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use platform::{IdentityId, MembershipEvent, MembershipState, Service};
use server::archive::{Archivist, OWNERS, read_day};
use server::{Clock as _, Config, SystemClock};
use store::{AuditEntry, Objects, Store};

use crate::arguments::{ExportOptions, ImportOptions};
use crate::model::signing_key;
use crate::serve::{config, runtime};

/// Writes everything that somebody has into a ZIP.
pub(crate) fn export(options: &ExportOptions) -> Result<ExitCode> {
    let config = config(&options.serve)?;
    let owners: Vec<&str> = match options.service.as_slice() {
        [] => OWNERS.to_vec(),
        some => some.iter().map(String::as_str).collect(),
    };
    if let Some(unknown) = owners.iter().find(|owner| !OWNERS.contains(owner)) {
        bail!("{unknown:?} is no part of an archive: {}", OWNERS.join(", "));
    }
    let since = match &options.since {
        Some(text) => Some(read_day(text).with_context(|| format!("{text:?} is no day such as 2026-11-26"))?),
        None => None,
    };
    runtime()?.block_on(async {
        let (store, objects) = opened(&config).await?;
        let identity = person(&store, &options.email).await?;
        let archivist = archivist(&config, &store, &objects)?;
        let export = archivist.export_into(identity, &owners, since, &options.output).await?;
        record(&store, "export.written", identity).await?;
        let sha256 = export.sha256.unwrap_or_default();
        eprintln!("{} bytes in {}, SHA-256 {sha256}", export.size_bytes.unwrap_or(0), options.output.display());
        store.close().await;
        Ok(ExitCode::SUCCESS)
    })
}

/// Brings an archive, or a folder of them, into somebody's account; the services that it needs are joined.
pub(crate) fn import(options: &ImportOptions) -> Result<ExitCode> {
    let config = config(&options.serve)?;
    runtime()?.block_on(async {
        let (store, objects) = opened(&config).await?;
        let identity = person(&store, &options.email).await?;
        let now = SystemClock.now();
        for service in [Service::Video, Service::Social, Service::Api] {
            let state = store.membership(identity, service).await?.at(now).state;
            if matches!(state, MembershipState::None | MembershipState::Closed) {
                store.change_membership(identity, service, MembershipEvent::Join, now).await?;
            }
        }
        let report = archivist(&config, &store, &objects)?.bring_back_from(identity, &options.place).await?;
        record(&store, "import.done", identity).await?;
        println!("{}: {} rows came back", report.format, report.added());
        for class in &report.classes {
            let left: Vec<_> = class.left_out.iter().map(|left| format!("{} {}", left.count, left.why)).collect();
            let left = if left.is_empty() { String::new() } else { format!("; left out: {}", left.join(", ")) };
            println!("{}: {} came back, {} were there{left}", class.class, class.added, class.there);
        }
        store.close().await;
        Ok(ExitCode::SUCCESS)
    })
}

async fn opened(config: &Config) -> Result<(Store, Objects)> {
    let (store, objects) = server::open(config).await?;
    store.migrate().await?;
    Ok(server::seal(store, objects, config).await?)
}

fn archivist(config: &Config, store: &Store, objects: &Objects) -> Result<Archivist> {
    Ok(server::archivist(config, store, objects, signing_key(Some(&config.data))?)?)
}

async fn person(store: &Store, email: &str) -> Result<IdentityId> {
    match store.identity_by_email(email).await? {
        Some(identity) => Ok(identity.id),
        None => bail!("nobody has the address {email}: `misora admin users`"),
    }
}

async fn record(store: &Store, action: &str, identity: IdentityId) -> Result<()> {
    let (at, action, subject) = (SystemClock.now(), action.to_owned(), identity.to_string());
    Ok(store.record_audit(&AuditEntry { at, actor: None, action, subject, detail: String::new() }).await?)
}
