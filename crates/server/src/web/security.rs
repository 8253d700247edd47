//! What guards an account beside its password: passkeys, and the codes of an authenticator app.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use platform::{PasskeyId, TokenKind};
use qrcode::{Color, QrCode};
use store::Passkey;

use crate::app::App;
use crate::http::auth::{ClientAddress, Person};
use crate::http::error::ApiError;
use crate::http::keys::set_key_letters;
use crate::http::page::{Id, Values};
use crate::http::passkeys::{are_possible, delete_passkey, rename_passkey};
use crate::http::second_factor::{Enrolment, confirm_second_factor, delete_second_factor, enrol_second_factor};
use crate::web::guard::{Visitor, is_guards};
use crate::web::shell::{Here, Moment, Shell, html, html_refused};
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![
        get("/account/security", Viewer::Person, show_security),
        post("/account/security/passkeys/{id}/rename", Viewer::Person, rename),
        post("/account/security/passkeys/{id}/forget", Viewer::Person, forget),
        post("/account/security/second-factor", Viewer::Person, enrol),
        post("/account/security/second-factor/confirm", Viewer::Person, confirm),
        post("/account/security/second-factor/off", Viewer::Person, turn_off),
        post("/account/security/key-letters", Viewer::Person, key_letters),
    ]
}

struct PasskeyView {
    id: String,
    name: String,
    made: Moment,
    used: Option<Moment>,
}

impl From<&Passkey> for PasskeyView {
    fn from(passkey: &Passkey) -> Self {
        Self {
            id: passkey.id.to_string(),
            name: passkey.name.clone(),
            made: Moment::of(passkey.created_at),
            used: passkey.last_used_at.map(Moment::of),
        }
    }
}

/// A seed of an authenticator app, shown now and never again.
struct Seed {
    secret: String,
    /// The same in fours, to type.
    grouped: String,
    url: String,
    picture: Option<Picture>,
}

impl From<Enrolment> for Seed {
    fn from(enrolment: Enrolment) -> Self {
        let letters: Vec<char> = enrolment.secret.chars().collect();
        let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
        Self {
            grouped: groups.join(" "),
            picture: Picture::of(&enrolment.otpauth_url),
            secret: enrolment.secret,
            url: enrolment.otpauth_url,
        }
    }
}

/// A QR code as one path of dark modules.
struct Picture {
    /// Its side in modules, the quiet zone with it.
    side: usize,
    path: String,
}

/// The quiet zone around a QR code, in modules. Source: ISO/IEC 18004, 9.1.
const QUIET: usize = 4;

impl Picture {
    /// The picture of a text; nothing if the text is too long for one.
    fn of(text: &str) -> Option<Self> {
        let code = QrCode::new(text).ok()?;
        let (side, modules) = (code.width(), code.to_colors());
        let mut path = String::new();
        for (y, row) in modules.chunks(side).enumerate() {
            let mut x = QUIET;
            for run in row.chunk_by(|left, right| left == right) {
                let length = run.len();
                if run[0] == Color::Dark {
                    path.push_str(&format!("M{x} {}h{length}v1h-{length}z", y + QUIET));
                }
                x += length;
            }
        }
        Some(Self { side: side + 2 * QUIET, path })
    }
}

#[derive(Template)]
#[template(path = "security.html")]
struct SecurityPage {
    shell: Shell,
    passkeys: Vec<PasskeyView>,
    /// Whether browsers can have passkeys of this installation.
    possible: bool,
    /// Since when codes of an app are asked for.
    on: Option<Moment>,
    /// Whether an app was begun with and waits for its first code.
    begun: bool,
    seed: Option<Seed>,
    codes_left: u32,
    codes: Vec<String>,
    /// Whether they get the weekly letter about their keys.
    letters: bool,
    notice: Option<&'static str>,
    said: Option<String>,
}

async fn security_page(app: &App, visitor: &Visitor, person: &Person) -> Result<SecurityPage, ApiError> {
    let identity = person.identity();
    let factor = app.store.second_factor(identity).await?;
    let on = factor.as_ref().and_then(|factor| factor.confirmed_at).map(Moment::of);
    Ok(SecurityPage {
        shell: Shell::new(app, visitor, "security.title", Here::Account),
        passkeys: app.store.passkeys(identity).await?.iter().map(PasskeyView::from).collect(),
        possible: are_possible(app),
        begun: factor.is_some() && on.is_none(),
        on,
        seed: None,
        codes_left: app.store.count_one_time_tokens(identity, TokenKind::RecoveryCode, app.now()).await?,
        codes: Vec::new(),
        letters: app.store.wants_key_letters(identity).await?,
        notice: None,
        said: None,
    })
}

async fn show_security(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    let notice = match values.get("notice") {
        Some("passkey_added") => Some(visitor.words.say("notice.passkey_added")),
        Some("passkey_named") => Some(visitor.words.say("notice.passkey_named")),
        Some("passkey_forgotten") => Some(visitor.words.say("notice.passkey_forgotten")),
        Some("factor_on") => Some(visitor.words.say("notice.factor_on")),
        Some("factor_off") => Some(visitor.words.say("notice.factor_off")),
        Some("letters") => Some(visitor.words.say("notice.letters")),
        _ => None,
    };
    Ok(html(&SecurityPage { notice, ..security_page(&app, &visitor, &person).await? }))
}

