//! The library: favourites, folders, many clips at once, and the trash with its ways back.

use std::time::Duration;

use platform::{Role, Service, SignUpMode, TRASH_TIME, VideoId};
use server::housekeeping;
use store::Page;

use super::pages::{join, make, page};
use super::site::{Answer, As, Sent, Site, png};

async fn post(site: &Site, cookie: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
    site.send("POST", path, As::Cookie(cookie), Sent::Fields(fields)).await
}

async fn status(site: &Site, cookie: &str, path: &str) -> u16 {
    site.send("GET", path, As::Cookie(cookie), Sent::Nothing).await.status
}

/// A finished clip; its id.
async fn clip(site: &Site, cookie: &str, prompt: &str) -> String {
    let path = make(site, cookie, prompt).await.goes_to();
    site.work().await;
    path.strip_prefix("/clips/").unwrap().to_owned()
}

/// The ids of the clips that a page of the library shows.
async fn shown(site: &Site, cookie: &str, path: &str) -> Vec<String> {
    let page = page(site, cookie, path).await;
    let boxes = page.split("name=\"clip\" value=\"").skip(1);
    boxes.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_clip_goes_into_the_trash_comes_back_and_goes_for_good_after_thirty_days() {
    let site = Site::new().await;
    let owner = site.sign_in(site.owner()).await;
    let stranger = site.with_role("stranger@example.org", Service::Video, Role::Member).await;
    let id = site.video().await;
    let (path, program) = (format!("/clips/{id}"), format!("/v1/videos/{id}"));
    assert!(page(&site, &owner, &path).await.contains("after 30 days for good"));
    let delete = async || post(&site, &owner, &format!("{path}/delete"), &[]).await.goes_to();

    // Undo stands in the notice after it.
    let after = delete().await;
    let at = after.strip_prefix("/library?notice=trashed&at=").unwrap().to_owned();
    let notice = page(&site, &owner, &after).await;
    assert!(notice.contains("In the trash: 1.") && notice.contains("action=\"/library/undo\""), "{notice}");
    assert!(shown(&site, &owner, &after).await.is_empty());
    // It is nowhere else, not even for programs; the trash shows it, to its owner alone.
    assert_eq!(status(&site, &owner, &path).await, 404);
    assert_eq!(status(&site, &owner, &format!("{path}/credentials")).await, 404);
    assert_eq!(status(&site, &owner, &format!("/make?from={id}")).await, 404);
    assert_eq!(site.get(&program).await.status, 404);
    assert_eq!(site.get(&format!("{program}/content")).await.status, 404);
    assert_eq!(site.delete(&program).await.status, 404);
    assert!(site.get("/v1/videos").await.ok()["data"].as_array().unwrap().is_empty());
    assert_eq!(shown(&site, &owner, "/library?in=trash").await, [id.as_str()]);
    assert!(!page(&site, &owner, "/library?in=trash").await.contains(&format!("href=\"{path}\"")));
    for (who, expected) in [(&owner, 200), (&stranger, 404)] {
        assert_eq!(status(&site, who, &format!("{path}/media/thumbnail")).await, expected);
    }
    // Nobody else's undo takes it back.
    let undo = [("at", at.as_str()), ("back", "/library")];
    assert_eq!(post(&site, &stranger, "/library/undo", &undo).await.goes_to(), "/library");
    assert_eq!(shown(&site, &owner, "/library?in=trash").await, [id.as_str()]);
    assert_eq!(post(&site, &owner, "/library/undo", &undo).await.goes_to(), "/library?notice=restored");
    assert_eq!(shown(&site, &owner, "/library").await, [id.as_str()]);
    assert_eq!(site.get(&program).await.ok()["status"], "completed");
    assert_eq!(status(&site, &owner, &path).await, 200);
    // What was taken back is not offered again.
    assert!(!page(&site, &owner, &after).await.contains("/library/undo"));

    // The trash gives it back too.
    delete().await;
    let restore = [("do", "restore"), ("clip", id.as_str()), ("back", "/library?in=trash")];
    let restored = post(&site, &owner, "/library/clips", &restore).await.goes_to();
    assert_eq!(restored, "/library?in=trash&notice=restored");
    assert!(page(&site, &owner, &restored).await.contains("The trash is empty"));
    assert_eq!(shown(&site, &owner, "/library").await, [id.as_str()]);

    delete().await;
    assert_eq!(site.bed.app.objects.list("renders").await.unwrap().len(), 3);
    site.bed.clock.advance(TRASH_TIME - Duration::from_secs(1));
    assert_eq!(housekeeping::tidy(&site.bed.app).await.unwrap().trash, 0);
    let owner = site.sign_in(site.owner()).await;
    assert_eq!(shown(&site, &owner, "/library?in=trash").await, [id.as_str()]);
    site.bed.clock.advance(Duration::from_secs(1));
    assert_eq!(housekeeping::tidy(&site.bed.app).await.unwrap().trash, 1);
    assert!(shown(&site, &owner, "/library?in=trash").await.is_empty());
    assert!(site.bed.app.objects.list("renders").await.unwrap().is_empty());
    assert_eq!(status(&site, &owner, &format!("{path}/media/video")).await, 404);
    assert_eq!(housekeeping::tidy(&site.bed.app).await.unwrap().trash, 0);
}

#[tokio::test]
async fn what_clips_came_with_goes_with_the_last_of_them_and_not_before() {
    let site = Site::new().await;
    let owner = site.sign_in(site.owner()).await;
    let picture = png(300, 50);
    let parts: [(&str, Option<&str>, &[u8]); 4] = [
        ("prompt", None, b"a boat"),
        ("size", None, b"144x80"),
        ("n", None, b"2"),
        ("picture", Some("p.png"), &picture),
    ];
    site.send("POST", "/make", As::Cookie(&owner), Sent::Form(&parts)).await.goes_to();
    let ids = shown(&site, &owner, "/library").await;
    assert_eq!(ids.len(), 2);
    let files = async || site.bed.app.store.files(site.bed.project, None, Page::default()).await.unwrap().len();
    let delete = async |id: &str| {
        post(&site, &owner, &format!("/clips/{id}/cancel"), &[]).await.goes_to();
        post(&site, &owner, &format!("/clips/{id}/delete"), &[]).await.goes_to();
        assert_eq!(shown(&site, &owner, "/library?in=trash").await, [id]);
        post(&site, &owner, "/library/trash/empty", &[]).await.goes_to()
    };
    assert_eq!(files().await, 1);
    assert_eq!(delete(&ids[0]).await, "/library?in=trash&notice=purged");
    // The other is still to be made from it.
    assert_eq!(files().await, 1);
    site.work().await;
    assert!(page(&site, &owner, &format!("/clips/{}", ids[1])).await.contains("Ready"));
    delete(&ids[1]).await;
    assert_eq!(files().await, 0);
    assert!(shown(&site, &owner, "/library?in=trash").await.is_empty());
}

#[tokio::test]
async fn a_clip_that_is_being_made_is_cancelled_before_it_is_thrown_away() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = join(&site, "mika@example.org").await;
    let done = clip(&site, &mika, "a red boat").await;
    let waiting = make(&site, &mika, "a black cat").await.goes_to();
    assert!(!page(&site, &mika, &waiting).await.contains(&format!("action=\"{waiting}/delete\"")));
    let refused = post(&site, &mika, &format!("{waiting}/delete"), &[]).await.goes_to();
    assert_eq!(refused, "/library?notice=unfinished");
    assert!(page(&site, &mika, &refused).await.contains("Cancel it first"));
    // All or none.
    let both = [("do", "trash"), ("clip", done.as_str()), ("clip", &waiting["/clips/".len()..])];
    assert_eq!(post(&site, &mika, "/library/clips", &both).await.goes_to(), "/library?notice=unfinished");
    assert_eq!(shown(&site, &mika, "/library").await.len(), 2);
    post(&site, &mika, &format!("{waiting}/cancel"), &[]).await.goes_to();
    let after = post(&site, &mika, "/library/clips", &both).await.goes_to();
    assert!(page(&site, &mika, &after).await.contains("In the trash: 2."));
    // One act is taken back as one.
    let at = after.split("at=").nth(1).unwrap();
    post(&site, &mika, "/library/undo", &[("at", at)]).await.goes_to();
    assert_eq!(shown(&site, &mika, "/library").await.len(), 2);
}

