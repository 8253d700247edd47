//! The app, as a browser sees it: what each page shows to whom, and what its forms do.

use std::collections::BTreeSet;

use platform::{MembershipEvent, Role, Service, SignUpMode};
use server::Viewer;

use super::passkeys::{Authenticator, register};
use super::site::{Answer, As, Sent, Site, png};

const PASSWORD: &str = "a long enough password";

/// Method, path, and who may look: `anyone`, `person` or `administrator`. `own` marks paths that name a thing which others must not find.
const TABLE: &str = "
GET   /                                          anyone
GET   /sign-in                                   anyone
POST  /sign-in                                   anyone
GET   /sign-up                                   anyone
POST  /sign-up                                   anyone
POST  /sign-out                                  person
GET   /forgotten-password                        anyone
POST  /forgotten-password                        anyone
GET   /confirm-password                          person
POST  /confirm-password                          person
GET   /make                                      person
POST  /make                                      person
GET   /make/quote                                person
POST  /make/reword                               person
GET   /storyboard                                person
POST  /storyboard                                person
GET   /clips/{id}                                person  own
GET   /clips/{id}/events                         person  own
GET   /clips/{id}/media/{variant}                person  own
POST  /clips/{id}/cancel                         person  own
POST  /clips/{id}/delete                         person  own
POST  /clips/{id}/favourite                      person  own
POST  /clips/{id}/move                           person  own
POST  /clips/{id}/extend                         person  own
POST  /clips/{id}/edit                           person  own
POST  /clips/{id}/trim                           person  own
GET   /clips/{id}/credentials                    person  own
GET   /library                                   person
POST  /library/clips                             person
POST  /library/undo                              person
POST  /library/trash/empty                       person
POST  /library/folders                           person
POST  /library/folders/{id}/rename               person  own
POST  /library/folders/{id}/delete               person  own
POST  /clips/{id}/publish                        person  own
GET   /p/{post}                                  anyone
GET   /p/{post}/media/{variant}                  anyone
GET   /p/{post}/credentials                      anyone
GET   /p/{post}/embed                            anyone
POST  /p/{post}/like                             person
POST  /p/{post}/comment                          person
POST  /p/{post}/comments/{id}/delete             person
POST  /p/{post}/edit                             person
POST  /p/{post}/delete                           person
GET   /oembed                                    anyone
GET   /tags/{tag}                                anyone
GET   /latest.atom                               anyone
GET   /@{handle}                                 anyone
GET   /@{handle}/feed.atom                       anyone
POST  /@{handle}/follow                          person
POST  /@{handle}/unfollow                        person
POST  /@{handle}/block                           person
GET   /account/profile                           person
POST  /account/profile                           person
POST  /account/unblock/{handle}                  person
POST  /account/profile/picture                   person
POST  /account/profile/words                     person
GET   /account/feed                              person
POST  /account/feed                              person
POST  /account/feed/rules                        person
POST  /account/feed/rules/{place}/delete         person
POST  /@{handle}/mute                            person
POST  /@{handle}/accept                          person
POST  /@{handle}/remove                          person
GET   /@{handle}/avatar                          anyone
POST  /p/{post}/comments/{id}/hold               person
GET   /search                                    anyone
GET   /messages                                  person
GET   /messages/@{handle}                        person
POST  /messages/@{handle}                        person
POST  /messages/@{handle}/answer                 person
POST  /messages/@{handle}/{message}/delete       person
GET   /notices                                   person
POST  /notices/read                              person
GET   /account/notices                           person
POST  /account/notices                           person
GET   /report                                    person
POST  /report                                    person
GET   /moderation                                person  own
GET   /moderation/work                           person  own
GET   /moderation/reports/{id}                   person  own
POST  /moderation/reports/{id}                   person  own
GET   /moderation/appeals/{id}                   person  own
POST  /moderation/appeals/{id}                   person  own
GET   /moderation/takedowns/{id}                 person  own
POST  /moderation/takedowns/{id}                 person  own
POST  /moderation/members/{id}                   person  own
GET   /moderation/posts/{post}/{variant}         person  own
GET   /account/decisions                         person
GET   /account/decisions/{id}                    person  own
POST  /account/decisions/{id}/appeal             person  own
POST  /account/decisions/{id}/counter            person  own
GET   /takedown                                  anyone
GET   /takedown/{kind}                           anyone
POST  /takedown/{kind}                           anyone
GET   /takedown/status/{link}                    anyone
POST  /takedown/status/{link}/suit               anyone
GET   /rights                                    anyone
POST  /rights                                    anyone
GET   /rights/status/{link}                      anyone
GET   /transparency                              anyone
GET   /account                                   person
GET   /account/likeness                          person
POST  /account/likeness/begin                    person
GET   /account/likeness/capture                  person
POST  /account/likeness/capture/{id}/{step}      person  own
POST  /account/likeness/cancel                   person
POST  /account/likeness/puppet                   person
POST  /account/likeness/lend                     person
POST  /account/likeness/people                   person
POST  /account/likeness/withdraw                 person
GET   /account/likeness/consents/{id}            person  own
GET   /account/likeness/uses                     person
GET   /account/likeness/uses/{id}/media/{variant} person  own
POST  /account/likeness/uses/{id}/delete         person  own
POST  /account/likeness/uses/{id}/block          person  own
GET   /moderation/likeness                       person  own
GET   /moderation/likeness/{id}                  person  own
GET   /moderation/likeness/{id}/capture          person  own
GET   /moderation/likeness/{id}/still            person  own
POST  /moderation/likeness/{id}                  person  own
POST  /account/services/{service}/join           person
POST  /account/services/{service}/close          person
POST  /account/services/{service}/undo           person
GET   /account/services/{service}/close          person
POST  /account/services/{service}/erase          person
GET   /account/close                             person
POST  /account/close                             person
POST  /account/undo                              person
POST  /account/erase                             person
GET   /account/receipts/{id}                     person  own
GET   /retention                                 anyone
POST  /account/sessions/{id}/end                 person  own
POST  /account/password                          person
POST  /account/recovery-codes                    person
GET   /account/security                          person
POST  /account/security/passkeys/{id}/rename     person  own
POST  /account/security/passkeys/{id}/forget     person  own
POST  /account/security/second-factor            person
POST  /account/security/second-factor/confirm    person
POST  /account/security/second-factor/off        person
POST  /account/security/key-letters              person
GET   /account/export                            person
POST  /account/export                            person
GET   /account/export/{id}/content               person  own
POST  /account/export/{id}/delete                person  own
POST  /account/import                            person
POST  /account/import/{id}/delete                person  own
POST  /account/destination                       person
POST  /account/destination/{id}/delete           person  own
POST  /language                                  anyone
GET   /account/keys                              person
POST  /account/projects                          person
POST  /account/keys/{project}                    person  own
POST  /account/keys/{project}/{key}/revoke       person  own
POST  /account/keys/{project}/{key}/rotate       person  own
POST  /account/webhooks/{project}                person  own
POST  /account/webhooks/{project}/{id}/delete    person  own
POST  /account/webhooks/{project}/{id}/test      person  own
GET   /admin                                     administrator
GET   /admin/people                              administrator
POST  /admin/people/{id}/role                    administrator
GET   /admin/invites                             administrator
POST  /admin/invites                             administrator
POST  /admin/invites/{id}/revoke                 administrator
GET   /admin/tiers                               administrator
POST  /admin/tiers                               administrator
GET   /admin/models                              administrator
POST  /admin/models                              administrator
GET   /admin/sunsets                             administrator
POST  /admin/sunsets                             administrator
POST  /admin/sunsets/{id}/confirm                administrator
POST  /admin/sunsets/{id}/withdraw               administrator
GET   /admin/rights                              administrator
POST  /admin/rights                              administrator
POST  /admin/rights/{id}/withdraw                administrator
POST  /admin/rights/requests/{id}                administrator
POST  /admin/rights/agents                       administrator
POST  /admin/rights/agents/{id}/verify           administrator
POST  /admin/rights/agents/{id}/revoke           administrator
GET   /admin/decisions                           administrator
POST  /admin/decisions                           administrator
POST  /admin/decisions/{id}/confirm              administrator
GET   /static/{name}                             anyone
GET   /manifest.webmanifest                      anyone
GET   /worker.js                                 anyone
GET   /favicon.ico                               anyone
";

