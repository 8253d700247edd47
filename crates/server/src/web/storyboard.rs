//! The page on which a film is put together of shots. It works without a script: every button sends the whole form, and what comes back is the
//! page with that one thing changed.

use askama::Template;
use axum::extract::State;
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use platform::{Offer, Seconds, Service, Size, VideoId};
use render::{Join, Storyboard, StoryboardShot};
use store::Shape;

use crate::app::App;
use crate::http::auth::Person;
use crate::http::error::ApiError;
use crate::http::form::{Field, Form};
use crate::http::page::{Values, path_id};
use crate::http::storyboards::{document_of, read_document};
use crate::http::videos::create_video;
use crate::web::clip::own;
use crate::web::guard::{Visitor, is_guards};
use crate::web::making::{Refused, count, home, idempotency, once, size_of};
use crate::web::shell::{Here, Shell, html, html_refused};
use crate::web::words::Words;
use crate::web::{Fields, Page, Viewer, get, go, post};

pub(super) fn pages() -> Vec<Page> {
    vec![get("/storyboard", Viewer::Person, show_board), post("/storyboard", Viewer::Person, change_board)]
}

/// A document that is being written, and the model that shall make it.
struct Draft {
    board: Storyboard,
    model: String,
}

/// A card.
struct Card {
    number: usize,
    prompt: String,
    seconds: u32,
    continues: bool,
    seed: Option<u64>,
    first: bool,
    last: bool,
}

#[derive(Template)]
#[template(path = "storyboard.html")]
struct BoardPage {
    shell: Shell,
    refused: Option<Refused>,
    once: String,
    title: String,
    negative_prompt: String,
    seed: u64,
    size: String,
    shape: &'static str,
    shapes: Vec<&'static str>,
    model: String,
    models: Vec<String>,
    lengths: Vec<u32>,
    cards: Vec<Card>,
    /// What the page says of length and price.
    total: String,
    room: bool,
}

/// As many shots as fit into the longest film.
const MOST_CARDS: usize = 30;
/// What a new storyboard has.
const FIRST_CARDS: usize = 2;

fn blank(lengths: &[Seconds], join: Join) -> StoryboardShot {
    let seconds = lengths.first().map_or(4, |length| length.get());
    StoryboardShot { seconds, join, ..StoryboardShot::default() }
}

impl Draft {
    fn new(app: &App) -> Result<Self, ApiError> {
        let (model, offer) = offer_of(app, None)?;
        let mut shots = vec![blank(offer.lengths(), Join::Cut)];
        shots.resize(FIRST_CARDS, blank(offer.lengths(), Join::Continue));
        // Short enough to be typed again.
        let seed = u64::from(u32::from_be_bytes(app.random()));
        let (title, negative_prompt) = (String::new(), String::new());
        let size = size_of(&offer, Shape::Landscape.as_str()).unwrap_or_else(|_| offer.default_size()).to_string();
        let storyboard = Storyboard::VERSION;
        Ok(Self { board: Storyboard { storyboard, title, size, seed, negative_prompt, shots }, model })
    }

    /// What a form says. A size is kept as long as its shape is chosen.
    fn of_form(app: &App, form: &Form) -> Result<Self, ApiError> {
        let (model, offer) = offer_of(app, form.text("model")?)?;
        let size = form.text("size")?.and_then(Size::parse).unwrap_or_else(|| offer.default_size());
        let size = match form.text("shape")? {
            Some(shape) if Shape::of(size).as_str() != shape => size_of(&offer, shape)?,
            _ => size,
        };
        let mut shots = Vec::new();
        if let Some(Field::List(cards)) = form.field("shots") {
            for card in cards.iter().take(MOST_CARDS) {
                let Field::Object(card) = card else { return Err(ApiError::wrong_type("shots", "a list of objects")) };
                let continues = card.text("join")? == Some("continue") && !shots.is_empty();
                let seed = card.number("seed")?.filter(|seed| !seed.is_empty()).and_then(|seed| seed.parse().ok());
                shots.push(StoryboardShot {
                    prompt: card.text("prompt")?.unwrap_or_default().to_owned(),
                    seconds: card.number("seconds")?.and_then(|seconds| seconds.parse().ok()).unwrap_or(4),
                    join: if continues { Join::Continue } else { Join::Cut },
                    seed,
                    image: None,
                });
            }
        }
        let board = Storyboard {
            storyboard: Storyboard::VERSION,
            title: form.text("title")?.unwrap_or_default().to_owned(),
            size: size.to_string(),
            seed: form.whole("seed", 0, i64::MAX as u64)?.unwrap_or(0),
            negative_prompt: form.text("negative_prompt")?.unwrap_or_default().to_owned(),
            shots,
        };
        Ok(Self { board, model })
    }

