//! R16 to R18 and R26: reasons, appeals, refusals that cost nothing, and takedowns that touch their item alone.

use std::time::Duration;

use platform::{
    DecidedItem, DecidedKind, DecidedRule, DecisionEffect, DecisionId, DecisionRecord, DecisionScope, DecisionState,
    IdentityId, MembershipEvent, MembershipState, PostId, Role, Service, business_days_after,
};
use serde_json::json;

use super::{ask, new_key, sites, whose};
use crate::http::pages::{make, page};
use crate::http::shared::{maker, post, publish, shown};
use crate::http::site::{As, Sent, Site, small};
use crate::loops::bed::entropy;

const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);
const BAD: &str = "explicit hardcore pornography";

fn id_of(path: &str) -> PostId {
    path.trim_start_matches("/p/").parse().unwrap()
}

async fn open_to_all(site: &Site, path: &str) -> bool {
    site.send("GET", path, As::Nobody, Sent::Nothing).await.status == 200
}

async fn moderator(site: &Site, name: &str) -> String {
    site.with_role(&format!("{name}@people.example"), Service::Social, Role::Moderator).await
}

async fn tidy(site: &Site) {
    server::housekeeping::tidy(&site.bed.app).await.unwrap();
}

/// Reports a post and withholds it; the decision's id.
async fn withhold(site: &Site, reporter: &str, moderator: &str, path: &str, more: &[(&str, &str)]) -> String {
    let post_id = path.trim_start_matches("/p/");
    let reported = [("post", post_id), ("reason", "spam"), ("note", "see")];
    assert_eq!(post(site, reporter, "/report", &reported).await.status, 200);
    let queue = page(site, moderator, "/moderation").await;
    let at = queue.find("href=\"/moderation/reports/").unwrap() + "href=\"".len();
    let case = queue[at..].split('"').next().unwrap().to_owned();
    assert!(page(site, moderator, &case).await.contains("a red boat"), "the prompt is evidence");
    let mut fields = vec![("withhold", post_id), ("ground", "spam"), ("rule", "the same again and again")];
    fields.extend(more);
    assert_eq!(post(site, moderator, &case, &fields).await.goes_to(), "/moderation");
    let author = site.bed.app.store.author_of(id_of(path)).await.unwrap();
    let decision = site.bed.app.store.post_decision(author, id_of(path)).await.unwrap().unwrap();
    decision.record.id.to_string()
}

async fn appeal(site: &Site, cookie: &str, decision: &str) -> String {
    let path = format!("/api/account/decisions/{decision}/appeal");
    let filed = ask(site, cookie, &path, json!({ "text": "It is a new boat each time." })).await.ok();
    assert_eq!(filed["appeal"]["status"], "open");
    filed["appeal"]["id"].as_str().unwrap().to_owned()
}

async fn review(site: &Site, cookie: &str, appeal: &str, outcome: &str) -> crate::http::site::Answer {
    let body = json!({ "outcome": outcome, "answer": "We looked at it again." });
    ask(site, cookie, &format!("/api/moderation/appeals/{appeal}"), body).await
}

#[tokio::test]
async fn r16_every_limit_tells_its_reasons_in_the_app_at_once_and_by_mail_within_a_minute() {
    for site in sites().await {
        let mika = maker(&site, "mika").await;
        // A refused prompt is a decision like any other.
        let refused = make(&site, &mika, BAD).await;
        assert_eq!(refused.status, 400);
        assert!(refused.page().contains("/account/decisions/dec_"));
        let listed = site.send("GET", "/api/account/decisions", As::Cookie(&mika), Sent::Nothing).await.ok();
        let told = &listed["data"][0];
        for (field, expected) in [
            ("effect", json!("refuse")),
            ("scope", json!("item")),
            ("service", json!("video")),
            ("item_kind", json!("prompt")),
            ("automated_detection", json!(true)),
            ("automated_decision", json!(true)),
            ("ends_at", json!(null)),
            ("state", json!("standing")),
            ("appeal", json!(null)),
        ] {
            assert_eq!(told[field], expected, "{field}");
        }
        for field in ["ground", "rule", "rule_version", "contest"] {
            assert!(told[field].as_str().is_some_and(|words| !words.is_empty()), "{field}: {told}");
        }
        assert!(page(&site, &mika, "/notices").await.contains("Decisions about you that you have not read: 1"));
        let path = format!("/account/decisions/{}", told["id"].as_str().unwrap());
        let shown_page = page(&site, &mika, &path).await;
        for words in ["What you asked for was not made", BAD, "A program, without a person", "Contest the decision"] {
            assert!(shown_page.contains(words), "{words}: {shown_page}");
        }
        let japanese = [("accept-language", "ja")];
        let shown_page = site.send_with("GET", &path, As::Cookie(&mika), Sent::Nothing, &japanese).await.page();
        assert!(shown_page.contains("頼まれた動画はつくられませんでした") && shown_page.contains("異議を申し立てる"));
        assert!(!page(&site, &mika, "/notices").await.contains("that you have not read"));
        // Others do not find it.
        let yuki = maker(&site, "yuki").await;
        assert_eq!(site.send("GET", &path, As::Cookie(&yuki), Sent::Nothing).await.status, 404);
        // Of two that were not read, one is.
        assert_eq!(make(&site, &yuki, BAD).await.status, 400);
        site.bed.clock.advance(Duration::from_secs(1));
        assert_eq!(make(&site, &yuki, "hardcore porn now").await.status, 400);
        let listed = site.send("GET", "/api/account/decisions", As::Cookie(&yuki), Sent::Nothing).await.ok();
        page(&site, &yuki, &format!("/account/decisions/{}", listed["data"][0]["id"].as_str().unwrap())).await;
        assert!(page(&site, &yuki, "/notices").await.contains("Decisions about you that you have not read: 1"));
        // Ten tries are one letter, within the minute.
        make(&site, &mika, BAD).await;
        let of_mika = async |words: &str| {
            let letters = site.letters().await;
            letters.iter().filter(|one| one.contains("To: mika@people.example") && one.contains(words)).count()
        };
        assert_eq!(of_mika("/account/decisions/").await, 0);
        site.bed.clock.advance(Duration::from_secs(31));
        assert_eq!(of_mika("/account/decisions/").await, 1);
        // What a person decides is told at once.
        let social = moderator(&site, "judge").await;
        let path = shown(&site, &mika, "public", &[]).await;
        let decision = withhold(&site, &yuki, &social, &path, &[]).await;
        assert_eq!(of_mika(&decision).await, 1);
        assert_eq!(of_mika(&path).await, 1);
        assert_eq!(of_mika(&decision).await, 1, "once");
    }
}

