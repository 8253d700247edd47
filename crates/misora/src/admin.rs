//! `misora admin`: what an operator does at the machine itself, over the configured database. It writes the audit log.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use platform::{
    ApiKey, ApiKeyId, ApiKeySecret, AppealId, AppealOutcome, DestinationId, IdentityId, Invite, MembershipEvent,
    ModelName, Posting, PostingLimit, ProjectId, Quotas, Role, Scopes, Service, SunsetId, SunsetSubject, TakedownState,
    Tier, Token, TokenKind,
};
use server::archive::{BucketSecret, FOLDER, OWNERS, S3, WEBDAV, WebDavLogin, WebDavSecret, webdav_folder};
use server::{Clock as _, Entropy as _, SystemClock, SystemEntropy, rfc3339};
use store::{AuditBreak, AuditEntry, Decision, Destination, NewSunset, Project, Store, StoreError, StoredInvite};

use crate::arguments::{AdminCommand, AdminOptions, AuditCommand, SunsetOptions, TierOptions};
use crate::serve::{config, runtime};

/// The tier that an installation starts with.
const DEFAULT_TIER: &str = "default";

/// Does one thing and says what is so now.
pub(crate) fn run(options: &AdminOptions) -> Result<ExitCode> {
    let config = config(&options.serve)?;
    runtime()?.block_on(async {
        let (store, objects) = server::open(&config).await?;
        store.migrate().await?;
        // Where archives go may have keys, which are sealed.
        let store = match &options.command {
            AdminCommand::StandingExport { .. } | AdminCommand::StandingExports { .. } | AdminCommand::Takedowns => {
                server::seal(store, objects, &config).await?.0
            }
            _ => store,
        };
        act(&store, &options.command).await?;
        store.close().await;
        Ok(ExitCode::SUCCESS)
    })
}

async fn act(store: &Store, command: &AdminCommand) -> Result<()> {
    match command {
        AdminCommand::Users => users(store).await,
        AdminCommand::Role { email, service, role } => set_role(store, email, service, role).await,
        AdminCommand::Key { email, name, days } => key(store, email, name, *days).await,
        AdminCommand::Keys { email } => keys(store, email).await,
        AdminCommand::RevokeKey { id } => revoke_key(store, id).await,
        AdminCommand::RemoveSecondFactor { email } => remove_second_factor(store, email).await,
        AdminCommand::StandingExport { email, folder, s3, region, endpoint, webdav, days } => {
            let (kind, place, secret) = match (folder, s3, webdav) {
                (Some(folder), ..) => (FOLDER, folder_at(folder)?, None),
                (None, Some(bucket), _) => (S3, bucket.clone(), Some(bucket_secret(region, endpoint.as_ref())?)),
                (None, None, Some(url)) => {
                    let folder = webdav_folder(url)
                        .context("the address of a WebDAV folder has no password in it and nothing behind it")?;
                    (WEBDAV, folder.into(), Some(webdav_secret()?))
                }
                (None, None, None) => bail!("say where to: --folder, --s3 or --webdav"),
            };
            standing_export(store, email, (kind, place, secret), *days).await
        }
        AdminCommand::StandingExports { email } => standing_exports(store, email).await,
        AdminCommand::StopStandingExport { email, id } => stop_standing_export(store, email, id).await,
        AdminCommand::Invite { uses, days, tier, note } => invite(store, *uses, *days, tier, note).await,
        AdminCommand::Invites => invites(store).await,
        AdminCommand::Tiers => tiers(store).await,
        AdminCommand::Tier(tier) => set_tier(store, tier).await,
        AdminCommand::Jobs => jobs(store).await,
        AdminCommand::Models => models(store).await,
        AdminCommand::Model { alias, model } => set_model(store, alias, model).await,
        AdminCommand::Limits => limits(store).await,
        AdminCommand::Limit { what, per_hour, per_day } => set_limit(store, what, *per_hour, *per_day).await,
        AdminCommand::Sunsets => sunsets(store).await,
        AdminCommand::Sunset(options) => sunset(store, options).await,
        AdminCommand::WithdrawSunset { id } => withdraw_sunset(store, id).await,
        AdminCommand::Decisions { email } => decisions(store, email).await,
        AdminCommand::Appeals => appeals(store).await,
        AdminCommand::Appeal { id, reviewer, outcome, answer } => {
            decide_appeal(store, id, reviewer, outcome, answer).await
        }
        AdminCommand::Takedowns => takedowns(store).await,
        AdminCommand::Audit { command: None } => audit(store).await,
        AdminCommand::Audit { command: Some(AuditCommand::Verify) } => verify_audit(store).await,
    }
}

