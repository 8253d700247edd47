//! R11 to R15: likeness by consent.

use std::time::Duration;

use axum::Router;
use axum::routing::post as route_post;
use platform::likeness::{
    Audience, CONSENT_VERSION, CaptureRefusal, Challenge, Checks, ConsentTerms, EnrolmentState, FRAME_CELLS, Limits,
    Purposes, REVIEW, consent_text,
};
use platform::{
    ConsentId, DecisionEffect, EnrolmentId, GenerationErrorCode, GenerationState, Handle, IdentityId, LikenessId,
    MembershipEvent, MembershipState, Role, Service, SignUpMode, Timestamp, VideoId, hex,
};
use provenance::{TrustedRoots, verify_statement};
use serde_json::{Value, json};
use server::{App, VerifierPlace};
use store::{Accepted, Approval, Capture, LibraryFilter, NewConsent, NewEnrolment, StoreError, Subject, Verdict};

use super::{ask, close, erase, new_key, sites, whose};
use crate::http::archives::{brought, exported, fetched, packed, sha256, unpacked, work};
use crate::http::pages::{make, page};
use crate::http::shared::{draft, maker, post, publish, shown};
use crate::http::site::{Answer, As, Sent, Site, owners_service, png, small};
use crate::loops::bed::{Bed, entropy, key};

const DAY: Duration = Duration::from_secs(86_400);
const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Someone's likeness, enrolled past the browser: for themself alone, with every limit.
pub(crate) async fn lent(app: &App, identity: IdentityId, handle: &str) -> LikenessId {
    let (store, now) = (&app.store, app.now());
    if store.membership(identity, Service::Likeness).await.unwrap().state == MembershipState::None {
        store.change_membership(identity, Service::Likeness, MembershipEvent::Join, now).await.unwrap();
    }
    let (id, likeness) = (EnrolmentId::new(now, entropy()), LikenessId::new(now, entropy()));
    let terms = terms(now, Audience::OnlyMe);
    let new = NewEnrolment {
        id,
        identity,
        likeness,
        handle: &Handle::parse(handle).unwrap(),
        language: "en",
        consent_version: CONSENT_VERSION,
        terms: &terms,
        challenge: &Challenge::draw(entropy(), "en"),
        expires_at: now + SECOND * 180,
    };
    store.begin_enrolment(&new, now).await.unwrap();
    let subject = Subject { identity, service: Service::Likeness, since: now };
    let line = "tan;long;black;blue;cap;none";
    let template = app.objects.put_upload(subject, &likeness, line.into()).await.unwrap();
    let still = app.objects.put_upload(subject, &likeness, png(64, 48).into()).await.unwrap();
    let mut sha256 = [0; 32];
    sha256[..16].copy_from_slice(&likeness.bytes());
    let checks = Checks { seconds: 9, moved_percent: 60, level: 40 };
    let capture = Capture { media_type: "video/webm", sha256, checks, template: &template, still: Some(&still) };
    store.finish_capture(identity, id, &capture, now).await.unwrap().unwrap();
    let approval = Some(Approval { consent: ConsentId::new(now, entropy()), statement: "signed" });
    let verdict = Verdict { by: None, reviewed: "words turns live voice adult free", approval, refusal: None };
    store.decide_enrolment(id, &verdict, now).await.unwrap();
    likeness
}

fn terms(now: Timestamp, audience: Audience) -> ConsentTerms {
    let (purposes, limits) = (Purposes::default(), Limits::default());
    ConsentTerms { purposes, audience, limits, expires_at: now + YEAR }
}

/// Lends someone's likeness anew past the browser.
async fn lend(app: &App, identity: IdentityId, audience: Audience, version: u32) {
    let now = app.now();
    let terms = terms(now, audience);
    let id = ConsentId::new(now, entropy());
    let consent = NewConsent { id, version, terms: &terms, statement: "signed" };
    app.store.lend(identity, &consent, now).await.unwrap();
}

/// Frames in which something moves, or nothing.
fn frames(moves: bool) -> Vec<u8> {
    (0..4_usize)
        .flat_map(|frame| {
            (0..FRAME_CELLS).map(move |cell| if moves && (cell + frame * 9) % 24 < 5 { 200 } else { (cell % 90) as u8 })
        })
        .collect()
}

/// A recording as a browser sends it.
struct Recording<'a> {
    /// What is in its pieces, so that two recordings differ.
    content: &'a str,
    moves: bool,
    apart: Duration,
    level: &'a str,
    /// How wide and high the still is, so that two stills differ.
    still: (u32, u32),
}

impl Default for Recording<'_> {
    fn default() -> Self {
        Self { content: "mika speaks", moves: true, apart: SECOND, level: "40", still: (64, 48) }
    }
}

const CONSENT: [(&str, &str); 6] = [
    ("born", "1990-04-01"),
    ("adult", "true"),
    ("myself", "true"),
    ("agree", "true"),
    ("audience", "only_me"),
    ("years", "1"),
];

