//! A standing export: archives that go somewhere by themselves, each with the media that are not there yet, so that whoever loses the
//! installation loses one period at most.

use std::path::{Path, PathBuf};
use std::time::Duration;

use platform::ExportId;
use serde::{Deserialize, Serialize};
use store::{Destination, Export, ExportState, NewExport, S3Place, StoreError};

use crate::archive::Archivist;
use crate::archive::rows::moment;
use crate::archive::webdav::WebDav;

/// How soon an archive that is being made for a destination is looked at again.
const SOON: Duration = Duration::from_secs(10);
/// How soon after a failure.
const LATER: Duration = Duration::from_secs(3600);
/// How long an archive waits for its destination to take it.
const PATIENCE: Duration = Duration::from_secs(7 * 86_400);
/// How long a destination may take for an archive.
const WITHIN: Duration = Duration::from_secs(2 * 3600);
/// Destinations looked at in one round.
const AT_ONCE: u32 = 20;
/// The kind of destination that is a folder of the server. Only an operator can set one.
pub const FOLDER: &str = "folder";
/// The kind that is a bucket of an S3-compatible store.
pub const S3: &str = "s3";
/// The kind that is a folder of a WebDAV server.
pub const WEBDAV: &str = "webdav";

/// Begins archives that are due, and sends those that are ready; says whether there was anything to send.
///
/// # Errors
/// [`StoreError`]. That a destination does not take an archive is written down there, and tried again.
pub async fn send_due(archivist: &Archivist) -> Result<bool, StoreError> {
    let mut sent = false;
    for destination in archivist.store.due_destinations(archivist.now(), AT_ONCE).await? {
        sent |= tend(archivist, &destination).await?;
    }
    Ok(sent)
}

async fn tend(archivist: &Archivist, destination: &Destination) -> Result<bool, StoreError> {
    let now = archivist.now();
    let exports = archivist.store.exports(destination.identity).await?;
    let export = exports.into_iter().find(|export| export.destination == Some(destination.id));
    let Some(export) = export else {
        let new = NewExport {
            id: ExportId::new(now, archivist.random()),
            identity: destination.identity,
            services: destination.services.clone(),
            since: None,
            destination: Some(destination.id),
            expires_at: now + PATIENCE,
        };
        let outcome = match archivist.store.create_export(&new, now).await {
            Ok(()) => Ok(None),
            Err(StoreError::State { .. }) => Err("It waits: another archive is being made, or too many are kept."),
            Err(error) => return Err(error),
        };
        archivist.store.set_destination_next(destination.id, now + SOON, outcome).await?;
        return Ok(false);
    };
    match export.state {
        ExportState::Ready => {}
        ExportState::Failed => {
            archivist.store.delete_export(export.identity, export.id, now).await?;
            let words = Err("The archive could not be made.");
            archivist.store.set_destination_next(destination.id, now + LATER, words).await?;
            return Ok(false);
        }
        _ => {
            archivist.store.set_destination_next(destination.id, now + SOON, Ok(None)).await?;
            return Ok(false);
        }
    }
    // Whoever stands there decides how fast they take it, and not for how long others wait.
    let slow = || StoreError::State { what: "destination", state: "too slow".into() };
    let sent = tokio::time::timeout(WITHIN, send(archivist, destination, &export)).await;
    if let Err(error) = sent.unwrap_or_else(|_| Err(slow())) {
        tracing::warn!(destination = %destination.id, error = &error as &dyn std::error::Error, "an archive did not arrive");
        let words = Err("The destination did not take the archive.");
        archivist.store.set_destination_next(destination.id, now + LATER, words).await?;
        return Ok(false);
    }
    let parts = archivist.store.export_parts(export.id).await?;
    let media: Vec<_> = parts.into_iter().map(|part| part.path).filter(|path| path.starts_with("media/")).collect();
    archivist.store.destination_has(destination.id, &media).await?;
    archivist.store.delete_export(export.identity, export.id, now).await?;
    let next = now + Duration::from_secs(u64::from(destination.every_days) * 86_400);
    archivist.store.set_destination_next(destination.id, next, Ok(Some(now))).await?;
    Ok(true)
}