    /// Adds, removes or moves a card, as a button says.
    fn change(&mut self, lengths: &[Seconds], button: &str) {
        let shots = &mut self.board.shots;
        let (word, place) = button.split_once('-').unwrap_or((button, ""));
        let place = place.parse::<usize>().ok().and_then(|number| number.checked_sub(1)).unwrap_or(usize::MAX);
        match word {
            "add" if shots.len() < MOST_CARDS => shots.push(blank(lengths, Join::Continue)),
            "remove" if place < shots.len() && shots.len() > 1 => {
                shots.remove(place);
            }
            "up" if place > 0 && place < shots.len() => shots.swap(place - 1, place),
            "down" if place < shots.len().saturating_sub(1) => shots.swap(place, place + 1),
            _ => {}
        }
        if let Some(first) = shots.first_mut() {
            first.join = Join::Cut;
        }
    }
}

/// A model's name, and what it offers; the first that makes something new if none is named.
fn offer_of(app: &App, name: Option<&str>) -> Result<(String, Offer), ApiError> {
    let catalogue = app.catalogue();
    let known = catalogue.offers().iter().find(|offer| !app.is_retired(&offer.name));
    let name = name.or(known.map(|offer| offer.name.as_str()));
    let (name, offer) = catalogue.resolve(name)?;
    Ok((name.to_string(), offer.clone()))
}

async fn show_board(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    values: Values,
) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    let draft = match values.get("from") {
        Some(id) => {
            let film = own(&app, &person, path_id::<VideoId>(id)?).await?;
            Draft { board: document_of(&film)?, model: film.model.to_string() }
        }
        None => Draft::new(&app)?,
    };
    Ok(html(&board_page(&app, &visitor, &person, draft, None).await?))
}

async fn change_board(
    State(app): State<App>,
    visitor: Visitor,
    person: Person,
    Fields(mut form): Fields,
) -> Result<Response, ApiError> {
    person.membership(Service::Video).readable()?;
    let button = form.text("do")?.unwrap_or_default().to_owned();
    let mut draft = Draft::of_form(&app, &form)?;
    let outcome = match button.as_str() {
        "make" => make(&app, &person, &draft, &mut form).await.map(Some),
        "download" => download(&draft.board).map(Some),
        "open" => opened(&mut form).map(|board| {
            draft.board = board;
            None
        }),
        _ => {
            let (_, offer) = offer_of(&app, Some(&draft.model))?;
            draft.change(offer.lengths(), &button);
            Ok(None)
        }
    };
    match outcome {
        Ok(Some(response)) => Ok(response),
        Ok(None) => Ok(html(&board_page(&app, &visitor, &person, draft, None).await?)),
        Err(error) if is_guards(&error) => Err(error),
        Err(error) => {
            let refused = Some(Refused::new(visitor.words, &error));
            Ok(html_refused(&board_page(&app, &visitor, &person, draft, refused).await?, &error))
        }
    }
}

