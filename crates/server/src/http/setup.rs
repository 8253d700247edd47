//! The first start: a link that works once makes the administrator.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use platform::{Token, TokenKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::accounts::{Done, count_attempt, make_account, make_administrator, read_email};
use crate::http::auth::{Access, ClientAddress};
use crate::http::endpoint::{BodyKind, Endpoint, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::password::NewPassword;
use crate::http::sessions::begin_session;
use crate::web::show_set_up;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/set-up", Access::Open, show_set_up)
            .says("The page that the one-time link of the first start opens.")
            .answers_bytes(&["text/html"]),
        post("/api/set-up", Access::Visitor, set_up)
            .says("Makes the administrator with the one-time link of the first start, and signs in.")
            .reads::<SetUp>(BodyKind::Json)
            .answers::<Done>(),
    ]
}

/// The first administrator.
#[derive(Serialize, ToSchema)]
pub(crate) struct SetUp {
    /// What the link ends with.
    token: String,
    /// The address.
    email: String,
    /// 10 to 200 characters.
    password: String,
}

async fn set_up(
    State(app): State<App>,
    address: ClientAddress,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, ApiError> {
    let email = read_email(form.needed_text("email")?)?;
    let password = NewPassword::parse(form.needed_text("password")?, "password")?;
    let token = form.needed_text("token")?;
    count_attempt(&app, address, "")?;
    let refused = || ApiError::forbidden("set_up_refused", "This link is wrong, was used before, or its time is over.");
    let token = Token::parse(token, TokenKind::SetUp).map_err(|_| refused())?;
    if app.store.has_administrator().await? {
        return Err(refused());
    }
    // An address that is taken must not use the link up.
    if app.store.identity_by_email(&email).await?.is_some() {
        return Err(store::StoreError::Exists("account").into());
    }
    app.store.use_one_time_token(token.hash(), TokenKind::SetUp, app.now()).await?.ok_or_else(refused)?;
    let identity = make_account(&app, &email, password, &app.settings.default_tier).await?;
    make_administrator(&app, identity).await?;
    app.store.confirm_email(identity, app.now()).await?;
    begin_session(&app, identity, &headers).await
}