#[tokio::test]
async fn r16_decision_and_reasons_are_there_together_or_not_at_all() {
    for site in sites().await {
        let mika = maker(&site, "mika").await;
        let path = shown(&site, &mika, "public", &[]).await;
        let (store, post, me) = (&site.bed.app.store, id_of(&path), whose(&site, &mika).await);
        let judge = IdentityId::new(site.bed.app.now(), entropy());
        let (mut dropped, mut done) = (0, 0);
        for patience in 0..60 {
            let decision = DecisionRecord {
                id: DecisionId::new(site.bed.app.now(), entropy()),
                subject: me,
                scope: DecisionScope::Item,
                service: Some(Service::Social),
                effect: DecisionEffect::Withhold,
                item: DecidedItem::new(DecidedKind::Post, post.bytes()),
                ground: "spam".into(),
                rule: DecidedRule::of_house("spam"),
                facts: "again".into(),
                evidence: String::new(),
                unlawful: false,
                automated_detection: false,
                author: Some(judge),
                second: None,
                strikes: 1,
                decided_at: site.bed.app.now(),
                ends_at: None,
            };
            let finished = {
                let deciding = store.decide(&decision);
                let given_up = async {
                    for _ in 0..patience * 3 {
                        tokio::task::yield_now().await;
                    }
                };
                tokio::select! {
                    biased;
                    decided = deciding => { decided.unwrap(); true }
                    () = given_up => false,
                }
            };
            let found = async || {
                let recorded = store.decision(decision.id).await.is_ok();
                let strikes = store.membership(me, Service::Social).await.unwrap().strikes;
                (recorded, strikes == 1, !open_to_all(&site, &path).await)
            };
            // A commit that was given up while it was under way takes a moment to be seen by all that read.
            let mut now = found().await;
            for _ in 0..50 {
                if now == (now.2, now.2, now.2) {
                    break;
                }
                tokio::task::yield_now().await;
                now = found().await;
            }
            assert_eq!(now, (now.2, now.2, now.2), "given up after {patience}");
            let recorded = now.0;
            if finished {
                assert!(recorded);
                done += 1;
            } else {
                dropped += 1;
            }
            if recorded {
                // As it was, for the next.
                let appealed = platform::AppealId::new(site.bed.app.now(), entropy());
                store.appeal(appealed, me, decision.id, "no", site.bed.app.now()).await.unwrap();
                let other = IdentityId::new(site.bed.app.now(), entropy());
                let outcome = platform::AppealOutcome::Overturned;
                store
                    .decide_appeal(appealed, other, Role::Moderator, outcome, "yes", site.bed.app.now())
                    .await
                    .unwrap();
            }
        }
        assert!(dropped > 0, "{dropped} {done}");
    }
}

#[tokio::test]
async fn r17_an_appeal_that_is_right_gives_back_exactly_what_was_taken() {
    for site in sites().await {
        let (mika, yuki) = (maker(&site, "mika").await, maker(&site, "yuki").await);
        let (first, second) = (moderator(&site, "first").await, moderator(&site, "second").await);
        let path = shown(&site, &mika, "public", &[("comments", "true"), ("remix", "true")]).await;
        let other = shown(&site, &mika, "public", &[]).await;
        post(&site, &yuki, &format!("{path}/like"), &[("on", "true")]).await.goes_to();
        post(&site, &yuki, &format!("{path}/comment"), &[("text", "nice boat")]).await.goes_to();
        let store = &site.bed.app.store;
        let me = whose(&site, &mika).await;
        let count = async || {
            let post = store.post(platform::Viewer::SIGNED_OUT, id_of(&path)).await.unwrap();
            let found = page(&site, &yuki, "/search?q=look").await.contains(&path);
            (post.likes, post.comments, post.remixes, post.place, post.published_at, found)
        };
        let strikes = async || store.membership(me, Service::Social).await.unwrap().strikes;
        let before = count().await;
        let audit_before = store.audit(1_000).await.unwrap().len();
        let decision = withhold(&site, &yuki, &first, &path, &[("strike", "true")]).await;
        assert!(!open_to_all(&site, &path).await && open_to_all(&site, &other).await);
        assert_eq!(strikes().await, 1);
        // Also for someone who may not use the service.
        store.change_membership(me, Service::Video, MembershipEvent::Suspend, site.bed.app.now()).await.unwrap();
        let appeal = appeal(&site, &mika, &decision).await;
        let path_of = format!("/account/decisions/{decision}");
        assert!(page(&site, &mika, &path_of).await.contains("Waits for an answer"));
        let again = ask(&site, &mika, &format!("/api{path_of}/appeal"), json!({ "text": "again" })).await;
        assert_eq!(again.status, 400, "one appeal for each decision");
        // The same person, the person concerned, a key, whoever moderates elsewhere: none of them reviews.
        assert_eq!(review(&site, &first, &appeal, "overturned").await.error().1, "second_person_needed");
        assert_eq!(review(&site, &mika, &appeal, "overturned").await.status, 403);
        let body = Sent::Json(json!({ "outcome": "overturned", "answer": "a program says so" }));
        let key = As::Key(&site.key);
        assert_eq!(site.send("POST", &format!("/api/moderation/appeals/{appeal}"), key, body).await.status, 401);
        let elsewhere = site.with_role("video@people.example", Service::Video, Role::Moderator).await;
        assert_eq!(review(&site, &elsewhere, &appeal, "overturned").await.error().1, "role_missing");
        assert!(!open_to_all(&site, &path).await);
        // The console shows the case to another, and to the one who decided not as theirs.
        assert!(page(&site, &second, "/moderation").await.contains(&appeal));
        assert!(!page(&site, &first, "/moderation").await.contains(&appeal));
        let case = page(&site, &second, &format!("/moderation/appeals/{appeal}")).await;
        assert!(case.contains("It is a new boat each time.") && case.contains("a red boat"), "{case}");
        let decided = review(&site, &second, &appeal, "overturned").await.ok();
        assert_eq!((&decided["state"], &decided["appeal"]["status"]), (&json!("overturned"), &json!("overturned")));
        assert_eq!((count().await, strikes().await), (before, 0));
        assert_eq!(review(&site, &second, &appeal, "upheld").await.status, 400, "it is answered");
        let letters = site.letters().await;
        assert!(letters.iter().any(|one| one.contains("To: mika@") && one.contains("everything is back")));
        // No other service heard of it.
        let lines = store.audit(1_000).await.unwrap();
        let new = &lines[..lines.len() - audit_before];
        assert!(new.iter().all(|line| line.detail.starts_with("social: ")), "{new:?}");
        let load = page(&site, &second, "/moderation/work").await;
        assert!(load.contains("Appeals: 1"), "{load}");
    }
}

