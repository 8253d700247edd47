//! Letters about keys that nobody asks for: a warning before a key ends, and once a week what its owner should know, if there is anything.

use std::time::Duration;

use platform::{ApiKey, IdentityId, MembershipState, Timestamp};
use store::{KeyLetter, Letter, StoreError};

use crate::app::App;
use crate::clock::rfc3339;
use crate::letters::letter;

/// How many days before its end the owner of a key is warned, the nearest first, so that nobody hears of a later end after a nearer one.
const WARNED_DAYS: [u32; 2] = [3, 14];
/// A key that was used by nobody for so long should go.
const UNUSED: Duration = Duration::from_secs(90 * 86_400);
/// Letters of one kind written in one round.
const AT_ONCE: u32 = 100;
/// Decisions that one letter tells.
const MAX_DECISIONS: u32 = 50;

/// Whether the end of a key is near enough for a warning.
pub(crate) fn ends_soon(key: &ApiKey, now: Timestamp) -> bool {
    let days = WARNED_DAYS.into_iter().max().unwrap_or(0);
    key.expires_at.is_some_and(|end| end > now && end.since(now) <= Duration::from_secs(86_400) * days)
}

/// Posts what is due now; says how many letters. Several nodes can do it at once, and each letter is posted by one.
///
/// # Errors
/// [`StoreError`]; what was posted stays posted, and the rest is due at the next round.
pub async fn post_due(app: &App) -> Result<usize, StoreError> {
    let mut posted = 0;
    for days in WARNED_DAYS {
        for (key, email) in app.store.api_keys_to_warn(days, app.now(), AT_ONCE).await? {
            posted += usize::from(app.store.post_expiry_warning(key.id, days, &warning(app, &key, email)).await?);
        }
    }
    for due in app.store.key_letters_due(app.now(), AT_ONCE).await? {
        let letter = week(app, due).await?;
        posted += usize::from(app.store.end_key_week(due, letter.as_ref(), app.now()).await?);
    }
    Ok(posted)
}

fn warning(app: &App, key: &ApiKey, to: String) -> Letter {
    let end = key.expires_at.map_or_else(String::new, rfc3339);
    let body = format!(
        "Your key \"{}\" ({}) ends at {end}. Programs that use it stop then. Put a new one in its place before: {}/account/keys",
        key.name, key.id, app.settings.base_url
    );
    letter(app, to, "A key of yours ends soon", body)
}

/// The letter of someone's week; nothing if there is nothing to say.
async fn week(app: &App, due: KeyLetter) -> Result<Option<Letter>, StoreError> {
    let mut parts = Vec::new();
    let keys = good_keys(app, due.identity).await?;
    let now = app.now();
    let unused = |key: &&ApiKey| now.since(key.last_used_at.unwrap_or(key.created_at)) > UNUSED;
    part(
        &mut parts,
        "Keys that nobody used for 90 days. Revoke what you do not need:",
        keys.iter().filter(unused).map(|key| {
            let used =
                key.last_used_at.map_or_else(|| "never used".to_owned(), |at| format!("last used {}", rfc3339(at)));
            format!("\"{}\" ({}), {used}", key.name, key.id)
        }),
    );
    let decisions = app.store.decisions_about(due.identity, None, MAX_DECISIONS).await?;
    part(
        &mut parts,
        "Decisions about your account this week:",
        decisions.iter().map(|one| &one.record).filter(|one| limits_since(one, due.since)).map(|one| {
            let end = one.ends_at.map_or_else(|| "without an end".to_owned(), |at| format!("until {}", rfc3339(at)));
            let service = one.service.map_or("all services", platform::Service::as_str);
            format!("{} in {service}, {end}: {} ({})", one.scope.as_str(), one.ground, one.id)
        }),
    );
    if parts.is_empty() {
        return Ok(None);
    }
    let memberships = app.store.memberships(due.identity).await?;
    let memberships: Vec<_> = memberships.into_iter().map(|one| one.at(now)).collect();
    part(
        &mut parts,
        "Services that are limited for you now:",
        memberships.iter().filter_map(|one| {
            let end = one.limited_until.map_or_else(String::new, |at| format!(" until {}", rfc3339(at)));
            one.limit().map(|_| format!("{}: {}{end}", one.service, one.state.as_str()))
        }),
    );
    let linked = memberships.iter().filter(|one| !matches!(one.state, MembershipState::None | MembershipState::Closed));
    part(&mut parts, "Services that your account is linked to:", linked.map(|one| one.service.to_string()));
    let base = &app.settings.base_url;
    parts.push(format!("Your keys: {base}/account/keys\nNo such letters any more: {base}/account/security"));
    let email = app.store.identity(due.identity).await?.email;
    Ok(Some(letter(app, email, "Your keys and services this week", parts.join("\n\n"))))
}

/// Whether a decision limits more than one request, and is newer than a moment.
fn limits_since(decision: &platform::DecisionRecord, since: Timestamp) -> bool {
    decision.decided_at > since && decision.effect != platform::DecisionEffect::Refuse
}

/// A paragraph with a line for each thing, if there are any.
fn part(parts: &mut Vec<String>, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<_> = lines.map(|line| format!("- {line}")).collect();
    if !lines.is_empty() {
        parts.push(format!("{title}\n{}", lines.join("\n")));
    }
}

/// The keys of someone that work now.
async fn good_keys(app: &App, identity: IdentityId) -> Result<Vec<ApiKey>, StoreError> {
    let now = app.now();
    let good = |key: &ApiKey| key.revoked_at.is_none_or(|end| end > now) && key.expires_at.is_none_or(|end| end > now);
    let mut keys = Vec::new();
    for project in app.store.projects(identity).await?.into_iter().filter(|one| one.archived_at.is_none()) {
        keys.extend(app.store.api_keys(project.id).await?.into_iter().filter(good));
    }
    Ok(keys)
}