/// Begins an enrolment; the path of its challenge.
async fn begin(site: &Site, cookie: &str, handle: &str) -> String {
    // No two are begun at one moment.
    site.bed.clock.advance(SECOND);
    let mut fields = vec![("handle", handle)];
    fields.extend(CONSENT);
    let to = post(site, cookie, "/account/likeness/begin", &fields).await.goes_to();
    assert_eq!(to, "/account/likeness/capture");
    let answer = site.send("GET", &to, As::Cookie(cookie), Sent::Nothing).await;
    assert!(answer.header("permissions-policy").contains("camera=(self)"));
    let shown = answer.page();
    shown.split("data-capture=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// Sends a piece of a recording.
async fn send_piece(site: &Site, cookie: &str, path: &str, number: u32, recording: &Recording<'_>) -> Answer {
    let (piece, seen) = (format!("{} {number}", recording.content), frames(recording.moves));
    let parts: &[(&str, Option<&str>, &[u8])] = &[
        ("piece", Some("piece"), piece.as_bytes()),
        ("frames", Some("frames"), &seen),
        ("level", None, recording.level.as_bytes()),
    ];
    site.send("POST", &format!("{path}/{number}"), As::Cookie(cookie), Sent::Form(parts)).await
}

async fn send_end(site: &Site, cookie: &str, path: &str, (width, height): (u32, u32)) -> Answer {
    let still = png(width, height);
    let parts: &[(&str, Option<&str>, &[u8])] = &[
        ("media_type", None, b"video/webm;codecs=vp8,opus"),
        ("skin", None, b"tan"),
        ("hair_style", None, b"long"),
        ("hair_colour", None, b"black"),
        ("shirt", None, b"blue"),
        ("hat", None, b"no hat"),
        ("still", Some("still.png"), &still),
    ];
    site.send("POST", &format!("{path}/finish"), As::Cookie(cookie), Sent::Form(parts)).await
}

/// Sends a whole recording; the answer to its end.
async fn record(site: &Site, cookie: &str, path: &str, recording: &Recording<'_>) -> Answer {
    for number in 0..7 {
        assert_eq!(send_piece(site, cookie, path, number, recording).await.ok()["ok"], true);
        site.bed.clock.advance(recording.apart);
    }
    send_end(site, cookie, path, recording.still).await
}

/// The id of the enrolment behind a challenge's path.
fn enrolment_of(path: &str) -> EnrolmentId {
    path.rsplit('/').next().unwrap().parse().unwrap()
}

/// Decides an enrolment as a reviewer, with these points seen.
async fn review(site: &Site, reviewer: &str, path: &str, seen: &[&str], decision: &str) -> Answer {
    let mut fields: Vec<_> = seen.iter().map(|point| (*point, "true")).collect();
    fields.extend([("decision", decision), ("reason", "it is someone else")]);
    post(site, reviewer, &format!("/moderation/likeness/{}", enrolment_of(path)), &fields).await
}

/// Someone who reviews; the cookie.
async fn reviewer(site: &Site) -> String {
    site.with_role("reviewer@people.example", Service::Likeness, Role::Moderator).await
}

/// Someone who enrolled in the browser, and was approved; the cookie.
async fn enrolled(site: &Site, handle: &str, reviewer: &str) -> String {
    let cookie = maker(site, handle).await;
    let path = begin(site, &cookie, handle).await;
    let content = format!("{handle} speaks");
    let recording = Recording { content: &content, ..Recording::default() };
    assert_eq!(record(site, &cookie, &path, &recording).await.ok()["next"], "/account/likeness");
    let all = REVIEW.map(|point| point.as_str());
    assert_eq!(review(site, reviewer, &path, &all, "approve").await.goes_to(), "/moderation/likeness");
    cookie
}

async fn uses(site: &Site, cookie: &str) -> Vec<Value> {
    let list = site.send("GET", "/api/likeness/uses", As::Cookie(cookie), Sent::Nothing).await.ok();
    list["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn r11_consent_is_a_versioned_receipt_and_nothing_is_made_without_one() {
    for site in sites().await {
        let store = &site.bed.app.store;
        let reviewer = reviewer(&site).await;
        let mika = enrolled(&site, "mika", &reviewer).await;
        let me = whose(&site, &mika).await;
        // The receipt: the exact words, what was chosen, what was said, and what was verified by whom.
        let consents = store.consents(me).await.unwrap();
        let roots = TrustedRoots::installation(&key());
        let statement = verify_statement(consents[0].statement.as_bytes(), &roots);
        assert_eq!(statement.state, provenance::State::Untouched);
        let told: Value = statement.payload.unwrap();
        let text = consent_text(CONSENT_VERSION, "en").unwrap();
        assert_eq!(told["text"]["words"], text.text);
        assert_eq!(told["text"]["sha256"], hex(&text.hash()));
        assert_eq!((&told["text"]["language"], &told["audience"]), (&json!("en"), &json!("only_me")));
        assert_eq!(told["purposes"], json!({ "generate": true, "detect": false, "train": false }));
        assert_eq!(told["spoken"]["sentence"], text.sentence());
        assert_eq!(told["spoken"]["words"].as_array().unwrap().len(), 4);
        let verified = told["verified"].as_array().unwrap();
        let by = |what: &str| verified.iter().find(|one| one["what"] == what).unwrap()["by"].clone();
        assert_eq!(by("voice"), "a person who reviewed it");
        assert_eq!(by("identity documents"), "nobody");
        assert!(told["expires_at"].as_i64() > told["given_at"].as_i64() && told["limits"]["kinds"].is_array());
        let receipt = format!("/account/likeness/consents/{}", consents[0].id);
        assert_eq!(site.send("GET", &receipt, As::Cookie(&mika), Sent::Nothing).await.status, 200);
        let stranger = maker(&site, "yuki").await;
        assert_eq!(site.send("GET", &receipt, As::Cookie(&stranger), Sent::Nothing).await.status, 404);
        // Nobody consents for more than ten years.
        let body = json!({ "audience": "only_me", "years": 11, "agree": CONSENT_VERSION });
        assert_eq!(ask(&site, &mika, "/api/likeness", body).await.error().2, "years");

        // Every clip that contains a likeness joins to a consent that was valid when it was made, derived ones too.
        let own = make(&site, &mika, "@mika waves").await.goes_to();
        site.work().await;
        let edited = post(&site, &mika, &format!("{own}/edit"), &[("prompt", "at night")]).await.goes_to();
        let part = post(&site, &mika, &format!("{own}/trim"), &[("start", "1"), ("end", "3")]).await.goes_to();
        for _ in 0..2 {
            site.work().await;
        }
        assert_eq!(store.likeness_orphans().await.unwrap(), 0);
        for clip in [&own, &edited, &part] {
            let video: VideoId = clip.rsplit('/').next().unwrap().parse().unwrap();
            assert_eq!(store.likenesses_stand(video, me, site.bed.app.now()).await.unwrap(), Ok(1), "{clip}");
        }
        let generation = store.any_generation(own.rsplit('/').next().unwrap().parse().unwrap()).await.unwrap();
        assert!(generation.video.unwrap().recipe.contains("\"references\":1"));

        // New words ask for fresh consent before the next use; what was made by the old ones stays.
        lend(&site.bed.app, me, Audience::OnlyMe, CONSENT_VERSION + 1).await;
        let refused = make(&site, &mika, "@mika waves").await;
        assert!(refused.page().contains("agree to the new words"), "{}", refused.status);
        assert_eq!(site.send("GET", &format!("{own}/media/video"), As::Cookie(&mika), Sent::Nothing).await.status, 200);
        let state = site.send("GET", "/api/likeness", As::Cookie(&mika), Sent::Nothing).await.ok();
        assert_eq!(state["outdated"], true);
        let body = json!({ "audience": "only_me", "agree": CONSENT_VERSION });
        assert_eq!(ask(&site, &mika, "/api/likeness", body).await.ok()["outdated"], false);
        make(&site, &mika, "@mika waves").await.goes_to();
        assert_eq!(store.likeness_orphans().await.unwrap(), 0);
    }
}

/// The ways in which a permission ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Withdrawn,
    Narrowed,
    Blocked,
    Closed,
    Suspended,
    Expired,
}

impl End {
    const ALL: [Self; 6] =
        [Self::Withdrawn, Self::Narrowed, Self::Blocked, Self::Closed, Self::Suspended, Self::Expired];

    /// The stable word that whoever asks is told.
    fn code(self) -> &'static str {
        match self {
            Self::Narrowed | Self::Blocked => "likeness_not_permitted",
            _ => "likeness_revoked",
        }
    }

    async fn happens(self, site: &Site, person: &str, maker: IdentityId) {
        let (store, now) = (&site.bed.app.store, site.bed.app.now());
        let me = whose(site, person).await;
        match self {
            Self::Withdrawn => {
                ask(site, person, "/api/likeness/withdraw", json!({})).await.ok();
            }
            Self::Narrowed => lend(&site.bed.app, me, Audience::OnlyMe, CONSENT_VERSION).await,
            Self::Blocked => store.block_maker(me, maker, true, now).await.unwrap(),
            Self::Closed => {
                store.close_service(me, Service::Likeness, now + DAY, now).await.unwrap();
            }
            Self::Suspended => {
                let event = MembershipEvent::Suspend;
                store.change_membership(me, Service::Likeness, event, now).await.unwrap();
            }
            Self::Expired => {
                site.bed.clock.advance(YEAR);
                server::housekeeping::tidy(&site.bed.app).await.unwrap();
            }
        }
    }
}

/// A site with someone whose likeness everyone may use, and someone who makes clips: the cookies, and the maker's identity.
async fn pair(site: &Site) -> (String, String, IdentityId) {
    let (mika, yuki) = (maker(site, "mika").await, maker(site, "yuki").await);
    let me = whose(site, &mika).await;
    lent(&site.bed.app, me, "mika").await;
    lend(&site.bed.app, me, Audience::Everyone, CONSENT_VERSION).await;
    let who = whose(site, &yuki).await;
    (mika, yuki, who)
}

/// The clips of someone, the newest first.
async fn clips(site: &Site, who: IdentityId) -> Vec<store::Generation> {
    site.bed.app.store.library(who, LibraryFilter::default(), None, 20).await.unwrap().generations
}

/// Sessions end before a consent of a year does.
async fn again(site: &Site, who: IdentityId) -> String {
    site.sign_in(who).await
}

#[tokio::test]
async fn r12_a_permission_that_ends_between_two_points_counts_at_the_next() {
    for end in End::ALL {
        for on_postgres in [false, true] {
            let open = |settings: &mut server::Settings| settings.sign_up = SignUpMode::Open;
            let site = async || {
                if on_postgres { Site::of(Bed::on_postgres(open).await).await } else { Site::with(open).await }
            };
            // Before submit: nothing is accepted, and the question before says so too.
            let here = site().await;
            let (mika, yuki, who) = pair(&here).await;
            let secret = new_key(&here, &yuki).await;
            let asked =
                async |secret: &str| here.send("GET", "/v1/likenesses/mika", As::Key(secret), Sent::Nothing).await.ok();
            assert_eq!(asked(&secret).await["permitted"], true, "{end:?}");
            end.happens(&here, &mika, who).await;
            let secret = new_key(&here, &again(&here, who).await).await;
            assert_eq!(asked(&secret).await["reason"], end.code(), "{end:?}");
            let mut body = small("a walk in the rain");
            body["characters"] = json!([{ "id": "@mika" }]);
            let refused = here.send("POST", "/v1/videos", As::Key(&secret), Sent::Json(body)).await;
            assert_eq!(refused.error(), (403, end.code().into(), "characters".into()), "{end:?}");
            assert_eq!(clips(&here, who).await.len(), 0);

            // Between submit and render: no clip, and nothing charged.
            let here = site().await;
            let (mika, yuki, who) = pair(&here).await;
            make(&here, &yuki, "@mika waves").await.goes_to();
            end.happens(&here, &mika, who).await;
            if here.bed.app.store.queue_depth().await.unwrap().queued > 0 {
                here.work().await;
            }
            if matches!(end, End::Withdrawn) {
                let told = here.bed.app.store.decisions_about(who, None, 10).await.unwrap();
                assert_eq!((told.len(), told[0].record.rule.id.as_str()), (1, "likeness.withdrawn"), "{told:?}");
            }
            let job = &clips(&here, who).await[0];
            assert!(
                matches!(job.state, GenerationState::Cancelled | GenerationState::Failed),
                "{end:?} {:?}",
                job.state
            );
            assert_eq!(job.error.as_ref().unwrap().code, GenerationErrorCode::PermissionRevoked, "{end:?}");

            // Between render and publish: it is not published, and not played either.
            let here = site().await;
            let (mika, yuki, who) = pair(&here).await;
            let clip = make(&here, &yuki, "@mika waves").await.goes_to();
            here.work().await;
            let seen = here.send("GET", &format!("{clip}/media/video"), As::Cookie(&yuki), Sent::Nothing).await;
            assert_eq!((seen.status, seen.header("cache-control")), (200, "private, no-store"));
            end.happens(&here, &mika, who).await;
            let yuki = again(&here, who).await;
            let fields = [("visibility", "public"), ("caption", "look")];
            let refused = post(&here, &yuki, &format!("{clip}/publish"), &fields).await;
            assert_eq!(refused.status, 403, "{end:?}");
            let told = here.send("GET", &format!("{clip}/media/video"), As::Cookie(&yuki), Sent::Nothing).await;
            assert_eq!(told.status, 403, "{end:?}");

            // Between publish and playback: hidden for everyone, and so is what others made from it.
            let here = site().await;
            let (mika, yuki, who) = pair(&here).await;
            let (nils, fan) = (maker(&here, "nils").await, maker(&here, "fan").await);
            let follower = whose(&here, &fan).await;
            for followed in ["/@yuki/follow", "/@nils/follow"] {
                post(&here, &fan, followed, &[]).await.goes_to();
            }
            let clip = make(&here, &yuki, "@mika waves").await.goes_to();
            here.work().await;
            let path = publish(&here, &yuki, &clip, "public", &[("remix", "true"), ("download", "true")]).await;
            let remix = path.trim_start_matches("/p/");
            let made = post(&here, &nils, "/make", &[("prompt", "at night"), ("remix", remix)]).await.goes_to();
            here.work().await;
            let theirs = publish(&here, &nils, &made, "public", &[]).await;
            let untouched = shown(&here, &yuki, "public", &[]).await;
            let status = async |path: &str| here.send("GET", path, As::Nobody, Sent::Nothing).await.status;
            for path in [&path, &theirs, &untouched] {
                assert_eq!(status(path).await, 200, "{end:?} {path}");
                for feed in ["/?feed=following", "/"] {
                    assert!(page(&here, &fan, feed).await.contains(path.as_str()), "{end:?} {feed} {path}");
                }
            }
            end.happens(&here, &mika, who).await;
            let fan = again(&here, follower).await;
            // At once, not within a minute; blocking one maker hides that maker's alone.
            let mut hidden = vec![&path];
            if !matches!(end, End::Blocked) {
                hidden.push(&theirs);
            }
            for path in hidden {
                assert_eq!(status(path).await, 404, "{end:?} {path}");
                assert_eq!(status(&format!("{path}/media/video")).await, 404, "{end:?}");
                assert_eq!(status(&format!("{path}/embed")).await, 404, "{end:?}");
                let oembed = format!("/oembed?url=http://misora.test{path}");
                assert_eq!(status(&oembed).await, 404, "{end:?}");
                for list in ["/?feed=latest", "/@yuki", "/@nils", "/search?q=waves", "/latest.atom"] {
                    let answer = here.send("GET", list, As::Nobody, Sent::Nothing).await;
                    assert!(!String::from_utf8_lossy(&answer.body).contains(path.as_str()), "{end:?} {list}");
                }
                for feed in ["/?feed=following", "/"] {
                    assert!(!page(&here, &fan, feed).await.contains(path.as_str()), "{end:?} {feed} {path}");
                }
            }
            let yuki = again(&here, who).await;
            let own = here.send("GET", &format!("{path}/media/video"), As::Cookie(&yuki), Sent::Nothing).await;
            assert_eq!(own.status, 403, "{end:?}");
            // What shows nobody stays where it was, also in its author's own feeds.
            assert_eq!(status(&untouched).await, 200, "{end:?}");
            for viewer in [&fan, &yuki] {
                assert!(page(&here, viewer, "/?feed=following").await.contains(untouched.as_str()), "{end:?}");
                page(&here, viewer, "/").await;
            }
        }
    }
}

#[tokio::test]
async fn r12_what_is_cancelled_is_not_charged_and_what_runs_stops() {
    for bed in [Bed::new().await, Bed::on_postgres(|_| {}).await] {
        let site = Site::of(bed).await;
        let (app, me) = (&site.bed.app, site.owner());
        let likeness = lent(app, me, "mika").await;
        let Accepted::New(queued) = site.bed.ask_with(&[likeness]).await.unwrap() else { panic!("it is new") };
        assert_eq!(site.bed.money().await, (1000, 2));
        let revoked = app.store.withdraw_likeness(me, app.now()).await.unwrap();
        assert_eq!((revoked.cancelled, revoked.running), (1, 0));
        assert_eq!(site.bed.money().await, (1000, 0));
        assert_eq!(site.bed.generation(queued[0].id).await.state, GenerationState::Cancelled);
        // Of one that runs the worker hears at its next heartbeat, and what it made meanwhile is not published.
        let likeness = lent(app, me, "mika").await;
        let Accepted::New(made) = site.bed.ask_with(&[likeness]).await.unwrap() else { panic!("it is new") };
        let routes = crate::loops::bed::test_card().routes();
        let (lease, _) = app.store.claim("w", &routes, app.now()).await.unwrap().unwrap();
        let revoked = app.store.withdraw_likeness(me, app.now()).await.unwrap();
        assert_eq!((revoked.cancelled, revoked.running), (0, 1));
        let heard = app.store.heartbeat(&lease, platform::Progress::NONE, app.now()).await.unwrap();
        assert_eq!(heard, store::Heartbeat::Cancel);
        app.store.end_cancelled(&lease, app.now()).await.unwrap();
        assert_eq!(site.bed.generation(made[0].id).await.state, GenerationState::Cancelled);
        assert_eq!(site.bed.money().await, (1000, 0));
        // Past the HTTP side nobody gets by either.
        let refused = site.bed.ask_with(&[likeness]).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        // Who cannot be asked has not said yes.
        let store = app.store.clone();
        store.close().await;
        assert!(store.likeness_permission(me, likeness, app.now()).await.is_err());
        assert!(store.likenesses_stand(made[0].id, me, app.now()).await.is_err());
        assert!(site.bed.ask_with(&[likeness]).await.is_err());
    }
}

/// How many rows an import left out because of a likeness.
fn kept_out(import: &Value) -> u64 {
    assert_eq!(import["status"], "done", "{import}");
    let classes = import["report"]["classes"].as_array().unwrap();
    let left = classes.iter().flat_map(|class| class["left_out"].as_array().unwrap());
    left.filter(|left| left["why"] == "likeness_not_permitted").map(|left| left["count"].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn r12_an_archive_made_before_a_withdrawal_brings_nothing_back() {
    for site in sites().await {
        let store = &site.bed.app.store;
        let (mika, yuki, who) = pair(&site).await;
        let clip = make(&site, &yuki, "@mika waves").await.goes_to();
        site.work().await;
        let path = publish(&site, &yuki, &clip, "public", &[]).await;
        let other = shown(&site, &yuki, "public", &[]).await;
        let video: VideoId = clip.rsplit('/').next().unwrap().parse().unwrap();
        let film = site.send("GET", &format!("{clip}/media/video"), As::Cookie(&yuki), Sent::Nothing).await.body;
        let export = exported(&site, &yuki, json!({})).await;
        let zip = fetched(&site, &yuki, &export).await;
        let holds_it = |zip: &[u8]| unpacked(zip).values().any(|bytes| sha256(bytes) == sha256(&film));
        assert!(holds_it(&zip));
        let of_mika = async |who| {
            let found = clips(&site, who).await;
            found.into_iter().find(|clip| clip.prompt.as_str() == "@mika waves").map(|clip| clip.id)
        };
        // As long as they may use it, it comes back to others under an id of its own, and is asked for like any other.
        let nils = maker(&site, "nils").await;
        let theirs = whose(&site, &nils).await;
        assert_eq!(kept_out(&brought(&site, &nils, &zip).await), 0);
        let copy = of_mika(theirs).await.unwrap();
        assert_ne!(copy, video);
        let watched = async |cookie: &str| {
            site.send("GET", &format!("/clips/{copy}/media/video"), As::Cookie(cookie), Sent::Nothing).await.status
        };
        assert_eq!(watched(&nils).await, 200);
        assert_eq!(store.likenesses_stand(copy, theirs, site.bed.app.now()).await.unwrap(), Ok(1));
        assert_eq!(store.likeness_orphans().await.unwrap(), 0);

        ask(&site, &mika, "/api/likeness/withdraw", json!({})).await.ok();
        assert_eq!(watched(&nils).await, 403);
        // The archive that lay ready is made anew without it, and nothing else is missing.
        let old = format!("/api/exports/{}", export["id"].as_str().unwrap());
        assert_eq!(site.send("GET", &old, As::Cookie(&yuki), Sent::Nothing).await.status, 404);
        work(&site.bed.app.archivist()).await;
        let exports = site.send("GET", "/api/exports", As::Cookie(&yuki), Sent::Nothing).await.ok();
        let anew = &exports["data"][0];
        assert_eq!((&anew["status"], exports["data"].as_array().unwrap().len()), (&json!("ready"), 1), "{exports}");
        let renewed = fetched(&site, &yuki, anew).await;
        assert!(!holds_it(&renewed) && unpacked(&renewed).keys().any(|path| path.starts_with("media/")));
        server::housekeeping::tidy(&site.bed.app).await.unwrap();
        assert_eq!(fetched(&site, &yuki, anew).await, renewed);
        // Its outbox tells whoever has a copy of the post to delete it.
        let outbox: Value = serde_json::from_slice(&unpacked(&renewed)["activitypub/outbox.json"]).unwrap();
        let of = |post: &str| {
            let items = outbox["orderedItems"].as_array().unwrap();
            let one = items.iter().find(|item| item["object"]["id"].as_str().unwrap().ends_with(post)).unwrap();
            (one["type"].clone(), one["object"]["type"].clone())
        };
        assert_eq!(of(&path), (json!("Delete"), json!("Tombstone")));
        assert_eq!(of(&other), (json!("Create"), json!("Note")));

        // From now on neither the clip nor the post comes back to anyone, and the report says why.
        let fan = maker(&site, "fan").await;
        let fans = whose(&site, &fan).await;
        let objects = site.bed.app.objects.list("renders").await.unwrap().len();
        assert_eq!(kept_out(&brought(&site, &fan, &zip).await), 2);
        assert_eq!((of_mika(fans).await, clips(&site, fans).await.len()), (None, 1));
        // The other clip has a film and two pictures; of hers not even the film was written.
        assert_eq!(site.bed.app.objects.list("renders").await.unwrap().len(), objects + 3);
        // Nor as a bare file, by its content alone.
        let folder =
            packed(&[("mine.mp4", &film), ("mine.json", br#"{"gen_id":"gen_1","prompt":"someone"}"#)], |_, _| {});
        assert_eq!(kept_out(&brought(&site, &fan, &folder).await), 1);

        // Nor to its maker, who deleted it long ago, so that no row tells of it any more.
        post(&site, &yuki, &format!("{clip}/delete"), &[]).await.goes_to();
        let member = store.membership(who, Service::Social).await.unwrap().active().unwrap();
        for gone in [&path, &other] {
            let id = gone.trim_start_matches("/p/").parse().unwrap();
            store.delete_post(member, id, site.bed.app.now()).await.unwrap();
        }
        site.bed.clock.advance(DAY * 40);
        let schedule = store::read_schedule(store::DEFAULT_SCHEDULE).unwrap();
        for _ in 0..2 {
            server::housekeeping::tidy(&site.bed.app).await.unwrap();
            store.run_schedule(&schedule, 1_000, site.bed.app.now()).await.unwrap();
        }
        assert_eq!(of_mika(who).await, None);
        assert!(store.any_generation(video).await.is_err());
        let yuki = again(&site, who).await;
        let import = brought(&site, &yuki, &zip).await;
        assert_eq!((kept_out(&import), of_mika(who).await), (2, None), "{import}");
    }
}

/// The one archive of someone that was made anew in the place of another: its bytes.
async fn made_anew(site: &Site, cookie: &str, export: &Value) -> Vec<u8> {
    let old = format!("/api/exports/{}", export["id"].as_str().unwrap());
    assert_eq!(site.send("GET", &old, As::Cookie(cookie), Sent::Nothing).await.status, 404);
    work(&site.bed.app.archivist()).await;
    let exports = site.send("GET", "/api/exports", As::Cookie(cookie), Sent::Nothing).await.ok();
    assert_eq!((&exports["data"][0]["status"], exports["data"].as_array().unwrap().len()), (&json!("ready"), 1));
    fetched(site, cookie, &exports["data"][0]).await
}

fn holds(zip: &[u8], film: &[u8]) -> bool {
    unpacked(zip).values().any(|bytes| sha256(bytes) == sha256(film))
}

#[tokio::test]
async fn r12_an_archive_that_outlived_its_clip_is_made_anew_too() {
    for site in sites().await {
        let (mika, yuki, who) = pair(&site).await;
        let clip = make(&site, &yuki, "@mika waves").await.goes_to();
        site.work().await;
        let film = site.send("GET", &format!("{clip}/media/video"), As::Cookie(&yuki), Sent::Nothing).await.body;
        let export = exported(&site, &yuki, json!({})).await;
        assert!(holds(&fetched(&site, &yuki, &export).await, &film));
        let made = clips(&site, who).await.remove(0);
        site.bed.app.store.delete_generation(made.project, made.id, site.bed.app.now()).await.unwrap();
        ask(&site, &mika, "/api/likeness/withdraw", json!({})).await.ok();
        assert!(!holds(&made_anew(&site, &yuki, &export).await, &film));
    }
}

/// A film that was encoded anew, from a frame on, by which its signature is lost too; `paint` is done to each frame.
fn changed(film: &[u8], from: usize, paint: impl Fn(&media::Frame) -> media::Frame) -> Vec<u8> {
    let clip = media::read_mp4(film, &media::ReadLimits::default()).unwrap();
    let frames = clip.frames()[from..].iter().map(paint).collect();
    let clip = media::Clip::new(frames, clip.frame_rate()).unwrap();
    media::write_mp4(&clip, media::Quality::from_qp(36).unwrap()).unwrap()
}

/// Makes a frame brighter, of everything by as much.
fn brighter(frame: &media::Frame) -> media::Frame {
    let mut frame = frame.clone();
    frame.rgb_mut().iter_mut().for_each(|level| *level = level.saturating_add(12));
    frame
}

/// A frame at half its size and back.
fn coarser(frame: &media::Frame) -> media::Frame {
    let media::Size { width, height } = frame.size();
    let small = media::resize(frame, media::Size::new(width / 2, height / 2), media::Filter::CatmullRom);
    media::resize(&small, frame.size(), media::Filter::CatmullRom)
}

/// A still of a film, as a JPEG.
fn still(film: &[u8]) -> Vec<u8> {
    let clip = media::read_mp4(film, &media::ReadLimits::default()).unwrap();
    media::encode_jpeg(&clip.frames()[18], 70).unwrap()
}

/// A clip of this seed: how well a picture is known again depends on what it shows.
async fn make_of(site: &Site, cookie: &str, prompt: &str, seed: &str) -> String {
    let fields = [("prompt", prompt), ("size", "144x80"), ("seconds", "4"), ("n", "1"), ("seed", seed)];
    post(site, cookie, "/make", &fields).await.goes_to()
}

/// Asks for a changed clip of a file.
async fn edit(site: &Site, key: &str, film: &[u8], prompt: &str) -> Answer {
    let parts: &[(&str, Option<&str>, &[u8])] =
        &[("video", Some("mine.mp4"), film), ("prompt", None, prompt.as_bytes()), ("model", None, b"sora-2")];
    site.send("POST", "/v1/videos/edits", As::Key(key), Sent::Form(parts)).await
}

/// Asks for a clip that begins with a picture.
async fn begin_with(site: &Site, key: &str, picture: &[u8]) -> Answer {
    let parts: &[(&str, Option<&str>, &[u8])] = &[
        ("prompt", None, b"it goes on"),
        ("size", None, b"144x80"),
        ("seconds", None, b"4"),
        ("input_reference", Some("a.jpg"), picture),
    ];
    site.send("POST", "/v1/videos", As::Key(key), Sent::Form(parts)).await
}

#[tokio::test]
async fn r12_a_withdrawn_clip_that_was_changed_is_known_again() {
    for site in sites().await {
        let store = &site.bed.app.store;
        let reviewer = site.with_role("reviewer@people.example", Service::Video, Role::Moderator).await;
        let (mika, yuki, who) = pair(&site).await;
        let film_of = async |clip: &str| {
            site.send("GET", &format!("{clip}/media/video"), As::Cookie(&yuki), Sent::Nothing).await.body
        };
        let clip = make_of(&site, &yuki, "@mika waves", "7").await;
        let other = make_of(&site, &yuki, "a red boat", "8").await;
        site.work().await;
        site.work().await;
        let (film, other) = (film_of(&clip).await, film_of(&other).await);
        let key = new_key(&site, &yuki).await;
        // As long as they let her, the copy is asked for like any other, and is a use that they see.
        let copy = changed(&film, 0, brighter);
        let made = edit(&site, &key, &copy, "at night").await.ok();
        let made: VideoId = made["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(store.likenesses_stand(made, who, site.bed.app.now()).await.unwrap(), Ok(1));
        assert_eq!(uses(&site, &mika).await.len(), 2);

        ask(&site, &mika, "/api/likeness/withdraw", json!({})).await.ok();
        assert_eq!(store.any_generation(made).await.unwrap().state, GenerationState::Cancelled);
        let count = async || site.bed.app.objects.list("uploads").await.unwrap().len();
        let before = count().await;
        let one_byte = [&film[..], b"\0\0\0\x08free"].concat();
        let copies = [
            ("as it was", film.to_vec()),
            ("one box more", one_byte),
            ("brighter, encoded anew", copy),
            ("smaller and back", changed(&film, 0, coarser)),
            ("a second less", changed(&film, 12, Clone::clone)),
            ("a part of it", changed(&film, 30, Clone::clone)),
        ];
        for (what, copy) in &copies {
            let refused = edit(&site, &key, copy, "at night").await;
            assert_eq!(refused.error(), (403, "likeness_revoked".into(), "video".into()), "{what}");
            let folder = packed(&[("mine.mp4", copy), ("mine.json", br#"{"gen_id":"1","prompt":"me"}"#)], |_, _| {});
            assert_eq!(kept_out(&brought(&site, &yuki, &folder).await), 1, "{what}");
        }
        let refused = begin_with(&site, &key, &still(&film)).await;
        assert_eq!(refused.error(), (403, "likeness_revoked".into(), "input_reference".into()));
        let parts: &[(&str, Option<&str>, &[u8])] = &[("video", Some("c.mp4"), &copies[2].1), ("name", None, b"Mossy")];
        let refused = site.send("POST", "/v1/videos/characters", As::Key(&key), Sent::Form(parts)).await;
        assert_eq!(refused.error(), (403, "likeness_revoked".into(), "video".into()));
        assert_eq!(count().await, before, "nothing of it was kept");

        // What is no copy passes: another clip, a black one, a black picture, a clip of one frame.
        let dark = media::Frame::filled(media::Size::new(144, 80), [0; 3]);
        let black = changed(&film, 0, |_| dark.clone());
        for passes in [&changed(&other, 0, brighter), &black] {
            edit(&site, &key, passes, "at night").await.ok();
            let folder = packed(&[("mine.mp4", passes), ("mine.json", br#"{"gen_id":"2","prompt":"me"}"#)], |_, _| {});
            assert_eq!(kept_out(&brought(&site, &yuki, &folder).await), 0);
        }
        begin_with(&site, &key, &still(&other)).await.ok();
        begin_with(&site, &key, &still(&black)).await.ok();
        // What cannot be decoded to its end has not been looked at.
        let cut = [&copies[2].1[..copies[2].1.len() - 400], &[0x55; 400]].concat();
        let refused = edit(&site, &key, &cut, "at night").await;
        assert!(matches!(refused.error().0, 400 | 403), "{}", refused.status);

        // The reasons are a decision. An appeal that is right lets that file pass, and no other.
        site.bed.clock.advance(SECOND);
        let refused = edit(&site, &key, &copies[3].1, "at noon").await;
        let told = store.decisions_about(who, None, 1).await.unwrap().remove(0).record;
        assert!(refused.header("link").contains(&format!("/account/decisions/{}>", told.id)));
        assert_eq!((told.ground.as_str(), told.effect), ("likeness_revoked", DecisionEffect::Refuse));
        let appeal = format!("/api/account/decisions/{}/appeal", told.id);
        let filed = ask(&site, &yuki, &appeal, json!({ "text": "I drew it." })).await.ok();
        let appeal = format!("/api/moderation/appeals/{}", filed["appeal"]["id"].as_str().unwrap());
        let right = json!({ "outcome": "overturned", "answer": "It is another." });
        ask(&site, &reviewer, &appeal, right).await.ok();
        edit(&site, &key, &copies[3].1, "at night").await.ok();
        assert_eq!(edit(&site, &key, &copies[2].1, "at night").await.status, 403);
    }
}

#[tokio::test]
async fn r13_what_its_person_deleted_is_known_again_though_it_was_changed() {
    for site in sites().await {
        let store = &site.bed.app.store;
        let (mika, yuki, who) = pair(&site).await;
        let clip = make_of(&site, &yuki, "@mika waves", "7").await;
        site.work().await;
        let film = site.send("GET", &format!("{clip}/media/video"), As::Cookie(&yuki), Sent::Nothing).await.body;
        let (copy, key) = (changed(&film, 12, brighter), new_key(&site, &yuki).await);
        // An import that they allow is looked at as well: what looks like it is known by that later.
        let folder = packed(&[("mine.mp4", &copy), ("mine.json", br#"{"gen_id":"1","prompt":"me"}"#)], |_, _| {});
        assert_eq!(kept_out(&brought(&site, &yuki, &folder).await), 0);
        assert_eq!(store.likeness_looks(None, 10).await.unwrap().len(), 2);
        assert_eq!(store.likeness_orphans().await.unwrap(), 0);
        for used in uses(&site, &mika).await {
            let path = format!("/api/likeness/uses/{}", used["id"].as_str().unwrap());
            site.send("DELETE", &path, As::Cookie(&mika), Sent::Nothing).await.ok();
        }
        assert!(clips(&site, who).await.is_empty());
        let refused = edit(&site, &key, &changed(&film, 6, coarser), "at night").await;
        assert_eq!(refused.error(), (403, "likeness_not_permitted".into(), "video".into()));
        assert_eq!(kept_out(&brought(&site, &yuki, &folder).await), 1);
    }
}

#[tokio::test]
async fn r12_a_repeated_request_shows_no_picture_of_whoever_withdrew() {
    for site in sites().await {
        let (mika, yuki, _) = pair(&site).await;
        let secret = new_key(&site, &yuki).await;
        let ask_for = async || {
            let body = Sent::Json(json!({ "prompt": "@mika waves", "size": "96x64" }));
            let name = [("idempotency-key", "one")];
            site.send_with("POST", "/v1/images/generations", As::Key(&secret), body, &name).await
        };
        let made = async {
            site.bed.clock.sleeps_reach(1).await;
            site.work().await;
            site.bed.clock.advance(SECOND);
        };
        let (first, ()) = tokio::join!(ask_for(), made);
        assert_eq!(first.ok()["data"].as_array().unwrap().len(), 1);
        assert_eq!(ask_for().await.ok()["data"].as_array().unwrap().len(), 1);
        ask(&site, &mika, "/api/likeness/withdraw", json!({})).await.ok();
        let refused = ask_for().await;
        let (status, code, _) = refused.error();
        assert_eq!((status, code.as_str()), (403, "likeness_revoked"));
    }
}

#[tokio::test]
async fn r13_the_person_sees_and_controls_every_use() {
    for site in sites().await {
        let store = &site.bed.app.store;
        let (mika, yuki, who) = pair(&site).await;
        let me = whose(&site, &mika).await;
        // A draft that nobody else sees, and an attempt that was refused.
        let clip = make(&site, &yuki, "@mika waves").await.goes_to();
        site.bed.clock.advance(SECOND);
        let refused = make(&site, &yuki, "@mika advertises a soft drink").await;
        assert!(refused.page().contains("does not want to be shown so"), "{}", refused.status);
        site.work().await;
        let seen = uses(&site, &mika).await;
        assert_eq!((&seen[0]["status"], &seen[0]["refusal"]), (&json!("refused"), &json!("likeness_limit")));
        assert_eq!(seen[0]["prompt"], "@mika advertises a soft drink");
        assert_eq!((&seen[1]["status"], &seen[1]["maker"]), (&json!("draft"), &json!("yuki")));
        assert!(page(&site, &mika, "/account/likeness/uses").await.contains("@mika waves"));
        let id = seen[1]["id"].as_str().unwrap();
        let media = format!("/account/likeness/uses/{id}/media/video");
        assert_eq!(site.send("GET", &media, As::Cookie(&mika), Sent::Nothing).await.status, 200);
        assert_eq!(site.send("GET", &media, As::Cookie(&yuki), Sent::Nothing).await.status, 404);
        // Whoever may not use someone does not get to write to them either.
        let nils = maker(&site, "nils").await;
        let block = [("mark", "block"), ("handle", "nils")];
        post(&site, &mika, "/account/likeness/people", &block).await.goes_to();
        site.bed.clock.advance(SECOND);
        make(&site, &nils, "@mika is a word that hurts").await.page();
        let newest = &uses(&site, &mika).await[0];
        assert_eq!((&newest["prompt"], &newest["refusal"]), (&json!(""), &json!("likeness_not_permitted")));

        // A post of it, and a like.
        let path = publish(&site, &yuki, &clip, "public", &[]).await;
        assert_eq!(uses(&site, &mika).await[2]["status"], "shown");
        let video: VideoId = clip.rsplit('/').next().unwrap().parse().unwrap();
        let published = store.any_generation(video).await.unwrap().video.unwrap();
        site.send("DELETE", &format!("/api/likeness/uses/{id}"), As::Cookie(&yuki), Sent::Nothing).await.error();
        site.send("DELETE", &format!("/api/likeness/uses/{id}"), As::Cookie(&mika), Sent::Nothing).await.ok();
        server::housekeeping::tidy(&site.bed.app).await.unwrap();
        // The maker's copy, pictures and post are gone, for good.
        for gone in [clip.clone(), format!("{clip}/media/thumbnail"), path.clone(), format!("{path}/media/video")] {
            assert_eq!(site.send("GET", &gone, As::Cookie(&yuki), Sent::Nothing).await.status, 404, "{gone}");
        }
        let media = site.bed.app.objects.get_all(&published.key).await;
        assert!(matches!(media, Err(StoreError::NotFound(_))));
        assert!(store.any_generation(video).await.is_err());
        // The maker has the reasons; the person sees that it is done.
        let decisions = store.decisions_about(who, None, 10).await.unwrap();
        let removal = decisions.iter().find(|one| one.record.effect == DecisionEffect::Remove).unwrap();
        assert!(removal.record.facts.contains(&video.to_string()) && removal.record.rule.id.starts_with("likeness."));
        assert!(decisions.iter().any(|one| one.record.ground == "likeness_limit"), "{decisions:?}");
        assert_eq!(uses(&site, &mika).await[2]["status"], "deleted");
        // It is in the person's archive.
        let tables = store::ARCHIVE_CLASSES.iter().flat_map(|class| class.tables);
        let table = tables.into_iter().find(|table| table.object == "likeness_use").unwrap();
        assert_eq!(store.archive_rows(me, table, None, 10).await.unwrap().len(), 3);
        // Blocked makers make nothing more.
        let made = uses(&site, &mika).await;
        let block = format!("/account/likeness/uses/{}/block", made[1]["id"].as_str().unwrap());
        post(&site, &mika, &block, &[]).await.goes_to();
        assert!(make(&site, &yuki, "@mika sits").await.page().contains("does not let you"));
    }
}

#[tokio::test]
async fn r13_what_its_person_deleted_comes_back_by_no_archive_and_what_comes_back_is_a_use() {
    for site in sites().await {
        let (mika, yuki, _) = pair(&site).await;
        let clip = make(&site, &yuki, "@mika waves").await.goes_to();
        site.work().await;
        publish(&site, &yuki, &clip, "public", &[]).await;
        let film = site.send("GET", &format!("{clip}/media/video"), As::Cookie(&yuki), Sent::Nothing).await.body;
        let export = exported(&site, &yuki, json!({})).await;
        let zip = fetched(&site, &yuki, &export).await;
        assert!(holds(&zip, &film));
        // What someone else brings is a use that its person sees and can look at.
        let nils = maker(&site, "nils").await;
        let theirs = whose(&site, &nils).await;
        assert_eq!(kept_out(&brought(&site, &nils, &zip).await), 0);
        let copy = clips(&site, theirs).await.remove(0).id;
        let use_of = async |maker: &str| {
            uses(&site, &mika)
                .await
                .into_iter()
                .find(|one| one["maker"] == maker)
                .unwrap_or_else(|| panic!("no {maker}"))
        };
        let brought_in = use_of("nils").await;
        assert_eq!((&brought_in["video"], &brought_in["refusal"]), (&json!(copy.to_string()), &Value::Null));
        let look = format!("/account/likeness/uses/{}/media/video", brought_in["id"].as_str().unwrap());
        assert_eq!(site.send("GET", &look, As::Cookie(&mika), Sent::Nothing).await.status, 200);

        // The maker's is deleted: the archive that lay ready is made anew without it, and the other brings it back to nobody.
        let delete = async |one: &Value| {
            let path = format!("/api/likeness/uses/{}", one["id"].as_str().unwrap());
            site.send("DELETE", &path, As::Cookie(&mika), Sent::Nothing).await.ok();
        };
        delete(&use_of("yuki").await).await;
        assert!(!holds(&made_anew(&site, &yuki, &export).await, &film));
        let fan = maker(&site, "fan").await;
        for cookie in [&yuki, &fan] {
            assert_eq!(kept_out(&brought(&site, cookie, &zip).await), 2);
        }
        // What was brought before is a use of its own, until it is deleted too.
        let watched = async || {
            let path = format!("/clips/{copy}/media/video");
            site.send("GET", &path, As::Cookie(&nils), Sent::Nothing).await.status
        };
        assert_eq!(watched().await, 200);
        delete(&brought_in).await;
        assert_eq!((watched().await, &use_of("nils").await["status"]), (404, &json!("deleted")));
        assert_eq!(kept_out(&brought(&site, &nils, &zip).await), 2);
        assert!(clips(&site, theirs).await.is_empty());
    }
}

#[tokio::test]
async fn r14_defaults_are_safe_and_limits_work_before_anything_is_drawn() {
    for site in sites().await {
        let (mika, yuki) = (maker(&site, "mika").await, maker(&site, "yuki").await);
        let me = whose(&site, &mika).await;
        lent(&site.bed.app, me, "mika").await;
        let secret = new_key(&site, &yuki).await;
        let asked = async |prompt: &str| {
            let path = format!("/v1/likenesses/mika?prompt={prompt}");
            site.send("GET", &path, As::Key(&secret), Sent::Nothing).await.ok()
        };
        assert_eq!(asked("rain").await["reason"], "likeness_not_permitted");
        let unknown = site.send("GET", "/v1/likenesses/nobody", As::Key(&secret), Sent::Nothing).await.ok();
        assert_eq!(unknown["reason"], "unknown");
        // Everyone is said twice, and brings its limits with it.
        let mut body = json!({ "audience": "everyone", "limits": [], "agree": CONSENT_VERSION });
        assert_eq!(ask(&site, &mika, "/api/likeness", body.clone()).await.error().2, "confirm_everyone");
        body["confirm_everyone"] = true.into();
        body["written_limits"] = "no swords".into();
        let lent = ask(&site, &mika, "/api/likeness", body).await.ok();
        assert_eq!(lent["limits"], json!(["body_change", "sexualised", "demeaning", "hate"]));
        assert_eq!(asked("rain").await["permitted"], true);
        assert_eq!(asked("a+sword").await["reason"], "likeness_limit");
        for prompt in ["@mika with a huge belly", "@mika in lingerie on a bed", "@mika holds swords"] {
            let sent = site.send("POST", "/v1/videos", As::Key(&secret), Sent::Json(small(prompt))).await;
            let (status, code, _) = sent.error();
            assert!(
                status == 400 && ["likeness_limit", "moderation_blocked"].contains(&code.as_str()),
                "{prompt} {code}"
            );
        }
        assert_eq!(site.bed.app.store.queue_depth().await.unwrap().queued, 0);
        // Politics were switched on: the person's to say.
        let sent =
            site.send("POST", "/v1/videos", As::Key(&secret), Sent::Json(small("@mika speaks in parliament"))).await;
        assert_eq!(sent.status, 200);
        // People whom one approves, mutuals, blocks.
        let body = json!({ "audience": "approved", "agree": CONSENT_VERSION });
        ask(&site, &mika, "/api/likeness", body).await.ok();
        assert_eq!(asked("rain").await["reason"], "likeness_not_permitted");
        post(&site, &mika, "/account/likeness/people", &[("handle", "yuki")]).await.goes_to();
        assert_eq!(asked("rain").await["permitted"], true);
        post(&site, &mika, "/account/likeness/people", &[("handle", "yuki"), ("on", "false")]).await.goes_to();
        let body = json!({ "audience": "mutuals", "agree": CONSENT_VERSION });
        ask(&site, &mika, "/api/likeness", body).await.ok();
        post(&site, &yuki, "/@mika/follow", &[]).await.goes_to();
        assert_eq!(asked("rain").await["permitted"], false);
        post(&site, &mika, "/@yuki/follow", &[]).await.goes_to();
        assert_eq!(asked("rain").await["permitted"], true);
        post(&site, &mika, "/@yuki/block", &[("on", "true")]).await;
        assert_eq!(asked("rain").await["permitted"], false);
    }
}

#[tokio::test]
async fn r15_enrolment_proves_a_live_consenting_adult() {
    for site in sites().await {
        let (store, objects) = (&site.bed.app.store, &site.bed.app.objects);
        let reviewer = reviewer(&site).await;
        let reviews = whose(&site, &reviewer).await;
        let mika = maker(&site, "mika").await;
        let me = whose(&site, &mika).await;
        // Nobody under 18, nobody who does not say that it is them.
        let mut fields = vec![("handle", "mika"), ("born", "2010-01-01")];
        fields.extend(&CONSENT[1..]);
        assert_eq!(post(&site, &mika, "/account/likeness/begin", &fields).await.status, 403);
        let fields = [("handle", "mika"), ("born", "1990-01-01"), ("agree", "true"), ("adult", "true")];
        assert_eq!(post(&site, &mika, "/account/likeness/begin", &fields).await.status, 400);

        let code = |answer: &Answer| {
            assert_eq!(answer.status, 400);
            answer.json()["code"].as_str().unwrap().to_owned()
        };
        // A still picture; a file that is sent at once; a silent one. Each uses its challenge up.
        for (recording, refusal) in [
            (Recording { content: "a photo", moves: false, ..Recording::default() }, CaptureRefusal::Still),
            (
                Recording { content: "a file", apart: Duration::ZERO, ..Recording::default() },
                CaptureRefusal::NotStreamed,
            ),
            (Recording { content: "a mute", level: "0", ..Recording::default() }, CaptureRefusal::Silent),
        ] {
            let path = begin(&site, &mika, "mika").await;
            assert_eq!(code(&record(&site, &mika, &path, &recording).await), refusal.as_str());
            assert_eq!(code(&send_end(&site, &mika, &path, recording.still).await), "used");
            assert_eq!(code(&send_piece(&site, &mika, &path, 7, &Recording::default()).await), "used");
            let lapsed = store.last_enrolment(me).await.unwrap().unwrap();
            assert_eq!((lapsed.state, lapsed.ground.as_deref()), (EnrolmentState::Lapsed, Some(refusal.as_str())));
        }
        // Pieces come once, one behind another, and in time.
        let path = begin(&site, &mika, "mika").await;
        send_piece(&site, &mika, &path, 0, &Recording::default()).await.ok();
        assert_eq!(code(&send_piece(&site, &mika, &path, 0, &Recording::default()).await), "out_of_order");
        assert_eq!(code(&send_piece(&site, &mika, &path, 2, &Recording::default()).await), "out_of_order");
        site.bed.clock.advance(Duration::from_secs(300));
        assert_eq!(code(&send_piece(&site, &mika, &path, 1, &Recording::default()).await), "late");
        server::housekeeping::tidy(&site.bed.app).await.unwrap();
        assert_eq!(store.last_enrolment(me).await.unwrap().unwrap().state, EnrolmentState::Lapsed);
        // There is no other way in.
        let file = Sent::Form(&[("piece", Some("clip.mp4"), b"0123"), ("level", None, b"9")]);
        let yuki = maker(&site, "yuki").await;
        assert_eq!(site.send("POST", &format!("{path}/0"), As::Cookie(&yuki), file).await.status, 404);

        // A living person, but another one's voice: the reviewer does not hear it, and an approval needs every point.
        let path = begin(&site, &mika, "mika").await;
        record(&site, &mika, &path, &Recording::default()).await.ok();
        let heard = ["words", "turns", "live", "adult", "free", "still"];
        assert_eq!(review(&site, &reviewer, &path, &heard, "approve").await.status, 400);
        assert_eq!(post(&site, &mika, &format!("/moderation/likeness/{}", enrolment_of(&path)), &[]).await.status, 404);
        let look = format!("/moderation/likeness/{}", enrolment_of(&path));
        assert!(page(&site, &reviewer, &look).await.contains("not checked"));
        let seen = site.send("GET", &format!("{look}/capture"), As::Cookie(&reviewer), Sent::Nothing).await;
        assert_eq!((seen.status, seen.header("content-type")), (200, "video/webm"));
        assert!(String::from_utf8(seen.body).unwrap().starts_with("mika speaks 0mika speaks 1"));
        // The still too, by whoever reviews and nobody else; each address leaves its line.
        assert!(page(&site, &reviewer, &look).await.contains(&format!("{look}/still")));
        let still = site.send("GET", &format!("{look}/still"), As::Cookie(&reviewer), Sent::Nothing).await;
        assert_eq!(
            (still.status, still.header("content-type"), still.body.starts_with(b"\x89PNG")),
            (200, "image/png", true)
        );
        assert_eq!(still.header("cache-control"), "private, no-store");
        for closed in ["capture", "still"] {
            let path = format!("{look}/{closed}");
            assert_eq!(site.send("GET", &path, As::Cookie(&mika), Sent::Nothing).await.status, 404, "{closed}");
        }
        let lines = store.audit(100).await.unwrap();
        for (action, count) in [("enrolment.look", 2), ("enrolment.look_capture", 1), ("enrolment.look_still", 1)] {
            let of = |line: &&store::AuditEntry| line.action == action && line.actor == Some(reviews);
            let found: Vec<_> = lines.iter().filter(of).collect();
            assert_eq!(found.len(), count, "{action}");
            assert!(found.iter().all(|line| line.subject == me.to_string() && line.detail.starts_with("enrol_")));
        }
        review(&site, &reviewer, &path, &heard, "refuse").await.goes_to();
        let decided = store.decisions_about(me, None, 10).await.unwrap();
        assert_eq!(decided[0].record.effect, DecisionEffect::Refuse);
        assert!(decided[0].record.facts.contains("voice"), "{:?}", decided[0].record.facts);
        assert!(page(&site, &mika, "/account/likeness").await.contains("contest"));

        // The same recording again, by whomever.
        let theirs = begin(&site, &yuki, "yuki").await;
        assert_eq!(code(&record(&site, &yuki, &theirs, &Recording::default()).await), "replayed");

        // A day after the decision the capture is gone, and not before.
        let prefix = format!("uploads/{}", enrolment_of(&path));
        assert_eq!(objects.list(&prefix).await.unwrap().len(), 7);
        site.bed.clock.advance(DAY - Duration::from_secs(60));
        server::housekeeping::tidy(&site.bed.app).await.unwrap();
        assert_eq!(objects.list(&prefix).await.unwrap().len(), 7);
        site.bed.clock.advance(Duration::from_secs(120));
        for _ in 0..2 {
            server::housekeeping::tidy(&site.bed.app).await.unwrap();
        }
        assert_eq!(objects.list(&prefix).await.unwrap().len(), 0);
        assert_eq!(store.chunks(enrolment_of(&path)).await.unwrap().len(), 0);

        // Approved, used, withdrawn: the template goes with it, and its key.
        let (mika, reviewer) = (again(&site, me).await, again(&site, reviews).await);
        let path = begin(&site, &mika, "mika").await;
        let recording = Recording { content: "mika speaks again", ..Recording::default() };
        record(&site, &mika, &path, &recording).await.ok();
        review(&site, &reviewer, &path, &REVIEW.map(|point| point.as_str()), "approve").await.goes_to();
        let likeness = store.likeness_of(me).await.unwrap().unwrap();
        let template = likeness.template.unwrap();
        assert!(objects.get_all(&template).await.is_ok() && likeness.audience == Audience::OnlyMe);
        assert!(page(&site, &mika, "/account/likeness").await.contains("You are enrolled as @mika"));
        let to = post(&site, &mika, "/account/likeness/withdraw", &[]).await.goes_to();
        assert!(page(&site, &mika, &to).await.contains("withdrawn"));
        server::housekeeping::tidy(&site.bed.app).await.unwrap();
        assert!(objects.get_all(&template).await.is_err());
        assert_eq!(objects.list(&format!("uploads/{}", likeness.id)).await.unwrap().len(), 0);
        // The key is destroyed, and the way back in is still there.
        assert!(page(&site, &mika, "/account/likeness").await.contains("/account/likeness/begin"));
        let last = store.last_enrolment(me).await.unwrap().unwrap();
        assert_eq!((last.state, last.template, last.still), (EnrolmentState::Withdrawn, None, None));
        // Nothing that was made before comes back with a new enrolment, which is possible.
        begin(&site, &mika, "mika").await;
    }
}

#[tokio::test]
async fn r15_the_app_is_whole_without_a_camera() {
    for site in sites().await {
        let mika = maker(&site, "mika").await;
        let clip = draft(&site, &mika).await;
        let path = publish(&site, &mika, &clip, "public", &[]).await;
        assert_eq!(site.send("GET", &path, As::Nobody, Sent::Nothing).await.status, 200);
        // No page but the one of the challenge asks for a camera.
        for other in ["/", "/make", "/library", "/account", "/account/likeness"] {
            let answer = site.send("GET", other, As::Cookie(&mika), Sent::Nothing).await;
            assert!(answer.header("permissions-policy").contains("camera=()"), "{other}");
        }
        let me = whose(&site, &mika).await;
        let membership = site.bed.app.store.membership(me, Service::Likeness).await.unwrap();
        assert_eq!(membership.state, MembershipState::None);
        // A word that looks like a name is a word.
        make(&site, &mika, "@nobody_at_all waves").await.goes_to();
    }
}

#[tokio::test]
async fn r15_a_verifier_service_looks_in_the_place_of_a_person() {
    let all =
        r#"{"outcome":"approved","name":"Looker","seen":["words","turns","live","voice","adult","free","still"]}"#;
    for (answer, state) in [
        (all, EnrolmentState::Approved),
        (r#"{"outcome":"approved","seen":["words"]}"#, EnrolmentState::Reviewing),
        (r#"{"outcome":"refused","seen":["words"],"reason":"a mask"}"#, EnrolmentState::Refused),
        ("no JSON", EnrolmentState::Reviewing),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let look = move |headers: axum::http::HeaderMap, body: axum::body::Bytes| async move {
            assert_eq!(headers["authorization"], "Bearer t");
            let kind = headers["content-type"].to_str().unwrap();
            let cut = format!("--{}", kind.strip_prefix("multipart/form-data; boundary=").unwrap());
            let text = String::from_utf8_lossy(&body);
            let parts: Vec<_> = text.split(&cut).filter_map(|part| part.split_once("\r\n\r\n")).collect();
            let part = |name: &str| {
                let named = format!("name=\"{name}\"");
                parts.iter().find(|(head, _)| head.contains(&named)).unwrap_or_else(|| panic!("no {name}"))
            };
            assert_eq!(parts.len(), 3, "what is in a recording is no part");
            let challenge: Value = serde_json::from_str(part("challenge").1).unwrap();
            assert_eq!(challenge["words"].as_array().unwrap().len(), 4);
            assert!(part("capture").0.contains("video/webm") && part("capture").1.starts_with("mika speaks 0"));
            assert!(part("still").0.contains("image/png") && part("still").1.contains("PNG"));
            answer
        };
        let service = Router::new().route("/look", route_post(look));
        let serving = tokio::spawn(async move { axum::serve(listener, service).await });
        let site = Site::with(|settings| {
            settings.sign_up = SignUpMode::Open;
            let url = format!("http://{address}/look");
            settings.likeness_verifier = Some(VerifierPlace { url, token: Some("t".into()) });
        })
        .await;
        let mika = maker(&site, "mika").await;
        let path = begin(&site, &mika, "mika").await;
        // They know what their enrolment is called, and write a part of their own into the recording.
        let forged = format!(
            "mika speaks 0\r\n--misora-{}\r\ncontent-disposition: form-data; name=\"still\"\r\n\r\n",
            enrolment_of(&path)
        );
        record(&site, &mika, &path, &Recording { content: &forged, ..Recording::default() }).await.ok();
        let me = whose(&site, &mika).await;
        let enrolment = site.bed.app.store.last_enrolment(me).await.unwrap().unwrap();
        assert_eq!(enrolment.state, state, "{answer}");
        assert_eq!(enrolment.verifier.is_some(), answer.starts_with('{'), "{answer}");
        serving.abort();
    }
}

#[tokio::test]
async fn r15_a_still_that_may_not_be_shown_ends_its_enrolment_with_reasons_and_an_appeal_lets_it_pass() {
    let url = owners_service("/v1/moderations", |body| {
        let flagged = body.contains("image_url");
        json!({ "results": [{ "flagged": flagged, "categories": { "sexual": flagged } }] })
    })
    .await;
    let watched = |settings: &mut server::Settings| {
        settings.sign_up = SignUpMode::Open;
        let (url, timeout) = (url.clone(), Duration::from_secs(20));
        settings.moderation = Some(server::ModerationPlace { url, key: None, model: None, timeout, fails_open: false });
    };
    for site in [Site::with(watched).await, Site::of(Bed::on_postgres(watched).await).await] {
        let (reviewer, mika) = (reviewer(&site).await, maker(&site, "mika").await);
        let path = begin(&site, &mika, "mika").await;
        let refused = record(&site, &mika, &path, &Recording::default()).await;
        assert_eq!((refused.status, &refused.json()["code"]), (400, &json!("picture")));
        let (store, me) = (&site.bed.app.store, whose(&site, &mika).await);
        let lapsed = store.last_enrolment(me).await.unwrap().unwrap();
        assert_eq!((lapsed.state, lapsed.ground.as_deref()), (EnrolmentState::Lapsed, Some("picture")));
        let told = store.decisions_about(me, None, 10).await.unwrap().remove(0).record;
        assert_eq!((told.rule.id.as_str(), told.service), ("service.sexual", Some(Service::Likeness)));
        // Nothing of it is kept.
        server::housekeeping::tidy(&site.bed.app).await.unwrap();
        assert!(site.bed.app.objects.list("uploads").await.unwrap().is_empty());
        // An appeal that is right lets that picture pass, and no other.
        let appeal = format!("/api/account/decisions/{}/appeal", told.id);
        let filed = ask(&site, &mika, &appeal, json!({ "text": "It is my face." })).await.ok();
        let appeal = format!("/api/moderation/appeals/{}", filed["appeal"]["id"].as_str().unwrap());
        let right = json!({ "outcome": "overturned", "answer": "It is a face." });
        ask(&site, &reviewer, &appeal, right).await.ok();
        let path = begin(&site, &mika, "mika").await;
        let other = Recording { content: "mika says it again", still: (48, 64), ..Recording::default() };
        assert_eq!(record(&site, &mika, &path, &other).await.json()["code"], "picture");
        let path = begin(&site, &mika, "mika").await;
        let same = Recording { content: "mika says it at last", ..Recording::default() };
        assert_eq!(record(&site, &mika, &path, &same).await.ok()["next"], "/account/likeness");
        assert_eq!(store.last_enrolment(me).await.unwrap().unwrap().state, EnrolmentState::Reviewing);
    }
}

#[tokio::test]
async fn r01_the_end_of_likeness_is_the_end_of_no_other_and_hides_what_shows_them() {
    for site in sites().await {
        let (mika, yuki, _) = pair(&site).await;
        let clip = make(&site, &yuki, "@mika waves").await.goes_to();
        site.work().await;
        let path = publish(&site, &yuki, &clip, "public", &[]).await;
        let own = shown(&site, &mika, "public", &[]).await;
        let status = async |path: &str| site.send("GET", path, As::Nobody, Sent::Nothing).await.status;
        // While it can be taken back it is hidden, and comes back whole.
        assert_eq!(close(&site, &mika, "likeness").await.ok()["state"], "closing");
        assert_eq!((status(&path).await, status(&own).await), (404, 200));
        ask(&site, &mika, "/api/memberships/likeness/undo", json!({})).await.ok();
        assert_eq!((status(&path).await, status(&own).await), (200, 200));
        erase(&site, &mika, "likeness").await;
        assert_eq!((status(&path).await, status(&own).await), (404, 200));
        let me = whose(&site, &mika).await;
        assert!(site.bed.app.store.likeness_of(me).await.unwrap().is_none());
        for service in [Service::Video, Service::Social] {
            let state = site.bed.app.store.membership(me, service).await.unwrap().state;
            assert_eq!(state, MembershipState::Active, "{service}");
        }
        assert_eq!(site.send("GET", "/library", As::Cookie(&mika), Sent::Nothing).await.status, 200);
    }
}

#[tokio::test]
async fn characters_are_named_lent_and_never_people() {
    for site in sites().await {
        let (mika, yuki) = (maker(&site, "mika").await, maker(&site, "yuki").await);
        let (mine, theirs) = (new_key(&site, &mika).await, new_key(&site, &yuki).await);
        let picture = png(64, 48);
        let character = async |more: &[(&str, Option<&str>, &[u8])]| {
            let mut parts: Vec<(&str, Option<&str>, &[u8])> =
                vec![("name", None, b"Mossy"), ("picture", Some("mossy.png"), &picture)];
            parts.extend(more);
            site.send("POST", "/v1/videos/characters", As::Key(&mine), Sent::Form(&parts)).await
        };
        let made = character(&[("handle", None, b"mossy"), ("audience", None, b"only_me")]).await.ok();
        assert_eq!((&made["handle"], &made["audience"]), (&json!("mossy"), &json!("only_me")));
        assert_eq!(character(&[("handle", None, b"mossy")]).await.status, 400);
        assert_eq!(character(&[("handle", None, b"yuki")]).await.status, 400);
        assert_eq!(character(&[("audience", None, b"everyone")]).await.error().2, "handle");
        let clip = Sent::Form(&[("name", None, b"Mossy")]);
        let none = site.send("POST", "/v1/videos/characters", As::Key(&mine), clip).await;
        assert_eq!(none.error().2, "video");
        let with = async |key: &str, id: &str| {
            let mut body = small("in the grass");
            body["characters"] = json!([{ "id": id }]);
            site.send("POST", "/v1/videos", As::Key(key), Sent::Json(body)).await.status
        };
        assert_eq!((with(&mine, "@mossy").await, with(&theirs, "@mossy").await), (200, 400));
        character(&[("handle", None, b"stone"), ("audience", None, b"everyone")]).await.ok();
        assert_eq!((with(&theirs, "@stone").await, with(&theirs, "@nobody").await), (200, 400));
        for _ in 0..2 {
            site.work().await;
        }
        let who = whose(&site, &yuki).await;
        let clip = clips(&site, who).await.remove(0);
        assert_eq!(clip.state, GenerationState::Completed, "{:?}", clip.error);
        assert!(clip.video.unwrap().recipe.contains("\"references\":1"));
    }
}
