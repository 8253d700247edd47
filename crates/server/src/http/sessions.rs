//! Browsers that are signed in: begin, list, end, prove again.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use platform::{IdentityId, SessionId, Token, TokenKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::accounts::{Done, count_attempt};
use crate::http::auth::{Access, ClientAddress, Person, session_cookie};
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::{Id, List};
use crate::http::password::is_password;
use crate::http::second_factor::{Codes, prove};
use crate::http::video_object::Deleted;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/api/sessions", Access::Visitor, create_session)
            .says("Signs in: the answer sets a cookie. Asks for the second factor, if there is one.")
            .reads::<SignIn>(BodyKind::Json)
            .answers::<Done>(),
        get("/api/sessions", Access::Person, list_sessions)
            .says("Lists the browsers that are signed in.")
            .answers_list::<Session>(),
        delete("/api/sessions/{id}", Access::Person, delete_session).says("Signs a browser out.").answers::<Deleted>(),
        delete("/api/session", Access::Person, sign_out).says("Signs this browser out.").answers::<Done>(),
        post("/api/session/reauthenticate", Access::Person, reauthenticate)
            .says("Proves again who is there; some acts need that within 10 minutes.")
            .reads::<Reauthenticate>(BodyKind::Json)
            .answers::<Done>(),
    ]
}

/// Who signs in.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignIn {
    /// The address.
    email: String,
    /// The password.
    password: String,
    /// The code of the authenticator app, or a recovery code, if one is asked for.
    code: Option<String>,
}

/// A proof.
#[derive(Serialize, ToSchema)]
pub(crate) struct Reauthenticate {
    /// The password.
    password: String,
    /// The code of the authenticator app, or a recovery code, if one is asked for.
    code: Option<String>,
}

/// A browser that is signed in.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    /// Its id.
    id: String,
    /// Always `session`.
    object: &'static str,
    /// What the browser calls itself.
    label: String,
    /// Whether it is this one.
    current: bool,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds.
    last_seen_at: i64,
    /// Unix seconds.
    expires_at: i64,
}

pub(crate) async fn create_session(
    State(app): State<App>,
    address: ClientAddress,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, ApiError> {
    let (email, password) = (form.needed_text("email")?, form.needed_text("password")?);
    count_attempt(&app, address, email)?;
    let identity = app.store.identity_by_email(email).await?.map(|identity| identity.id);
    match (is_password(&app, identity, password).await?, identity) {
        (true, Some(identity)) => {
            prove(&app, identity, form.text("code")?, Codes::OfAppOrRecovery).await?;
            begin_session(&app, identity, &headers).await
        }
        _ => Err(ApiError::wrong_credentials()),
    }
}

/// Begins a session and answers with its cookie.
pub(crate) async fn begin_session(app: &App, identity: IdentityId, headers: &HeaderMap) -> Result<Response, ApiError> {
    let (now, token) = (app.now(), Token::new(TokenKind::Session, app.random()));
    let agent = headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or("unknown");
    let session = store::Session {
        id: SessionId::new(now, app.random()),
        identity,
        label: agent.chars().take(200).collect(),
        created_at: now,
        authenticated_at: now,
        last_seen_at: now,
        expires_at: now + app.settings.session_lifetime,
    };
    app.store.create_session(token.hash(), &session).await?;
    Ok(([(header::SET_COOKIE, session_cookie(app, Some(&token)))], Json(Done::new())).into_response())
}

async fn list_sessions(State(app): State<App>, person: Person) -> Result<Json<List<Session>>, ApiError> {
    let sessions = app.store.sessions(person.identity(), app.now()).await?;
    let show = |session: &store::Session| Session {
        id: session.id.to_string(),
        object: "session",
        label: session.label.clone(),
        current: session.id == person.session.id,
        created_at: session.created_at.seconds(),
        last_seen_at: session.last_seen_at.seconds(),
        expires_at: session.expires_at.seconds(),
    };
    Ok(Json(List::new(sessions.iter().map(show).collect(), |session: &Session| session.id.clone(), false)))
}

pub(crate) async fn delete_session(
    State(app): State<App>,
    person: Person,
    Id(id): Id<SessionId>,
) -> Result<Json<Deleted>, ApiError> {
    let known = app.store.sessions(person.identity(), app.now()).await?;
    if !known.iter().any(|session| session.id == id) {
        return Err(ApiError::not_found("session"));
    }
    app.store.end_session(person.identity(), id).await?;
    Ok(Json(Deleted::new(id, "session.deleted")))
}

pub(crate) async fn sign_out(State(app): State<App>, person: Person) -> Result<Response, ApiError> {
    app.store.end_session(person.identity(), person.session.id).await?;
    Ok(([(header::SET_COOKIE, session_cookie(&app, None))], Json(Done::new())).into_response())
}

pub(crate) async fn reauthenticate(
    State(app): State<App>,
    person: Person,
    address: ClientAddress,
    form: Form,
) -> Result<Json<Done>, ApiError> {
    let password = form.needed_text("password")?;
    count_attempt(&app, address, &person.identity().to_string())?;
    if !is_password(&app, Some(person.identity()), password).await? {
        return Err(ApiError::wrong_credentials());
    }
    prove(&app, person.identity(), form.text("code")?, Codes::OfAppOrRecovery).await?;
    app.store.reauthenticate_session(person.session.id, app.now()).await?;
    Ok(Json(Done::new()))
}