#[tokio::test]
async fn r17_of_two_limits_the_one_that_stands_stays() {
    for site in sites().await {
        let mika = maker(&site, "mika").await;
        let me = whose(&site, &mika).await;
        let (first, second) = (moderator(&site, "first").await, moderator(&site, "second").await);
        let decide = async |event: &str| {
            let body = json!({ "identity": me.to_string(), "service": "social", "event": event, "ground": "spam" });
            ask(&site, &first, "/api/decisions", body).await.ok()["id"].as_str().unwrap().to_owned()
        };
        let state = async || site.bed.app.store.membership(me, Service::Social).await.unwrap().state;
        let restricted = decide("restrict").await;
        let suspended = decide("suspend").await;
        assert_eq!(state().await, MembershipState::Suspended);
        let wrong = appeal(&site, &mika, &suspended).await;
        review(&site, &second, &wrong, "overturned").await.ok();
        assert_eq!(state().await, MembershipState::Restricted, "the other limit still stands");
        let wrong = appeal(&site, &mika, &restricted).await;
        review(&site, &second, &wrong, "overturned").await.ok();
        assert_eq!(state().await, MembershipState::Active);
        assert_eq!(site.bed.app.store.membership(me, Service::Video).await.unwrap().state, MembershipState::Active);
        // What was lifted without an appeal is contested no more.
        let lifted = decide("suspend").await;
        decide("restore").await;
        let path = format!("/api/account/decisions/{lifted}/appeal");
        assert_eq!(ask(&site, &mika, &path, json!({ "text": "no" })).await.error().1, "invalid_state");
    }
}

#[tokio::test]
async fn r17_nobody_decides_about_themselves() {
    for site in sites().await {
        let (mika, yuki) = (maker(&site, "mika").await, maker(&site, "yuki").await);
        let me = whose(&site, &mika).await;
        let path = shown(&site, &mika, "public", &[]).await;
        let reported = [("post", path.trim_start_matches("/p/")), ("reason", "spam"), ("note", "see")];
        assert_eq!(post(&site, &yuki, "/report", &reported).await.status, 200);
        // Mika moderates too.
        let role = Role::Moderator;
        site.bed.app.store.set_role(me, Service::Social, role).await.unwrap();
        let mika = site.sign_in(me).await;
        let judge = moderator(&site, "judge").await;
        let queue = page(&site, &judge, "/moderation").await;
        let at = queue.find("href=\"/moderation/reports/").unwrap() + "href=\"".len();
        let case = queue[at..].split('"').next().unwrap().to_owned();
        assert!(!page(&site, &mika, "/moderation").await.contains(&case));
        assert_eq!(site.send("GET", &case, As::Cookie(&mika), Sent::Nothing).await.status, 404);
        assert_eq!(post(&site, &mika, &case, &[]).await.status, 404);
        assert!(page(&site, &judge, "/moderation").await.contains(&case), "it still waits");
        for event in ["restrict", "suspend", "restore"] {
            let body = json!({ "identity": me.to_string(), "service": "social", "event": event, "ground": "spam" });
            assert_eq!(ask(&site, &mika, "/api/decisions", body).await.error().1, "second_person_needed");
        }
    }
}

/// The only case in the queue of a moderator.
async fn case_of(site: &Site, moderator: &str) -> String {
    let queue = page(site, moderator, "/moderation").await;
    let at = queue.find("href=\"/moderation/reports/").unwrap() + "href=\"".len();
    queue[at..].split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn r17_what_is_decided_about_is_what_was_reported() {
    for site in sites().await {
        let (mika, yuki, nils) = (maker(&site, "mika").await, maker(&site, "yuki").await, maker(&site, "nils").await);
        let (mine, theirs) = (shown(&site, &mika, "public", &[]).await, shown(&site, &yuki, "public", &[]).await);
        let me = whose(&site, &mika).await;
        site.bed.app.store.set_role(me, Service::Social, Role::Moderator).await.unwrap();
        let mika = site.sign_in(me).await;
        let reported = [("post", theirs.trim_start_matches("/p/")), ("reason", "spam")];
        assert_eq!(post(&site, &nils, "/report", &reported).await.status, 200);
        let case = case_of(&site, &mika).await;
        // Neither one's own post nor anyone else's goes off by a report about another.
        let other = shown(&site, &nils, "public", &[]).await;
        for wrong in [&mine, &other] {
            let fields = [("withhold", wrong.trim_start_matches("/p/")), ("ground", "spam")];
            assert_eq!(post(&site, &mika, &case, &fields).await.status, 404, "{wrong}");
            assert!(open_to_all(&site, wrong).await, "{wrong}");
        }
        assert!(page(&site, &mika, "/moderation").await.contains(&case), "it still waits");
        let fields = [("withhold", theirs.trim_start_matches("/p/")), ("ground", "spam")];
        post(&site, &mika, &case, &fields).await.goes_to();
        assert!(!open_to_all(&site, &theirs).await);
    }
}

/// What a report names, its thing, where others see it, where its writer does, and what it says.
type Case<'a> = (&'a [(&'a str, &'a str)], String, &'a str, String, &'a str);

#[tokio::test]
async fn r17_comments_messages_and_profiles_are_withheld_alone_and_come_back_whole() {
    for site in sites().await {
        let (mika, yuki) = (maker(&site, "mika").await, maker(&site, "yuki").await);
        let (first, second) = (moderator(&site, "first").await, moderator(&site, "second").await);
        let store = &site.bed.app.store;
        let author = whose(&site, &mika).await;
        let path = shown(&site, &yuki, "public", &[("comments", "true")]).await;
        let own = shown(&site, &mika, "public", &[]).await;
        post(&site, &mika, &format!("{path}/comment"), &[("text", "buy my boats")]).await.goes_to();
        post(&site, &mika, "/messages/@yuki", &[("text", "buy them now")]).await.goes_to();
        let words = [("handle", "mika"), ("display_name", "Cheap Boats"), ("bio", "call 555")];
        post(&site, &mika, "/account/profile", &words).await.goes_to();
        let said = page(&site, &yuki, &path).await;
        let comment = said.split("comment=").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let talk = page(&site, &yuki, "/messages/@mika").await;
        let message = talk.split("/report?message=").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let count = async || store.post(platform::Viewer::SIGNED_OUT, id_of(&path)).await.unwrap().comments;
        // What each is, where others see it, where its writer does, and what they say.
        let post_id = path.trim_start_matches("/p/");
        let cases: [Case<'_>; 3] = [
            (&[("post", post_id), ("comment", &comment)], comment.clone(), &path, path.clone(), "buy my boats"),
            (&[("message", &message)], message.clone(), "/messages/@mika", "/messages/@yuki".into(), "buy them now"),
            (&[("profile", "mika")], author.to_string(), "/@mika", "/@mika".into(), "call 555"),
        ];
        for (about, thing, theirs, writers, says) in cases {
            assert!(page(&site, &yuki, theirs).await.contains(says), "{says}");
            let mut fields = about.to_vec();
            fields.push(("reason", "spam"));
            assert_eq!(post(&site, &yuki, "/report", &fields).await.status, 200, "{says}");
            let case = case_of(&site, &first).await;
            assert!(page(&site, &first, &case).await.contains(&format!("value=\"{thing}\"")), "{says}");
            let fields = [("withhold", thing.as_str()), ("ground", "spam"), ("rule", "an offer"), ("strike", "true")];
            post(&site, &first, &case, &fields).await.goes_to();
            // Others do not see it; whoever wrote it sees it, or at least the reasons.
            assert!(!page(&site, &yuki, theirs).await.contains(says), "{says}");
            let profile = thing == author.to_string();
            assert_eq!(page(&site, &mika, &writers).await.contains(says), !profile, "{says}");
            if says == "buy my boats" {
                assert_eq!(count().await, 0);
                assert!(!site.send("GET", &path, As::Nobody, Sent::Nothing).await.page().contains(says));
            }
            let decision = store.decisions_about(author, None, 1).await.unwrap().remove(0).record;
            assert_eq!((decision.scope, decision.facts.as_str()), (DecisionScope::Item, "an offer"), "{says}");
            assert!(decision.evidence.contains(says), "{says}");
            let reasons = page(&site, &mika, &format!("/account/decisions/{}", decision.id)).await;
            assert!(reasons.contains("withheld") && reasons.contains("Contest the decision"), "{says}");
            // Nothing else of theirs is touched.
            assert!(open_to_all(&site, &own).await && open_to_all(&site, &path).await);
            // An appeal that is right gives it back.
            let wrong = appeal(&site, &mika, &decision.id.to_string()).await;
            assert_eq!(review(&site, &first, &wrong, "overturned").await.error().1, "second_person_needed");
            assert!(page(&site, &second, &format!("/moderation/appeals/{wrong}")).await.contains(says), "{says}");
            review(&site, &second, &wrong, "overturned").await.ok();
            assert!(page(&site, &yuki, theirs).await.contains(says), "{says}");
            assert_eq!((count().await, store.membership(author, Service::Social).await.unwrap().strikes), (1, 0));
            site.bed.clock.advance(Duration::from_secs(1));
        }
        assert!(page(&site, &yuki, "/@mika").await.contains("Cheap Boats"));
        let found = page(&site, &yuki, "/search?q=cheap").await;
        assert!(found.contains("@mika"), "{found}");
    }
}

