//! Accounts: joining, passwords, and the ways back in.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use platform::{
    IdentityId, MembershipEvent, ProjectId, Role, Service, SignUpRefusal, Timestamp, Token, TokenKind, sign_up_tier,
};
use serde::Serialize;
use store::{OneTimeToken, Project, TokenState};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::auth::{Access, ClientAddress, Person};
use crate::http::endpoint::{BodyKind, Endpoint, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::memberships::ShownMembership;
use crate::http::password::{NewPassword, is_password};
use crate::http::second_factor::{Codes, prove};
use crate::http::sessions::begin_session;
use crate::letters;

/// Attempts in a minute to sign in or the like, for one address of the internet and for one account.
const ATTEMPTS: u32 = 10;
/// How long a link in a letter works.
const LINK: Duration = Duration::from_secs(3600);
/// How long the link that confirms an address works.
const CONFIRMATION: Duration = Duration::from_secs(7 * 86_400);
/// How many recovery codes there are.
const CODES: usize = 10;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        post("/api/account", Access::Visitor, create_account)
            .says("Joins, if the installation takes new people, and signs in.")
            .reads::<SignUp>(BodyKind::Json)
            .answers::<Done>(),
        get("/api/account", Access::Person, retrieve_account).says("Reads one's own account.").answers::<Account>(),
        post("/api/account/password", Access::Person, change_password)
            .says("Changes the password and signs all other browsers out.")
            .reads::<ChangePassword>(BodyKind::Json)
            .answers::<Done>(),
        post("/api/account/recovery-codes", Access::Person, create_recovery_codes)
            .says("Makes ten recovery codes in place of those before; they are shown here and never again.")
            .answers::<RecoveryCodes>(),
        post("/api/account/recover", Access::Visitor, recover_account)
            .says("Sets a new password with a recovery code and signs in. Asks for the second factor, if there is one.")
            .reads::<Recover>(BodyKind::Json)
            .answers::<Done>(),
        post("/api/account/password-reset", Access::Visitor, ask_password_reset)
            .says("Sends a letter with a link that sets a new password, if the address has an account.")
            .reads::<AskReset>(BodyKind::Json)
            .answers::<Done>(),
        post("/api/account/password-reset/confirm", Access::Visitor, reset_password)
            .says("Sets a new password with the link of a letter and signs in. Asks for the second factor, if there is one.")
            .reads::<Reset>(BodyKind::Json)
            .answers::<Done>(),
        post("/api/account/confirm-email", Access::Visitor, confirm_email)
            .says("Confirms an address with the link of a letter.")
            .reads::<ConfirmEmail>(BodyKind::Json)
            .answers::<Done>(),
        post("/api/account/confirm-email/letter", Access::Person, resend_confirmation)
            .says("Sends the letter that confirms one's address again.")
            .answers::<Done>(),
    ]
}

/// Who joins.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignUp {
    /// The address.
    email: String,
    /// 10 to 200 characters.
    password: String,
    /// The code of an invite.
    invite: Option<String>,
}

/// A new password.
#[derive(Serialize, ToSchema)]
pub(crate) struct ChangePassword {
    /// The password so far.
    password: String,
    /// 10 to 200 characters.
    new_password: String,
}

/// A recovery.
#[derive(Serialize, ToSchema)]
pub(crate) struct Recover {
    /// A recovery code, which works once.
    code: String,
    /// The code of the authenticator app, if one is asked for.
    second_factor: Option<String>,
    /// 10 to 200 characters.
    new_password: String,
}

/// Whose password was forgotten.
#[derive(Serialize, ToSchema)]
pub(crate) struct AskReset {
    /// The address.
    email: String,
}

/// A new password by letter.
#[derive(Serialize, ToSchema)]
pub(crate) struct Reset {
    /// What the letter's link ends with.
    token: String,
    /// The code of the authenticator app, or a recovery code, if one is asked for.
    second_factor: Option<String>,
    /// 10 to 200 characters.
    new_password: String,
}

/// An address is someone's.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConfirmEmail {
    /// What the letter's link ends with.
    token: String,
}

