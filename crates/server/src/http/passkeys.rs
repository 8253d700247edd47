//! Passkeys: registered by whoever is signed in, and a way in without address or password. An authenticator that asks who holds it is
//! two factors at once, so nothing else is asked for.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use platform::{IdentityId, PasskeyId, Token, TokenKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::{OneTimeToken, Passkey};
use utoipa::ToSchema;
use webauthn_rp::bin::{Decode, Encode};
use webauthn_rp::request::auth::AuthenticationVerificationOptions;
use webauthn_rp::request::register::{
    CredProtect, PublicKeyCredentialUserEntity, RegistrationVerificationOptions, UserHandle16, Username,
};
use webauthn_rp::request::{AsciiDomain, PublicKeyCredentialDescriptor, RpId};
use webauthn_rp::response::auth::ser_relaxed::AuthenticationRelaxed;
use webauthn_rp::response::register::ser_relaxed::RegistrationRelaxed;
use webauthn_rp::response::register::{CompressedPubKey, DynamicState, StaticState};
use webauthn_rp::response::{AuthTransports, CredentialId};
use webauthn_rp::{
    AuthenticatedCredential, DiscoverableAuthenticationServerState, DiscoverableCredentialRequestOptions,
    PublicKeyCredentialCreationOptions, RegistrationServerState,
};

use crate::app::App;
use crate::http::accounts::count_attempt;
use crate::http::auth::{Access, ClientAddress, Person};
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::http::page::{Id, List};
use crate::http::second_factor::tell;
use crate::http::sessions::begin_session;
use crate::http::video_object::Deleted;

/// How long a ceremony may take.
const CEREMONY: std::time::Duration = std::time::Duration::from_secs(300);
/// Sign-ins by passkey that may be begun from one address in a minute: each look at the sign-in page begins one.
const BEGINNINGS: u32 = 60;
/// The most passkeys of a person.
const MOST: usize = 20;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/account/passkeys", Access::Person, list_passkeys)
            .says("Lists one's passkeys.")
            .answers_list::<ShownPasskey>(),
        post("/api/account/passkeys/start", Access::Person, start_passkey)
            .says("Begins the registration of a passkey. Needs a sign-in within 10 minutes.")
            .answers::<Ceremony>(),
        post("/api/account/passkeys", Access::Person, create_passkey)
            .says("Ends the registration of a passkey with what the authenticator made.")
            .reads::<NewPasskey>(BodyKind::Json)
            .answers::<ShownPasskey>(),
        post("/api/account/passkeys/{id}", Access::Person, rename_passkey)
            .says("Calls a passkey something else.")
            .reads::<Rename>(BodyKind::Json)
            .answers::<ShownPasskey>(),
        delete("/api/account/passkeys/{id}", Access::Person, delete_passkey)
            .says("Forgets a passkey. Needs a sign-in within 10 minutes.")
            .answers::<Deleted>(),
        post("/api/sessions/passkey/start", Access::Visitor, start_passkey_session)
            .says("Begins signing in with a passkey.")
            .answers::<Ceremony>(),
        post("/api/sessions/passkey", Access::Visitor, create_passkey_session)
            .says("Signs in with a passkey: the answer sets a cookie.")
            .reads::<PasskeySignIn>(BodyKind::Json)
            .answers::<super::accounts::Done>(),
    ]
}

/// What was begun with an authenticator, for five minutes.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ceremony {
    /// Always `passkey_ceremony`.
    object: &'static str,
    /// Send it back with the authenticator's answer.
    ceremony: String,
    /// What `PublicKeyCredential.parseCreationOptionsFromJSON` takes to register, or `parseRequestOptionsFromJSON` to sign in.
    options: serde_json::Value,
}

/// A passkey to register.
#[derive(Serialize, ToSchema)]
pub(crate) struct NewPasskey {
    /// Which ceremony this ends.
    ceremony: String,
    /// What its owner calls it; 1 to 100 characters.
    name: Option<String>,
    /// What the authenticator made: `credential.toJSON()`.
    credential: serde_json::Value,
}