#[tokio::test]
async fn r17_the_appeals_of_one_service_hide_none_of_another() {
    for site in sites().await {
        let mika = maker(&site, "mika").await;
        let me = whose(&site, &mika).await;
        let first = moderator(&site, "first").await;
        let social = moderator(&site, "second").await;
        let video = site.with_role("video@people.example", Service::Video, Role::Moderator).await;
        // One of `video` comes first.
        assert_eq!(make(&site, &mika, BAD).await.status, 400);
        let listed = site.send("GET", "/api/account/decisions", As::Cookie(&mika), Sent::Nothing).await.ok();
        let of_video = appeal(&site, &mika, listed["data"][0]["id"].as_str().unwrap()).await;
        site.bed.clock.advance(Duration::from_secs(1));
        let body = json!({ "identity": me.to_string(), "service": "social", "event": "restrict", "ground": "spam" });
        let decided = ask(&site, &first, "/api/decisions", body).await.ok();
        let of_social = appeal(&site, &mika, decided["id"].as_str().unwrap()).await;
        let store = &site.bed.app.store;
        let found = async |who: IdentityId, services: &[Service], whole: bool, limit: u32| {
            let found = store.reviewable_appeals(who, services, whole, limit).await.unwrap();
            found.into_iter().map(|one| one.appeal.unwrap().id.to_string()).collect::<Vec<_>>()
        };
        let (one, two) = (whose(&site, &first).await, whose(&site, &social).await);
        // A page of one has room for the own service's, however many of another's are due before.
        assert_eq!(found(two, &[Service::Social], false, 1).await, std::slice::from_ref(&of_social));
        assert_eq!(found(two, &[Service::Video], false, 1).await, std::slice::from_ref(&of_video));
        assert!(found(one, &[Service::Social], true, 10).await.is_empty(), "they decided it");
        assert!(found(me, &Service::ALL, true, 10).await.is_empty(), "it is about them");
        assert!(found(two, &[], true, 10).await.is_empty());
        assert!(page(&site, &social, "/moderation").await.contains(&of_social));
        assert!(page(&site, &video, "/moderation").await.contains(&of_video));
    }
}

