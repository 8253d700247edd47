//! The guarantees of `spec/guarantees.md`, each by its number, as people and programs see them.

mod decisions;
pub(crate) mod likeness;
mod policy;
mod retention;
mod services;

use platform::{IdentityId, SignUpMode};
use serde_json::{Value, json};

use crate::http::site::{Answer, As, Sent, Site};
use crate::loops::bed::Bed;

/// A site that people can join, over each database.
pub(crate) async fn sites() -> Vec<Site> {
    let open = |settings: &mut server::Settings| settings.sign_up = SignUpMode::Open;
    let mut sites = vec![Site::with(open).await, Site::of(Bed::on_postgres(open).await).await];
    if let Some(bed) = Bed::on_s3(open).await {
        sites.push(Site::of(bed).await);
    }
    sites
}

/// Whose cookie it is.
async fn whose(site: &Site, cookie: &str) -> IdentityId {
    let account = site.send("GET", "/api/account", As::Cookie(cookie), Sent::Nothing).await.ok();
    account["id"].as_str().unwrap().parse().unwrap()
}

/// Sends JSON with a cookie.
async fn ask(site: &Site, cookie: &str, path: &str, body: Value) -> Answer {
    site.send("POST", path, As::Cookie(cookie), Sent::Json(body)).await
}

/// Asks for the end of a service.
async fn close(site: &Site, cookie: &str, service: &str) -> Answer {
    ask(site, cookie, &format!("/api/memberships/{service}/close"), json!({ "confirm": service })).await
}

/// Ends a service and does not wait.
async fn erase(site: &Site, cookie: &str, service: &str) {
    assert_eq!(close(site, cookie, service).await.ok()["state"], "closing");
    ask(site, cookie, &format!("/api/memberships/{service}/erase"), json!({ "confirm": service })).await.ok();
    server::housekeeping::tidy(&site.bed.app).await.unwrap();
}

/// A key of a new project of someone.
async fn new_key(site: &Site, cookie: &str) -> String {
    let projects = site.send("GET", "/api/projects", As::Cookie(cookie), Sent::Nothing).await.ok();
    let project = projects["data"][0]["id"].as_str().unwrap().to_owned();
    let made = ask(site, cookie, &format!("/api/projects/{project}/keys"), json!({ "name": "work" })).await.ok();
    made["secret"].as_str().unwrap().to_owned()
}
