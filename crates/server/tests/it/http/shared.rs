//! Showing clips to others: publishing, watching, talking, following; and who sees what.

use platform::{Posting, PostingLimit, Role, Service, SignUpMode};

use super::pages::{join, make, page};
use super::site::{Answer, As, Sent, Site};

pub(crate) async fn post(site: &Site, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    site.send("POST", path, As::Cookie(cookie), Sent::Fields(fields)).await
}

async fn status(site: &Site, who: As<'_>, path: &str) -> u16 {
    site.send("GET", path, who, Sent::Nothing).await.status
}

/// Someone with a profile; the cookie.
pub(crate) async fn maker(site: &Site, handle: &str) -> String {
    let cookie = join(site, &format!("{handle}@people.example")).await;
    let kept = post(site, &cookie, "/account/profile", &[("handle", handle), ("display_name", "")]).await;
    assert_eq!(kept.goes_to(), format!("/@{handle}"));
    cookie
}

/// A clip that nobody else sees; its path.
pub(crate) async fn draft(site: &Site, cookie: &str) -> String {
    let clip = make(site, cookie, "a red boat").await.goes_to();
    site.work().await;
    clip
}

/// A clip that is shown; its path.
pub(crate) async fn shown(site: &Site, cookie: &str, visibility: &str, more: &[(&str, &str)]) -> String {
    let clip = draft(site, cookie).await;
    publish(site, cookie, &clip, visibility, more).await
}

pub(crate) async fn publish(site: &Site, cookie: &str, clip: &str, visibility: &str, more: &[(&str, &str)]) -> String {
    let mut fields = vec![("visibility", visibility), ("caption", "look <b>here</b> #Boat")];
    fields.extend(more);
    post(site, cookie, &format!("{clip}/publish"), &fields).await.goes_to()
}

#[tokio::test]
async fn a_draft_is_published_watched_liked_and_talked_about() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = maker(&site, "mika").await;
    let yuki = maker(&site, "yuki").await;
    let path = shown(&site, &mika, "public", &[("remix", "true"), ("comments", "true")]).await;
    // Anyone watches, without an account.
    for page_of in ["/", path.as_str(), "/@mika", "/tags/boat", "/latest.atom"] {
        let answer = site.send("GET", page_of, As::Nobody, Sent::Nothing).await;
        let text = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, 200, "{page_of}: {text}");
        assert!(text.contains(&path) && !text.contains("<b>here"), "{page_of}: {text}");
        // Its maker hides the prompt.
        assert!(!text.contains("a red boat"), "{page_of}: {text}");
    }
    assert_eq!(status(&site, As::Nobody, &format!("{path}/media/video")).await, 200);
    assert_eq!(status(&site, As::Nobody, &format!("{path}/media/video?download=1")).await, 403);
    assert_eq!(status(&site, As::Nobody, &format!("{path}/credentials")).await, 200);
    let oembed = format!("/oembed?url=http://misora.test{path}");
    let told = site.send("GET", &oembed, As::Nobody, Sent::Nothing).await.ok();
    assert_eq!((&told["author_name"], &told["type"]), (&"mika".into(), &"video".into()));
    let frame = told["html"].as_str().unwrap();
    assert!(frame.contains(&format!("http://misora.test{path}/embed")), "{frame}");
    // Only what acts on nothing may stand in another site's frame.
    let embed = site.send("GET", &format!("{path}/embed"), As::Cookie(&mika), Sent::Nothing).await;
    assert!(embed.header("content-security-policy").contains("frame-ancestors *"));
    assert!(!embed.page().contains("<form") && !embed.page().contains("<script"));
    let whole = site.send("GET", &path, As::Nobody, Sent::Nothing).await;
    assert!(whole.header("content-security-policy").contains("frame-ancestors 'none'"));

    post(&site, &yuki, &format!("{path}/like"), &[("on", "true")]).await.goes_to();
    post(&site, &yuki, &format!("{path}/comment"), &[("text", "so <i>blue</i>")]).await.goes_to();
    let seen = page(&site, &mika, &path).await;
    assert!(seen.contains("data-likes>1<") && seen.contains("so &#60;i&#62;blue"), "{seen}");
    post(&site, &yuki, "/@mika/follow", &[]).await.goes_to();
    assert!(page(&site, &yuki, "/?feed=following").await.contains(&path));

    // A remix has credit, and its own maker.
    let remix = path.trim_start_matches("/p/");
    let made = post(&site, &yuki, "/make", &[("prompt", "a blue boat"), ("remix", remix)]).await.goes_to();
    site.work().await;
    let second = post(&site, &yuki, &format!("{made}/publish"), &[("visibility", "public")]).await.goes_to();
    assert!(page(&site, &mika, &second).await.contains("A remix of a clip by @mika"));
    // What may not be remixed is not.
    let mine = second.trim_start_matches("/p/");
    let refused = post(&site, &mika, "/make", &[("prompt", "a green boat"), ("remix", mine)]).await;
    assert_eq!(refused.status, 403);

    // Blocked is gone, for both.
    post(&site, &mika, "/@yuki/block", &[]).await.goes_to();
    for (cookie, gone) in [(&yuki, path.as_str()), (&mika, second.as_str()), (&yuki, "/@mika")] {
        assert_eq!(status(&site, As::Cookie(cookie), gone).await, 404, "{gone}");
    }
    // Taken back, it is gone for everyone; the clip stays.
    let front = async || site.send("GET", "/", As::Nobody, Sent::Nothing).await.page();
    assert!(front().await.contains(&path) && front().await.contains(&path));
    post(&site, &mika, &format!("{path}/delete"), &[]).await.goes_to();
    assert_eq!(status(&site, As::Nobody, &path).await, 404);
    assert!(!front().await.contains(&path));
    assert!(page(&site, &mika, "/library").await.contains("a red boat"));
}