/// It is done.
#[derive(Serialize, ToSchema)]
pub(crate) struct Done {
    /// Always true.
    done: bool,
}

/// One's own account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Account {
    /// Its id.
    id: String,
    /// Always `account`.
    object: &'static str,
    /// The address.
    email: String,
    /// Whether it is confirmed.
    email_confirmed: bool,
    /// Unix seconds.
    created_at: i64,
    /// One for each service.
    memberships: Vec<ShownMembership>,
}

/// Codes to write down.
#[derive(Serialize, ToSchema)]
pub(crate) struct RecoveryCodes {
    /// Always `recovery_codes`.
    pub(crate) object: &'static str,
    /// The codes.
    pub(crate) codes: Vec<String>,
}

impl Done {
    pub(crate) fn new() -> Self {
        Self { done: true }
    }
}

pub(crate) async fn create_account(
    State(app): State<App>,
    address: ClientAddress,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, ApiError> {
    let email = read_email(form.needed_text("email")?)?;
    let password = NewPassword::parse(form.needed_text("password")?, "password")?;
    count_attempt(&app, address, &email)?;
    let now = app.now();
    let code = match form.text("invite")? {
        Some(text) => {
            Some(Token::parse(text.trim(), TokenKind::Invite).map_err(|_| SignUpRefusal::InviteUnknown)?.hash())
        }
        None => None,
    };
    let invite = match code {
        Some(hash) => Some(app.store.invite(hash).await?.ok_or(SignUpRefusal::InviteUnknown)?),
        None => None,
    };
    let tier = sign_up_tier(app.settings.sign_up, invite.as_ref(), &app.settings.default_tier, now)?.to_owned();
    if app.store.identity_by_email(&email).await?.is_some() {
        return Err(store::StoreError::Exists("account").into());
    }
    if let Some(hash) = code
        && !app.store.use_invite(hash, now).await?
    {
        return Err(SignUpRefusal::InviteUsedUp.into());
    }
    let identity = make_account(&app, &email, password, &tier).await?;
    send_confirmation(&app, identity, &email).await?;
    begin_session(&app, identity, &headers).await
}

/// Makes an account that can make videos and keys, with a first project.
pub(crate) async fn make_account(
    app: &App,
    email: &str,
    password: NewPassword,
    tier: &str,
) -> Result<IdentityId, ApiError> {
    let now = app.now();
    let identity = IdentityId::new(now, app.random());
    app.store.create_identity(identity, email, now).await?;
    password.keep(app, identity).await?;
    for service in [Service::Video, Service::Api] {
        app.store.change_membership(identity, service, MembershipEvent::Join, now).await?;
    }
    // Leaving does not end a limit.
    app.store.take_up_limits(identity, app.link_key.keyed_hash(email), now).await?;
    let (id, name) = (ProjectId::new(now, app.random()), "My project".to_owned());
    let project = Project { id, owner: identity, name, tier: tier.to_owned(), created_at: now, archived_at: None };
    app.store.create_project(&project).await?;
    Ok(identity)
}

async fn retrieve_account(State(app): State<App>, person: Person) -> Result<Json<Account>, ApiError> {
    let identity = app.store.identity(person.identity()).await?;
    Ok(Json(Account {
        id: identity.id.to_string(),
        object: "account",
        email: identity.email,
        email_confirmed: identity.email_confirmed_at.is_some(),
        created_at: identity.created_at.seconds(),
        memberships: Service::ALL.map(|service| ShownMembership::from(&person.membership(service))).into(),
    }))
}

pub(crate) async fn change_password(
    State(app): State<App>,
    person: Person,
    address: ClientAddress,
    form: Form,
) -> Result<Json<Done>, ApiError> {
    let new = NewPassword::parse(form.needed_text("new_password")?, "new_password")?;
    count_attempt(&app, address, &person.identity().to_string())?;
    if !is_password(&app, Some(person.identity()), form.needed_text("password")?).await? {
        return Err(ApiError::wrong_credentials());
    }
    new.keep(&app, person.identity()).await?;
    app.store.forget_one_time_tokens(person.identity(), TokenKind::PasswordReset).await?;
    app.store.end_sessions(person.identity(), Some(person.session.id)).await?;
    app.store.reauthenticate_session(person.session.id, app.now()).await?;
    Ok(Json(Done::new()))
}

pub(crate) async fn create_recovery_codes(
    State(app): State<App>,
    person: Person,
) -> Result<Json<RecoveryCodes>, ApiError> {
    person.fresh(app.now())?;
    let codes = make_recovery_codes(&app, person.identity()).await?;
    Ok(Json(RecoveryCodes { object: "recovery_codes", codes }))
}

/// Ten recovery codes in place of those before.
pub(crate) async fn make_recovery_codes(app: &App, identity: IdentityId) -> Result<Vec<String>, ApiError> {
    let now = app.now();
    app.store.forget_one_time_tokens(identity, TokenKind::RecoveryCode).await?;
    let mut codes = Vec::with_capacity(CODES);
    for _ in 0..CODES {
        codes.push(make_token(app, TokenKind::RecoveryCode, identity, "", None, now).await?.reveal());
    }
    Ok(codes)
}

async fn recover_account(
    State(app): State<App>,
    address: ClientAddress,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, ApiError> {
    set_password_with(&app, address, &headers, &form, "code", TokenKind::RecoveryCode).await
}

async fn reset_password(
    State(app): State<App>,
    address: ClientAddress,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, ApiError> {
    set_password_with(&app, address, &headers, &form, "token", TokenKind::PasswordReset).await
}

/// Sets a new password with a token that works once; all browsers are signed out but this one.
async fn set_password_with(
    app: &App,
    address: ClientAddress,
    headers: &HeaderMap,
    form: &Form,
    param: &'static str,
    kind: TokenKind,
) -> Result<Response, ApiError> {
    let password = NewPassword::parse(form.needed_text("new_password")?, "new_password")?;
    let text = form.needed_text(param)?.trim();
    count_attempt(app, address, "")?;
    let (token, known) = good_token(app, text, kind, param).await?;
    let identity = known.identity.ok_or_else(|| unknown_token(param))?;
    // The second factor first: a code that is not at hand yet must not cost the link. Two recovery codes are one factor.
    let codes = if kind == TokenKind::RecoveryCode { Codes::OfApp } else { Codes::OfAppOrRecovery };
    prove(app, identity, form.text("second_factor")?, codes).await?;
    let used = app.store.use_one_time_token(token.hash(), kind, app.now()).await?;
    used.ok_or_else(|| used_token(param))?;
    password.keep(app, identity).await?;
    app.store.end_sessions(identity, None).await?;
    begin_session(app, identity, headers).await
}

/// Looks at a token that someone holds, and says what is the matter with it if it does not work.
async fn good_token(
    app: &App,
    text: &str,
    kind: TokenKind,
    param: &'static str,
) -> Result<(Token, OneTimeToken), ApiError> {
    let token = Token::parse(text, kind).map_err(|_| unknown_token(param))?;
    match app.store.one_time_token(token.hash(), kind, app.now()).await? {
        TokenState::Good(known) => Ok((token, known)),
        TokenState::Used => Err(used_token(param)),
        TokenState::Expired => {
            Err(ApiError::token("token_expired", param, "This link's time is over. Ask for a new one."))
        }
        TokenState::Unknown => Err(unknown_token(param)),
    }
}

fn used_token(param: &str) -> ApiError {
    ApiError::token("token_used", param, "This was used before, and works once.")
}

fn unknown_token(param: &str) -> ApiError {
    ApiError::token("token_unknown", param, "This is not complete, or a newer one took its place.")
}

pub(crate) async fn ask_password_reset(
    State(app): State<App>,
    address: ClientAddress,
    form: Form,
) -> Result<Json<Done>, ApiError> {
    let email = read_email(form.needed_text("email")?)?;
    count_attempt(&app, address, &email)?;
    if let Some(identity) = app.store.identity_by_email(&email).await? {
        let now = app.now();
        app.store.forget_one_time_tokens(identity.id, TokenKind::PasswordReset).await?;
        let token = make_token(&app, TokenKind::PasswordReset, identity.id, "", Some(now + LINK), now).await?;
        let body = format!(
            "Someone asked for a new password for your account at {base}. If that was you, open\n\n\
             {base}/password-reset#{token}\n\nwithin an hour. If not, nothing needs to be done.",
            base = app.settings.base_url,
            token = token.reveal(),
        );
        letters::post(&app, &identity.email, "A new password", body).await?;
    }
    // The same answer whether there is an account or not.
    Ok(Json(Done::new()))
}

async fn confirm_email(State(app): State<App>, address: ClientAddress, form: Form) -> Result<Json<Done>, ApiError> {
    count_attempt(&app, address, "")?;
    let kind = TokenKind::EmailConfirmation;
    let (token, known) = good_token(&app, form.needed_text("token")?.trim(), kind, "token").await?;
    let identity = app.store.identity(known.identity.ok_or_else(|| unknown_token("token"))?).await?;
    // The letter went to an address; only that one is confirmed.
    if identity.email != known.subject {
        return Err(unknown_token("token"));
    }
    app.store.use_one_time_token(token.hash(), kind, app.now()).await?.ok_or_else(|| used_token("token"))?;
    app.store.confirm_email(identity.id, app.now()).await?;
    Ok(Json(Done::new()))
}

async fn resend_confirmation(
    State(app): State<App>,
    person: Person,
    address: ClientAddress,
) -> Result<Json<Done>, ApiError> {
    count_attempt(&app, address, &person.identity().to_string())?;
    let identity = app.store.identity(person.identity()).await?;
    if identity.email_confirmed_at.is_some() {
        return Err(ApiError::state("This address is confirmed already."));
    }
    app.store.forget_one_time_tokens(identity.id, TokenKind::EmailConfirmation).await?;
    send_confirmation(&app, identity.id, &identity.email).await?;
    Ok(Json(Done::new()))
}

async fn send_confirmation(app: &App, identity: IdentityId, email: &str) -> Result<(), ApiError> {
    let now = app.now();
    let token = make_token(app, TokenKind::EmailConfirmation, identity, email, Some(now + CONFIRMATION), now).await?;
    let base = &app.settings.base_url;
    let body =
        format!("Welcome. To confirm that this address is yours, open\n\n{base}/confirm-email#{}\n", token.reveal());
    Ok(letters::post(app, email, "Confirm your address", body).await?)
}

async fn make_token(
    app: &App,
    kind: TokenKind,
    identity: IdentityId,
    subject: &str,
    end: Option<Timestamp>,
    now: Timestamp,
) -> Result<Token, ApiError> {
    let token = Token::new(kind, app.random());
    let kept = OneTimeToken { identity: Some(identity), subject: subject.to_owned() };
    app.store.create_one_time_token(token.hash(), kind, &kept, end, now).await?;
    Ok(token)
}

/// Counts an attempt at someone's account, from one address; refuses too many.
pub(crate) fn count_attempt(app: &App, address: ClientAddress, account: &str) -> Result<(), ApiError> {
    let from = address.0.map(|address| format!("from {address}"));
    let of =
        Some(account).filter(|account| !account.is_empty()).map(|account| format!("of {}", account.to_lowercase()));
    for key in from.into_iter().chain(of) {
        let decision = app.attempts.count(key, ATTEMPTS, app.now());
        if !decision.allowed {
            return Err(ApiError::too_many_requests(decision.retry_after));
        }
    }
    Ok(())
}

/// An address: something, `@`, something; no blanks; at most 254 characters.
pub(crate) fn read_email(text: &str) -> Result<String, ApiError> {
    let email = text.trim().to_lowercase();
    let parted =
        email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    let plain =
        email.chars().all(|letter| !letter.is_whitespace() && !letter.is_control() && !"<>,;\"".contains(letter));
    if parted && plain && email.len() <= 254 {
        return Ok(email);
    }
    Err(ApiError::invalid("email", "'email' must be an address such as you@example.org."))
}

/// Gives someone the highest role, in the services that they joined.
pub(crate) async fn make_administrator(app: &App, identity: IdentityId) -> Result<(), ApiError> {
    for service in [Service::Video, Service::Api] {
        app.store.set_role(identity, service, Role::Administrator).await?;
    }
    Ok(())
}