#[tokio::test]
async fn r17_who_takes_off_a_use_of_their_likeness_is_counted_as_no_moderator() {
    for site in sites().await {
        let (mika, yuki) = (maker(&site, "mika").await, maker(&site, "yuki").await);
        let (maker, depicted) = (whose(&site, &mika).await, whose(&site, &yuki).await);
        let removed = DecisionRecord {
            id: DecisionId::new(site.bed.app.now(), entropy()),
            subject: maker,
            scope: DecisionScope::Item,
            service: Some(Service::Likeness),
            effect: DecisionEffect::Remove,
            item: DecidedItem::unnamed(DecidedKind::Likeness),
            ground: "likeness".into(),
            rule: DecidedRule { id: "likeness.removed_by_person".into(), version: "1".into() },
            facts: String::new(),
            evidence: String::new(),
            unlawful: false,
            automated_detection: false,
            author: Some(depicted),
            second: None,
            strikes: 0,
            decided_at: site.bed.app.now(),
            ends_at: None,
        };
        let store = &site.bed.app.store;
        store.decide(&removed).await.unwrap();
        assert!(store.workloads(site.bed.app.now() - DAY).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn r17_day_180_is_in_time_and_day_181_is_not() {
    for site in sites().await {
        let (mika, yuki) = (maker(&site, "mika").await, maker(&site, "yuki").await);
        let judge = moderator(&site, "judge").await;
        let one = shown(&site, &mika, "public", &[]).await;
        let other = shown(&site, &mika, "public", &[]).await;
        let me = whose(&site, &mika).await;
        let on_day_180 = withhold(&site, &yuki, &judge, &one, &[]).await;
        let on_day_181 = withhold(&site, &yuki, &judge, &other, &[]).await;
        site.bed.clock.advance(DAY * 180);
        let mika = site.sign_in(me).await;
        appeal(&site, &mika, &on_day_180).await;
        site.bed.clock.advance(DAY);
        let mika = site.sign_in(me).await;
        let path = format!("/api/account/decisions/{on_day_181}/appeal");
        assert_eq!(ask(&site, &mika, &path, json!({ "text": "late" })).await.error().1, "too_late");
        assert!(
            !page(&site, &mika, &format!("/account/decisions/{on_day_181}")).await.contains("Contest the decision")
        );
    }
}

#[tokio::test]
async fn r17_a_late_answer_raises_an_alarm_and_lifts_what_is_not_against_the_law() {
    for site in sites().await {
        let (mika, yuki) = (maker(&site, "mika").await, maker(&site, "yuki").await);
        let (first, second) = (moderator(&site, "first").await, moderator(&site, "second").await);
        let boss = site.with_role("boss@people.example", Service::Api, Role::Administrator).await;
        let (lawful, unlawful) = (shown(&site, &mika, "public", &[]).await, shown(&site, &mika, "public", &[]).await);
        let of_lawful = withhold(&site, &yuki, &first, &lawful, &[("strike", "true")]).await;
        let of_unlawful = withhold(&site, &yuki, &first, &unlawful, &[("unlawful", "true")]).await;
        let late = appeal(&site, &mika, &of_lawful).await;
        appeal(&site, &mika, &of_unlawful).await;
        let me = whose(&site, &mika).await;
        let (second, boss) = (whose(&site, &second).await, whose(&site, &boss).await);
        site.bed.clock.advance(DAY * 7 - HOUR);
        tidy(&site).await;
        assert!(!open_to_all(&site, &lawful).await);
        site.bed.clock.advance(HOUR);
        tidy(&site).await;
        tidy(&site).await;
        assert!(open_to_all(&site, &lawful).await && !open_to_all(&site, &unlawful).await);
        let letters = site.letters().await;
        let called = |one: &&String| one.contains("To: boss@people.example") && one.contains("/moderation/appeals/");
        assert_eq!(letters.iter().filter(called).count(), 2, "each once");
        let overdue = site.bed.app.store.audit(100).await.unwrap();
        assert_eq!(overdue.iter().filter(|line| line.action == "appeal.overdue").count(), 2);
        // A week later everyone signs in again.
        let (second, boss) = (site.sign_in(second).await, site.sign_in(boss).await);
        assert!(page(&site, &second, "/moderation").await.contains(">Late<"));
        assert!(page(&site, &boss, "/admin").await.contains("late, or nearly: 2"));
        let state = async || {
            let found = site.bed.app.store.decisions_about(me, None, 10).await.unwrap();
            found.iter().find(|one| one.record.id.to_string() == of_lawful).unwrap().state
        };
        assert_eq!(state().await, DecisionState::Paused);
        // The decision was right after all: it counts again, its strike was never gone.
        review(&site, &second, &late, "upheld").await.ok();
        assert!(!open_to_all(&site, &lawful).await);
        assert_eq!(state().await, DecisionState::Standing);
        assert_eq!(site.bed.app.store.membership(me, Service::Social).await.unwrap().strikes, 1);
    }
}

#[tokio::test]
async fn r17_a_whole_account_takes_two_and_a_third_reviews() {
    for site in sites().await {
        let mika = maker(&site, "mika").await;
        let me = whose(&site, &mika).await;
        let boss = async |name: &str| {
            site.with_role(&format!("{name}@people.example"), Service::Api, Role::Administrator).await
        };
        let (first, second, third) = (boss("first").await, boss("second").await, boss("third").await);
        let fields = [("identity", &*me.to_string()), ("ground", "account_takeover"), ("facts", "signed in twice")];
        post(&site, &first, "/admin/decisions", &fields).await.goes_to();
        let waiting = page(&site, &second, "/admin/decisions").await;
        let at = waiting.find("action=\"/admin/decisions/").unwrap() + "action=\"".len();
        let confirm = waiting[at..].split('"').next().unwrap().to_owned();
        assert!(!page(&site, &first, "/admin/decisions").await.contains(&confirm));
        assert_eq!(post(&site, &first, &confirm, &[]).await.status, 403);
        post(&site, &second, &confirm, &[]).await.goes_to();
        let states = async || {
            let memberships = site.bed.app.store.memberships(me).await.unwrap();
            memberships.iter().map(|one| one.state).collect::<Vec<_>>()
        };
        assert!(states().await.iter().all(|state| *state == MembershipState::Suspended));
        let listed = site.send("GET", "/api/account/decisions", As::Cookie(&mika), Sent::Nothing).await.ok();
        assert_eq!(listed["data"].as_array().unwrap().len(), 1, "one decision, with one appeal");
        let decision = listed["data"][0]["id"].as_str().unwrap();
        let wrong = appeal(&site, &mika, decision).await;
        for one in [&first, &second] {
            assert_eq!(review(&site, one, &wrong, "overturned").await.error().1, "second_person_needed");
        }
        let social = moderator(&site, "judge").await;
        assert_eq!(review(&site, &social, &wrong, "overturned").await.error().1, "role_missing");
        review(&site, &third, &wrong, "overturned").await.ok();
        assert!(states().await.iter().all(|state| *state == MembershipState::Active));
    }
}

#[tokio::test]
async fn r18_a_refusal_costs_nothing_names_its_rule_and_can_be_contested() {
    for site in sites().await {
        let before = site.bed.money().await;
        let entries = async || {
            let page = store::Page { limit: 100, ..store::Page::default() };
            site.bed.app.store.ledger(site.bed.project, page).await.unwrap().len()
        };
        let ledger = entries().await;
        let refused = site.post("/v1/videos", small(BAD)).await;
        let (status, code, param) = refused.error();
        assert_eq!((status, code.as_str(), param.as_str()), (400, "moderation_blocked", "prompt"));
        assert!(refused.json()["error"]["message"].as_str().unwrap().contains("explicit"), "the rule's id");
        let link = refused.header("link").to_owned();
        assert!(link.contains("/account/decisions/dec_") && link.contains("describedby"), "{link}");
        assert_eq!((site.bed.money().await, entries().await), (before, ledger));
        // An appeal that is right lets these words pass, and no others.
        let owner = site.sign_in(site.owner()).await;
        let listed = site.send("GET", "/api/account/decisions", As::Cookie(&owner), Sent::Nothing).await.ok();
        let wrong = appeal(&site, &owner, listed["data"][0]["id"].as_str().unwrap()).await;
        let judge = site.with_role("judge@people.example", Service::Video, Role::Moderator).await;
        review(&site, &judge, &wrong, "overturned").await.ok();
        assert_eq!(site.post("/v1/videos", small(BAD)).await.status, 200);
        assert_eq!(site.post("/v1/videos", small("hardcore porn now")).await.status, 400);
        let (_, stranger) = site.stranger("stranger@example.org").await;
        let answer = site.send("POST", "/v1/videos", As::Key(&stranger), Sent::Json(small(BAD))).await;
        assert_eq!(answer.status, 400, "it was the owner's appeal");
        // All of it is counted, and nobody is named.
        let month = platform::Month::of(site.bed.app.now()).to_string();
        let report = site.send("GET", &format!("/api/transparency/{month}"), As::Nobody, Sent::Nothing).await.ok();
        let counted: Vec<_> =
            report["decisions"].as_array().unwrap().iter().filter(|one| one["effect"] == "refuse").collect();
        let sum = |field: &str| counted.iter().map(|one| one[field].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("decisions"), sum("appeals"), sum("overturned")), (3, 1, 1), "{report}");
        assert_eq!((&report["appeals"]["received"], &report["appeals"]["overturned"]), (&json!(1), &json!(1)));
        let shown_page = site.send("GET", "/transparency", As::Nobody, Sent::Nothing).await.page();
        assert!(shown_page.contains("Overturned: 1"), "{shown_page}");
    }
}

/// Makes and shows a clip of one seed; its path.
async fn of_seed(site: &Site, cookie: &str, seed: &str, more: &[(&str, &str)]) -> String {
    let mut fields = vec![("prompt", "a red boat"), ("size", "144x80"), ("seconds", "4"), ("n", "1"), ("seed", seed)];
    fields.extend(more);
    let clip = post(site, cookie, "/make", &fields).await.goes_to();
    site.work().await;
    publish(site, cookie, &clip, "public", &[("remix", "true")]).await
}

fn intimate<'a>(path: &'a str, email: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("post", path),
        ("statement", "It is me, and I did not agree."),
        ("name", "Ola Nordmann"),
        ("email", email),
        ("signature", "Ola Nordmann"),
        ("depicted", "true"),
        ("good_faith", "true"),
    ]
}