fn rows() -> impl Iterator<Item = (&'static str, &'static str, Vec<&'static str>)> {
    TABLE.trim().lines().map(|line| {
        let mut words = line.split_whitespace();
        (words.next().unwrap(), words.next().unwrap(), words.collect())
    })
}

#[test]
fn every_page_has_a_row() {
    let word = |viewer| match viewer {
        Viewer::Anyone => "anyone",
        Viewer::Person => "person",
        Viewer::Administrator => "administrator",
    };
    let pages: BTreeSet<_> =
        server::page_list().iter().map(|(method, path, viewer)| format!("{method} {path} {}", word(*viewer))).collect();
    let table: BTreeSet<_> = rows().map(|(method, path, row)| format!("{method} {path} {}", row[0])).collect();
    assert_eq!(pages.symmetric_difference(&table).collect::<Vec<_>>(), Vec::<&String>::new());
}

async fn send(site: &Site, method: &str, path: &str, who: As<'_>) -> Answer {
    let sent = if method == "POST" { Sent::Fields(&[]) } else { Sent::Nothing };
    site.send(method, path, who, sent).await
}

/// The path with the owner's things in it.
async fn path_of(site: &Site, video: &str, path: &str) -> String {
    let key = site.bed.app.store.api_keys(site.bed.project).await.unwrap()[0].id.to_string();
    let session = site.bed.app.store.sessions(site.owner(), site.bed.app.now()).await.unwrap()[0].id.to_string();
    let passkey = site.bed.app.store.passkeys(site.owner()).await.unwrap()[0].id.to_string();
    let id = match path {
        _ if path.starts_with("/clips") => video.to_owned(),
        _ if path.starts_with("/library/folders") => {
            site.bed.app.store.folders(site.owner()).await.unwrap()[0].id.to_string()
        }
        _ if path.starts_with("/account/sessions") => session,
        _ if path.starts_with("/account/security") => passkey,
        _ if path.starts_with("/account/webhooks") => "webhook_endpoint_1".into(),
        _ if path.starts_with("/admin/people") => site.owner().to_string(),
        _ => "0".repeat(64),
    };
    path.replace("{id}", &id)
        .replace("{project}", &site.bed.project.to_string())
        .replace("{key}", &key)
        .replace("{variant}", "video")
        .replace("{service}", "social")
        .replace("{step}", "0")
        .replace("{name}", "app.css")
        .replace("{post}", "post_1")
        .replace("{place}", "1")
        .replace("{message}", "message_1")
        .replace("{kind}", "intimate")
        .replace("{link}", "mis_tkd_1")
        .replace("{tag}", "boat")
        .replace("{handle}", "nobody")
}