#[tokio::test]
async fn who_sees_what_is_as_the_table_says() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = maker(&site, "mika").await;
    let follower = maker(&site, "follower").await;
    let stranger = maker(&site, "stranger").await;
    let blocked = maker(&site, "blocked").await;
    post(&site, &follower, "/@mika/follow", &[]).await.goes_to();
    post(&site, &mika, "/@blocked/block", &[]).await.goes_to();
    let people = [
        ("author", As::Cookie(&mika)),
        ("follower", As::Cookie(&follower)),
        ("stranger", As::Cookie(&stranger)),
        ("blocked", As::Cookie(&blocked)),
        ("nobody", As::Nobody),
    ];
    // Visibility, then who opens it by its id, in the order above; and who finds it in lists.
    let table = [
        ("only_me", [true, false, false, false, false]),
        ("link", [true, false, false, false, false]),
        ("followers", [true, true, false, false, false]),
        ("public", [true, true, true, false, true]),
    ];
    for (visibility, opened) in table {
        let clip = draft(&site, &mika).await;
        let own_things = async |said: &str| {
            for (who, as_who) in people {
                for way in ["", "/content", "/storyboard"] {
                    let id = clip.trim_start_matches("/clips/");
                    let api = status(&site, as_who, &format!("/v1/videos/{id}{way}")).await;
                    assert_eq!(api, 401, "{said}, {who} {way} through the API, without a key");
                }
                for way in ["", "/media/video", "/credentials"] {
                    let opened = status(&site, as_who, &format!("{clip}{way}")).await;
                    assert_eq!(opened == 200, who == "author", "{said}, {who} {clip}{way}");
                }
            }
        };
        own_things("draft").await;
        let path = publish(&site, &mika, &clip, visibility, &[]).await;
        own_things(visibility).await;
        for ((who, as_who), opens) in people.into_iter().zip(opened) {
            for way in ["", "/media/video", "/media/thumbnail", "/credentials"] {
                let status = status(&site, as_who, &format!("{path}{way}")).await;
                assert_eq!(status == 200, opens, "{visibility} {who} {way}: {status}");
            }
            let profile = site.send("GET", "/@mika", as_who, Sent::Nothing).await;
            let text = String::from_utf8(profile.body).unwrap();
            assert_eq!(text.contains(&path), opens, "{visibility} {who} in the profile");
            let oembed =
                site.send("GET", &format!("/oembed?url=http://misora.test{path}"), as_who, Sent::Nothing).await;
            assert_eq!(oembed.status == 200, visibility == "public", "{visibility} {who} oEmbed");
            let embed = status(&site, as_who, &format!("{path}/embed")).await;
            assert_eq!(embed == 200, visibility == "public", "{visibility} {who} embed");
            // *Latest* is what everyone may see; *For you* leaves out one's own.
            let lists = [
                ("/?feed=latest", opens && visibility == "public"),
                ("/?feed=for-you", opens && who != "author"),
                ("/search?q=look", opens),
                ("/tags/boat", opens),
            ];
            for (list, there) in lists {
                let text = site.send("GET", list, as_who, Sent::Nothing).await.page();
                assert_eq!(text.contains(&path), there, "{visibility} {who} in {list}");
            }
            let atom = site.send("GET", "/latest.atom", as_who, Sent::Nothing).await;
            assert_eq!(String::from_utf8(atom.body).unwrap().contains(&path), visibility == "public");
        }
        // Taken back, nobody opens it, its author neither.
        post(&site, &mika, &format!("{path}/delete"), &[]).await.goes_to();
        for (who, as_who) in people {
            for way in ["", "/media/video", "/embed", "/credentials"] {
                assert_eq!(status(&site, as_who, &format!("{path}{way}")).await, 404, "deleted, {who} {way}");
            }
            for list in ["/?feed=latest", "/search?q=look", "/tags/boat", "/@mika/feed.atom"] {
                let text = site.send("GET", list, as_who, Sent::Nothing).await;
                assert!(!String::from_utf8(text.body).unwrap().contains(&path), "deleted, {who} in {list}");
            }
        }
    }
}