fn copyright<'a>(path: &'a str, email: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("post", path),
        ("work", "My film of a boat"),
        ("statement", "All of it"),
        ("name", "Ola Nordmann"),
        ("address", "Street 1, Town"),
        ("phone", "+47 1"),
        ("email", email),
        ("signature", "Ola Nordmann"),
        ("good_faith", "true"),
        ("accurate", "true"),
    ]
}

async fn file(site: &Site, kind: &str, fields: &[(&str, &str)]) -> crate::http::site::Answer {
    let answer = site.send("POST", &format!("/takedown/{kind}"), As::Nobody, Sent::Fields(fields)).await;
    // Attempts are counted by the minute.
    site.bed.clock.advance(Duration::from_secs(60));
    answer
}

/// The hash of a frame in a mirror: left and right, up and down change places.
fn mirrored(hash: &[u8; 32]) -> [u8; 32] {
    let mut turned = [0; 32];
    for bit in 0..256 {
        if hash[bit / 8] & (1 << (bit % 8)) != 0 {
            let (way, place) = (bit / 128, bit % 128);
            let other = (1 - way) * 128 + place / 16 * 16 + 15 - place % 16;
            turned[other / 8] |= 1 << (other % 8);
        }
    }
    turned
}

#[tokio::test]
async fn r26_an_intimate_image_is_off_within_48_hours_with_its_copies_and_nothing_else() {
    for site in sites().await {
        let (mika, yuki) = (maker(&site, "mika").await, maker(&site, "yuki").await);
        let key = new_key(&site, &mika).await;
        site.with_role("boss@people.example", Service::Api, Role::Administrator).await;
        let named = of_seed(&site, &mika, "7", &[]).await;
        let other = of_seed(&site, &mika, "123456789", &[]).await;
        let copy = of_seed(&site, &yuki, "7", &[]).await;
        let turned = of_seed(&site, &yuki, "987654321", &[]).await;
        let from = named.trim_start_matches("/p/");
        let remix = of_seed(&site, &yuki, "555555", &[("remix", from)]).await;
        tidy(&site).await;
        let store = &site.bed.app.store;
        // One of them is the same clip in a mirror.
        let frames = store.frames_of_posts(None, 100).await.unwrap();
        let of_named = frames.iter().find(|one| one.post == id_of(&named)).unwrap();
        assert!(!of_named.hashes.is_empty());
        let mirror: Vec<_> = of_named.hashes.iter().map(mirrored).collect();
        store.keep_frame_hashes(id_of(&turned), &mirror).await.unwrap();

        let address = format!("{}{named}", site.bed.app.settings.base_url);
        assert_eq!(file(&site, "intimate", &[("post", &address)]).await.status, 400, "fields are missing");
        let filed = file(&site, "intimate", &intimate(&address, "ola@example.org")).await.goes_to();
        let status = async || site.send("GET", &filed, As::Nobody, Sent::Nothing).await.page();
        assert!(status().await.contains("A person looks at it"));
        let letters = site.letters().await;
        assert!(letters.iter().any(|one| one.contains("To: ola@example.org") && one.contains(&filed)));
        let works = async || site.send("GET", "/v1/models", As::Key(&key), Sent::Nothing).await.status;
        let called = async || {
            let letters = site.letters().await;
            letters
                .iter()
                .filter(|one| one.contains("boss@people.example") && one.contains("/moderation/takedowns/"))
                .count()
        };
        let audit_before = store.audit(1_000).await.unwrap().len();
        site.bed.clock.advance(HOUR * 46);
        tidy(&site).await;
        assert_eq!((called().await, works().await), (0, 200));
        site.bed.clock.advance(HOUR);
        tidy(&site).await;
        tidy(&site).await;
        assert_eq!((called().await, open_to_all(&site, &named).await, works().await), (1, true, 200));
        site.bed.clock.advance(HOUR);
        tidy(&site).await;
        for path in [&named, &copy, &turned, &remix] {
            assert!(!open_to_all(&site, path).await, "{path}");
        }
        assert!(open_to_all(&site, &other).await);
        assert_eq!(works().await, 200);
        assert!(status().await.contains("It is off"));
        let lines = store.audit(1_000).await.unwrap();
        let new = &lines[..lines.len() - audit_before];
        assert!(new.iter().all(|line| line.detail.starts_with("social: ")), "{new:?}");
        for (cookie, who) in [(&mika, "mika"), (&yuki, "yuki")] {
            let me = whose(&site, cookie).await;
            for service in [Service::Video, Service::Social, Service::Api] {
                let state = store.membership(me, service).await.unwrap().state;
                assert_eq!(state, MembershipState::Active, "{who} {service}");
            }
        }
        // The same clip does not come back, by anyone, and they learn why.
        let clip = post(
            &site,
            &mika,
            "/make",
            &[("prompt", "a red boat"), ("size", "144x80"), ("seconds", "4"), ("n", "1"), ("seed", "7")],
        )
        .await
        .goes_to();
        site.work().await;
        let again = post(&site, &mika, &format!("{clip}/publish"), &[("visibility", "public")]).await;
        assert_eq!(again.status, 403);
        assert!(again.page().contains("taken down before"));
        // It can be contested; then it is back, and blocks nothing.
        let me = whose(&site, &mika).await;
        let decision = store.post_decision(me, id_of(&named)).await.unwrap().unwrap().record;
        assert!(decision.author.is_none() && decision.unlawful);
        let wrong = appeal(&site, &mika, &decision.id.to_string()).await;
        let judge = moderator(&site, "judge").await;
        review(&site, &judge, &wrong, "overturned").await.ok();
        assert!(open_to_all(&site, &named).await && !open_to_all(&site, &copy).await);
        assert!(store.blocked_clips().await.unwrap().is_empty());
        assert!(status().await.contains("It is back"));
    }
}