async fn send(archivist: &Archivist, destination: &Destination, export: &Export) -> Result<(), StoreError> {
    match destination.kind.as_str() {
        FOLDER => send_into_folder(archivist, Path::new(&destination.place), export).await,
        S3 => {
            let (place, through) = bucket_of(archivist, destination)?;
            let (_, prefix) = destination.place.split_once('/').unwrap_or((&destination.place, ""));
            let name = format!("{}/{}", prefix.trim_matches('/'), name_of(export));
            if place.has(name.trim_start_matches('/'), through.clone()).await? {
                return Ok(());
            }
            let bytes = archivist.open_export(export, None).await?.stream;
            place.write(name.trim_start_matches('/'), bytes, through).await
        }
        WEBDAV => {
            let (folder, name) = (WebDav::of(archivist, destination)?, name_of(export));
            let archive = archivist.open_export(export, None).await?;
            match folder.has(&name, archive.size_bytes).await? {
                true => Ok(()),
                false => folder.write(&name, archive.size_bytes, archive.stream).await,
            }
        }
        _ => Err(StoreError::State { what: "destination", state: "of a kind that is not known here".into() }),
    }
}

async fn send_into_folder(archivist: &Archivist, folder: &Path, export: &Export) -> Result<(), StoreError> {
    let failed = |source| StoreError::Backup { step: "writing into the destination", source };
    tokio::fs::create_dir_all(folder).await.map_err(failed)?;
    let file = folder.join(name_of(export));
    if tokio::fs::try_exists(&file).await.map_err(failed)? {
        return Ok(());
    }
    // Whole, or not there: whoever rebuilds from the folder finds no half archive.
    let unfinished: PathBuf = file.with_extension("unfinished");
    archivist.write_export(export, &unfinished).await?;
    tokio::fs::rename(&unfinished, &file).await.map_err(failed)
}

/// What a bucket asks for, beside its name; sealed in the destination's row.
#[derive(Clone, Deserialize, Serialize)]
pub struct BucketSecret {
    /// Its region.
    pub region: String,
    /// The store's address; Amazon's own if nothing.
    pub endpoint: Option<String>,
    /// Access key.
    pub access_key_id: String,
    /// Secret key.
    pub secret_access_key: String,
    /// Whether an operator set it, who may name addresses inside the network.
    #[serde(default)]
    pub by_operator: bool,
}

/// The bucket of a destination, whose place is its name and, behind a slash, where in it archives go; and what speaks to it.
fn bucket_of(
    archivist: &Archivist,
    destination: &Destination,
) -> Result<(S3Place, Option<reqwest::Client>), StoreError> {
    let unfit = |state: &str| StoreError::State { what: "destination", state: state.to_owned() };
    let secret = destination.secret.as_deref().and_then(|secret| serde_json::from_str::<BucketSecret>(secret).ok());
    let secret = secret.ok_or_else(|| unfit("without its keys"))?;
    let BucketSecret { region, endpoint, access_key_id, secret_access_key, by_operator } = secret;
    let through = match by_operator {
        true => None,
        false => {
            let client = archivist.outbound.bucket_client(endpoint.as_deref());
            Some(client.map_err(|error| unfit(&format!("out of reach: {error}")))?)
        }
    };
    let bucket = destination.place.split('/').next().unwrap_or_default().to_owned();
    Ok((S3Place { bucket, region, endpoint, access_key_id, secret_access_key }, through))
}

/// A name that sorts by time, and is of this archive alone.
fn name_of(export: &Export) -> String {
    let at: String = moment(export.asked_at).chars().filter(|letter| letter.is_ascii_alphanumeric()).take(15).collect();
    format!("misora-{at}-{}.zip", export.id)
}