#[tokio::test]
async fn people_write_to_each_other_and_a_stranger_asks_first() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = maker(&site, "mika").await;
    let yuki = maker(&site, "yuki").await;
    shown(&site, &mika, "public", &[]).await;
    assert!(page(&site, &yuki, "/messages/@mika").await.contains("three messages"));
    post(&site, &yuki, "/messages/@mika", &[("text", "hello <b>you</b>")]).await.goes_to();
    assert!(page(&site, &mika, "/?feed=latest").await.contains("some of them new"));
    assert!(page(&site, &mika, "/messages").await.contains("/messages/@yuki"));
    let asked = page(&site, &mika, "/messages/@yuki").await;
    assert!(asked.contains("hello &#60;b&#62;you") && asked.contains("name=\"accept\" value=\"true\""), "{asked}");
    // Read is read.
    assert!(!page(&site, &mika, "/?feed=latest").await.contains("some of them new"));
    post(&site, &yuki, "/messages/@mika", &[("text", "two")]).await.goes_to();
    post(&site, &yuki, "/messages/@mika", &[("text", "three")]).await.goes_to();
    let fourth = post(&site, &yuki, "/messages/@mika", &[("text", "four")]).await;
    assert!(fourth.status == 400 || fourth.status == 409, "{}", fourth.status);
    // What was written is not lost.
    assert!(fourth.page().contains(">four</textarea>"));
    post(&site, &mika, "/messages/@yuki/answer", &[("accept", "true")]).await.goes_to();
    post(&site, &yuki, "/messages/@mika", &[("text", "four")]).await.goes_to();
    let shown = page(&site, &yuki, "/messages/@mika").await;
    assert!(shown.contains("<p>four</p>"), "{shown}");
    let at = shown.find("/delete").unwrap();
    let path = &shown[shown[..at].rfind("/messages/").unwrap()..at + "/delete".len()];
    // Only whoever wrote it deletes it.
    let theirs = path.replace("@mika", "@yuki");
    assert_eq!(post(&site, &mika, &theirs, &[]).await.status, 404);
    post(&site, &yuki, path, &[]).await.goes_to();
    assert!(page(&site, &mika, "/messages/@yuki").await.contains("This message was deleted"));
    // Whoever is blocked finds nobody to write to.
    post(&site, &mika, "/@yuki/block", &[]).await.goes_to();
    assert_eq!(post(&site, &yuki, "/messages/@mika", &[("text", "five")]).await.status, 404);
}