/// A passkey that signs in.
#[derive(Serialize, ToSchema)]
pub(crate) struct PasskeySignIn {
    /// Which ceremony this ends.
    ceremony: String,
    /// What the authenticator answered: `credential.toJSON()`.
    credential: serde_json::Value,
}

/// Another name.
#[derive(Serialize, ToSchema)]
pub(crate) struct Rename {
    /// 1 to 100 characters.
    name: String,
}

/// A passkey.
#[derive(Clone, Serialize, ToSchema)]
pub(crate) struct ShownPasskey {
    /// Its id.
    id: String,
    /// Always `passkey`.
    object: &'static str,
    /// What its owner calls it.
    name: String,
    /// Unix seconds.
    created_at: i64,
    /// Unix seconds; null if it has not signed in yet.
    last_used_at: Option<i64>,
}

impl From<&Passkey> for ShownPasskey {
    fn from(passkey: &Passkey) -> Self {
        Self {
            id: passkey.id.to_string(),
            object: "passkey",
            name: passkey.name.clone(),
            created_at: passkey.created_at.seconds(),
            last_used_at: passkey.last_used_at.map(platform::Timestamp::seconds),
        }
    }
}

/// Who this installation is to an authenticator: the name and the origin of its public address.
struct RelyingParty {
    id: RpId,
    origin: [String; 1],
}

impl RelyingParty {
    fn of(app: &App) -> Result<Self, ApiError> {
        let nameless = || {
            let message = "Passkeys need a name that browsers trust: the owner sets public_url to https://NAME, or to http://localhost.";
            ApiError::state(message)
        };
        let url = reqwest::Url::parse(&app.settings.base_url).map_err(|_| nameless())?;
        let name = url.domain().ok_or_else(nameless)?.to_owned();
        let id = RpId::Domain(AsciiDomain::try_from(name).map_err(|_| nameless())?);
        Ok(Self { id, origin: [url.origin().ascii_serialization()] })
    }
}

/// Whether browsers can have passkeys of this installation.
pub(crate) fn are_possible(app: &App) -> bool {
    RelyingParty::of(app).is_ok()
}

async fn list_passkeys(State(app): State<App>, person: Person) -> Result<Json<List<ShownPasskey>>, ApiError> {
    let passkeys = app.store.passkeys(person.identity()).await?;
    let shown = passkeys.iter().map(ShownPasskey::from).collect();
    Ok(Json(List::new(shown, |passkey: &ShownPasskey| passkey.id.clone(), false)))
}

async fn start_passkey(State(app): State<App>, person: Person) -> Result<Json<Ceremony>, ApiError> {
    person.fresh(app.now())?;
    let party = RelyingParty::of(&app)?;
    let identity = app.store.identity(person.identity()).await?;
    let known = app.store.passkeys(identity.id).await?;
    if known.len() >= MOST {
        return Err(ApiError::state(format!("You have {MOST} passkeys, which is the most.")));
    }
    let handle = handle(identity.id);
    let spare = identity.id.to_string();
    let name = Username::try_from(identity.email.as_str()).or_else(|_| Username::try_from(spare.as_str()));
    let user = PublicKeyCredentialUserEntity { name: name.map_err(internal)?, id: &handle, display_name: None };
    let exclude = known.into_iter().map(|passkey| {
        let transports = AuthTransports::decode(passkey.transports).map_err(internal)?;
        let id = CredentialId::<Vec<u8>>::decode(passkey.credential_id).map_err(internal)?;
        Ok(PublicKeyCredentialDescriptor { id, transports })
    });
    let exclude = exclude.collect::<Result<_, ApiError>>()?;
    let mut options = PublicKeyCredentialCreationOptions::passkey(&party.id, user, exclude);
    // Its holder is asked for at each use anyway, and many telephones know no such policy: where it is enforced they make no passkey.
    options.extensions.cred_protect = CredProtect::None;
    let (state, options) = options.start_ceremony().map_err(internal)?;
    begin(&app, Some(identity.id), &state.encode().map_err(internal)?, &options).await
}