/// Goes back to the page, or shows it with what went wrong.
async fn done<T>(
    app: &App,
    visitor: &Visitor,
    person: &Person,
    result: Result<T, ApiError>,
    notice: &str,
) -> Result<Response, ApiError> {
    match result {
        Ok(_) => Ok(go(&format!("/account/security?notice={notice}"))),
        Err(error) => refused(app, visitor, person, error).await,
    }
}

/// The page with what went wrong. What the guard sees to goes on to it.
async fn refused(app: &App, visitor: &Visitor, person: &Person, error: ApiError) -> Result<Response, ApiError> {
    if is_guards(&error) {
        return Err(error);
    }
    let said = Some(visitor.words.error(&error));
    Ok(html_refused(&SecurityPage { said, ..security_page(app, visitor, person).await? }, &error))
}

/// A page that shows secrets: nobody keeps it.
fn secret(page: &SecurityPage) -> Response {
    let mut response = html(page);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn rename(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<PasskeyId>,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let renamed = rename_passkey(State(app.clone()), person.clone(), id, form).await;
    done(&app, &visitor, &person, renamed, "passkey_named").await
}

async fn forget(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    id: Id<PasskeyId>,
) -> Result<Response, ApiError> {
    let forgotten = delete_passkey(State(app.clone()), person.clone(), id).await;
    done(&app, &visitor, &person, forgotten, "passkey_forgotten").await
}

async fn enrol(State(app): State<App>, visitor: Visitor, person: Person) -> Result<Response, ApiError> {
    match enrol_second_factor(State(app.clone()), person.clone()).await {
        Ok(Json(enrolment)) => {
            let seed = Some(Seed::from(enrolment));
            Ok(secret(&SecurityPage { seed, ..security_page(&app, &visitor, &person).await? }))
        }
        Err(error) => refused(&app, &visitor, &person, error).await,
    }
}

async fn confirm(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    address: ClientAddress,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    match confirm_second_factor(State(app.clone()), person.clone(), address, form).await {
        Ok(Json(confirmed)) => match confirmed.recovery_codes {
            Some(codes) => {
                let notice = Some(visitor.words.say("notice.factor_on"));
                Ok(secret(&SecurityPage { codes, notice, ..security_page(&app, &visitor, &person).await? }))
            }
            None => Ok(go("/account/security?notice=factor_on")),
        },
        Err(error) => refused(&app, &visitor, &person, error).await,
    }
}

async fn turn_off(State(app): State<App>, visitor: Visitor, person: Person) -> Result<Response, ApiError> {
    let off = delete_second_factor(State(app.clone()), person.clone()).await;
    done(&app, &visitor, &person, off, "factor_off").await
}

async fn key_letters(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(form): Fields,
) -> Result<Response, ApiError> {
    let set = set_key_letters(State(app.clone()), person.clone(), form).await;
    done(&app, &visitor, &person, set, "letters").await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modules that a path paints.
    fn painted(picture: &Picture) -> Vec<Vec<bool>> {
        let mut modules = vec![vec![false; picture.side]; picture.side];
        for run in picture.path.split('z').filter(|run| !run.is_empty()) {
            let (place, length) = run.strip_prefix('M').unwrap().split_once('h').unwrap();
            let (x, y) = place.split_once(' ').unwrap();
            let (x, y): (usize, usize) = (x.parse().unwrap(), y.parse().unwrap());
            let length: usize = length.split('v').next().unwrap().parse().unwrap();
            modules[y][x..x + length].fill(true);
        }
        modules
    }

    #[test]
    fn a_picture_paints_the_modules_of_its_code() {
        let text = "otpauth://totp/Misora%20misora.test:new%40example.org?secret=JBSWY3DPEHPK3PXP&issuer=Misora";
        let picture = Picture::of(text).unwrap();
        let modules = painted(&picture);
        let dark = QrCode::new(text).unwrap().to_colors().iter().filter(|colour| **colour == Color::Dark).count();
        assert_eq!(modules.iter().flatten().filter(|module| **module).count(), dark);
        // The eye in three corners: 7 dark, 5 light, 3 dark.
        let far = picture.side - QUIET - 7;
        for (top, left) in [(QUIET, QUIET), (QUIET, far), (far, QUIET)] {
            let row = |y: usize| modules[top + y][left..left + 7].to_vec();
            let check =
                |y, expected: [u8; 7]| assert_eq!(row(y), expected.map(|module| module == 1), "{top} {left} {y}");
            check(0, [1, 1, 1, 1, 1, 1, 1]);
            check(1, [1, 0, 0, 0, 0, 0, 1]);
            check(3, [1, 0, 1, 1, 1, 0, 1]);
        }
        // Nothing in the quiet zone.
        let edge = |index: usize| index < QUIET || index >= picture.side - QUIET;
        let dark_edge = (0..picture.side).any(|y| (0..picture.side).any(|x| (edge(x) || edge(y)) && modules[y][x]));
        assert!(!dark_edge);
        assert!(Picture::of(&"long".repeat(1000)).is_none());
    }
}