#[tokio::test]
async fn a_page_is_for_whom_its_row_says_and_names_nothing_of_others() {
    let site = Site::new().await;
    let owner = site.sign_in(site.owner()).await;
    let video = site.video().await;
    let folder = site.send("POST", "/library/folders", As::Cookie(&owner), Sent::Fields(&[("name", "boats")])).await;
    assert!(folder.goes_to().ends_with("&notice=folder_made"));
    register(&site, &owner, &mut Authenticator::new(1), "phone").await.ok();
    let stranger = site.with_role("stranger@example.org", Service::Video, Role::Member).await;
    let moderator = site.with_role("moderator@example.org", Service::Video, Role::Moderator).await;
    for (method, path, row) in rows() {
        let path = path_of(&site, &video, path).await;
        let nobody = send(&site, method, &path, As::Nobody).await;
        let with_key = send(&site, method, &path, As::Key(&site.key)).await;
        if row[0] == "anyone" {
            assert!(nobody.status < 500 && !nobody.header("location").starts_with("/sign-in"), "{method} {path}");
        } else {
            // Nobody is asked to sign in; a key is no session.
            assert!(nobody.goes_to().starts_with("/sign-in"), "{method} {path}");
            assert!(with_key.goes_to().starts_with("/sign-in"), "{method} {path}");
        }
        if row[0] == "administrator" {
            assert_eq!(send(&site, method, &path, As::Cookie(&stranger)).await.status, 404, "{method} {path}");
            assert_eq!(send(&site, method, &path, As::Cookie(&moderator)).await.status, 404, "{method} {path}");
        }
        if row.contains(&"own") {
            // Whoever is asked for the password first learns as little.
            let answer = send(&site, method, &path, As::Cookie(&stranger)).await;
            let asked = answer.header("location").starts_with("/confirm-password");
            assert!(answer.status == 404 || asked, "{method} {path}: {}", answer.status);
        }
        if method == "POST" {
            // A page of another site cannot use the cookie, and is told so in a page.
            for headers in [&[("origin", "https://evil.example")][..], &[("sec-fetch-site", "cross-site")]] {
                let sent = Sent::Fields(&[]);
                let answer = site.send_with(method, &path, As::Cookie(&owner), sent, headers).await;
                assert_eq!(answer.status, 403, "{method} {path}");
                assert!(answer.page().contains("another site"), "{method} {path}");
            }
        }
        site.bed.clock.advance(std::time::Duration::from_secs(60));
    }
}