async fn create_passkey(State(app): State<App>, person: Person, form: Form) -> Result<Json<ShownPasskey>, ApiError> {
    let name = form.text("name")?.map_or_else(|| Ok("Passkey".to_owned()), read_name)?;
    let party = RelyingParty::of(&app)?;
    let RegistrationRelaxed(registration) = credential(&form)?;
    let state = end(&app, &form, Some(person.identity())).await?;
    let state = RegistrationServerState::<16>::decode(&state).map_err(internal)?;
    let options = RegistrationVerificationOptions::<String, String> {
        allowed_origins: &party.origin,
        error_on_unsolicited_extensions: false,
        ..Default::default()
    };
    let registered = state
        .verify(&party.id, &registration, &options)
        .map_err(|error| ApiError::invalid("credential", format!("This passkey cannot be registered: {error}.")))?;
    let now = app.now();
    let passkey = Passkey {
        id: PasskeyId::new(now, app.random()),
        identity: person.identity(),
        credential_id: registered.id().as_ref().to_vec(),
        name,
        transports: registered.transports().encode().map_err(internal)?,
        static_state: registered.static_state().encode().map_err(internal)?,
        dynamic_state: registered.dynamic_state().encode().map_err(internal)?.to_vec(),
        created_at: now,
        last_used_at: None,
    };
    app.store.create_passkey(&passkey).await?;
    tell(&app, person.identity(), "A new passkey", "A passkey was added to your account and can sign in.").await?;
    Ok(Json(ShownPasskey::from(&passkey)))
}

pub(crate) async fn rename_passkey(
    State(app): State<App>,
    person: Person,
    Id(id): Id<PasskeyId>,
    form: Form,
) -> Result<Json<ShownPasskey>, ApiError> {
    let passkeys = app.store.passkeys(person.identity()).await?;
    let mut passkey = passkeys.into_iter().find(|passkey| passkey.id == id).ok_or(ApiError::not_found("passkey"))?;
    passkey.name = read_name(form.needed_text("name")?)?;
    app.store.rename_passkey(person.identity(), id, &passkey.name).await?;
    Ok(Json(ShownPasskey::from(&passkey)))
}

pub(crate) async fn delete_passkey(
    State(app): State<App>,
    person: Person,
    Id(id): Id<PasskeyId>,
) -> Result<Json<Deleted>, ApiError> {
    person.fresh(app.now())?;
    app.store.delete_passkey(person.identity(), id).await?;
    Ok(Json(Deleted::new(id, "passkey.deleted")))
}

async fn start_passkey_session(State(app): State<App>, address: ClientAddress) -> Result<Json<Ceremony>, ApiError> {
    count_beginning(&app, address)?;
    let party = RelyingParty::of(&app)?;
    let options = DiscoverableCredentialRequestOptions::passkey(&party.id);
    let (state, options) = options.start_ceremony().map_err(internal)?;
    begin(&app, None, &state.encode().map_err(internal)?, &options).await
}

