//! The whole server with the test card as its model, for checks that need a real process. Never for users: anyone who can read its
//! output has a key.
//!
//! `cargo run --example test_server -- FOLDER` keeps everything in the folder; `MISORA_…` variables choose another database, objects
//! and so on. It prints `BASE_URL=…` and `API_KEY=…`, and serves until it is asked to stop.

mod common;

use std::io::Write;

use platform::{
    ApiKey, ApiKeyId, ApiKeySecret, IdentityId, MembershipEvent, ProjectId, Quotas, Rate, Scopes, Service, Tier,
};
use server::{App, Server, full_offer};
use store::{Project, StoreError};

use crate::common::{Failure, asked_to_stop, config, model_name, models, signing_key};

const EMAIL: &str = "tests@example.org";

#[tokio::main]
async fn main() -> Result<(), Failure> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let config = config()?;
    let key = signing_key(&config)?;
    let offer = full_offer(model_name(), Rate::from_micros(1_000_000));
    let models = (0..config.workers).map(|_| models()).collect();
    let server = Server::start(&config, vec![offer], models, None, key).await?;
    let secret = new_key(&server.app).await?;
    // One write, so that whoever waits for the last line has all of them.
    write!(std::io::stdout(), "BASE_URL=http://{}/v1\nAPI_KEY={}\n", server.address, secret.reveal())?;
    server.run(asked_to_stop()).await;
    Ok(())
}

/// A key for everything, of a project without limits, of the one person here.
async fn new_key(app: &App) -> Result<ApiKeySecret, StoreError> {
    let (store, now) = (&app.store, app.now());
    let quotas = Quotas { requests_per_minute: 1_000_000, concurrent_jobs: 200_000, ..Quotas::DEFAULT };
    store.set_tier(&Tier { name: "default".into(), quotas, metered: false }).await?;
    let person = match store.identity_by_email(EMAIL).await? {
        Some(identity) => identity.id,
        None => {
            let id = IdentityId::new(now, app.random());
            store.create_identity(id, EMAIL, now).await?;
            id
        }
    };
    for service in [Service::Video, Service::Api] {
        match store.change_membership(person, service, MembershipEvent::Join, now).await {
            Ok(_) | Err(StoreError::State { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let project = match store.projects(person).await?.first() {
        Some(project) => project.id,
        None => {
            let id = ProjectId::new(now, app.random());
            let (name, tier) = ("tests".into(), "default".into());
            store
                .create_project(&Project { id, owner: person, name, tier, created_at: now, archived_at: None })
                .await?;
            id
        }
    };
    let secret = ApiKeySecret::new(ApiKeyId::new(now, app.random()), app.random());
    let key = ApiKey {
        id: secret.id(),
        project,
        name: "tests".into(),
        hash: secret.hash(),
        scopes: Scopes::ALL,
        allowed_ips: Vec::new(),
        created_at: now,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
        last_used_from: None,
    };
    store.create_api_key(&key).await?;
    Ok(secret)
}