/// Someone who joined by the page; the cookie.
pub(crate) async fn join(site: &Site, email: &str) -> String {
    let fields = [("email", email), ("password", PASSWORD), ("next", "/make?prompt=a+boat")];
    let joined = site.send("POST", "/sign-up", As::Nobody, Sent::Fields(&fields)).await;
    assert_eq!(joined.goes_to(), "/make?prompt=a+boat");
    joined.header("set-cookie").split(';').next().unwrap().to_owned()
}

pub(crate) async fn make(site: &Site, cookie: &str, prompt: &str) -> Answer {
    let fields = [("prompt", prompt), ("size", "144x80"), ("seconds", "4"), ("n", "1"), ("seed", "")];
    site.send("POST", "/make", As::Cookie(cookie), Sent::Fields(&fields)).await
}

pub(crate) async fn page(site: &Site, cookie: &str, path: &str) -> String {
    let answer = site.send("GET", path, As::Cookie(cookie), Sent::Nothing).await;
    assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
    answer.page()
}

#[tokio::test]
async fn a_newcomer_joins_makes_a_clip_and_has_it_for_themselves() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let start = site.send("GET", "/", As::Nobody, Sent::Nothing).await;
    assert!(start.page().contains("action=\"/make\""));
    let asked = site.send("GET", "/make?prompt=a+boat", As::Nobody, Sent::Nothing).await.goes_to();
    assert_eq!(asked, "/sign-in?next=%2Fmake%3Fprompt%3Da%2Bboat");

    let mika = join(&site, "new@example.org").await;
    assert!(page(&site, &mika, "/make?prompt=a+boat").await.contains(">a boat</textarea>"));
    let clip = make(&site, &mika, "a red boat").await.goes_to();
    let waiting = page(&site, &mika, &clip).await;
    assert!(waiting.contains("You may leave") && waiting.contains("Waiting for its turn"));
    assert!(page(&site, &mika, "/make").await.contains("Under way"));
    site.work().await;
    let ready = page(&site, &mika, &clip).await;
    assert!(ready.contains("only you can see it") && ready.contains(&format!("{clip}/media/video")), "{ready}");
    assert!(page(&site, &mika, "/account").await.contains("Clips: 1, 0."));
    let video = site.send("GET", &format!("{clip}/media/video?download=1"), As::Cookie(&mika), Sent::Nothing).await;
    assert_eq!((video.status, video.header("content-type")), (200, "video/mp4"));
    assert_eq!(video.header("content-disposition"), "attachment; filename=\"a-red-boat.mp4\"");

    let library = page(&site, &mika, "/library?q=RED").await;
    assert!(library.contains("a red boat"));
    assert!(page(&site, &mika, "/library?q=100%25").await.contains("No clip like that"));
    let credentials = page(&site, &mika, &format!("{clip}/credentials")).await;
    assert!(
        credentials.contains("Not one byte was changed") && credentials.contains("own: it proves"),
        "{credentials}"
    );

    // An extension, an edit and a part are clips of their own.
    for (what, fields) in [
        ("extend", &[("prompt", "it goes on"), ("seconds", "4")][..]),
        ("extend", &[("prompt", "it comes near"), ("seconds", "4"), ("direction", "before")]),
        ("edit", &[("prompt", "a blue boat")]),
        ("trim", &[("start", "0.5"), ("end", "4")]),
    ] {
        let made = site.send("POST", &format!("{clip}/{what}"), As::Cookie(&mika), Sent::Fields(fields)).await;
        let made = made.goes_to();
        site.work().await;
        assert!(page(&site, &mika, &format!("{made}/credentials")).await.contains("Made from"));
    }
    // Nobody else's, not even with an account.
    let other = join(&site, "other@example.org").await;
    for path in [clip.clone(), format!("{clip}/media/video"), format!("{clip}/credentials")] {
        assert_eq!(send(&site, "GET", &path, As::Cookie(&other)).await.status, 404);
    }
    assert!(page(&site, &other, "/library").await.contains("An empty sky"));
    let deleted = send(&site, "POST", &format!("{clip}/delete"), As::Cookie(&mika)).await.goes_to();
    assert!(page(&site, &mika, &deleted).await.contains("In the trash: 1."));
    assert_eq!(send(&site, "GET", &clip, As::Cookie(&mika)).await.status, 404);
}