#[tokio::test]
async fn what_happens_is_told_and_comments_are_moderated_by_the_author() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = maker(&site, "mika").await;
    let yuki = maker(&site, "yuki").await;
    post(&site, &mika, "/account/profile/words", &[("words", "spoiler\n\nugly")]).await.goes_to();
    let path = shown(&site, &mika, "public", &[("comments", "true")]).await;
    post(&site, &yuki, &format!("{path}/like"), &[("on", "true")]).await.goes_to();
    post(&site, &yuki, &format!("{path}/comment"), &[("text", "what a spoiler")]).await.goes_to();
    // It waits: its writer and the author see it, nobody else.
    let seen = |text: String| text.contains("what a spoiler");
    assert!(seen(page(&site, &mika, &path).await) && seen(page(&site, &yuki, &path).await));
    assert!(!seen(site.send("GET", &path, As::Nobody, Sent::Nothing).await.page()));
    let mine = page(&site, &mika, &path).await;
    let at = mine.find("/hold").unwrap();
    let hold = mine[mine[..at].rfind("/p/").unwrap()..at + "/hold".len()].to_owned();
    assert_eq!(post(&site, &yuki, &hold, &[("held", "false")]).await.status, 404);
    post(&site, &mika, &hold, &[("held", "false")]).await.goes_to();
    assert!(seen(site.send("GET", &path, As::Nobody, Sent::Nothing).await.page()));
    // An answer stands below it, and is told.
    let comment = hold.trim_end_matches("/hold").rsplit('/').next().unwrap();
    post(&site, &mika, &format!("{path}/comment"), &[("text", "sorry"), ("parent", comment)]).await.goes_to();
    assert!(page(&site, &yuki, "/notices").await.contains("mika answered your comment"));
    // What waits is no notice, so that nobody is pestered; anything else is.
    assert!(!page(&site, &mika, "/notices").await.contains("wrote below"));
    post(&site, &yuki, &format!("{path}/comment"), &[("text", "and a fine boat")]).await.goes_to();

    let told = page(&site, &mika, "/notices").await;
    assert!(told.contains("yuki likes your clip") && told.contains("yuki wrote below your clip"), "{told}");
    assert!(page(&site, &mika, "/?feed=latest").await.contains("Notices: 3 new"));
    let at = told.find("name=\"until\" value=\"").unwrap() + "name=\"until\" value=\"".len();
    let until = told[at..].split('"').next().unwrap();
    post(&site, &mika, "/notices/read", &[("until", until)]).await.goes_to();
    assert!(!page(&site, &mika, "/?feed=latest").await.contains("Notices: 3 new"));

    // A closed profile is asked first.
    post(&site, &mika, "/account/profile", &[("handle", "mika"), ("closed", "true")]).await.goes_to();
    post(&site, &yuki, "/@mika/follow", &[]).await.goes_to();
    assert!(page(&site, &yuki, "/@mika").await.contains("Asked to follow"));
    assert!(page(&site, &mika, "/notices").await.contains("/@yuki/accept"));
    post(&site, &mika, "/@yuki/accept", &[]).await.goes_to();
    assert!(page(&site, &yuki, "/notices").await.contains("mika lets you follow"));
    assert!(page(&site, &yuki, "/?feed=following").await.contains(&path));
}

#[tokio::test]
async fn for_you_says_why_and_is_steered_in_plain_words() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = maker(&site, "mika").await;
    let yuki = maker(&site, "yuki").await;
    let path = shown(&site, &mika, "public", &[]).await;
    let feed = page(&site, &yuki, "/").await;
    assert!(feed.contains(&path) && feed.contains("Why this?") && feed.contains("It is new (+0.3"), "{feed}");
    let steer = "/account/feed/rules";
    let read = post(&site, &yuki, steer, &[("text", "more birds, nothing from @mika, banana")]).await;
    // What was not understood stands there; «banana» takes the direction of the part before.
    assert!(read.status == 303 || read.page().contains("not understood"));
    let rules = page(&site, &yuki, "/account/feed").await;
    assert!(rules.contains("birds") && rules.contains("@mika") && rules.contains("+0.35"), "{rules}");
    assert!(!page(&site, &yuki, "/").await.contains(&path));
    let second = rules.match_indices("name=\"rule\" value=\"").nth(1).unwrap();
    let rule = rules[second.0 + "name=\"rule\" value=\"".len()..].split('"').next().unwrap();
    // Another rule in its place is left alone.
    post(&site, &yuki, &format!("{steer}/2/delete"), &[("rule", "no such rule")]).await.goes_to();
    assert!(!page(&site, &yuki, "/").await.contains(&path));
    post(&site, &yuki, &format!("{steer}/2/delete"), &[("rule", rule)]).await.goes_to();
    assert!(page(&site, &yuki, "/").await.contains(&path));
    post(&site, &yuki, "/account/feed", &[]).await.goes_to();
    assert!(!page(&site, &yuki, "/account/feed").await.contains("name=\"personalised\" value=\"true\" checked"));
    let lost = post(&site, &yuki, steer, &[("text", "qwerty")]).await;
    assert!(lost.page().contains("not understood") && lost.page().contains(">qwerty</textarea>"));

    // People and captions are found, hidden prompts are not.
    let found = page(&site, &yuki, "/search?q=look").await;
    assert!(found.contains(&path), "{found}");
    assert!(page(&site, &yuki, "/search?q=mik").await.contains("/@mika"));
    assert!(page(&site, &yuki, "/search?q=red").await.contains("Nothing found"));
}

