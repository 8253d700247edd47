//! The second factor: codes of an authenticator app, asked for by every way in that is not a passkey.

use axum::Json;
use axum::extract::State;
use platform::{IdentityId, Token, TokenKind};
use serde::Serialize;
use store::{CodeOutcome, TokenState};
use totp_rs::{Algorithm, Builder, Totp};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::accounts::{Done, count_attempt, make_recovery_codes};
use crate::http::auth::{Access, ClientAddress, Person};
use crate::http::endpoint::{BodyKind, Endpoint, delete, get, post};
use crate::http::error::ApiError;
use crate::http::form::Form;
use crate::letters;

pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        get("/api/account/second-factor", Access::Person, retrieve_second_factor)
            .says("Says whether signing in asks for a second factor.")
            .answers::<ShownSecondFactor>(),
        post("/api/account/second-factor", Access::Person, enrol_second_factor)
            .says("Makes a seed for an authenticator app. It is shown here and never again, and counts once a code confirms it.")
            .answers::<Enrolment>(),
        post("/api/account/second-factor/confirm", Access::Person, confirm_second_factor)
            .says("Turns the second factor on with a first code. Makes recovery codes if there are none.")
            .reads::<Code>(BodyKind::Json)
            .answers::<Confirmed>(),
        delete("/api/account/second-factor", Access::Person, delete_second_factor)
            .says("Turns the second factor off. Needs a sign-in within 10 minutes.")
            .answers::<Done>(),
    ]
}

/// Whether a second factor is asked for.
#[derive(Serialize, ToSchema)]
pub(crate) struct ShownSecondFactor {
    /// Always `second_factor`.
    object: &'static str,
    /// Whether it is on.
    enabled: bool,
    /// Since when, Unix seconds.
    enabled_at: Option<i64>,
    /// How many recovery codes still work.
    recovery_codes_left: u32,
}

/// A seed for an authenticator app.
#[derive(Serialize, ToSchema)]
pub(crate) struct Enrolment {
    /// Always `second_factor_enrolment`.
    object: &'static str,
    /// The seed in base32, to type.
    pub(crate) secret: String,
    /// The same as an address that authenticator apps open, or read as a QR code.
    pub(crate) otpauth_url: String,
}

/// A code.
#[derive(Serialize, ToSchema)]
pub(crate) struct Code {
    /// Six digits.
    code: String,
}

/// The second factor is on.
#[derive(Serialize, ToSchema)]
pub(crate) struct Confirmed {
    /// Always `second_factor`.
    object: &'static str,
    /// Always true.
    enabled: bool,
    /// New recovery codes, shown here and never again; null if there are some already.
    pub(crate) recovery_codes: Option<Vec<String>>,
}

/// What counts as a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Codes {
    /// The authenticator app's alone.
    OfApp,
    /// That, or a recovery code.
    OfAppOrRecovery,
}

/// Asks someone for their second factor, if they have one. Call it when the first is proved, and use up nothing before.
pub(crate) async fn prove(app: &App, identity: IdentityId, code: Option<&str>, codes: Codes) -> Result<(), ApiError> {
    let factor = app.store.second_factor(identity).await?;
    if factor.is_none_or(|factor| factor.confirmed_at.is_none()) {
        return Ok(());
    }
    let code = code.map(str::trim).filter(|code| !code.is_empty()).ok_or_else(ApiError::second_factor_required)?;
    if codes == Codes::OfAppOrRecovery
        && let Ok(token) = Token::parse(code, TokenKind::RecoveryCode)
    {
        return use_recovery_code(app, identity, &token).await;
    }
    try_code(app, identity, code).await
}

async fn use_recovery_code(app: &App, identity: IdentityId, token: &Token) -> Result<(), ApiError> {
    let (kind, now) = (TokenKind::RecoveryCode, app.now());
    // Whoever enters another person's code does not use it up.
    let theirs = match app.store.one_time_token(token.hash(), kind, now).await? {
        TokenState::Good(known) => known.identity == Some(identity),
        TokenState::Used | TokenState::Expired | TokenState::Unknown => false,
    };
    if theirs && app.store.use_one_time_token(token.hash(), kind, now).await?.is_some() {
        return Ok(());
    }
    Err(ApiError::wrong_code())
}

async fn try_code(app: &App, identity: IdentityId, code: &str) -> Result<(), ApiError> {
    let now = app.now();
    // Apps show the digits in two groups.
    let digits: String = code.chars().filter(|letter| !letter.is_whitespace()).collect();
    let seconds = u64::try_from(now.seconds()).unwrap_or(0);
    let step = |seed: &[u8]| totp(seed)?.check(&digits, seconds);
    match app.store.try_code(identity, now, step).await? {
        CodeOutcome::Accepted => Ok(()),
        CodeOutcome::Refused => Err(ApiError::wrong_code()),
        CodeOutcome::Wait(until) => Err(ApiError::too_many_requests(until.since(now))),
        CodeOutcome::NotEnrolled => Err(ApiError::state("There is no second factor to confirm.")),
    }
}