async fn users(store: &Store) -> Result<()> {
    let (mut after, now) = (None, SystemClock.now());
    loop {
        let page = store.identities(after, 100).await?;
        for identity in &page {
            let memberships = store.memberships(identity.id).await?;
            let told: Vec<String> = memberships
                .iter()
                .map(|one| one.at(now))
                .map(|one| format!("{} {} ({})", one.service.as_str(), one.state.as_str(), one.role.as_str()))
                .collect();
            println!("{}  {}  {}", identity.id, identity.email, told.join(", "));
        }
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
    }
}

async fn set_role(store: &Store, email: &str, service: &str, role: &str) -> Result<()> {
    let identity = person(store, email).await?;
    let service = Service::ALL
        .into_iter()
        .find(|known| known.as_str() == service)
        .with_context(|| format!("{service:?} is no service: {}", words(Service::ALL.map(Service::as_str))))?;
    let role =
        Role::from_word(role).with_context(|| format!("{role:?} is no role: member, moderator, administrator"))?;
    store.set_role(identity, service, role).await?;
    record(store, "role.set", &identity.to_string(), &format!("{} {}", service.as_str(), role.as_str())).await?;
    println!("{email} is {} of {}", role.as_str(), service.as_str());
    Ok(())
}

async fn decisions(store: &Store, email: &str) -> Result<()> {
    let subject = person(store, email).await?;
    let mut before = None;
    loop {
        let page = store.decisions_about(subject, before, 100).await?;
        for Decision { record, state, appeal, .. } in &page {
            let service = record.service.map_or("all services", Service::as_str);
            let (effect, kind) = (record.effect.as_str(), record.item.kind.as_str());
            let by = record.author.map_or_else(|| "a program".to_owned(), |author| author.to_string());
            let appealed = appeal.as_ref().map_or_else(String::new, |appeal| {
                let outcome = appeal.outcome.map_or("waits", AppealOutcome::as_str);
                format!(", {}: {outcome}", appeal.id)
            });
            let (at, id, ground, state) = (rfc3339(record.decided_at), record.id, &record.ground, state.as_str());
            println!("{at}  {id}  {effect} {kind} in {service}: {ground}, by {by}, {state}{appealed}");
        }
        let Some(last) = page.last() else { return Ok(()) };
        before = Some((last.record.decided_at, last.record.id));
    }
}

async fn appeals(store: &Store) -> Result<()> {
    for Decision { record, appeal, .. } in store.open_appeals(1_000).await? {
        let Some(appeal) = appeal else { continue };
        let late = if appeal.overdue_at.is_some() { "  late" } else { "" };
        let service = record.service.map_or("all services", Service::as_str);
        println!("{}  due {}{late}  {} in {service}: {}", appeal.id, rfc3339(appeal.due_at), record.id, record.ground);
        println!("    {}", appeal.text.replace('\n', "\n    "));
    }
    Ok(())
}