#[tokio::test]
async fn many_clips_are_put_in_order_at_once_and_others_stay_as_they_are() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let (mika, yuki) = (join(&site, "mika@example.org").await, join(&site, "yuki@example.org").await);
    let (boat, cat) = (clip(&site, &mika, "a red boat").await, clip(&site, &mika, "a black cat").await);
    let theirs = clip(&site, &yuki, "a fox").await;
    let unknown = VideoId::from_bytes([9; 16]).to_string();
    let pick = [("clip", boat.as_str()), ("clip", theirs.as_str()), ("clip", unknown.as_str()), ("clip", "?")];
    let act = async |cookie: &str, more: &[(&str, &str)]| {
        let fields: Vec<_> = pick.iter().chain(more).copied().collect();
        post(&site, cookie, "/library/clips", &fields).await
    };

    assert_eq!(act(&mika, &[("do", "favourite")]).await.goes_to(), "/library?notice=favourite");
    assert_eq!(shown(&site, &mika, "/library?only=favourites").await, [boat.as_str()]);
    assert!(shown(&site, &yuki, "/library?only=favourites").await.is_empty());
    let back = ("back", "/library?only=favourites&q=boat");
    assert_eq!(
        act(&mika, &[("do", "unfavourite"), back]).await.goes_to(),
        "/library?q=boat&only=favourites&notice=unfavourite"
    );
    assert!(page(&site, &mika, "/library?only=favourites").await.contains("No favourites yet"));

    let folder = post(&site, &mika, "/library/folders", &[("name", "Boats & <b>")]).await.goes_to();
    let made = page(&site, &mika, &folder).await;
    assert!(made.contains("Boats &#38; &#60;b&#62; · 0") && made.contains("Nothing in this folder yet"), "{made}");
    let folder = folder.split("folder=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let inside = format!("/library?folder={folder}");
    assert_eq!(act(&mika, &[("do", "move"), ("folder", &folder)]).await.goes_to(), "/library?notice=moved");
    assert_eq!(shown(&site, &mika, &inside).await, [boat.as_str()]);
    // Another's folder is none.
    assert_eq!(act(&yuki, &[("do", "move"), ("folder", &folder)]).await.status, 404);
    assert_eq!(status(&site, &yuki, &inside).await, 404);
    assert_eq!(act(&mika, &[("do", "move"), ("folder", "none")]).await.goes_to(), "/library?notice=moved");
    assert!(shown(&site, &mika, &inside).await.is_empty());

    assert!(act(&mika, &[("do", "trash")]).await.goes_to().starts_with("/library?notice=trashed"));
    assert_eq!(shown(&site, &mika, "/library").await, [cat.as_str()]);
    assert_eq!(act(&yuki, &[("do", "restore")]).await.goes_to(), "/library?notice=restored");
    assert_eq!(act(&yuki, &[("do", "purge")]).await.goes_to(), "/library?notice=purged");
    assert_eq!(shown(&site, &mika, "/library?in=trash").await, [boat.as_str()]);
    assert_eq!(act(&mika, &[("do", "purge"), ("back", "/library?in=trash")]).await.status, 303);
    assert!(shown(&site, &mika, "/library?in=trash").await.is_empty());
    // Through all of it, nobody touched the stranger's.
    assert_eq!(shown(&site, &yuki, "/library").await, [theirs.as_str()]);

    // Nothing picked, too much picked, nothing known asked.
    assert_eq!(post(&site, &mika, "/library/clips", &[("do", "trash")]).await.goes_to(), "/library?notice=none_picked");
    let many: Vec<_> = std::iter::repeat_n(("clip", cat.as_str()), 101).chain([("do", "trash")]).collect();
    let refused = post(&site, &mika, "/library/clips", &many).await.goes_to();
    assert!(page(&site, &mika, &refused).await.contains("100 clips at once are the most"));
    assert_eq!(act(&mika, &[("do", "sell")]).await.status, 400);
    let away = act(&mika, &[("do", "favourite"), ("back", "https://evil.example/?q=x")]).await.goes_to();
    assert_eq!(away, "/library?q=x&notice=favourite");
    assert_eq!(shown(&site, &mika, "/library").await, [cat.as_str()]);
}