#[tokio::test]
async fn making_asks_the_membership_of_video_and_of_nothing_else() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let cookie = join(&site, "new@example.org").await;
    let (store, now) = (&site.bed.app.store, site.bed.app.now());
    let person = store.identity_by_email("new@example.org").await.unwrap().unwrap().id;
    store.change_membership(person, Service::Api, MembershipEvent::Close, now).await.unwrap();
    for project in store.projects(person).await.unwrap() {
        store.archive_project(project.id, now).await.unwrap();
    }
    let clip = make(&site, &cookie, "a red boat").await.goes_to();
    store.change_membership(person, Service::Video, MembershipEvent::Restrict, now).await.unwrap();
    let refused = make(&site, &cookie, "a red boat").await;
    assert_eq!(refused.status, 403);
    assert!(refused.page().contains("restricted") && refused.page().contains("Nothing was charged"));
    page(&site, &cookie, &clip).await;
    store.change_membership(person, Service::Video, MembershipEvent::Suspend, now).await.unwrap();
    for path in [clip.as_str(), "/make", "/library"] {
        assert_eq!(send(&site, "GET", path, As::Cookie(&cookie)).await.status, 403, "{path}");
    }
    // The account centre stays.
    assert!(page(&site, &cookie, "/account").await.contains("Suspended"));
}

#[tokio::test]
async fn a_refused_prompt_says_which_rule_and_that_nothing_was_charged() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let cookie = join(&site, "new@example.org").await;
    let refused = make(&site, &cookie, "hardcore porn <b>now</b>").await;
    assert_eq!(refused.status, 400);
    let page = refused.page();
    for said in
        ["This was not made", "Sexual content", "Nothing was charged", "hardcore porn &#60;b&#62;now&#60;/b&#62;"]
    {
        assert!(page.contains(said), "{said}: {page}");
    }
    assert!(make(&site, &cookie, " ").await.page().contains("This was not made"));
}

#[tokio::test]
async fn a_form_that_is_sent_twice_counts_once() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let cookie = join(&site, "new@example.org").await;
    let fields = [("prompt", "a boat"), ("size", "144x80"), ("once", "0123456789abcdef")];
    let first = site.send("POST", "/make", As::Cookie(&cookie), Sent::Fields(&fields)).await.goes_to();
    let second = site.send("POST", "/make", As::Cookie(&cookie), Sent::Fields(&fields)).await.goes_to();
    assert_eq!(first, second);
}

#[tokio::test]
async fn a_picture_of_any_shape_becomes_the_first_frame() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let cookie = join(&site, "new@example.org").await;
    let picture = png(300, 50);
    let parts: [(&str, Option<&str>, &[u8]); 3] =
        [("prompt", None, b"a boat"), ("size", None, b"144x80"), ("picture", Some("p.png"), &picture)];
    let made = site.send("POST", "/make", As::Cookie(&cookie), Sent::Form(&parts)).await.goes_to();
    site.work().await;
    assert!(page(&site, &cookie, &made).await.contains("Ready"));
    let parts: [(&str, Option<&str>, &[u8]); 2] =
        [("prompt", None, b"a boat"), ("picture", Some("p.png"), b"no picture at all")];
    let refused = site.send("POST", "/make", As::Cookie(&cookie), Sent::Form(&parts)).await;
    assert_eq!(refused.status, 400);
    assert!(refused.page().contains("must be a JPEG, PNG or WebP"));
}