#[tokio::test]
async fn r26_a_block_outlives_its_notice_and_an_appeal_against_it_holds() {
    for site in sites().await {
        let (mika, yuki) = (maker(&site, "mika").await, maker(&site, "yuki").await);
        let yukis = whose(&site, &yuki).await;
        let named = of_seed(&site, &mika, "7", &[]).await;
        tidy(&site).await;
        file(&site, "intimate", &intimate(&named, "ola@example.org")).await.goes_to();
        site.bed.clock.advance(HOUR * 48);
        tidy(&site).await;
        assert!(!open_to_all(&site, &named).await);
        // The notice is forgotten after a year, how its frames look is not.
        site.bed.clock.advance(DAY * 366);
        let (store, now) = (&site.bed.app.store, site.bed.app.now());
        let schedule = store::read_schedule(store::DEFAULT_SCHEDULE).unwrap();
        store.run_schedule(&schedule, 1_000, now).await.unwrap();
        assert!(store.takedowns(platform::TakedownState::Acted, 10).await.unwrap().is_empty());
        assert_eq!(store.blocked_clips().await.unwrap().len(), 1);
        let yuki = site.sign_in(yukis).await;
        let fields = [("prompt", "a red boat"), ("size", "144x80"), ("seconds", "4"), ("n", "1"), ("seed", "7")];
        let clip = post(&site, &yuki, "/make", &fields).await.goes_to();
        site.work().await;
        let publishing = format!("{clip}/publish");
        let again = post(&site, &yuki, &publishing, &[("visibility", "public")]).await;
        assert_eq!(again.status, 403);
        assert!(again.page().contains("taken down before"));
        // An appeal finds that it is no copy: then it is shown, and stays.
        let found = store.decisions_about(yukis, None, 10).await.unwrap();
        assert_eq!(found[0].record.ground, "intimate");
        let wrong = appeal(&site, &yuki, &found[0].record.id.to_string()).await;
        let judge = moderator(&site, "judge").await;
        review(&site, &judge, &wrong, "overturned").await.ok();
        let path = post(&site, &yuki, &publishing, &[("visibility", "public")]).await.goes_to();
        tidy(&site).await;
        assert!(open_to_all(&site, &path).await);
        assert!(!open_to_all(&site, &named).await);
    }
}

#[tokio::test]
async fn r26_copies_in_the_trash_and_withheld_ones_do_not_come_back() {
    for site in sites().await {
        let (mika, yuki) = (maker(&site, "mika").await, maker(&site, "yuki").await);
        let (first, second) = (moderator(&site, "first").await, moderator(&site, "second").await);
        let named = of_seed(&site, &mika, "7", &[]).await;
        let binned = of_seed(&site, &yuki, "7", &[]).await;
        let withheld = of_seed(&site, &yuki, "7", &[]).await;
        let from = named.trim_start_matches("/p/");
        let remix = of_seed(&site, &yuki, "555555", &[("remix", from)]).await;
        tidy(&site).await;
        let store = &site.bed.app.store;
        let yukis = whose(&site, &yuki).await;
        let active = async || store.membership(yukis, Service::Social).await.unwrap().active().unwrap();
        for path in [&binned, &remix] {
            store.delete_post(active().await, id_of(path), site.bed.app.now()).await.unwrap();
        }
        let spam = withhold(&site, &mika, &first, &withheld, &[]).await;
        file(&site, "intimate", &intimate(&named, "ola@example.org")).await.goes_to();
        let queue = page(&site, &first, "/moderation").await;
        let at = queue.find("href=\"/moderation/takedowns/").unwrap() + "href=\"".len();
        let case = queue[at..].split('"').next().unwrap().to_owned();
        post(&site, &first, &case, &[("act", "follow")]).await.goes_to();
        assert!(!open_to_all(&site, &named).await);
        // What is brought back from the trash is withheld.
        for path in [&binned, &remix] {
            store.undelete_post(active().await, id_of(path), site.bed.app.now()).await.unwrap();
            assert!(!open_to_all(&site, path).await, "{path}");
            let reasons = store.post_decision(yukis, id_of(path)).await.unwrap().unwrap();
            assert_eq!(reasons.record.ground, "intimate");
        }
        // An appeal against another reason gives nothing back.
        let wrong = appeal(&site, &yuki, &spam).await;
        review(&site, &second, &wrong, "overturned").await.ok();
        assert!(!open_to_all(&site, &withheld).await);
    }
}