/// What every authenticator app takes: SHA-1, six digits, thirty seconds. The step before and the one after count too, because clocks
/// of telephones differ.
fn builder(seed: &[u8]) -> Builder {
    Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_step_duration(30)
        .with_skew(1)
        .with_secret(seed.to_vec())
}

fn totp(seed: &[u8]) -> Option<Totp> {
    builder(seed).build().ok()
}

async fn retrieve_second_factor(State(app): State<App>, person: Person) -> Result<Json<ShownSecondFactor>, ApiError> {
    let (identity, now) = (person.identity(), app.now());
    let enabled_at = app.store.second_factor(identity).await?.and_then(|factor| factor.confirmed_at);
    Ok(Json(ShownSecondFactor {
        object: "second_factor",
        enabled: enabled_at.is_some(),
        enabled_at: enabled_at.map(platform::Timestamp::seconds),
        recovery_codes_left: app.store.count_one_time_tokens(identity, TokenKind::RecoveryCode, now).await?,
    }))
}

pub(crate) async fn enrol_second_factor(State(app): State<App>, person: Person) -> Result<Json<Enrolment>, ApiError> {
    let now = app.now();
    person.fresh(now)?;
    let seed: [u8; 20] = app.random();
    app.store.enrol_second_factor(person.identity(), &seed, now).await?;
    let email = app.store.identity(person.identity()).await?.email;
    let host = reqwest::Url::parse(&app.settings.base_url).ok().and_then(|url| url.host_str().map(str::to_owned));
    // A colon would part the label.
    let plain = |text: &str| text.replace(':', " ");
    let totp = builder(&seed)
        .with_account_name(plain(&email))
        .with_issuer(Some(format!("Misora {}", plain(&host.unwrap_or_default())).trim_end()))
        .build()
        .map_err(|error| ApiError::internal(&error))?;
    let otpauth_url = totp.to_url().map_err(|error| ApiError::internal(&error))?;
    Ok(Json(Enrolment { object: "second_factor_enrolment", secret: totp.secret().to_base32(), otpauth_url }))
}

pub(crate) async fn confirm_second_factor(
    State(app): State<App>,
    person: Person,
    address: ClientAddress,
    form: Form,
) -> Result<Json<Confirmed>, ApiError> {
    let identity = person.identity();
    let code = form.needed_text("code")?;
    count_attempt(&app, address, &identity.to_string())?;
    if app.store.second_factor(identity).await?.is_some_and(|factor| factor.confirmed_at.is_some()) {
        return Err(ApiError::state("The second factor is on already."));
    }
    try_code(&app, identity, code).await?;
    let left = app.store.count_one_time_tokens(identity, TokenKind::RecoveryCode, app.now()).await?;
    let recovery_codes = if left == 0 { Some(make_recovery_codes(&app, identity).await?) } else { None };
    tell(&app, identity, "A second factor is on", "Signing in to your account now asks for a code of your app too.")
        .await?;
    Ok(Json(Confirmed { object: "second_factor", enabled: true, recovery_codes }))
}

pub(crate) async fn delete_second_factor(State(app): State<App>, person: Person) -> Result<Json<Done>, ApiError> {
    person.fresh(app.now())?;
    let was = app.store.second_factor(person.identity()).await?;
    app.store.remove_second_factor(person.identity()).await?;
    if was.is_some_and(|factor| factor.confirmed_at.is_some()) {
        let words = "Signing in to your account now asks for the password alone.";
        tell(&app, person.identity(), "The second factor is off", words).await?;
    }
    Ok(Json(Done::new()))
}

/// Tells someone of a change in how their account is guarded, in case it was not they who made it.
pub(crate) async fn tell(app: &App, identity: IdentityId, subject: &str, words: &str) -> Result<(), ApiError> {
    let email = app.store.identity(identity).await?.email;
    let body = format!(
        "{words}\n\nIf that was not you, set a new password at once:\n\n{base}/password-reset\n",
        base = app.settings.base_url
    );
    Ok(letters::post(app, &email, subject, body).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 6238, appendix B: the last six of eight digits.
        let totp = totp(b"12345678901234567890").unwrap();
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            assert_eq!(totp.check(code, seconds), Some(seconds / 30));
            assert_eq!(totp.check(code, seconds + 30), Some(seconds / 30));
            assert_eq!(totp.check(code, seconds + 90), None);
        }
        for code in ["", "28708", "2870820", "abcdef", "+87082"] {
            assert_eq!(totp.check(code, 59), None, "{code}");
        }
    }
}
