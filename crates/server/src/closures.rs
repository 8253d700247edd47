//! Ends whose time has come: rows, objects and keys go, and a signed receipt says what went, what stays and why.

use platform::{IdentityId, Owner, ReceiptId, Service, Timestamp, Trigger};
use serde_json::{Value as Json, json};
use store::{Closure, Erased, Held, Receipt, StoreError};

use crate::app::App;
use crate::letters::letter;

/// Ends that one round looks at.
const AT_ONCE: u32 = 1000;

/// What receipts are, for whoever verifies one.
const KIND: &str = "misora-deletion-receipt+json";

/// Finishes every end whose time has come; says how many. What does not get done is tried again in the next round, and a receipt says so.
///
/// # Errors
/// [`StoreError`]; what is erased stays erased.
pub async fn finish_due(app: &App) -> Result<usize, StoreError> {
    let mut finished = 0;
    // Services first: an account is due once they are gone.
    loop {
        let due = app.store.due_closures(AT_ONCE, app.now()).await?;
        let mut here = 0;
        for closure in &due {
            match finish(app, closure).await {
                Ok(done) => here += usize::from(done),
                // Another node finished it meanwhile.
                Err(StoreError::NotFound(_)) => {}
                // The others are not to wait for it.
                Err(error) => {
                    let cause = &error as &dyn std::error::Error;
                    tracing::error!(error = cause, owner = closure.owner.as_str(), "an end could not be carried out");
                }
            }
        }
        finished += here;
        if here == 0 {
            return Ok(finished);
        }
    }
}

/// Finishes one end; says whether it is whole.
async fn finish(app: &App, closure: &Closure) -> Result<bool, StoreError> {
    let now = app.now();
    let held = app.store.begin_erasure(closure, now).await?;
    let ghost = IdentityId::new(now, app.random());
    if app.store.erase_rows(closure, ghost, now).await? == Erased::Later {
        return Ok(false);
    }
    let mut waiting = 0;
    for prefix in app.store.erasure_objects(closure).await? {
        match app.objects.delete_under(&prefix).await {
            Ok(_) => app.store.object_deletion_done(&prefix).await?,
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, %prefix, "objects were not deleted yet");
                waiting += 1;
            }
        }
    }
    // The key last: what was not deleted, and what lies in backups, cannot be read from then on.
    let key_gone = match destroy_keys(app, closure, closure.partial_at.unwrap_or(now)).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a key was not destroyed yet");
            false
        }
    };
    let confirmed = Confirmed { waiting, key_gone };
    if !confirmed.all() && closure.partial_at.is_some() {
        return Ok(false);
    }
    let receipt = write_receipt(app, closure, &held, confirmed, now)?;
    if !receipt.complete {
        app.store.note_partial(closure, &receipt).await?;
        return Ok(false);
    }
    let account = match closure.owner {
        Owner::Account => Some(app.store.identity(closure.identity).await?.email),
        _ => None,
    };
    let mail = app.link_key.keyed_hash(account.as_deref().unwrap_or_default());
    // The last letter, in the same step: the address is nowhere else after it.
    let letter = account.map(|to| {
        let body = format!(
            "Your account at {base} and everything in it was erased. You can join again at any time.\n\n\
             This is the receipt. Keep it: `misora verify FILE` proves that it is ours.\n\n{receipt}\n",
            base = app.settings.base_url,
            receipt = receipt.body,
        );
        letter(app, to, "Your account was erased", body)
    });
    app.store.finish_erasure(closure, &receipt, mail, letter.as_ref(), now).await?;
    app.keys.clear();
    Ok(true)
}

/// What places said.
#[derive(Clone, Copy)]
struct Confirmed {
    /// Folders of objects that were not deleted yet.
    waiting: usize,
    key_gone: bool,
}

impl Confirmed {
    fn all(self) -> bool {
        self.waiting == 0 && self.key_gone
    }
}

/// Destroys the key of a service; of an account its own and those of all services, at one moment, by which a restore knows that it was the
/// account.
async fn destroy_keys(app: &App, closure: &Closure, now: Timestamp) -> Result<(), StoreError> {
    let owners = match closure.owner {
        Owner::Service(_) => vec![closure.owner],
        Owner::Account | Owner::Installation => {
            Service::ALL.into_iter().map(Owner::from).chain([Owner::Account]).collect()
        }
    };
    for owner in owners {
        app.objects.destroy_key(closure.identity, owner, now).await?;
    }
    Ok(())
}

fn write_receipt(
    app: &App,
    closure: &Closure,
    held: &[Held],
    confirmed: Confirmed,
    now: Timestamp,
) -> Result<Receipt, StoreError> {
    let id = ReceiptId::new(now, app.random());
    let (complete, Confirmed { waiting, key_gone }) = (confirmed.all(), confirmed);
    let erased: Vec<Json> =
        held.iter().map(|held| json!({ "class": held.class, "count": held.count, "bytes": held.bytes })).collect();
    let payload = json!({
        "id": id.to_string(),
        "installation": app.settings.base_url,
        "person": closure.identity.to_string(),
        "owner": closure.owner.as_str(),
        "state": if complete { "complete" } else { "partial" },
        "asked_at": closure.asked_at.seconds(),
        "erased_at": now.seconds(),
        "erased": erased,
        "stores": [
            { "store": "rows", "confirmed": true },
            { "store": "objects", "confirmed": waiting == 0, "waiting": waiting },
            { "store": "key", "confirmed": key_gone },
        ],
        "kept": kept(app, closure.owner, now),
    });
    let body = provenance::sign_statement(&app.signing_key, KIND, payload.to_string().as_bytes())
        .map_err(|error| StoreError::Statement(error.to_string()))?;
    Ok(Receipt { id, identity: closure.identity, owner: closure.owner, complete, written_at: now, body })
}

/// What stays after the end of an owner, why, and until when at the latest.
pub(crate) fn kept(app: &App, owner: Owner, now: Timestamp) -> Vec<Json> {
    let undo = app.settings.schedule.undo_window(owner);
    let stays = |class: &platform::DataClass| {
        let backups = class.name == "backups";
        let of_owner = class.owner == owner && !class.rules.is_empty();
        // What goes with the owner does not stay.
        let goes = class.rules.iter().any(|rule| rule.trigger == Trigger::Closed && rule.keep <= undo);
        let rule = class.rules.iter().max_by_key(|rule| rule.keep).filter(|_| backups || (of_owner && !goes))?;
        Some(json!({
            "class": class.name,
            "what": class.what,
            "ground": rule.ground,
            "after": rule.trigger.as_str(),
            "until": (now + rule.keep).seconds(),
        }))
    };
    app.settings.schedule.classes().iter().filter_map(stays).collect()
}