#[tokio::test]
async fn what_people_write_is_never_markup() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let cookie = join(&site, "new@example.org").await;
    let hostile = "\"><script>alert(1)</script><img src=x onerror=alert(1)> ' {{7*7}} </textarea>";
    let clip = make(&site, &cookie, hostile).await.goes_to();
    let key = site.send("POST", "/account/projects", As::Cookie(&cookie), Sent::Fields(&[("name", "<i>x</i>")])).await;
    assert_eq!(key.goes_to(), "/account/keys");
    let search =
        format!("/library?{}", form_urlencoded::Serializer::new(String::new()).append_pair("q", hostile).finish());
    let asked = search.replace("/library?q", "/make?prompt");
    for path in
        [clip.as_str(), "/library", "/make", "/account/keys", &search, &asked, "/sign-in?next=%22%3E%3Cscript%3E"]
    {
        let who = if path.starts_with("/sign-in") { As::Nobody } else { As::Cookie(&cookie) };
        let page = site.send("GET", path, who, Sent::Nothing).await.page();
        for mark in ["<script>", "<img src=x", "<i>x", "{{7*7}} </textarea>"] {
            assert!(!page.contains(mark), "{path}: {mark}");
        }
    }
}

#[tokio::test]
async fn pages_hold_no_script_or_style_and_load_nothing_from_outside() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let admin = site.with_role("admin@example.org", Service::Video, Role::Administrator).await;
    let clip = make(&site, &admin, "a boat").await.goes_to();
    site.work().await;
    let made = format!("{clip}/credentials");
    let paths = [
        "/",
        "/make",
        "/library",
        "/library?in=trash",
        "/library?only=favourites",
        "/account",
        "/account/keys",
        "/account/security",
        "/admin",
        "/admin/people",
        "/admin/invites",
        "/admin/tiers",
        "/admin/models",
        "/admin/sunsets",
        "/admin/rights",
        "/confirm-password",
        "/nowhere",
        clip.as_str(),
        made.as_str(),
    ];
    for (path, who) in paths
        .map(|path| (path, As::Cookie(&admin)))
        .into_iter()
        .chain(["/", "/sign-in", "/sign-up", "/forgotten-password", "/set-up"].map(|path| (path, As::Nobody)))
    {
        for language in ["en", "ja"] {
            let headers = [("accept", "text/html"), ("accept-language", language)];
            let answer = site.send_with("GET", path, who, Sent::Nothing, &headers).await;
            let page = answer.page();
            let policy = answer.header("content-security-policy");
            assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
            assert!(page.contains(&format!("<html lang=\"{language}\">")), "{path}");
            let handlers = page.split(" on").skip(1).filter_map(|rest| rest.split_once('='));
            let handler =
                handlers.map(|(name, _)| name).find(|name| name.bytes().all(|byte| byte.is_ascii_lowercase()));
            assert_eq!(handler, None, "{path}");
            assert!(!page.contains("style=") && !page.contains("<style"), "{path}: inline");
            assert_eq!(page.matches("<script").count(), 1, "{path}");
            let outside = page.split(['"', '\'']).find(|text| {
                text.len() > 8
                    && (text.starts_with("http") || text.starts_with("//"))
                    && !text.starts_with("http://misora.test/")
            });
            assert_eq!(outside, None, "{path}");
            assert!(page.len() < 60_000, "{path}: {} bytes", page.len());
            assert!(!page.contains(">…<"), "{path}: a message is missing");
        }
    }
}