#[tokio::test]
async fn a_clip_has_a_star_and_a_folder() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let (mika, yuki) = (join(&site, "mika@example.org").await, join(&site, "yuki@example.org").await);
    let id = clip(&site, &mika, "a red boat").await;
    let path = format!("/clips/{id}");
    assert!(page(&site, &mika, &path).await.contains("value=\"true\" aria-pressed=\"false\""));
    let star = format!("{path}/favourite");
    assert_eq!(post(&site, &mika, &star, &[("on", "true")]).await.goes_to(), path);
    assert!(page(&site, &mika, &path).await.contains("value=\"false\" aria-pressed=\"true\""));
    // In the grid the form around it is sent along.
    let fields = [("back", "/library"), ("clip", id.as_str()), ("on", "false")];
    assert_eq!(post(&site, &mika, &star, &fields).await.goes_to(), format!("/library#{id}"));
    let json = [("accept", "application/json")];
    let sent = Sent::Fields(&[("on", "true")]);
    assert_eq!(site.send_with("POST", &star, As::Cookie(&mika), sent, &json).await.ok()["favourite"], true);
    assert_eq!(shown(&site, &mika, "/library?only=favourites").await, [id.as_str()]);
    assert_eq!(post(&site, &yuki, &star, &[("on", "false")]).await.status, 404);

    // Folders: made, named, left.
    assert!(page(&site, &mika, &path).await.contains("You have no folders yet"));
    let made = post(&site, &mika, "/library/folders", &[("name", "Boats")]).await.goes_to();
    let folder = made.split("folder=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    for (name, notice) in [("boats", "folder_exists"), (" ", "folder_name"), (&*"x".repeat(61), "folder_name")] {
        let refused = post(&site, &mika, "/library/folders", &[("name", name)]).await.goes_to();
        assert_eq!(refused, format!("/library?notice={notice}"));
        assert!(page(&site, &mika, &refused).await.contains("role=\"alert\""));
    }
    let moved = post(&site, &mika, &format!("{path}/move"), &[("folder", &folder)]).await.goes_to();
    assert_eq!(moved, path);
    assert!(page(&site, &mika, &path).await.contains(&format!("value=\"{folder}\" selected")));
    let of_folder = format!("/library/folders/{folder}");
    assert_eq!(post(&site, &yuki, &format!("{of_folder}/rename"), &[("name", "x")]).await.status, 404);
    assert_eq!(post(&site, &yuki, &format!("{of_folder}/delete"), &[]).await.status, 404);
    let renamed = post(&site, &mika, &format!("{of_folder}/rename"), &[("name", "Ships")]).await.goes_to();
    assert_eq!(renamed, format!("/library?folder={folder}&notice=folder_renamed"));
    assert!(page(&site, &mika, &renamed).await.contains("Ships · 1"));
    let deleted = post(&site, &mika, &format!("{of_folder}/delete"), &[]).await.goes_to();
    assert_eq!(deleted, "/library?notice=folder_deleted");
    assert_eq!(shown(&site, &mika, "/library").await, [id.as_str()]);
    assert_eq!(status(&site, &mika, &format!("/library?folder={folder}")).await, 404);
}

#[tokio::test]
async fn what_was_published_stays_when_its_clip_is_thrown_away() {
    let site = Site::with_sign_up(SignUpMode::Open).await;
    let mika = join(&site, "mika@example.org").await;
    post(&site, &mika, "/account/profile", &[("handle", "mika"), ("display_name", "")]).await.goes_to();
    let id = clip(&site, &mika, "a red boat").await;
    let fields = [("visibility", "public"), ("caption", "look")];
    let shown_at = post(&site, &mika, &format!("/clips/{id}/publish"), &fields).await.goes_to();
    post(&site, &mika, &format!("/clips/{id}/delete"), &[]).await.goes_to();
    post(&site, &mika, "/library/trash/empty", &[]).await.goes_to();
    housekeeping::tidy(&site.bed.app).await.unwrap();
    assert!(site.bed.app.objects.list("renders").await.unwrap().is_empty());
    for path in [shown_at.clone(), format!("{shown_at}/media/video")] {
        assert_eq!(site.send("GET", &path, As::Nobody, Sent::Nothing).await.status, 200, "{path}");
    }
}