#[tokio::test]
async fn a_report_reaches_the_moderators_who_can_withhold_a_clip() {
    let site = Site::with(|settings| {
        settings.sign_up = SignUpMode::Open;
        settings.contact = Some("help@example.org".into());
    })
    .await;
    let mika = maker(&site, "mika").await;
    let yuki = maker(&site, "yuki").await;
    let moderator = site.with_role("moderator@people.example", Service::Social, Role::Moderator).await;
    let path = shown(&site, &mika, "public", &[]).await;
    let id = path.trim_start_matches("/p/");
    assert!(page(&site, &yuki, &format!("/report?post={id}")).await.contains("A clip that is shown"));
    let blank = post(&site, &yuki, "/report", &[("post", id), ("note", "see there")]).await;
    assert!(blank.status == 400 && blank.page().contains(">see there</textarea>"));
    let sent = post(&site, &yuki, "/report", &[("post", id), ("reason", "spam"), ("note", "see there")]).await;
    assert!(sent.page().contains("The moderators look at it"));
    let again = post(&site, &yuki, "/report", &[("post", id), ("reason", "spam")]).await;
    assert_eq!(again.status, 400);
    assert_eq!(post(&site, &mika, "/report", &[("post", id), ("reason", "spam")]).await.status, 400);

    assert_eq!(status(&site, As::Cookie(&yuki), "/moderation").await, 404);
    let queue = page(&site, &moderator, "/moderation").await;
    assert!(queue.contains("see there") && queue.contains(&path) && queue.contains("@mika"), "{queue}");
    let at = queue.find("action=\"/moderation/").unwrap() + "action=\"".len();
    let report = queue[at..].split('"').next().unwrap().to_owned();
    assert_eq!(post(&site, &yuki, &report, &[("withhold", id)]).await.status, 404);
    let reasons = [("withhold", id), ("rule", "the same <b>again</b>")];
    post(&site, &moderator, &report, &reasons).await.goes_to();
    assert!(page(&site, &moderator, "/moderation").await.contains("Nothing waits"));
    // Its author still sees it, and why and by whom it is withheld; nobody else does.
    assert_eq!(status(&site, As::Nobody, &path).await, 404);
    assert_eq!(status(&site, As::Cookie(&yuki), &path).await, 404);
    let withheld = page(&site, &mika, &path).await;
    for said in [
        "This post is withheld",
        "Advertising, or the same again and again",
        "the same &#60;b&#62;again&#60;/b&#62;",
        "A person, a moderator",
        "/account/decisions/dec_",
        "mailto:help@example.org",
    ] {
        assert!(withheld.contains(said), "{said}: {withheld}");
    }
    let letters = site.letters().await;
    let letter = letters
        .iter()
        .find(|letter| letter.contains("To: mika@people.example") && !letter.contains("Subject: Confirm"))
        .unwrap();
    assert!(letter.contains(&path) && letter.contains("help@example.org") && letter.contains("again"), "{letter}");
}

#[tokio::test]
async fn whoever_posts_without_end_is_told_to_wait() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = maker(&site, "mika").await;
    let yuki = maker(&site, "yuki").await;
    let path = shown(&site, &mika, "public", &[("comments", "true")]).await;
    let (store, now) = (&site.bed.app.store, site.bed.app.now());
    let limit = PostingLimit { per_hour: 1, per_day: 10 };
    for what in Posting::ALL {
        store.set_posting_limit(*what, limit, now).await.unwrap();
    }
    let acts: [(String, &[(&str, &str)]); 5] = [
        (format!("{path}/like"), &[("on", "true")]),
        (format!("{path}/comment"), &[("text", "a boat")]),
        ("/@mika/follow".into(), &[]),
        ("/messages/@mika".into(), &[("text", "hello")]),
        ("/report".into(), &[("profile", "mika"), ("reason", "other")]),
    ];
    for (act, fields) in &acts {
        assert!(post(&site, &yuki, act, fields).await.status < 400, "{act}");
        let again = post(&site, &yuki, act, fields).await;
        assert_eq!((again.status, again.header("retry-after")), (429, "2800"), "{act}");
        assert!(again.page().contains("Try again in 47 minutes"), "{act}");
    }
    // To take a like back is no posting, and an hour later there is room again.
    post(&site, &yuki, &format!("{path}/like"), &[("on", "false")]).await.goes_to();
    site.bed.clock.advance(std::time::Duration::from_secs(3600));
    post(&site, &yuki, &format!("{path}/like"), &[("on", "true")]).await.goes_to();
    let japanese = [("accept-language", "ja")];
    let fields = Sent::Fields(&[("on", "true")]);
    let again = site.send_with("POST", &format!("{path}/like"), As::Cookie(&yuki), fields, &japanese).await;
    assert!(again.page().contains("47分後"));
}