/// Decides an appeal in the name of someone who may: the rules of who reviews are those of the app.
async fn decide_appeal(store: &Store, id: &str, reviewer: &str, outcome: &str, answer: &str) -> Result<()> {
    let id: AppealId = id.parse()?;
    let outcome = AppealOutcome::from_word(outcome).context("an outcome is upheld or overturned")?;
    let who = person(store, reviewer).await?;
    let service = store.appealed(id).await?.record.service;
    let active = store.memberships(who).await?.into_iter().filter(|one| one.active().is_ok());
    let counts =
        active.filter(|one| one.role == Role::Administrator || service.is_some_and(|service| one.service == service));
    let role = counts.map(|one| one.role).max().unwrap_or_default();
    store.decide_appeal(id, who, role, outcome, answer, SystemClock.now()).await?;
    println!("{id} is {}", outcome.as_str());
    Ok(())
}

async fn takedowns(store: &Store) -> Result<()> {
    for state in [TakedownState::Open, TakedownState::Countered] {
        for notice in store.takedowns(state, 1_000).await? {
            let (id, kind, due) =
                (notice.id, notice.kind.as_str(), rfc3339(notice.restore_at.unwrap_or(notice.due_at)));
            println!("{id}  {kind}  {}  due {due}  {}", notice.state.as_str(), notice.post);
        }
    }
    Ok(())
}

async fn remove_second_factor(store: &Store, email: &str) -> Result<()> {
    let identity = person(store, email).await?;
    if store.second_factor(identity).await?.is_none() {
        bail!("{email} has no second factor");
    }
    store.remove_second_factor(identity).await?;
    record(store, "second_factor.removed", &identity.to_string(), "").await?;
    println!("{email} signs in with the password alone now");
    Ok(())
}