async fn create_passkey_session(
    State(app): State<App>,
    address: ClientAddress,
    headers: HeaderMap,
    form: Form,
) -> Result<Response, ApiError> {
    count_attempt(&app, address, "")?;
    let party = RelyingParty::of(&app)?;
    let AuthenticationRelaxed::<16, true>(authentication) = credential(&form)?;
    let state = end(&app, &form, None).await?;
    let state = DiscoverableAuthenticationServerState::decode(&state).map_err(internal)?;
    let known = app.store.passkey_by_credential(authentication.raw_id().as_ref()).await?;
    let passkey = known.ok_or_else(ApiError::passkey_refused)?;

    let handle = handle(passkey.identity);
    let keys = StaticState::<CompressedPubKey<[u8; 32], [u8; 32], [u8; 48], Vec<u8>>>::decode(&passkey.static_state);
    let counted = passkey.dynamic_state.as_slice().try_into().map_err(internal)?;
    let mut authenticated = AuthenticatedCredential::new(
        CredentialId::<&[u8]>::decode(&passkey.credential_id).map_err(internal)?,
        &handle,
        keys.map_err(internal)?,
        DynamicState::decode(counted).map_err(internal)?,
    )
    .map_err(internal)?;
    let options = AuthenticationVerificationOptions::<String, String> {
        allowed_origins: &party.origin,
        error_on_unsolicited_extensions: false,
        ..Default::default()
    };
    if let Err(error) = state.verify(&party.id, &authentication, &mut authenticated, &options) {
        tracing::info!(%error, passkey = %passkey.id, "a passkey was refused");
        return Err(ApiError::passkey_refused());
    }
    let state = authenticated.dynamic_state().encode().map_err(internal)?;
    if !app.store.passkey_used(&passkey, &state, app.now()).await? {
        return Err(ApiError::passkey_refused());
    }
    begin_session(&app, passkey.identity, &headers).await
}

/// Counts a sign-in that begins, apart from those that end: nothing can be guessed by it, but each is kept for a while.
fn count_beginning(app: &App, address: ClientAddress) -> Result<(), ApiError> {
    let Some(address) = address.0 else { return Ok(()) };
    let decision = app.attempts.count(format!("begun from {address}"), BEGINNINGS, app.now());
    if decision.allowed { Ok(()) } else { Err(ApiError::too_many_requests(decision.retry_after)) }
}

/// Keeps what a ceremony began with, so that any node can end it.
async fn begin(
    app: &App,
    identity: Option<IdentityId>,
    state: &[u8],
    options: &impl Serialize,
) -> Result<Json<Ceremony>, ApiError> {
    let now = app.now();
    let token = Token::new(TokenKind::Ceremony, app.random());
    let kept = OneTimeToken { identity, subject: STANDARD.encode(state) };
    app.store.create_one_time_token(token.hash(), TokenKind::Ceremony, &kept, Some(now + CEREMONY), now).await?;
    let options = serde_json::to_value(options).map_err(internal)?;
    Ok(Json(Ceremony { object: "passkey_ceremony", ceremony: token.reveal(), options }))
}

/// Ends a ceremony, which works once and for whoever began it; what it began with.
async fn end(app: &App, form: &Form, identity: Option<IdentityId>) -> Result<Vec<u8>, ApiError> {
    let over = || ApiError::token("ceremony_over", "ceremony", "This took too long or was ended before. Begin again.");
    let token = Token::parse(form.needed_text("ceremony")?, TokenKind::Ceremony).map_err(|_| over())?;
    let used = app.store.use_one_time_token(token.hash(), TokenKind::Ceremony, app.now()).await?.ok_or_else(over)?;
    if used.identity != identity {
        return Err(over());
    }
    STANDARD.decode(&used.subject).map_err(internal)
}

/// What an authenticator answered.
fn credential<T: DeserializeOwned>(form: &Form) -> Result<T, ApiError> {
    let field = form.field("credential").ok_or_else(|| ApiError::missing("credential"))?;
    serde_json::from_value(field.unfolded().json()).map_err(|error| {
        ApiError::invalid("credential", format!("'credential' is not what an authenticator answers: {error}."))
    })
}

/// The name by which an authenticator knows someone: the identity's id, which tells nothing of them.
fn handle(identity: IdentityId) -> UserHandle16 {
    match UserHandle16::decode(identity.bytes()) {
        Ok(handle) => handle,
        Err(never) => match never {},
    }
}

fn read_name(text: &str) -> Result<String, ApiError> {
    let name = text.trim();
    if (1..=100).contains(&name.chars().count()) {
        return Ok(name.to_owned());
    }
    Err(ApiError::invalid("name", "'name' must have 1 to 100 characters."))
}

/// A passkey of ours that the library cannot read, or will not ask for: a defect.
fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::internal(&error)
}