async fn make(app: &App, person: &Person, draft: &Draft, form: &mut Form) -> Result<Response, ApiError> {
    person.membership(Service::Video).active()?;
    let project = home(app, person).await?;
    count(app, &project).await?;
    let headers = idempotency(form);
    let board = serde_json::to_value(&draft.board).map_err(|error| ApiError::internal(&error))?;
    let mut asked = Form::default();
    asked.set("storyboard", board.into());
    asked.set("model", Field::Text(draft.model.clone()));
    let caller = person.caller(project, Service::Video);
    let made = create_video(State(app.clone()), caller, Uri::from_static("/storyboard"), headers, asked).await?;
    Ok(go(&format!("/clips/{}", made.0.video.id())))
}

/// The document as a file.
fn download(board: &Storyboard) -> Result<Response, ApiError> {
    let text = serde_json::to_string_pretty(board).map_err(|error| ApiError::internal(&error))? + "\n";
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let name = HeaderValue::from_static("attachment; filename=\"storyboard.json\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

/// The document in a file that someone chose.
fn opened(form: &mut Form) -> Result<Storyboard, ApiError> {
    let Some(Field::File(upload)) = form.take("document") else { return Err(ApiError::missing("document")) };
    let text = std::str::from_utf8(&upload.bytes);
    read_document(text.map_err(|_| ApiError::invalid("storyboard", "The storyboard is no text."))?)
}

async fn board_page(
    app: &App,
    visitor: &Visitor,
    person: &Person,
    draft: Draft,
    refused: Option<Refused>,
) -> Result<BoardPage, ApiError> {
    let Draft { board, model } = draft;
    let (_, offer) = offer_of(app, Some(&model))?;
    let size = Size::parse(&board.size).unwrap_or_else(|| offer.default_size());
    let total = total(app, visitor.words, person, &offer, size, &board).await?;
    let last = board.shots.len();
    let card = |(index, shot): (usize, StoryboardShot)| Card {
        number: index + 1,
        prompt: shot.prompt,
        seconds: shot.seconds,
        continues: shot.join == Join::Continue,
        seed: shot.seed,
        first: index == 0,
        last: index + 1 == last,
    };
    let offers =
        app.catalogue().offers().iter().filter(|offer| !app.is_retired(&offer.name)).cloned().collect::<Vec<_>>();
    Ok(BoardPage {
        shell: Shell::new(app, visitor, "storyboard.title", Here::Make),
        refused,
        once: once(app),
        title: board.title,
        negative_prompt: board.negative_prompt,
        seed: board.seed,
        shape: Shape::of(size).as_str(),
        size: board.size,
        shapes: [Shape::Portrait, Shape::Landscape, Shape::Square].map(Shape::as_str).into(),
        model,
        models: offers.iter().map(|offer| offer.name.to_string()).collect(),
        lengths: offer.lengths().iter().map(|length| length.get()).collect(),
        cards: board.shots.into_iter().enumerate().map(card).collect(),
        total,
        room: last < MOST_CARDS,
    })
}

/// How long the film will be and what it costs, in words.
async fn total(
    app: &App,
    words: &Words,
    person: &Person,
    offer: &Offer,
    size: Size,
    board: &Storyboard,
) -> Result<String, ApiError> {
    let seconds = board.shots.iter().fold(0_u32, |all, shot| all.saturating_add(shot.seconds));
    let Some(length) = Seconds::new(seconds) else {
        return Ok(words.fill("storyboard.too_long", &[&seconds, &Seconds::LONGEST]));
    };
    let mut said = vec![words.fill("storyboard.length", &[&seconds])];
    let project = home(app, person).await?;
    if app.store.tier(&project.tier).await?.metered {
        let balance = app.store.balance(project.id).await?;
        let free = platform::Credits::from_micros(balance.balance.micros() - balance.held.micros());
        let plain =
            |credits: platform::Credits| credits.to_string().trim_end_matches('0').trim_end_matches('.').to_owned();
        said.push(words.fill("quote.price", &[&plain(offer.rate.quote(size, length)), &plain(free)]));
    }
    Ok(said.join(" · "))
}
