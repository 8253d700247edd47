//! What a project used, day by day, and what it has.

use axum::Json;
use axum::extract::State;
use platform::{LedgerEntryId, Scope, Service, VideoId};
use serde::Serialize;
use store::LedgerEntry;
use time::{Date, Duration, OffsetDateTime};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, KeyCaller, Needs};
use crate::http::endpoint::{Endpoint, get};
use crate::http::error::ApiError;
use crate::http::page::{List, Values, one_more};
use crate::http::videos::PAGE;

const READ: Access = Access::Key(Scope::UsageRead, Needs::Readable(Service::Api));

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/v1/usage", READ, retrieve_usage)
            .says("Says what the project used, day by day, and what it may use.")
            .query(&[
                ("start_date", "The first day, YYYY-MM-DD in UTC; 30 days ago if it is not said."),
                ("end_date", "The last day; today if it is not said."),
            ])
            .answers::<Usage>(),
        get("/v1/usage/ledger", READ, list_ledger)
            .says("Lists the lines of the ledger.")
            .query(PAGE)
            .answers_list::<Entry>(),
    ]
}

/// What a project used and has.
#[derive(Serialize, ToSchema)]
pub(crate) struct Usage {
    /// Always `usage`.
    object: &'static str,
    /// The project.
    project: String,
    /// Days on which something was used.
    data: Vec<Day>,
    /// Credits granted, less those charged.
    balance: String,
    /// Credits set aside for what is not finished.
    held: String,
    /// Whether work must be covered by the balance.
    metered: bool,
    /// Seconds of video a day; null for no limit.
    seconds_per_day: Option<u32>,
    /// Seconds of video used today.
    seconds_today: u32,
    /// Jobs at one time.
    concurrent_jobs: u32,
    /// Jobs that are not finished.
    unfinished_jobs: u32,
}

/// A day.
#[derive(Serialize, ToSchema)]
pub(crate) struct Day {
    /// YYYY-MM-DD, UTC.
    date: String,
    /// Clips accepted.
    accepted: u64,
    /// Those of them that were completed.
    completed: u64,
    /// Seconds of video.
    seconds: u64,
    /// Credits charged.
    charged: String,
}

/// A line of the ledger.
#[derive(Serialize, ToSchema)]
pub(crate) struct Entry {
    /// Its id.
    id: String,
    /// `grant`, `hold`, `charge` or `release`.
    kind: &'static str,
    /// Credits.
    amount: String,
    /// For which video.
    video: Option<String>,
    /// Why, for a grant.
    note: String,
    /// Unix seconds.
    created_at: i64,
}

async fn retrieve_usage(State(app): State<App>, caller: KeyCaller, values: Values) -> Result<Json<Usage>, ApiError> {
    let (project, now) = (caller.project.id, app.now());
    let last = read_day(&values, "end_date")?.unwrap_or(now.day());
    let first = read_day(&values, "start_date")?.unwrap_or(last - 30);
    if !(0..=366).contains(&(last - first)) {
        return Err(ApiError::invalid("start_date", "At most 366 days can be read, from start_date to end_date."));
    }
    let days = app.store.usage_days(project, first, last).await?;
    let balance = app.store.balance(project).await?;
    let tier = app.store.tier(&caller.project.tier).await?;
    let usage = app.store.project_usage(project, now).await?;
    let day = |day: &store::UsageDay| Day {
        date: date_of(day.day).to_string(),
        accepted: day.accepted,
        completed: day.completed,
        seconds: day.seconds,
        charged: day.charged.to_string(),
    };
    Ok(Json(Usage {
        object: "usage",
        project: project.to_string(),
        data: days.iter().map(day).collect(),
        balance: balance.balance.to_string(),
        held: balance.held.to_string(),
        metered: tier.metered,
        seconds_per_day: tier.quotas.seconds_per_day,
        seconds_today: usage.seconds_today,
        concurrent_jobs: tier.quotas.concurrent_jobs,
        unfinished_jobs: usage.unfinished_jobs,
    }))
}

async fn list_ledger(State(app): State<App>, caller: KeyCaller, values: Values) -> Result<Json<List<Entry>>, ApiError> {
    let page = values.page::<LedgerEntryId>()?;
    let entries = app.store.ledger(caller.project.id, one_more(&page)).await?;
    let entry = |entry: &LedgerEntry| Entry {
        id: entry.id.to_string(),
        kind: entry.kind.as_str(),
        amount: entry.amount.to_string(),
        video: entry.generation.map(|id: VideoId| id.to_string()),
        note: entry.note.clone(),
        created_at: entry.at.seconds(),
    };
    Ok(Json(List::cut(entries, page.limit, entry, |entry| entry.id.to_string())))
}

const EPOCH: Date = OffsetDateTime::UNIX_EPOCH.date();

fn date_of(day: i64) -> Date {
    EPOCH.checked_add(Duration::days(day)).unwrap_or(Date::MAX)
}

fn read_day(values: &Values, name: &str) -> Result<Option<i64>, ApiError> {
    let Some(text) = values.get(name) else { return Ok(None) };
    let format = time::macros::format_description!("[year]-[month]-[day]");
    let date =
        Date::parse(text, format).map_err(|_| ApiError::invalid(name, format!("'{name}' must be YYYY-MM-DD.")))?;
    Ok(Some((date - EPOCH).whole_days()))
}