#[tokio::test]
async fn r26_a_copyright_notice_is_told_answered_and_undone_within_the_window() {
    for site in sites().await {
        let mika = maker(&site, "mika").await;
        let key = new_key(&site, &mika).await;
        let judge = moderator(&site, "judge").await;
        let judges = whose(&site, &judge).await;
        let me = whose(&site, &mika).await;
        let named = of_seed(&site, &mika, "7", &[]).await;
        let sued = of_seed(&site, &mika, "123456789", &[]).await;
        let mut links = Vec::new();
        for path in [&named, &sued] {
            links.push(file(&site, "copyright", &copyright(path, "ola@example.org")).await.goes_to());
        }
        // Whoever made it is told at once that a notice came, and none of its words; it is still there.
        let letters = site.letters().await;
        let of_mika = |one: &&String| one.contains("To: mika@people.example") && one.contains("A notice");
        assert_eq!(letters.iter().filter(of_mika).count(), 2);
        let told = |one: &&String| of_mika(one) && one.contains("My film of a boat");
        assert_eq!(letters.iter().filter(told).count(), 0, "anyone can write a notice");
        assert!(open_to_all(&site, &named).await);
        let queue = page(&site, &judge, "/moderation").await;
        let cases: Vec<_> = queue
            .split("href=\"/moderation/takedowns/")
            .skip(1)
            .map(|rest| format!("/moderation/takedowns/{}", rest.split('"').next().unwrap()))
            .collect();
        assert_eq!(cases.len(), 2);
        let cases_of = cases.clone();
        for case in &cases {
            assert!(page(&site, &judge, case).await.contains("My film of a boat"));
            let facts = [("act", "follow"), ("facts", "the notice is whole")];
            post(&site, &judge, case, &facts).await.goes_to();
        }
        assert!(!open_to_all(&site, &named).await && !open_to_all(&site, &sued).await);
        // A person has read it: now its words and its writer's name go to the maker.
        let letters = site.letters().await;
        assert_eq!(letters.iter().filter(told).count(), 2);
        // On day 1 it is answered, and the answer goes to whoever wrote the notice.
        site.bed.clock.advance(DAY);
        let answered = site.bed.app.now();
        for path in [&named, &sued] {
            let mika = site.sign_in(me).await;
            let decision = site.bed.app.store.post_decision(me, id_of(path)).await.unwrap().unwrap().record.id;
            let place = format!("/account/decisions/{decision}");
            assert!(page(&site, &mika, &place).await.contains("Answer the notice"));
            let counter = [
                ("name", "Mika"),
                ("address", "Road 2"),
                ("phone", "+47 2"),
                ("statement", "I drew it myself."),
                ("mistake", "true"),
                ("court", "true"),
                ("signature", "Mika"),
            ];
            assert_eq!(post(&site, &mika, &format!("{place}/counter"), &counter[..4]).await.status, 400);
            assert_eq!(post(&site, &mika, &format!("{place}/counter"), &counter).await.goes_to(), place);
            assert!(page(&site, &mika, &place).await.contains("It comes back"));
        }
        let letters = site.letters().await;
        let told = |one: &&String| one.contains("To: ola@example.org") && one.contains("I drew it myself.");
        assert_eq!(letters.iter().filter(told).count(), 2);
        // A suit says which court has it, under which number and since when; without all of it the item comes back.
        let suit = [("court", "Oslo District Court"), ("number", "24-1234"), ("day", "2026-09-22")];
        let show = async |fields: &[(&str, &str)]| {
            let answer = site.send("POST", &format!("{}/suit", links[1]), As::Nobody, Sent::Fields(fields)).await;
            // Attempts are counted by the minute.
            site.bed.clock.advance(Duration::from_secs(60));
            answer
        };
        for missing in 0..3 {
            let mut fields = suit.to_vec();
            fields.remove(missing);
            assert_eq!(show(&fields).await.status, 400, "{missing}");
        }
        for day in ["2099-01-01", "yesterday"] {
            assert_eq!(show(&[suit[0], suit[1], ("day", day)]).await.status, 400, "{day}");
        }
        assert_eq!(post(&site, &site.sign_in(judges).await, &cases_of[1], &[("act", "suit")]).await.status, 400);
        assert_eq!(show(&suit).await.goes_to(), links[1]);
        let judge = site.sign_in(judges).await;
        let decision = site.bed.app.store.post_decision(me, id_of(&sued)).await.unwrap().unwrap().record.id;
        let mika = site.sign_in(me).await;
        for (who, place) in [(&judge, cases_of[1].clone()), (&mika, format!("/account/decisions/{decision}"))] {
            let told = page(&site, who, &place).await;
            for (_, value) in suit {
                assert!(told.contains(value), "{value}: {told}");
            }
        }
        let letters = site.letters().await;
        assert!(letters.iter().any(|one| one.contains("To: mika@people.example") && one.contains("24-1234")));
        // Not before ten working days are over, and not after the fourteenth.
        let until = async |days| {
            let at = business_days_after(answered, days);
            site.bed.clock.advance(at.since(site.bed.app.now()));
            tidy(&site).await;
        };
        until(10).await;
        assert!(!open_to_all(&site, &named).await);
        until(14).await;
        assert!(open_to_all(&site, &named).await && !open_to_all(&site, &sued).await);
        assert_eq!(site.send("GET", "/v1/models", As::Key(&key), Sent::Nothing).await.status, 200);
        assert!(site.send("GET", &links[0], As::Nobody, Sent::Nothing).await.page().contains("It is back"));
        assert!(site.send("GET", &links[1], As::Nobody, Sent::Nothing).await.page().contains("a suit is shown"));
        let letters = site.letters().await;
        assert!(letters.iter().any(|one| one.contains("To: mika@people.example") && one.contains("the post is back")));
    }
}

#[tokio::test]
async fn r26_a_suit_of_which_nothing_more_is_known_is_said_all_the_same() {
    for site in sites().await {
        let (mika, judge) = (maker(&site, "mika").await, moderator(&site, "judge").await);
        let (store, me) = (&site.bed.app.store, whose(&site, &mika).await);
        let path = of_seed(&site, &mika, "7", &[]).await;
        file(&site, "copyright", &copyright(&path, "ola@example.org")).await.goes_to();
        let queue = page(&site, &judge, "/moderation").await;
        let notice = queue.split("href=\"/moderation/takedowns/").nth(1).unwrap().split('"').next().unwrap();
        let case = format!("/moderation/takedowns/{notice}");
        post(&site, &judge, &case, &[("act", "follow"), ("facts", "the notice is whole")]).await.goes_to();
        let decision = store.post_decision(me, id_of(&path)).await.unwrap().unwrap().record.id;
        let place = format!("/account/decisions/{decision}");
        let counter = [
            ("name", "Mika"),
            ("address", "Road 2"),
            ("phone", "+47 2"),
            ("statement", "I drew it myself."),
            ("mistake", "true"),
            ("court", "true"),
            ("signature", "Mika"),
        ];
        assert_eq!(post(&site, &mika, &format!("{place}/counter"), &counter).await.goes_to(), place);
        assert!(!page(&site, &mika, &place).await.contains("A suit was shown"));
        assert!(page(&site, &judge, &case).await.contains("It comes back"));
        // As before suits were kept: that there is one, and nothing else.
        store.show_suit(notice.parse().unwrap(), "", &[], None, site.bed.app.now()).await.unwrap();
        let told = page(&site, &mika, &place).await;
        assert!(told.contains("A suit was shown") && !told.contains("It comes back"), "{told}");
        assert!(!page(&site, &judge, &case).await.contains("It comes back"));
    }
}

#[tokio::test]
async fn r26_whoever_sends_wrong_notices_is_counted_and_then_not_heard() {
    for site in sites().await {
        let mika = maker(&site, "mika").await;
        let judge = moderator(&site, "judge").await;
        let path = of_seed(&site, &mika, "7", &[]).await;
        for _ in 0..platform::MAX_REFUSED_NOTICES {
            file(&site, "intimate", &intimate(&path, "troll@example.org")).await.goes_to();
            let queue = page(&site, &judge, "/moderation").await;
            let at = queue.find("href=\"/moderation/takedowns/").unwrap() + "href=\"".len();
            let case = queue[at..].split('"').next().unwrap().to_owned();
            post(&site, &judge, &case, &[("act", "refuse")]).await.goes_to();
        }
        assert!(open_to_all(&site, &path).await);
        let again = file(&site, "intimate", &intimate(&path, "troll@example.org")).await;
        assert_eq!(again.status, 403);
        assert!(again.page().contains("Too many notices"));
        // Another person is heard, and what there is no account of says so to nobody.
        let other = file(&site, "intimate", &intimate(&path, "mika@people.example")).await.goes_to();
        let stranger = file(&site, "intimate", &intimate(&path, "nobody@example.org")).await.goes_to();
        for link in [&other, &stranger] {
            assert!(link.starts_with("/takedown/status/mis_tkd_"), "{link}");
        }
        site.bed.clock.advance(DAY * 91);
        file(&site, "intimate", &intimate(&path, "troll@example.org")).await.goes_to();
        let gone =
            file(&site, "intimate", &intimate("/p/post_00000000000000000000000000000000", "x@example.org")).await;
        assert_eq!(gone.status, 400);
        let wrong = format!("{}x", &other[..other.len() - 1]);
        assert_eq!(site.send("GET", &wrong, As::Nobody, Sent::Nothing).await.status, 404);
    }
}