#[tokio::test]
async fn the_account_centre_does_what_it_shows() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let cookie = join(&site, "new@example.org").await;
    let account = page(&site, &cookie, "/account").await;
    assert!(account.contains("new@example.org") && account.contains("this one"));
    let post = async |path: &str, fields: &[(&str, &str)]| {
        site.send("POST", path, As::Cookie(&cookie), Sent::Fields(fields)).await
    };
    // One service ends, the others go on.
    let wrong = post("/account/services/api/close", &[("confirm", "video")]).await;
    assert_eq!(wrong.status, 400);
    assert_eq!(post("/account/services/api/close", &[("confirm", "api")]).await.goes_to(), "/account?notice=service");
    assert!(page(&site, &cookie, "/account").await.contains("Take that back"));
    make(&site, &cookie, "a boat").await.goes_to();
    assert_eq!(post("/account/services/api/undo", &[]).await.goes_to(), "/account?notice=service");

    // A key is shown once.
    let keys = page(&site, &cookie, "/account/keys").await;
    let form = keys.split("action=\"/account/keys/").nth(1).unwrap().split('"').next().unwrap();
    let made = post(&format!("/account/keys/{form}"), &[("name", "laptop")]).await.page();
    let secret = made.split("<code class=\"mono\">").nth(1).unwrap().split('<').next().unwrap();
    assert!(secret.starts_with("mis_sk_"));
    assert_eq!(site.send("GET", "/v1/videos", As::Key(secret), Sent::Nothing).await.status, 200);
    let keys = page(&site, &cookie, "/account/keys").await;
    assert!(keys.contains("laptop") && !keys.contains(secret));
    let hook = [
        ("name", "h"),
        ("url", "http://127.0.0.1:9/"),
        ("event_types", "video.completed"),
        ("event_types", "video.failed"),
    ];
    assert!(post(&format!("/account/webhooks/{form}"), &hook).await.page().contains("whsec_"));
    assert!(page(&site, &cookie, "/account/keys").await.contains("video.completed, video.failed"));

    // Old sessions prove themselves again, then go back to where they were.
    site.bed.clock.advance(std::time::Duration::from_secs(700));
    assert_eq!(post("/account/recovery-codes", &[]).await.goes_to(), "/confirm-password?next=%2Faccount");
    let confirmed = post("/confirm-password", &[("password", PASSWORD), ("next", "/account")]).await;
    assert_eq!(confirmed.goes_to(), "/account");
    assert!(post("/account/recovery-codes", &[]).await.page().contains("mis_rec_"));
    assert_eq!(post("/sign-out", &[]).await.goes_to(), "/");
    assert!(send(&site, "GET", "/account", As::Cookie(&cookie)).await.goes_to().starts_with("/sign-in"));
    let wrong = [("email", "new@example.org"), ("password", "not the password")];
    let refused = site.send("POST", "/sign-in", As::Nobody, Sent::Fields(&wrong)).await;
    assert_eq!(refused.status, 401);
    assert!(refused.page().contains("do not belong together") && refused.page().contains("value=\"new@example.org\""));
    for _ in 0..10 {
        site.send("POST", "/sign-in", As::Nobody, Sent::Fields(&wrong)).await;
    }
    let right = [("email", "new@example.org"), ("password", PASSWORD)];
    assert_eq!(site.send("POST", "/sign-in", As::Nobody, Sent::Fields(&right)).await.status, 429);
}

#[tokio::test]
async fn a_language_that_was_chosen_stays() {
    let site = Site::new().await;
    let chosen =
        site.send("POST", "/language", As::Nobody, Sent::Fields(&[("language", "ja"), ("next", "/sign-in")])).await;
    assert_eq!(chosen.goes_to(), "/sign-in");
    let cookie = chosen.header("set-cookie").split(';').next().unwrap().to_owned();
    assert!(site.send("GET", "/sign-in", As::Cookie(&cookie), Sent::Nothing).await.page().contains("ログイン"));
}

#[tokio::test]
async fn assets_are_compressed_and_kept() {
    let site = Site::new().await;
    let page = site.send("GET", "/", As::Nobody, Sent::Nothing).await.page();
    let script = page.split("src=\"/static/app.js").nth(1).unwrap().split('"').next().unwrap();
    let path = format!("/static/app.js{script}");
    let plain = site.send("GET", &path, As::Nobody, Sent::Nothing).await;
    assert!(plain.header("cache-control").contains("immutable") && plain.header("content-encoding").is_empty());
    let gzip = site.send_with("GET", &path, As::Nobody, Sent::Nothing, &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(gzip.header("content-encoding"), "gzip");
    assert!(gzip.body.len() < plain.body.len());
    let known = [("if-none-match", plain.header("etag"))];
    assert_eq!(site.send_with("GET", &path, As::Nobody, Sent::Nothing, &known).await.status, 304);
    assert_eq!(send(&site, "GET", "/static/none.js", As::Nobody).await.status, 404);
}