#[tokio::test]
async fn people_choose_what_they_are_told_and_clips_are_told_to_whoever_makes_them() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = join(&site, "mika@people.example").await;
    let clip = draft(&site, &mika).await;
    // Without a profile.
    let told = page(&site, &mika, "/notices").await;
    assert!(told.contains(&clip) && told.contains("Ready"), "{told}");
    assert!(page(&site, &mika, "/?feed=latest").await.contains("Notices: 1 new") || told.contains("name=\"until\""));
    let now = site.bed.app.now().micros().to_string();
    post(&site, &mika, "/notices/read", &[("until", &now)]).await.goes_to();
    assert!(!page(&site, &mika, "/notices").await.contains("name=\"until\""));

    let settings = page(&site, &mika, "/account/notices").await;
    assert!(settings.contains("name=\"clips_app\" value=\"true\" checked") && settings.contains("Finished clips"));
    assert!(settings.contains("once this address is confirmed"));
    post(&site, &mika, "/account/notices", &[("clips_mail", "true")]).await.goes_to();
    let settings = page(&site, &mika, "/account/notices").await;
    assert!(settings.contains("name=\"clips_mail\" value=\"true\" checked"));
    assert!(!settings.contains("name=\"likes_app\" value=\"true\" checked"));

    site.bed.clock.advance(std::time::Duration::from_secs(60));
    draft(&site, &mika).await;
    assert!(!page(&site, &mika, "/notices").await.contains("name=\"until\""));
    let store = &site.bed.app.store;
    let person = store.identity_by_email("mika@people.example").await.unwrap().unwrap().id;
    store.confirm_email(person, site.bed.app.now()).await.unwrap();
    site.bed.clock.advance(std::time::Duration::from_secs(20 * 60));
    for expected in [1, 0] {
        assert_eq!(store.notice_letters(site.bed.app.now(), 10).await.unwrap().len(), expected);
        server::housekeeping::refresh(&site.bed.app).await.unwrap();
    }
    let letters = site.letters().await;
    let letter = letters.iter().find(|letter| letter.contains("News on Misora")).unwrap();
    assert!(letter.contains("Finished clips: 1") && letter.contains("http://misora.test/account/notices"), "{letter}");
}

#[tokio::test]
async fn a_profile_has_a_picture_and_muting_is_nobodys_business() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = maker(&site, "mika").await;
    let yuki = maker(&site, "yuki").await;
    let path = shown(&site, &mika, "public", &[]).await;
    assert_eq!(status(&site, As::Nobody, "/@mika/avatar").await, 404);
    let picture = super::site::png(64, 48);
    let parts = [("picture", Some("me.png"), picture.as_slice())];
    site.send("POST", "/account/profile/picture", As::Cookie(&mika), Sent::Form(&parts)).await.goes_to();
    let sent = site.send("GET", "/@mika/avatar", As::Nobody, Sent::Nothing).await;
    assert_eq!((sent.status, sent.header("content-type")), (200, "image/png"));
    assert!(page(&site, &yuki, "/@mika").await.contains("/@mika/avatar?v="));
    let broken = [("picture", Some("me.png"), &b"no picture"[..])];
    let refused = site.send("POST", "/account/profile/picture", As::Cookie(&mika), Sent::Form(&broken)).await;
    assert_eq!(refused.status, 400);
    assert_eq!(status(&site, As::Nobody, "/@mika/avatar").await, 200);

    post(&site, &yuki, "/@mika/mute", &[("on", "true")]).await.goes_to();
    assert!(!page(&site, &yuki, "/?feed=latest").await.contains(&path));
    assert!(page(&site, &yuki, "/@mika").await.contains("Hear again"));
    post(&site, &yuki, "/@mika/mute", &[("on", "false")]).await.goes_to();
    assert!(page(&site, &yuki, "/?feed=latest").await.contains(&path));
}