/// Makes a key; the person and a project if there are none.
async fn key(store: &Store, email: &str, name: &str, days: Option<u16>) -> Result<()> {
    let now = SystemClock.now();
    if let Err(StoreError::NotFound(_)) = store.tier(DEFAULT_TIER).await {
        store.set_tier(&Tier { name: DEFAULT_TIER.into(), quotas: Quotas::DEFAULT, metered: false }).await?;
    }
    let owner = match store.identity_by_email(email).await? {
        Some(identity) => identity.id,
        None => {
            let id = IdentityId::new(now, random());
            store.create_identity(id, email, now).await?;
            id
        }
    };
    for service in [Service::Video, Service::Api] {
        match store.change_membership(owner, service, MembershipEvent::Join, now).await {
            // Whoever is a member already, or is suspended, stays so.
            Ok(_) | Err(StoreError::State { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let project = match store.projects(owner).await?.into_iter().find(|project| project.archived_at.is_none()) {
        Some(project) => project.id,
        None => {
            let id = ProjectId::new(now, random());
            let (name, tier) = (name.to_owned(), DEFAULT_TIER.to_owned());
            store.create_project(&Project { id, owner, name, tier, created_at: now, archived_at: None }).await?;
            id
        }
    };
    let secret = ApiKeySecret::new(ApiKeyId::new(now, random()), random());
    let key = ApiKey {
        id: secret.id(),
        project,
        name: name.to_owned(),
        hash: secret.hash(),
        scopes: Scopes::ALL,
        allowed_ips: Vec::new(),
        created_at: now,
        expires_at: days.map(|days| now + day(days)),
        revoked_at: None,
        last_used_at: None,
        last_used_from: None,
    };
    store.create_api_key(&key).await?;
    record(store, "key.create", &key.id.to_string(), email).await?;
    eprintln!("a key of {email}; it is shown this once:");
    println!("{}", secret.reveal());
    Ok(())
}

async fn keys(store: &Store, email: &str) -> Result<()> {
    let owner = person(store, email).await?;
    for project in store.projects(owner).await? {
        for key in store.api_keys(project.id).await? {
            let state = if key.revoked_at.is_some() { "revoked" } else { "good" };
            println!("{}  {}  {}  {state}  {}", key.id, project.name, key.name, key.scopes.words());
        }
    }
    Ok(())
}

async fn revoke_key(store: &Store, id: &str) -> Result<()> {
    let parsed: ApiKeyId = id.parse().ok().with_context(|| format!("{id:?} is no id of a key: `misora admin keys`"))?;
    let key = store.api_key(parsed).await?.with_context(|| format!("there is no key {id}"))?;
    store.revoke_api_key(key.project, parsed, SystemClock.now()).await?;
    record(store, "key.revoke", id, "").await?;
    println!("{id} is revoked");
    Ok(())
}

/// A folder's own name, made if it is missing.
fn folder_at(folder: &Path) -> Result<String> {
    std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let folder = folder.canonicalize().with_context(|| format!("{} cannot be found", folder.display()))?;
    Ok(folder.to_str().context("the folder's name is no text")?.to_owned())
}

/// What a bucket asks for. Keys come from the environment: what stands on a command line is seen by everyone.
fn bucket_secret(region: &str, endpoint: Option<&String>) -> Result<String> {
    let key = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let secret = BucketSecret {
        region: region.to_owned(),
        endpoint: endpoint.cloned(),
        access_key_id: key("AWS_ACCESS_KEY_ID")?,
        secret_access_key: key("AWS_SECRET_ACCESS_KEY")?,
        by_operator: true,
    };
    Ok(serde_json::to_string(&secret)?)
}

fn webdav_secret() -> Result<String> {
    let key = |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
    let login = match std::env::var("WEBDAV_TOKEN") {
        Ok(token) => WebDavLogin::Bearer { token },
        Err(_) => WebDavLogin::Basic { user: key("WEBDAV_USER")?, password: key("WEBDAV_PASSWORD")? },
    };
    Ok(serde_json::to_string(&WebDavSecret { login, by_operator: true })?)
}

async fn standing_export(
    store: &Store,
    email: &str,
    (kind, place, secret): (&str, String, Option<String>),
    days: u32,
) -> Result<()> {
    let (identity, now) = (person(store, email).await?, SystemClock.now());
    let destination = Destination {
        id: DestinationId::new(now, random()),
        identity,
        kind: kind.into(),
        place,
        secret,
        services: OWNERS.map(str::to_owned).into(),
        every_days: days,
        next_at: now,
        last_at: None,
        error: None,
        created_at: now,
    };
    store.create_destination(&destination).await?;
    record(store, "standing_export.set", &identity.to_string(), &destination.place).await?;
    println!("{}  every {days} days into {}", destination.id, destination.place);
    Ok(())
}

async fn standing_exports(store: &Store, email: &str) -> Result<()> {
    for one in store.destinations(person(store, email).await?).await? {
        let last = one.last_at.map_or("never yet".into(), |at| at.seconds().to_string());
        println!("{}  {}  last {last}  {}", one.id, one.place, one.error.unwrap_or_default());
    }
    Ok(())
}

async fn stop_standing_export(store: &Store, email: &str, id: &str) -> Result<()> {
    let identity = person(store, email).await?;
    let parsed = id.parse().ok().with_context(|| format!("{id:?} is none: `misora admin standing-exports`"))?;
    store.delete_destination(identity, parsed).await?;
    record(store, "standing_export.stopped", &identity.to_string(), id).await?;
    println!("{id} is stopped");
    Ok(())
}

async fn invite(store: &Store, uses: u32, days: Option<u16>, tier: &str, note: &str) -> Result<()> {
    let now = SystemClock.now();
    store.tier(tier).await.with_context(|| format!("there is no tier {tier:?}: `misora admin tiers`"))?;
    let token = Token::new(TokenKind::Invite, random());
    let expires_at = days.map(|days| now + day(days));
    let invite = Invite { tier: tier.to_owned(), uses_allowed: uses, uses: 0, expires_at, revoked_at: None };
    store.create_invite(&StoredInvite { hash: token.hash(), note: note.to_owned(), invite, created_at: now }).await?;
    record(store, "invite.create", tier, note).await?;
    eprintln!("a code for {uses}; it is shown this once:");
    println!("{}", token.reveal());
    Ok(())
}

async fn invites(store: &Store) -> Result<()> {
    for StoredInvite { note, invite, .. } in store.invites().await? {
        let state = if invite.check(SystemClock.now()).is_ok() { "open" } else { "over" };
        println!("{} of {} used  {}  {state}  {note}", invite.uses, invite.uses_allowed, invite.tier);
    }
    Ok(())
}

async fn tiers(store: &Store) -> Result<()> {
    for Tier { name, quotas, metered } in store.tiers().await? {
        let a_day = quotas.seconds_per_day.map_or("no limit of seconds".into(), |seconds| format!("{seconds} s a day"));
        println!(
            "{name}  {} requests a minute, {} jobs at once, {a_day}, clips up to {} s, {} at once, priority {}, weight {}{}",
            quotas.requests_per_minute,
            quotas.concurrent_jobs,
            quotas.longest_seconds,
            quotas.most_at_once,
            quotas.priority,
            quotas.weight,
            if metered { ", metered" } else { "" },
        );
    }
    Ok(())
}

/// Changes what is given and leaves the rest as it is, or as an installation starts with.
async fn set_tier(store: &Store, options: &TierOptions) -> Result<()> {
    let old = match store.tier(&options.name).await {
        Ok(tier) => tier,
        Err(StoreError::NotFound(_)) => Tier { name: options.name.clone(), quotas: Quotas::DEFAULT, metered: false },
        Err(error) => return Err(error.into()),
    };
    let quotas = Quotas {
        requests_per_minute: options.requests_per_minute.unwrap_or(old.quotas.requests_per_minute),
        concurrent_jobs: options.concurrent_jobs.unwrap_or(old.quotas.concurrent_jobs),
        seconds_per_day: options.seconds_per_day.or(old.quotas.seconds_per_day),
        longest_seconds: options.longest_seconds.unwrap_or(old.quotas.longest_seconds),
        most_at_once: options.most_at_once.unwrap_or(old.quotas.most_at_once),
        priority: options.priority.unwrap_or(old.quotas.priority),
        weight: options.weight.unwrap_or(old.quotas.weight),
    };
    store.set_tier(&Tier { quotas, metered: options.metered.unwrap_or(old.metered), ..old }).await?;
    record(store, "tier.set", &options.name, "").await?;
    tiers(store).await
}

async fn jobs(store: &Store) -> Result<()> {
    let depth = store.queue_depth().await?;
    println!("{} waiting, {} being made", depth.queued, depth.leased);
    Ok(())
}

async fn models(store: &Store) -> Result<()> {
    for (alias, model) in store.model_aliases().await? {
        println!("{alias} means {model}");
    }
    Ok(())
}

async fn set_model(store: &Store, alias: &str, model: &str) -> Result<()> {
    let name = |word: &str| ModelName::parse(word).with_context(|| format!("{word:?} is no name of a model"));
    let (alias, model) = (name(alias)?, name(model)?);
    store.set_model_alias(&alias, Some(&model), SystemClock.now()).await?;
    record(store, "model.alias", alias.as_str(), model.as_str()).await?;
    println!("{alias} means {model} from the next start on");
    Ok(())
}

async fn limits(store: &Store) -> Result<()> {
    for what in Posting::ALL {
        let limit = store.posting_limit(*what).await?;
        println!("{}  {} an hour, {} a day", what.as_str(), limit.per_hour, limit.per_day);
    }
    Ok(())
}

async fn set_limit(store: &Store, what: &str, per_hour: u32, per_day: u32) -> Result<()> {
    let known = || Posting::ALL.iter().map(|posting| posting.as_str()).collect::<Vec<_>>().join(", ");
    let posting = Posting::from_word(what).with_context(|| format!("{what:?} is not counted: {}", known()))?;
    store.set_posting_limit(posting, PostingLimit { per_hour, per_day }, SystemClock.now()).await?;
    record(store, "limit.set", what, &format!("{per_hour} an hour, {per_day} a day")).await?;
    limits(store).await
}

async fn sunsets(store: &Store) -> Result<()> {
    for sunset in store.sunsets().await? {
        let state = match sunset.announced_at {
            Some(_) if sunset.has_come(SystemClock.now()) => "over",
            Some(_) => "announced",
            None => "waits for two administrators",
        };
        let (kind, name) = (sunset.subject.kind(), sunset.subject.name());
        println!("{}  {kind} {name}  ends at {}  {state}  {}", sunset.id, sunset.ends_at.seconds(), sunset.successor);
    }
    Ok(())
}

async fn sunset(store: &Store, options: &SunsetOptions) -> Result<()> {
    let (kind, name) = match (&options.model, &options.service) {
        (Some(model), _) => ("model", model.as_str()),
        (None, Some(service)) => ("service", service.as_str()),
        (None, None) => bail!("say which --model or --service ends"),
    };
    let subject = SunsetSubject::from_words(kind, name).with_context(|| format!("{name:?} is no name of a {kind}"))?;
    let now = SystemClock.now();
    let wish = NewSunset {
        id: SunsetId::new(now, random()),
        subject: &subject,
        successor: &options.successor,
        ends_at: now + day(options.days),
        nearer: options.nearer,
    };
    let made = store.ask_sunset(&wish, None, now).await?;
    record(store, "sunset.ask", &made.id.to_string(), &format!("{kind} {name} in {} days", options.days)).await?;
    sunsets(store).await
}

async fn withdraw_sunset(store: &Store, id: &str) -> Result<()> {
    let parsed = id.parse().ok().with_context(|| format!("{id:?} is no id of an end: `misora admin sunsets`"))?;
    store.withdraw_sunset(parsed, SystemClock.now()).await?;
    record(store, "sunset.withdraw", id, "").await?;
    println!("{id} is taken back");
    Ok(())
}

async fn audit(store: &Store) -> Result<()> {
    for entry in store.audit(100).await? {
        let who = entry.actor.map_or("the machine".into(), |actor| actor.to_string());
        println!("{}  {who}  {}  {}  {}", entry.at.seconds(), entry.action, entry.subject, entry.detail);
    }
    Ok(())
}

/// Exit code 1 if the log is not as it was written.
async fn verify_audit(store: &Store) -> Result<()> {
    let chain = store.verify_audit().await?;
    let told = |entry: &AuditEntry| {
        let (at, action) = (rfc3339(entry.at), &entry.action);
        format!("{at} {action} {} {}", entry.subject, entry.detail)
    };
    match &chain.broken {
        Some(AuditBreak::Line { id, entry }) => bail!(
            "line {id} does not fit: it was changed, or a line before it was changed or taken out. {} before it fit. It says: {}",
            chain.lines,
            told(entry)
        ),
        Some(AuditBreak::Unchained { id, entry }) => {
            bail!("line {id} was written past Misora. {} before it fit. It says: {}", chain.lines, told(entry))
        }
        Some(AuditBreak::End) => bail!("lines at the end were taken out; the {} that are left fit", chain.lines),
        None => {}
    }
    let since = chain.since.map_or_else(String::new, |since| format!(", unbroken since {}", rfc3339(since)));
    println!("{} lines{since}, head {}", chain.lines, chain.head);
    if chain.pruned > 0 {
        println!("{} older lines were pruned, their time being over", chain.pruned);
    }
    Ok(())
}

async fn person(store: &Store, email: &str) -> Result<IdentityId> {
    match store.identity_by_email(email).await? {
        Some(identity) => Ok(identity.id),
        None => bail!("nobody has the address {email}: `misora admin users`"),
    }
}

async fn record(store: &Store, action: &str, subject: &str, detail: &str) -> Result<()> {
    let (at, actor) = (SystemClock.now(), None);
    let (action, subject, detail) = (action.to_owned(), subject.to_owned(), detail.to_owned());
    Ok(store.record_audit(&AuditEntry { at, actor, action, subject, detail }).await?)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemEntropy.fill(&mut bytes);
    bytes
}

fn day(days: u16) -> Duration {
    Duration::from_secs(u64::from(days) * 24 * 3600)
}

fn words<const N: usize>(words: [&str; N]) -> String {
    words.join(", ")
}
